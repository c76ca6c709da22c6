"""Limit for the size of the clips folder.

A microphone beside a road records cars all day and an owl once a week. When the folder is full,
the oldest clips of the label that uses most space are deleted, so that rare sounds stay.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path

import soundfile

from streamclf.core.clip_tags import CLIP_NAME
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.text_files import read_size
from streamclf.sinks.clips.clip_file import safe_name

MIN_LIMIT_BYTES = 1_000_000
"""Smallest limit: twice the longest clip at 16 kHz."""

KEPT_FRACTION = 0.95
"""Part of the limit that is used after a deletion, so that not every clip needs a search of the
folder."""


def read_limit(text: str) -> int:
    """Read ``--clips-limit`` in bytes.

    Raises:
        UsageError: The text is no size, or the size is below `MIN_LIMIT_BYTES`.
    """
    n_bytes = read_size(text)
    if n_bytes is None or n_bytes < MIN_LIMIT_BYTES:
        raise UsageError(
            f"--clips-limit {text}: must be a size of 1MB or more, such as 500MB, 20GB"
        )
    return n_bytes


class ClipQuota:
    """Limit for the size of all clips in a folder.

    Files with other names are neither counted nor deleted. A clip that somebody has moved to the
    folder of another label is never deleted.

    Args:
        folder: Folder of clips ``LABEL/RECORDING/TIME_SCORE.flac``.
        limit_bytes: Largest size of all clips together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._n_bytes: int | None = None

    def reserve(self, n_bytes: int) -> int:
        """Reserve space for a clip, and delete old clips if necessary.

        Args:
            n_bytes: Size of the clip.

        Returns:
            Number of deleted clips.

        Raises:
            SinkError: A clip cannot be deleted.
        """
        n_deleted = 0
        if self._n_bytes is None or self._n_bytes + n_bytes > self._limit_bytes:
            n_deleted = self._delete_oldest(n_bytes)
        assert self._n_bytes is not None
        self._n_bytes += n_bytes
        return n_deleted

    def _delete_oldest(self, n_bytes: int) -> int:
        """Measure the folder, which others may have changed, and delete clips if necessary.

        Returns:
            Number of deleted clips.
        """
        clips = self._find()
        bytes_by_label = {
            label: sum(size for _, _, size in found) for label, found in clips.items()
        }
        n_deleted = 0
        if sum(bytes_by_label.values()) + n_bytes > self._limit_bytes:
            allowed = max(KEPT_FRACTION * self._limit_bytes - n_bytes, 0)
            while sum(bytes_by_label.values()) > allowed:
                label = max(bytes_by_label, key=lambda each: bytes_by_label[each])
                _, path, size = clips[label].popleft()
                bytes_by_label[label] -= size
                n_deleted += _delete(path)
        self._n_bytes = sum(bytes_by_label.values())
        return n_deleted

    def _find(self) -> dict[str, deque[tuple[float, Path, int]]]:
        """Return label -> clips, the oldest first: time of writing, path, bytes."""
        found: dict[str, list[tuple[float, Path, int]]] = {}
        for path in self._folder.glob("*/*/*.flac"):
            if CLIP_NAME.fullmatch(path.name):
                with suppress(OSError):  # deleted meanwhile
                    status = path.stat()
                    label = path.parent.parent.name
                    found.setdefault(label, []).append((status.st_mtime, path, status.st_size))
        return {label: deque(sorted(clips)) for label, clips in found.items()}


def _delete(path: Path) -> bool:
    """Delete a clip that nobody has moved, and its folder if that is empty; False if it stays."""
    if not is_in_place(path):
        return False
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"{path}: the clip cannot be deleted to make room: {reason}") from error
    with suppress(OSError):
        path.parent.rmdir()
    return True


def is_in_place(path: Path) -> bool:
    """Whether a file is a clip that nobody has moved: its title is the name of its label's folder.

    The file is read, with no regard to its name.
    """
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as clip:
            return safe_name(clip.title) == path.parent.parent.name
    except (OSError, soundfile.LibsndfileError):
        return False  # streamclf did not write this file
