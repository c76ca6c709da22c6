"""Recognition of clips that streamclf wrote, so that a later run does not classify them as audio.

Clips are marked in the tag ``software``. The mark stays when a file is moved or renamed.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath

MADE_BY = "streamclf clip"
"""Beginning of a clip's tag ``software``."""

CLIP_NAME = re.compile(r"(\d{8}_\d{6}_\d{3}|\d{6,}\.\d{3})_\d{2,3}\.flac")
"""File names that `streamclf.sinks.clips.clip_file.clip_path` makes."""

SAVED_CLIP = "streamclf-clip-"
"""Beginning of the names of clips saved in the dashboard."""

HEAD_BYTES = 4096
"""Number of bytes searched for tags: tags stand before the audio, and are short."""


def is_clip(path: Path) -> bool:
    """Whether a file is a clip that streamclf wrote; only its first 4 kB are read.

    Files are opened only if they can be clips (`can_be_clip`).
    """
    if not can_be_clip(path):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:  # reported later, when the file is opened for its audio
        return False
    return is_clip_head(path.absolute(), head)


def can_be_clip(path: PurePath) -> bool:
    """Whether a file can be a clip by its name: FLAC, or WAV of a name that the dashboard gives."""
    return path.suffix.lower() == ".flac" or path.name.startswith(SAVED_CLIP)


def is_clip_head(path: PurePath, head: bytes) -> bool:
    """Whether a file that can be a clip is one.

    Args:
        path: Its path, with two folders above it.
        head: Its first `HEAD_BYTES` bytes.
    """
    if MADE_BY.encode() in head:
        return True
    # Early clips have no such tag. They lie in a folder named after the label in their title.
    label = path.parent.parent.name
    return (
        path.suffix.lower() == ".flac"
        and CLIP_NAME.fullmatch(path.name) is not None
        and f"title={label}".encode() in head
    )
