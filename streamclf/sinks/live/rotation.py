"""Rotation of files that are written for days: when a new file starts, and the old one's name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.text_files import read_size

_SMALLEST = 1000
_LONG_ENDINGS = (".selections.txt", ".raven.txt")


@dataclass(frozen=True)
class Rotation:
    """Condition for starting a new file.

    Attributes:
        max_bytes: Largest size of a file; the line that would exceed it starts the next file. None
            for no limit.
        daily: Start a new file with the first line of each day, in local time.
    """

    max_bytes: int | None = None
    daily: bool = False

    @classmethod
    def parse(cls, text: str) -> Rotation:
        """Read ``10MB``, ``500 kB``, ``1G`` (thousands, millions, ... of bytes) or ``daily``.

        Raises:
            UsageError: The text is neither a size of 1 kB or more nor ``daily``.
        """
        if text.strip().lower() == "daily":
            return cls(daily=True)
        n_bytes = read_size(text)
        if n_bytes is None or n_bytes < _SMALLEST:
            raise UsageError(
                f"--rotate {text}: must be 'daily' or a size of 1kB or more, such as 500kB or 10MB"
            )
        return cls(max_bytes=n_bytes)

    def is_due(self, n_bytes: int, n_more: int, started: datetime, now: datetime) -> bool:
        """Whether the next lines belong into a new file.

        Args:
            n_bytes: Size of the current file.
            n_more: Size of the next lines.
            started: Local time when the file was started, or last written by an earlier run.
            now: Local time.
        """
        if self.daily:
            return now.date() != started.date()
        return self.max_bytes is not None and n_bytes + n_more > self.max_bytes

    def name_for(self, path: Path, started: datetime, now: datetime) -> Path:
        """Return an unused name for the old file, with its day or the time when it was full."""
        stamp = f"{started:%Y-%m-%d}" if self.daily else f"{now:%Y-%m-%dT%H-%M-%S}"
        ending = next((end for end in _LONG_ENDINGS if path.name.lower().endswith(end)), "")
        ending = path.name[-len(ending) :] if ending else path.suffix
        stem = path.name.removesuffix(ending)
        name, n_taken = path.with_name(f"{stem}.{stamp}{ending}"), 1
        while name.exists() or name.is_symlink():
            n_taken += 1
            name = path.with_name(f"{stem}.{stamp}-{n_taken}{ending}")
        return name
