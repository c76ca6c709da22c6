"""Header line: state, source, model and settings."""

from __future__ import annotations

from dataclasses import dataclass

from streamclf.dashboard.widgets.text_line import TextLine


@dataclass(frozen=True, slots=True)
class Status:
    """Facts that the header shows.

    Attributes:
        state: State in a few words: ``listening``, ``view frozen, still listening``, ``NO AUDIO``.
        model: Name of the model.
        task: Task of the model.
        source: Name of the device or file.
        source_rate: Sample rate of the source in Hz; None before the first audio.
        provider: Provider that really runs the model.
        hop_s: Distance between window starts, in seconds.
        average_s: Length of the average, in seconds.
        place: Position in a recording; empty for live sources.
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


class StatusHeader(TextLine):
    """The line at the top."""

    def show(self, status: Status) -> None:
        """Show the status."""
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
        self.write(parts)
