"""What a broker is told of a source, and what it may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamclf.core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A source as whoever hears it describes it now.

    Attributes:
        name: Its name, without a password.
        opens: What it opens, in any words without a password: the same after it was renamed.
        labels: Labels that it reports, with the names that people read.
        vocabulary: What names mean to its model; None where these names alone count.
        thresholds: Averaged score at which an event begins, by label.
        calibration_db: Decibels that lead from full scale to sound pressure; None if unknown.
        state: ``heard``, ``silent``, ``paused``, ``lost``, ``ended`` or ``failed``.
        lost_s: Seconds of audio lost so far, without those of pauses.
        paused: Whether somebody paused it, even while it is lost.
    """

    name: str
    opens: str
    labels: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    calibration_db: float | None = None
    state: str = "heard"
    lost_s: float = 0.0
    paused: bool = False
    vocabulary: Vocabulary | None = None


class Control(Protocol):
    """What may be asked of whoever hears the sources; neither method waits."""

    def pause(self, source: str, *, paused: bool) -> None:
        """Hear a source no more, or again."""

    def set_threshold(self, source: str, label: str, value: float) -> None:
        """Set the averaged score at which events of a label begin, until the settings are read."""
