"""What a user names on the command line -> recordings."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamclf.core.clip_tags import is_clip
from streamclf.core.errors import RecordingError
from streamclf.core.folder_walk import Walk, is_hidden
from streamclf.sources.recording.playlists import check_name

SUFFIXES = frozenset(
    """.wav .wave .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64
    .voc .sph .webm .m4a .m4b .aac .mp4 .m4v .mov .mkv .mka .wma .wmv .asf .avi .3gp .amr .ac3
    .wv .ape .tta .mpg .mpeg .ts .flv""".split()
)
"""Files with these endings are taken from a folder; a file named itself may have any."""


@dataclass
class Found:
    """What names stand for.

    Attributes:
        paths: The recordings in order, each once.
        errors: One for each name that gave none, and for each folder that could not be read.
        notes: What was left out on purpose, a line each.
    """

    paths: list[Path] = field(default_factory=list)
    errors: list[RecordingError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def looks_like_recordings(name: str) -> bool:
    """Whether a word is a file, a folder, a pattern, or at least looks like the name of one."""
    try:
        if Path(name).exists():
            return True
    except (OSError, ValueError):  # too long, or with a null character
        return False
    looks = Path(name).suffix.lower() in SUFFIXES or "/" in name or os.sep in name
    return "://" not in name and (looks or glob.has_magic(name))


def find_recordings(names: Iterable[str]) -> Found:
    """Expand files, folders (with all below them, see `streamclf.core.folder_walk`) and patterns.

    Clips that streamclf wrote are left out of folders; a name or a pattern without ``**`` has them
    heard.

    Args:
        names: As given on the command line; ``-`` is standard input.
    """
    finder = _Finder()
    found: dict[Path, None] = {}
    for name in names:
        try:
            found.update(dict.fromkeys(finder.expand(name)))
        except RecordingError as error:
            finder.tell(error)
    finder.tell_failures()
    return Found(list(found), finder.errors, finder.notes)


class _Finder:
    """Expands names one after the other; a folder that was walked is not walked again."""

    def __init__(self) -> None:
        self.errors: list[RecordingError] = []
        self.notes: list[str] = []
        self._walk = Walk()
        self._failures: dict[Path, str] = {}

    def tell(self, error: RecordingError) -> None:
        """Keep an error, each once."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def tell_failures(self) -> None:
        """Turn what could not be read, and links that lead nowhere, into lines."""
        self._failures.update(self._walk.failures)
        for path, reason in self._failures.items():
            self.tell(
                RecordingError(f"{path}: cannot be read: {reason}; what lies there is not heard")
            )
        for path in self._walk.astray:
            self.notes.append(f"warning: {path}: is a link to what is not there, and left out")

    def expand(self, name: str) -> list[Path]:
        """The recordings that a name stands for.

        Raises:
            RecordingError: There are none.
        """
        check_name(name)
        path = Path(name)
        if path == Path("-"):
            # A file of that name must not be taken for standard input.
            return [path if name == "-" else path.absolute()]
        try:
            is_folder, exists = path.is_dir(), path.exists()
        except OSError as error:  # the name is too long, or a folder above may not be entered
            reason = (error.strerror or str(error)).lower()
            raise RecordingError(f"{name}: cannot be opened: {reason}") from error
        if is_folder:
            return self._in_folder(name, path)
        if exists or not glob.has_magic(name):
            return [path]  # if it is missing, opening it says so
        return self._matching(name)

    def _in_folder(self, name: str, path: Path) -> list[Path]:
        known, n_failures = self._walk.has_walked(path), len(self._walk.failures)
        every = self._walk.files(path, SUFFIXES)
        failed = len(self._walk.failures) > n_failures
        files = [file for file in every if not is_clip(file)]
        if every and not files:
            raise RecordingError(
                f"{name}: the folder holds nothing but {_count_clips(len(every))} that streamclf "
                "cut from recordings: name the files themselves to hear them"
            )
        if not (files or known or failed):
            raise RecordingError(
                f"{name}: the folder holds no audio files (looked for {', '.join(_COMMON)}, ...)"
            )
        self._tell_clips(path, len(every) - len(files))
        return files

    def _below(self, folder: Path) -> list[Path]:
        return self._leave_out_clips(folder, self._walk.files(folder, SUFFIXES))

    def _leave_out_clips(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        """The files without what streamclf cut from them before."""
        rest = [path for path in files if not is_clip(path)]
        self._tell_clips(folder, len(files) - len(rest))
        return rest

    def _tell_clips(self, folder: Path, n_clips: int) -> None:
        if n_clips:
            self.notes.append(
                f"{folder}: {_count_clips(n_clips)} that streamclf cut from recordings left out "
                "(name the files themselves to hear them)"
            )

    def _matching(self, name: str) -> list[Path]:
        path = Path(name)
        base = Path(path.anchor)
        parts = path.relative_to(base).parts if path.anchor else path.parts
        n_failures, n_notes = len(self._failures), len(self.notes)
        matches = sorted(self._match(base, parts), key=str)
        folders = [match for match in matches if match.is_dir()]
        alone = [
            match for match in matches if match.suffix.lower() in SUFFIXES and match not in folders
        ]
        if "**" in parts:
            alone = self._leave_out_clips(base, alone)
        below = {folder: self._below(folder) for folder in folders}
        kept = set(alone)
        files = _each_once(
            file
            for match in matches
            for file in ([match] if match in kept else below.get(match, []))
        )
        if not files and n_failures == len(self._failures) and n_notes == len(self.notes):
            raise RecordingError(
                f"{name}: no audio file matches this pattern (looked for {', '.join(_COMMON)}, ...)"
            )
        return files

    def _match(self, base: Path, parts: Sequence[str]) -> Iterator[Path]:
        """What matches a pattern's parts below a folder; as `glob`, but tells what it cannot read.

        And ``**`` goes through links as a folder's walk does, each real folder once.
        """
        if not parts:
            yield base
            return
        first, *rest = parts
        if first == "**":
            walk = Walk()
            for folder, files in walk.folders(base):
                yield from self._match(folder, rest) if rest else iter([folder, *files])
            self._failures.update(walk.failures)
        elif not glob.has_magic(first):
            if os.path.lexists(base / first):
                yield from self._match(base / first, rest)
        elif base.is_dir():
            for name in self._names_in(base):
                if fnmatch.fnmatch(name, first) and (first.startswith(".") or not is_hidden(name)):
                    yield from self._match(base / name, rest)

    def _names_in(self, folder: Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except OSError as error:
            self._failures[folder] = (error.strerror or str(error)).lower()
            return []


def _count_clips(n_clips: int) -> str:
    return "1 clip" if n_clips == 1 else f"{n_clips} clips"


def _each_once(files: Iterable[Path]) -> list[Path]:
    """Files sorted; of names of one that go through links to folders, the real or shortest one."""
    real = functools.cache(os.path.realpath)
    chosen: dict[tuple[str, str], tuple[bool, int, str]] = {}
    for file in files:
        folder = file.parent
        key = real(folder), file.name
        rank = key[0] != str(folder.absolute()), len(file.parts), str(file)
        chosen[key] = min(rank, chosen.get(key, rank))
    return sorted((Path(name) for *_, name in chosen.values()), key=str)


_COMMON = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm")
