"""The audio files below a folder, by the rules of `streamclf.core.folder_walk`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamclf.core.folder_walk import Walk
from train.base.errors import DatasetError
from train.datasets.decode import AUDIO_ENDINGS


def audio_below(
    folder: Path,
    *,
    skip: Callable[[Path], bool] = lambda folder: False,
    on_failure: Callable[[str], None] | None = None,
) -> list[Path]:
    """Audio at any depth, sorted, each real folder once; nothing that is hidden.

    Args:
        folder: Where to look.
        skip: Asked of each folder below it; True leaves it out.
        on_failure: Told of each folder that cannot be read, in a line; None: that is an error.

    Raises:
        DatasetError: A folder cannot be read: a set without it would be another set.
    """
    walk = Walk(skip)
    files = walk.files(folder, AUDIO_ENDINGS)
    for path, reason in walk.failures:
        message = f"{path}: cannot be read: {reason}"
        if on_failure is None:
            raise DatasetError(f"{message}; make it readable, or take it out of the data set")
        on_failure(f"{message}; what lies there is left out")
    return files
