"""How well listening and drawing go: latency from sound to screen, pace, load."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamclf.core.stats import Statistics


@dataclass(frozen=True, slots=True)
class Health:
    """Figures of the moment.

    Attributes:
        real_time_factor: Scoring time / audio time.
        latency_p50_s: From a window's last sample arriving to its scores on the screen.
        latency_p95_s: The same, 95th percentile.
        windows_per_s: Scored, over the last 10 s.
        dropped_s: Audio lost in gaps.
        n_gaps: How many.
        queue_s: Audio that has arrived and waits for the engine.
        cpu_percent: Of one core, this process.
        frame_hz: Pictures a second.
        drift_ppm: How much faster than it says the device's clock runs; None if unknown.
        overload: Why the hop is wider than asked for; empty if it is not.
        n_lost: Lines that outputs could not take, and will not.
    """

    real_time_factor: float = 0.0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    windows_per_s: float = 0.0
    dropped_s: float = 0.0
    n_gaps: int = 0
    queue_s: float = 0.0
    cpu_percent: float = 0.0
    frame_hz: float = 0.0
    drift_ppm: float | None = None
    overload: str = ""
    n_lost: int = 0


class HealthMeter:
    """Collects what `Health` tells.

    Args:
        now: Monotonic seconds.
        cpu: Seconds of processor time used so far.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._now = now
        self._cpu = cpu
        self._latencies: deque[float] = deque(maxlen=200)
        self._frames: deque[float] = deque(maxlen=60)
        self._samples: deque[tuple[float, float, int]] = deque(maxlen=100)

    def shown(self, heard_at: float) -> None:
        """Take note that scores whose last sample arrived at ``heard_at`` are on the screen."""
        if heard_at:
            self._latencies.append(self._now() - heard_at)

    def frame(self) -> None:
        """Take note of a picture."""
        self._frames.append(self._now())

    def sample(
        self,
        statistics: Statistics,
        lag_s: float,
        overload: str = "",
        n_lost: int = 0,
        session: Statistics | None = None,
    ) -> Health:
        """Read the figures.

        Args:
            statistics: The engine's.
            lag_s: Seconds of audio that wait.
            overload: Why the hop is wider than asked for.
            n_lost: Lines that outputs lost.
            session: Of all engines so far, by which gaps are told; the engine's unless given.
        """
        session = session or statistics
        now = self._now()
        self._samples.append((now, self._cpu(), statistics.n_windows))
        while self._samples[0][0] < now - 10:
            self._samples.popleft()
        before, cpu, n_windows = self._samples[0]
        passed = now - before
        recent = [moment for moment in self._frames if moment > now - 2]
        latency = np.percentile(self._latencies, [50, 95]) if self._latencies else [None, None]
        return Health(
            statistics.real_time_factor,
            latency[0],
            latency[1],
            max(statistics.n_windows - n_windows, 0) / passed if passed else 0.0,
            session.gap_samples / session.sample_rate,
            session.n_gaps,
            max(lag_s, 0.0),
            100 * (self._cpu() - cpu) / passed if passed else 0.0,
            len(recent) / 2,
            statistics.drift_ppm,
            overload,
            n_lost,
        )
