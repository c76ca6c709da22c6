"""What a user names on the command line -> recordings."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from streamclf.errors import RecordingError

SUFFIXES = frozenset(
    """.wav .wave .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64
    .voc .sph .webm .m4a .m4b .aac .mp4 .m4v .mov .mkv .mka .wma .wmv .asf .avi .3gp .amr .ac3
    .wv .ape .tta .mpg .mpeg .ts .flv""".split()
)
"""Files with these endings are taken from a folder; a file named itself may have any."""


def find_recordings(names: Iterable[str]) -> tuple[list[Path], list[RecordingError]]:
    """Expand files, folders (with all below them) and patterns.

    Args:
        names: As given on the command line.

    Returns:
        The recordings in order, each once, and an error for each name that gave none.
    """
    found: dict[Path, None] = {}
    errors: list[RecordingError] = []
    for name in names:
        try:
            found.update(dict.fromkeys(_expand(name)))
        except RecordingError as error:
            errors.append(error)
    return list(found), errors


def _expand(name: str) -> list[Path]:
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # the name is too long, or a folder above may not be entered
        reason = (error.strerror or str(error)).lower()
        raise RecordingError(f"{name}: cannot be opened: {reason}") from error
    if is_folder:
        files = _files_below(path)
        if not files:
            raise RecordingError(
                f"{name}: the folder holds no audio files (looked for {', '.join(_COMMON)}, ...)"
            )
        return files
    if exists or not glob.has_magic(name):
        return [path]  # if it is missing, opening it says so
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    files = [file for match in matches for file in _matched(match)]
    if not files:
        raise RecordingError(
            f"{name}: no audio file matches this pattern (looked for {', '.join(_COMMON)}, ...)"
        )
    return files


_COMMON = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm")


def _matched(path: Path) -> list[Path]:
    if path.is_dir():
        return _files_below(path)
    return [path] if path.suffix.lower() in SUFFIXES else []


def _files_below(folder: Path) -> list[Path]:
    """Audio files, sorted; hidden ones (such as macOS's ``._name.wav``) left alone."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
