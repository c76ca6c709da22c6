"""Features of common sounds, which come with the bundled models: what a new sound is not.

They are of windows of recordings that are free for every use, and stand in for the past where none
was kept. No audio can be made from them.
"""

from __future__ import annotations

import numpy as np

from streamclf.model.model_file import BUNDLED
from streamclf.teach.examples import Features

SUFFIX = ".sounds.npz"
DIGEST, SCALE, VALUES = "digest", "scale", "values"
"""Names of the arrays in a file: text, a number, and ``(windows, size)`` int8."""


def read_common_sounds(digest: str) -> Features:
    """Read the common sounds of some features.

    Args:
        digest: Digest of the features.

    Returns:
        ``(windows, size)`` float32; without windows where none come with them.
    """
    for path in sorted(BUNDLED.glob(f"*{SUFFIX}")):
        with np.load(path, allow_pickle=False) as file:
            if str(file[DIGEST]) == digest:
                return np.asarray(file[VALUES].astype(np.float32) * np.float32(file[SCALE]))
    return np.zeros((0, 0), np.float32)
