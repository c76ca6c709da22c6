"""Recognition of clips that streamclf wrote, so that a later run does not classify them as audio.

Clips are marked in the tag ``software``. The mark stays when a file is moved or renamed.
"""

from __future__ import annotations

import re
from pathlib import Path

MADE_BY = "streamclf clip"
"""Beginning of a clip's tag ``software``."""

CLIP_NAME = re.compile(r"(\d{8}_\d{6}_\d{3}|\d{6,}\.\d{3})_\d{2,3}\.flac")
"""File names that `streamclf.sinks.clips.clip_file.clip_path` makes."""

SAVED_CLIP = "streamclf-clip-"
"""Beginning of the names of clips saved in the dashboard."""

_HEAD_BYTES = 4096
"""Number of bytes searched for tags: tags stand before the audio, and are short."""


def is_clip(path: Path) -> bool:
    """Whether a file is a clip that streamclf wrote; only its first 4 kB are read.

    Files are opened only if they can be clips: FLAC files, and WAV files named by the dashboard.
    """
    is_flac = path.suffix.lower() == ".flac"
    if not (is_flac or path.name.startswith(SAVED_CLIP)):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # reported later, when the file is opened for its audio
        return False
    if MADE_BY.encode() in head:
        return True
    # Early clips have no such tag. They lie in a folder named after the label in their title.
    label = path.absolute().parent.parent.name
    return (
        is_flac and CLIP_NAME.fullmatch(path.name) is not None and f"title={label}".encode() in head
    )
