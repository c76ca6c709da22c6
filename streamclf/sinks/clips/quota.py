"""How much of a disk clips may take, and which go when it is taken.

A microphone beside a road hears cars all day and an owl once a week: the clip that goes is the
oldest of the label that takes most, so that what is rare stays.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path

import soundfile

from streamclf.core.clip_tags import CLIP_NAME
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.text_files import read_size
from streamclf.sinks.clips.clip_file import tidy

SMALLEST_BYTES = 1_000_000
"""Twice the longest clip at 16 kHz."""

KEPT_PART = 0.95
"""Of the limit, once clips had to go: so that a folder is not looked through for each clip."""


def read_limit(text: str) -> int:
    """Bytes of ``--clips-limit``.

    Raises:
        UsageError: It is no size, or too small for any use.
    """
    n_bytes = read_size(text)
    if n_bytes is None or n_bytes < SMALLEST_BYTES:
        raise UsageError(
            f"--clips-limit {text}: must be a size of 1MB or more, such as 500MB, 20GB"
        )
    return n_bytes


class ClipRoom:
    """Keeps the clips in a folder to a size.

    Only what lies where it was written goes: whatever has another name, or was moved to another
    label by somebody who listened to it, stays and is not counted.

    Args:
        folder: Of ``LABEL/RECORDING/TIME_SCORE.flac``.
        limit_bytes: Of all clips together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._n_bytes: int | None = None

    def make(self, n_bytes: int) -> int:
        """Make room for a clip of so many bytes, and count it. Returns how many clips went.

        Raises:
            SinkError: A clip cannot be deleted.
        """
        n_gone = 0
        if self._n_bytes is None or self._n_bytes + n_bytes > self._limit_bytes:
            n_gone = self._clear(n_bytes)
        assert self._n_bytes is not None
        self._n_bytes += n_bytes
        return n_gone

    def _clear(self, n_bytes: int) -> int:
        """Look through the folder, which others may have changed; delete what must go."""
        clips = self._find()
        taken = {label: sum(size for _, _, size in found) for label, found in clips.items()}
        n_gone = 0
        if sum(taken.values()) + n_bytes > self._limit_bytes:
            allowed = max(KEPT_PART * self._limit_bytes - n_bytes, 0)
            while sum(taken.values()) > allowed:
                label = max(taken, key=lambda each: taken[each])
                _, path, size = clips[label].popleft()
                taken[label] -= size
                n_gone += _delete(path)
        self._n_bytes = sum(taken.values())
        return n_gone

    def _find(self) -> dict[str, deque[tuple[float, Path, int]]]:
        """Of each label's folder when each clip was written, which it is and its bytes, by age."""
        found: dict[str, list[tuple[float, Path, int]]] = {}
        for path in self._folder.glob("*/*/*.flac"):
            if CLIP_NAME.fullmatch(path.name):
                with suppress(OSError):  # gone since
                    status = path.stat()
                    label = path.parent.parent.name
                    found.setdefault(label, []).append((status.st_mtime, path, status.st_size))
        return {label: deque(sorted(clips)) for label, clips in found.items()}


def _delete(path: Path) -> bool:
    """Delete a clip that lies where it was written, and its folder once that is empty."""
    if not _lies_where_written(path):
        return False
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"{path}: the clip cannot be deleted to make room: {reason}") from error
    with suppress(OSError):
        path.parent.rmdir()
    return True


def _lies_where_written(path: Path) -> bool:
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as clip:
            return tidy(clip.title) == path.parent.parent.name
    except (OSError, soundfile.LibsndfileError):
        return False  # nothing that was written here can be read so
