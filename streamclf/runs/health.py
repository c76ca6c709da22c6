"""How a process that hears sources fares: what it heard, what it lost and why, and what is left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

from streamclf import __version__
from streamclf.pipeline.engine import Engine
from streamclf.runs.tally import Totals
from streamclf.store.features.feature_store import features_folder
from streamclf.store.features.retention import measure

SourceState: TypeAlias = Literal["heard", "silent", "paused", "lost", "ended", "failed"]
"""How a source fares. One that is silent delivers audio without any signal in it
(`streamclf.pipeline.signal_watch`), as a microphone that is muted."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """How a source fares at this moment.

    Attributes:
        state: Whether it is heard.
        hop_s: Seconds between two windows.
        overload: Why the hop is wider than requested; empty if it is not.
        calibration_db: Decibels that make dB SPL of its level; None if nobody has told them.
        threshold_of: Tells the averaged score at which an event of a label begins, as it is set
            now; None where the label is not reported.
    """

    state: SourceState
    hop_s: float
    overload: str
    calibration_db: float | None = None
    threshold_of: Callable[[str], float | None] = lambda label: None


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a source has fared since the process began.

    Attributes:
        name: Name of the source.
        state: Whether it is heard now.
        silent_since: Local time since which there has been no signal in its audio, ISO 8601; None
            while it is not silent.
        model: Name of its model.
        model_version: Version of its model.
        hop_s: Seconds between two windows.
        requested_hop_s: The same, as requested.
        overload: Why the hop is wider than requested; empty if it is not.
        heard_s: Seconds of audio heard.
        lost_s: Seconds of audio lost.
        lost: Seconds of audio lost, by cause.
        n_gaps: Number of gaps.
        n_windows: Windows scored.
        n_skipped: Windows left out because of overload.
        n_events: Events found.
        n_unwritten: Results that no output holds.
        drift_ppm: Rate error of its clock in ppm, above 0 if it is fast; None if unknown.
        load: Time spent in the model / audio time; above 1 it does not keep up.
    """

    name: str
    state: SourceState
    silent_since: str | None
    model: str
    model_version: str
    hop_s: float
    requested_hop_s: float
    overload: str
    heard_s: float
    lost_s: float
    lost: dict[str, float]
    n_gaps: int
    n_windows: int
    n_skipped: int
    n_events: int
    n_unwritten: int
    drift_ppm: float | None
    load: float

    @classmethod
    def of(
        cls,
        name: str,
        state: SourceState,
        engine: Engine,
        totals: Totals,
        n_unwritten: int = 0,
    ) -> SourceHealth:
        """Take the figures of a source; any thread may do so while it is heard.

        Args:
            name: Its name.
            state: Whether it is heard.
            engine: Its engine.
            totals: Sums of all its runs.
            n_unwritten: Results that no output holds.
        """
        heard_s = totals.heard_s
        live = live_state(state, engine)
        return cls(
            name=name, state=state,
            silent_since=_moment(engine.signal.still_since_s) if state == "silent" else None,
            model=engine.card.name, model_version=engine.card.version,
            hop_s=live.hop_s, requested_hop_s=engine.hop_s, overload=live.overload,
            heard_s=round(heard_s, 3),
            lost_s=round(sum(totals.lost_s.values()), 3),
            lost={cause: round(seconds, 3) for cause, seconds in totals.lost_s.items()},
            n_gaps=sum(totals.n_gaps.values()),
            n_windows=totals.n_windows,
            n_skipped=totals.n_skipped,
            n_events=sum(totals.n_events.values()),
            n_unwritten=n_unwritten,
            drift_ppm=_rounded(engine.statistics.drift_ppm),
            load=round(totals.scoring_s / heard_s, 4) if heard_s else 0.0,
        )  # fmt: skip


def live_state(
    state: SourceState, engine: Engine, calibration_db: float | None = None
) -> LiveState:
    """Tell how a source fares at this moment, and how its engine keeps up."""
    return LiveState(
        state,
        engine.overload.hop_s,
        engine.overload.reason,
        calibration_db,
        engine.onset_threshold,
    )


class ProcessHealth:
    """Clock of a process, from its start.

    Args:
        store: The store that it writes; None for none.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._started = datetime.now().astimezone()
        self._began_s = time.monotonic()
        self._cpu_s = time.process_time()

    def describe(self, sources: Sequence[SourceHealth]) -> dict[str, Any]:
        """Describe how the process fares, in plain values that JSON can hold."""
        uptime_s = time.monotonic() - self._began_s
        cpu_s = time.process_time() - self._cpu_s
        return {
            "version": __version__,
            "started": self._started.isoformat(timespec="seconds"),
            "uptime_s": round(uptime_s, 1),
            "cpu_percent": round(100 * cpu_s / uptime_s, 1) if uptime_s > 0 else 0.0,
            "sources": [asdict(source) for source in sources],
            "store": None if self._store is None else describe_store(self._store),
        }


def describe_store(store: Path) -> dict[str, Any]:
    """Describe a store's file, and the room on its disk, in bytes; None where it is unknown.

    Features that lie beside it are told by their size, and their earliest day (UTC).
    """
    beside = [store, store.with_name(f"{store.name}-wal"), store.with_name(f"{store.name}-shm")]
    sizes = [size for path in beside if (size := _size(path)) is not None]
    kept = measure(features_folder(store))
    try:
        disk = shutil.disk_usage(store.absolute().parent)
    except OSError:
        disk = None
    return {
        "path": os.fspath(store),
        "bytes": sum(sizes) if sizes else None,
        "disk_free_bytes": disk.free if disk else None,
        "disk_bytes": disk.total if disk else None,
        "features_bytes": kept.n_bytes if kept else None,
        "features_since": (kept.since or None) if kept else None,
    }


def _moment(monotonic_s: float | None) -> str | None:
    """Write a moment of the monotonic clock as local time."""
    if monotonic_s is None:
        return None
    moment = datetime.now().astimezone() - timedelta(seconds=time.monotonic() - monotonic_s)
    return moment.isoformat(timespec="seconds")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _rounded(ppm: float | None) -> float | None:
    return None if ppm is None else round(ppm, 1)
