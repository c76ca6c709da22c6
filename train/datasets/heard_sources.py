"""What a teacher hears in sources, as `train.hear_sources` writes it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.base.errors import DatasetError


def read_heard(path: Path) -> tuple[list[str], npt.NDArray[np.floating] | None]:
    """Read a file of `train.hear_sources`.

    Returns:
        The sources, and AudioSet's scores of each, ``(sources, 527)``; None in place of the scores
        where the file holds weights alone.

    Raises:
        DatasetError: The file is another one, or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["source"].tolist(), file.get("scores")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: not what a teacher hears in sources: {error}; python -m train.hear_sources "
            "makes such a file"
        ) from error
