"""Settings of a run: hop, averaging and events, checked before any audio is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from streamclf.core.card import Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.options import option

AverageKind: TypeAlias = Literal["mean", "exponential"]
Begin: TypeAlias = Literal["patient", "sure", "eager"]

LONGEST_S = 86_400.0
"""Longest hop, average or pause in seconds: a day."""
SHORTEST_S = 0.1
"""Shortest maximum duration of events, and shortest time between two `EventOngoing`, in seconds."""


@dataclass(frozen=True)
class Settings:
    """Settings of the engine.

    Attributes:
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds that scores are averaged over; 0 for no averaging.
        average_kind: ``mean`` or ``exponential``.
        thresholds: Rules that turn scores into events; None for the model's own.
        channel: The channel that is classified, from 1; None for the mean of all channels.
        batch_size: Number of windows scored at once in recordings; None chooses it. Live windows
            are scored one by one as they arrive.
        exact_hop: Keep the hop as given. Otherwise a hop close to it may be used that lets windows
            share more work.
        fixed_hop: Keep the hop when scoring is slower than the audio, and skip audio instead.
        name_unknown: Also report unknown sounds and silence as events.
        labels: Labels whose events are reported (see
            `streamclf.core.label_choice.choose_labels`); None for all.
        max_duration_s: Duration in seconds after which an event is ended and a new one begins;
            None for no limit.
        ongoing_s: Seconds between two `EventOngoing` records of an event; None for no such records.
        begin: Evidence that an event needs in order to begin. ``patient`` waits for the average.
            ``sure`` also accepts clear windows alone, and ``eager`` accepts them sooner
            (`streamclf.pipeline.evidence`).

    Raises:
        UsageError: A value is out of range.
    """

    panel: ClassVar[str] = "Events"

    hop_s: float = option(
        0.5, "--hop", metavar="SECONDS", help="Seconds between the starts of two windows."
    )
    average_s: float = option(
        3.0, "--average", metavar="SECONDS", help="Seconds to average over; 0: none."
    )
    average_kind: AverageKind = option(
        "mean",
        "--average-kind",
        help="Weigh all windows alike (mean), or the newest most (exponential).",
    )
    thresholds: Thresholds | None = None
    channel: int | None = option(
        None,
        "--channel",
        metavar="N",
        help="Listen to one channel, counted from 1; by default to the mean of all.",
    )
    batch_size: int | None = option(
        None,
        "--batch",
        metavar="WINDOWS",
        help="Windows scored at once; by default as many as make it fast.",
        panel="Model",
    )
    exact_hop: bool = option(
        False,
        "--exact-hop",
        help="Keep --hop to the sample; else it is rounded to one at which windows share work.",
    )
    fixed_hop: bool = option(
        False,
        "--fixed-hop",
        help="Never widen the hop where this machine is too slow: skip audio, told as gaps.",
    )
    name_unknown: bool = option(
        False,
        "--unknown",
        help="Also tell of sounds that the model does not know, and of silence.",
    )
    labels: frozenset[str] | None = None
    max_duration_s: float | None = option(
        None,
        "--max-duration",
        metavar="SECONDS",
        help="Events that last longer end and begin anew every so many seconds.",
    )
    ongoing_s: float | None = option(
        None,
        "--ongoing",
        metavar="SECONDS",
        help="Also write a JSON line every so many seconds while an event goes on.",
        panel="Output",
    )
    begin: Begin = option(
        "sure",
        "--begin",
        help="When an event begins: patient waits for the average; sure also begins where single "
        "windows leave no doubt; eager where they leave little, with more false events.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= LONGEST_S:
            raise UsageError(
                f"--hop {self.hop_s}: must be above 0 seconds, up to {LONGEST_S:.0f} (0.5 is usual)"
            )
        if not 0 <= self.average_s <= LONGEST_S:
            raise UsageError(
                f"--average {self.average_s}: must be 0 (none) or more seconds, "
                f"up to {LONGEST_S:.0f}"
            )
        for name, value in [
            ("--max-duration", self.max_duration_s),
            ("--ongoing", self.ongoing_s),
        ]:
            if value is not None and not SHORTEST_S <= value <= LONGEST_S:
                raise UsageError(
                    f"{name} {value}: must be {SHORTEST_S:g} to {LONGEST_S:.0f} seconds"
                )
        if self.channel is not None and self.channel < 1:
            raise UsageError(f"--channel {self.channel}: channels count from 1")
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"the batch size is {self.batch_size}, must be 1 or more")

    def hop_samples(self, sample_rate: int) -> int:
        """Return the hop in samples at a model's rate.

        Raises:
            UsageError: The hop is shorter than a sample.
        """
        samples = round(self.hop_s * sample_rate)
        if samples < 1:
            raise UsageError(
                f"--hop {self.hop_s}: is less than one sample at {sample_rate} Hz, "
                f"must be {1 / sample_rate:g} s or more"
            )
        return samples
