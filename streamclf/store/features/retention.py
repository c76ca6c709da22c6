"""Deletion of kept features: whole days, the oldest first, and never the newest one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.text_format import format_count
from streamclf.store.features.layout import SUFFIX, UNDATED, day_of
from streamclf.store.features.options import FeatureLimits

EVERY_S = 3600.0
"""Seconds between two sweeps."""
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Swept:
    """What a sweep found and did.

    Attributes:
        n_deleted: Files that were deleted.
        freed_bytes: What they took.
        used_bytes: What the others take.
        trouble: Why a file could not be deleted; empty if all could.
    """

    n_deleted: int = 0
    freed_bytes: int = 0
    used_bytes: int = 0
    trouble: str = ""

    def describe(self, folder: Path) -> str:
        """Tell of it in one line; empty where there is nothing to tell."""
        if self.trouble:
            return f"warning: {folder}: old features stay: {self.trouble}"
        if not self.n_deleted:
            return ""
        files = format_count(self.n_deleted, "day")
        return (
            f"{folder}: deleted the features of {files} ({self.freed_bytes / 1e6:.0f} MB), "
            f"{self.used_bytes / 1e6:.0f} MB stay"
        )


@dataclass(frozen=True)
class KeptSize:
    """What all features of a store take.

    Attributes:
        n_bytes: Their size.
        since: The earliest day (UTC), ``2026-11-26``; empty where nothing tells it.
    """

    n_bytes: int
    since: str


def measure(folder: Path) -> KeptSize | None:
    """Measure the features of all sources; None where none are kept."""
    n_bytes, days = 0, []
    for path in folder.glob(f"*/*{SUFFIX}"):
        with suppress(OSError):
            n_bytes += path.stat().st_size
            days.append(path.name.partition("_")[0])
    if not days:
        return None
    return KeptSize(n_bytes, min((day for day in days if day != UNDATED), default=""))


def sweep(folder: Path, limits: FeatureLimits, now_us: int) -> Swept:
    """Delete what is beyond the limits from the folder of one source.

    Args:
        folder: The folder, from `layout.source_folder`.
        limits: What it may take.
        now_us: Now, in microseconds UTC.
    """
    found: list[tuple[str, Path, int]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        day = path.name.partition("_")[0]
        with suppress(OSError):
            if day != UNDATED:
                found.append((day, path, path.stat().st_size))
    found.sort()
    used = sum(n_bytes for _, _, n_bytes in found)
    newest = found[-1][0] if found else ""
    first = "" if limits.days is None else day_of(now_us - round(limits.days * _DAY_US))
    n_deleted = freed = 0
    for day, path, n_bytes in found:
        full = limits.limit_bytes is not None and used > limits.limit_bytes
        if day == newest or not (full or day < first):
            continue
        try:
            path.unlink()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return Swept(n_deleted, freed, used, f"{path.name} cannot be deleted: {reason}")
        n_deleted, freed, used = n_deleted + 1, freed + n_bytes, used - n_bytes
    return Swept(n_deleted, freed, used)


class FeatureSweeper:
    """Timing of the sweeps of one folder: at the start, then every `EVERY_S`.

    Args:
        folder: The folder of one source.
        limits: What it may take.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, folder: Path, limits: FeatureLimits, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._limits, self._now = folder, limits, now
        self._swept_at: float | None = None
        self._trouble = ""

    def sweep_if_due(self) -> str:
        """Sweep if it is time for it; returns what is to be told, once for each trouble."""
        now = self._now()
        if self._swept_at is not None and now - self._swept_at < EVERY_S:
            return ""
        self._swept_at = now
        swept = sweep(self._folder, self._limits, time.time_ns() // 1000)
        told = (
            "" if swept.trouble and swept.trouble == self._trouble else swept.describe(self._folder)
        )
        self._trouble = swept.trouble
        return told
