"""Health of listening and drawing: latency from sound to screen, speed, load."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamclf.core.stats import Statistics


@dataclass(frozen=True, slots=True)
class Health:
    """Current figures.

    Attributes:
        real_time_factor: Scoring time / audio time.
        latency_p50_s: Median time from the arrival of a window's last sample to the display of its
            scores, in seconds; None before the first.
        latency_p95_s: 95th percentile of the same.
        windows_per_s: Windows scored a second, over the last 10 s.
        dropped_s: Seconds of audio lost in gaps.
        n_gaps: Number of gaps.
        queue_s: Seconds of audio that have arrived and wait for the engine.
        cpu_percent: CPU use of this process, in percent of one core.
        frame_hz: Frames drawn a second.
        drift_ppm: Deviation of the device's clock from its nominal rate, in parts per million;
            positive if it is fast, None if unknown.
        overload: Reason why the hop is wider than requested; empty if it is not.
        n_lost: Number of lines that outputs have lost for good.
        silent_s: Seconds for which no audio has come; 0 while it comes. They count as lost once
            they are over.
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
    silent_s: float = 0.0


class HealthMeter:
    """Meter that collects the figures of `Health`.

    Args:
        now: Returns monotonic seconds.
        cpu: Returns the CPU time used so far, in seconds.
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

    def record_latency(self, arrived_at: float) -> None:
        """Record that scores whose last sample arrived at ``arrived_at`` are on the screen now."""
        if arrived_at:
            self._latencies.append(self._now() - arrived_at)

    def record_frame(self) -> None:
        """Record a frame."""
        self._frames.append(self._now())

    def sample(
        self,
        statistics: Statistics,
        lag_s: float,
        overload: str = "",
        n_lost: int = 0,
        session: Statistics | None = None,
        silent_s: float = 0.0,
    ) -> Health:
        """Compute the figures.

        Args:
            statistics: Statistics of the engine.
            lag_s: Seconds of audio that wait for the engine.
            overload: Reason why the hop is wider than requested.
            n_lost: Number of lines that outputs have lost.
            session: Statistics of all engines so far, from which gaps are counted; by default those
                of the engine.
            silent_s: Seconds for which no audio has come.
        """
        session = session or statistics
        now = self._now()
        self._samples.append((now, self._cpu(), statistics.n_windows))
        while self._samples[0][0] < now - 10:
            self._samples.popleft()
        before, cpu, n_windows = self._samples[0]
        elapsed_s = now - before
        recent = [moment for moment in self._frames if moment > now - 2]
        latency = np.percentile(self._latencies, [50, 95]) if self._latencies else [None, None]
        return Health(
            statistics.real_time_factor,
            latency[0],
            latency[1],
            max(statistics.n_windows - n_windows, 0) / elapsed_s if elapsed_s else 0.0,
            session.gap_samples / session.sample_rate,
            session.n_gaps,
            max(lag_s, 0.0),
            100 * (self._cpu() - cpu) / elapsed_s if elapsed_s else 0.0,
            len(recent) / 2,
            statistics.drift_ppm,
            overload,
            n_lost,
            silent_s,
        )
