"""Search for the recordings that names on the command line stand for."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamclf.core.audio_endings import SUFFIXES
from streamclf.core.clip_tags import is_clip
from streamclf.core.errors import RecordingError
from streamclf.core.find_audio_files import FolderWalk, is_hidden
from streamclf.core.text_format import format_count
from streamclf.sources.recording.passed_over import describe_passed_over
from streamclf.sources.recording.playlists import check_name


@dataclass
class FoundRecordings:
    """Recordings found for names on the command line.

    Attributes:
        paths: The recordings in order, each once.
        errors: An error for each name without a recording, and for each unreadable folder.
        notes: Messages about files that were left out on purpose, one line each.
        unread: Reason of each path below a folder that cannot be read; it is among the errors, too.
    """

    paths: list[Path] = field(default_factory=list)
    errors: list[RecordingError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: dict[Path, str] = field(default_factory=dict)


def looks_like_recordings(name: str) -> bool:
    """Whether a word is a file, a folder or a pattern, or looks like the name of one."""
    try:
        if Path(name).exists():
            return True
    except (OSError, ValueError):  # a name that is too long, or has a null character
        return False
    looks = Path(name).suffix.lower() in SUFFIXES or "/" in name or os.sep in name
    return "://" not in name and (looks or glob.has_magic(name))


def find_recordings(names: Iterable[str]) -> FoundRecordings:
    """Find the recordings for names of files, folders and patterns.

    A folder stands for all files below it, see `streamclf.core.find_audio_files`. Clips that
    streamclf wrote are left out of folders and of patterns with ``**``; they can be named
    themselves, or by another pattern.

    Args:
        names: Names as given on the command line; ``-`` is standard input.
    """
    finder = _Finder()
    found: dict[Path, None] = {}
    for name in names:
        try:
            found.update(dict.fromkeys(finder.expand(name)))
        except RecordingError as error:
            finder.add_error(error)
    finder.report_left_out(found)
    return FoundRecordings(list(found), finder.errors, finder.notes, finder.unread)


class _Finder:
    """Search that takes one name after another, and does not visit a folder twice.

    Attributes:
        errors: Errors found so far, each once.
        notes: Messages about files that were left out on purpose, one line each.
    """

    def __init__(self) -> None:
        self.errors: list[RecordingError] = []
        self.notes: list[str] = []
        self._walk = FolderWalk()
        self._passed_over: dict[Path, str] = {}
        self.unread: dict[Path, str] = {}

    def add_error(self, error: RecordingError) -> None:
        """Add an error, unless it was added before."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def report_left_out(self, found: Container[Path]) -> None:
        """Add an error for each unreadable path, and notes of links and audio left out.

        Args:
            found: The recordings, which may have been named beside a folder that left them out.
        """
        self.unread.update(self._walk.failures)
        for path, reason in self.unread.items():
            self.add_error(
                RecordingError(f"{path}: cannot be read: {reason}; what lies there is not heard")
            )
        for path in self._walk.broken_links:
            self.notes.append(f"warning: {path}: is a link to what is not there, and left out")
        for where in dict.fromkeys(self._passed_over.values()):
            files = [path for path, name in self._passed_over.items() if name == where]
            left = [path for path in sorted(files) if path not in found]
            self.notes += describe_passed_over(where, left)

    def expand(self, name: str) -> list[Path]:
        """Return the recordings that a name stands for.

        Raises:
            RecordingError: The name stands for none.
        """
        check_name(name)
        path = Path(name)
        if path == Path("-"):
            # A file with the name "-", given as "./-", must not be taken for standard input.
            return [path if name == "-" else path.absolute()]
        try:
            is_folder, exists = path.is_dir(), path.exists()
        except OSError as error:  # the name is too long, or a folder above it is closed
            reason = (error.strerror or str(error)).lower()
            raise RecordingError(f"{name}: cannot be opened: {reason}") from error
        if is_folder:
            return self._in_folder(name, path)
        if exists or not glob.has_magic(name):
            return [path]  # if the file is missing, opening it reports that
        return self._matching(name)

    def _in_folder(self, name: str, path: Path) -> list[Path]:
        known, n_failures = self._walk.has_walked(path), len(self._walk.failures)
        every = self._files(name, path)
        failed = len(self._walk.failures) > n_failures
        files = [file for file in every if not is_clip(file)]
        if every and not files:
            raise RecordingError(
                f"{name}: the folder holds nothing but {format_count(len(every), 'clip')} that "
                "streamclf cut from recordings: name the files themselves to hear them"
            )
        if not (files or known or failed):
            raise RecordingError(
                f"{name}: the folder holds no audio files (looked for {', '.join(_COMMON)}, ...)"
            )
        self._note_clips(path, len(every) - len(files))
        return files

    def _below(self, folder: Path) -> list[Path]:
        return self._leave_out_clips(folder, self._files(str(folder), folder))

    def _files(self, name: str, folder: Path) -> list[Path]:
        """Return the files below a folder that have a recording's ending, and keep the others."""
        files = self._walk.files(folder, SUFFIXES)
        self._keep_passed_over(name, self._walk.passed_over)
        self._walk.passed_over.clear()
        return files

    def _keep_passed_over(self, name: str, files: Iterable[Path]) -> None:
        """Keep files of other endings, under the name by which they were found first."""
        for path in files:
            self._passed_over.setdefault(path, name)

    def _leave_out_clips(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        """Return the files that are not clips written by streamclf."""
        rest = [path for path in files if not is_clip(path)]
        self._note_clips(folder, len(files) - len(rest))
        return rest

    def _note_clips(self, folder: Path, n_clips: int) -> None:
        if n_clips:
            self.notes.append(
                f"{folder}: {format_count(n_clips, 'clip')} that streamclf cut from recordings "
                "left out (name the files themselves to hear them)"
            )

    def _matching(self, name: str) -> list[Path]:
        path = Path(name)
        base = Path(path.anchor)
        parts = path.relative_to(base).parts if path.anchor else path.parts
        n_failures, n_notes = len(self.unread), len(self.notes)
        matches = sorted(self._match(base, parts), key=str)
        folders = [match for match in matches if match.is_dir()]
        alone = [
            match for match in matches if match.suffix.lower() in SUFFIXES and match not in folders
        ]
        by_ending = {*alone, *folders}
        self._keep_passed_over(name, [match for match in matches if match not in by_ending])
        if "**" in parts:
            alone = self._leave_out_clips(base, alone)
        below = {folder: self._below(folder) for folder in folders}
        kept = set(alone)
        files = _each_once(
            file
            for match in matches
            for file in ([match] if match in kept else below.get(match, []))
        )
        if not files and n_failures == len(self.unread) and n_notes == len(self.notes):
            raise RecordingError(
                f"{name}: no audio file matches this pattern (looked for {', '.join(_COMMON)}, ...)"
            )
        return files

    def _match(self, base: Path, parts: Sequence[str]) -> Iterator[Path]:
        """Yield the paths below a folder that match the parts of a pattern.

        This works like `glob`, but it records paths that cannot be read. ``**`` follows links and
        visits each real folder once, as `FolderWalk` does.
        """
        if not parts:
            yield base
            return
        first, *rest = parts
        if first == "**":
            walk = FolderWalk()
            for folder, files in walk.folders(base):
                yield from self._match(folder, rest) if rest else iter([folder, *files])
            self.unread.update(walk.failures)
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
            self.unread[folder] = (error.strerror or str(error)).lower()
            return []


def _each_once(files: Iterable[Path]) -> list[Path]:
    """Sort files, and keep one name of each: the one without links, else the shortest."""
    real = functools.cache(os.path.realpath)
    chosen: dict[tuple[str, str], tuple[bool, int, str]] = {}
    for file in files:
        folder = file.parent
        key = real(folder), file.name
        rank = key[0] != str(folder.absolute()), len(file.parts), str(file)
        chosen[key] = min(rank, chosen.get(key, rank))
    return sorted((Path(name) for *_, name in chosen.values()), key=str)


_COMMON = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm")
