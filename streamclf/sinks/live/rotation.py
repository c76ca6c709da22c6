"""When a file that is written for days is set aside for a new one, and what it is called then."""

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
    """When to begin a new file.

    Attributes:
        max_bytes: A line that would make the file longer goes into the next; None: no limit.
        daily: The first line of a day, local time, goes into the next.
    """

    max_bytes: int | None = None
    daily: bool = False

    @classmethod
    def parse(cls, text: str) -> Rotation:
        """Read ``10MB``, ``500 kB``, ``1G`` (thousands, millions, ... of bytes) or ``daily``.

        Raises:
            UsageError: It is neither.
        """
        if text.strip().lower() == "daily":
            return cls(daily=True)
        n_bytes = read_size(text)
        if n_bytes is None or n_bytes < _SMALLEST:
            raise UsageError(
                f"--rotate {text}: must be 'daily' or a size of 1kB or more, such as 500kB or 10MB"
            )
        return cls(max_bytes=n_bytes)

    def is_due(self, n_bytes: int, n_more: int, begun: datetime, now: datetime) -> bool:
        """Whether what comes belongs into a new file.

        Args:
            n_bytes: Size of the file that is written.
            n_more: Size of what comes.
            begun: When the file was begun, or last written where an earlier run began it.
            now: Local time.
        """
        if self.daily:
            return now.date() != begun.date()
        return self.max_bytes is not None and n_bytes + n_more > self.max_bytes

    def name_for(self, path: Path, begun: datetime, now: datetime) -> Path:
        """A free name for the file that is set aside: its day, or the moment it was full."""
        stamp = f"{begun:%Y-%m-%d}" if self.daily else f"{now:%Y-%m-%dT%H-%M-%S}"
        ending = next((end for end in _LONG_ENDINGS if path.name.lower().endswith(end)), "")
        ending = path.name[-len(ending) :] if ending else path.suffix
        stem = path.name.removesuffix(ending)
        name, n_taken = path.with_name(f"{stem}.{stamp}{ending}"), 1
        while name.exists() or name.is_symlink():
            n_taken += 1
            name = path.with_name(f"{stem}.{stamp}-{n_taken}{ending}")
        return name
