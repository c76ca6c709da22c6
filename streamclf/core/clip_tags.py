"""What tells a clip that streamclf cut from a recording: the next run must not hear it again.

A clip says so in its tags (``software``), wherever it was moved and whatever it is called.
"""

from __future__ import annotations

import re
from pathlib import Path

MADE_BY = "streamclf clip"
"""A clip's tag ``software`` begins with it."""

CLIP_NAME = re.compile(r"(\d{8}_\d{6}_\d{3}|\d{6,}\.\d{3})_\d{2,3}\.flac")
"""What `streamclf.sinks.clips.clip_file.name_clip` calls files."""

SAVED_CLIP = "streamclf-clip-"
"""What the names of clips saved in the dashboard begin with."""

_HEAD_BYTES = 4096
"""Tags are written before the audio, and are short."""


def is_clip(path: Path) -> bool:
    """Whether a file is a clip that streamclf wrote; reads no more than the beginning of it.

    Only files that can be one are opened: FLAC, and WAV of the dashboard's names.
    """
    is_flac = path.suffix.lower() == ".flac"
    if not (is_flac or path.name.startswith(SAVED_CLIP)):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # whoever opens it to hear it is told
        return False
    if MADE_BY.encode() in head:
        return True
    # Clips had no such tag at first: they lie in a folder of the label that is their title.
    label = path.absolute().parent.parent.name
    return (
        is_flac and CLIP_NAME.fullmatch(path.name) is not None and f"title={label}".encode() in head
    )
