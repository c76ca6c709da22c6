"""What listens, to what, and how."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from streamclf.dashboard.widgets.text import join_fitting


@dataclass(frozen=True, slots=True)
class Status:
    """What the header tells.

    Attributes:
        state: ``listening``, ``view frozen, still listening``, ``NO AUDIO``, ... in a few words.
        model: Its name.
        task: What it does.
        source: Device or file.
        source_rate: In Hz, at which audio arrives; None before it came.
        provider: What really runs the model.
        hop_s: Seconds.
        average_s: Seconds.
        place: Where in a recording; empty for live sources.
    """

    state: str
    model: str
    task: str
    source: str
    source_rate: int | None
    provider: str
    hop_s: float
    average_s: float
    place: str = ""


class StatusHeader(Static):
    """One line; what does not fit is left out, the last first."""

    def show(self, status: Status) -> None:
        """Show it."""
        rate = f" {status.source_rate / 1000:g} kHz" if status.source_rate else ""
        parts = [
            f"● {status.state}",
            status.place,
            f"{status.source}{rate}",
            status.model,
            f"hop {status.hop_s:g} s, average {status.average_s:g} s",
            status.provider,
            status.task,
        ]
        width = self.content_size.width or self.app.size.width
        # Textual would read brackets in names as markup.
        self.update(Text(join_fitting(parts, " │ ", width), no_wrap=True))
