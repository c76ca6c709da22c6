"""How well it keeps up, in one line."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from streamclf.dashboard.health import Health
from streamclf.stats import count


class HealthLine(Static):
    """Latency from sound to screen, real-time factor, losses, load."""

    def tell(self, health: Health) -> None:
        """Show the figures."""
        if health.latency_p50_s is None or health.latency_p95_s is None:
            latency = "latency -"
        else:
            p50, p95 = 1000 * health.latency_p50_s, 1000 * health.latency_p95_s
            latency = f"latency p50 {p50:.0f} p95 {p95:.0f} ms"
        gaps = f" in {count(health.n_gaps, 'gap')}" if health.n_gaps else ""
        drift = "" if health.drift_ppm is None else f"clock {health.drift_ppm:+.0f} ppm"
        parts = [
            f"OVERLOAD {health.overload}" if health.overload else "",
            latency,
            f"dropped {health.dropped_s:.1f} s{gaps}",
            *([f"outputs lost {count(health.n_lost, 'line')}"] if health.n_lost else []),
            f"RTF {health.real_time_factor:.3f}",
            f"{health.windows_per_s:.1f} win/s",
            f"queue {health.queue_s:.2f} s",
            f"CPU {health.cpu_percent:.0f} %",
            f"{health.frame_hz:.0f} fps",
            drift,
        ]
        shown = " · ".join(part for part in parts if part)
        self.update(Text(shown, no_wrap=True, overflow="ellipsis"))
