"""The audio files in a folder tree, by the rules of `streamclf.core.find_audio_files`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamclf.core.find_audio_files import FolderWalk
from train.base.errors import DatasetError
from train.datasets.decode import AUDIO_ENDINGS


def audio_below(
    folder: Path,
    *,
    endings: frozenset[str] = AUDIO_ENDINGS,
    skip: Callable[[Path], bool] = lambda folder: False,
    on_failure: Callable[[str], None] | None = None,
) -> list[Path]:
    """Find audio files at any depth, sorted; each real folder once, and nothing hidden.

    Args:
        folder: Folder to search.
        endings: Endings of the files, in lower case, with the dot.
        skip: Called with each folder below it; True leaves that folder out.
        on_failure: Called with a line for each folder that cannot be read; None makes that an
            error.

    Raises:
        DatasetError: A folder cannot be read, without which the set would be another one.
    """
    walk = FolderWalk(skip)
    files = walk.files(folder, endings)
    for path, reason in walk.failures:
        message = f"{path}: cannot be read: {reason}"
        if on_failure is None:
            raise DatasetError(f"{message}; make it readable, or take it out of the data set")
        on_failure(f"{message}; what lies there is left out")
    return files
