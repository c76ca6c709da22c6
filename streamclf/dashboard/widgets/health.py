"""Health of listening and drawing, as one line of words."""

from __future__ import annotations

from collections.abc import Iterator

from streamclf.core.text_format import format_count, format_length
from streamclf.dashboard.health import Health
from streamclf.dashboard.widgets.text_line import TextLine

LONG_QUEUE_S = 0.5
"""Seconds of waiting audio from which on the line mentions them."""


class HealthLine(TextLine):
    """One line of losses, speed, latency and load."""

    def show(self, health: Health) -> None:
        """Show the figures."""
        self.write(describe(health), " · ")


def describe(health: Health) -> Iterator[str]:
    """Yield the parts of the line, the most important first."""
    if health.overload:
        yield f"OVERLOAD {health.overload}"
    if health.silent_s:
        yield f"no audio for {format_length(health.silent_s)}"
    if health.n_gaps:
        yield f"lost {health.dropped_s:.1f} s in {format_count(health.n_gaps, 'gap')}"
    elif not health.silent_s:
        yield "nothing lost"
    if health.n_lost:
        yield f"outputs lost {format_count(health.n_lost, 'line')}"
    if health.real_time_factor > 0:
        pace = 1 / health.real_time_factor
        yield f"keeps up {pace:.0f}x" if pace >= 1.5 else f"TOO SLOW, {pace:.2f}x"
    if health.latency_p50_s is not None and health.latency_p95_s is not None:
        p50, p95 = 1000 * health.latency_p50_s, 1000 * health.latency_p95_s
        yield f"on screen after {p50:.0f} ms, 95 % by {p95:.0f}"
    if health.queue_s >= LONG_QUEUE_S:
        yield f"{health.queue_s:.1f} s behind"
    yield f"CPU {health.cpu_percent:.0f} %"
    if health.windows_per_s:
        yield f"{health.windows_per_s:.1f} windows/s"
    yield f"drawn {health.frame_hz:.0f}/s"
    if health.drift_ppm is not None:
        faster = "fast" if health.drift_ppm >= 0 else "slow"
        yield f"clock {abs(health.drift_ppm):.0f} ppm {faster}"
