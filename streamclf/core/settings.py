"""Settings of a run: hop, averaging and events, checked before any audio is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from streamclf.core.card import Thresholds
from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError

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
        silent_after_s: Seconds of digital silence after which a live source counts as having no
            signal (`streamclf.pipeline.signal_watch`); 0 for never.
        begin: Evidence that an event needs in order to begin. ``patient`` waits for the average.
            ``sure`` also accepts clear windows alone, and ``eager`` accepts them sooner
            (`streamclf.pipeline.evidence`).

        broader: Whether a label is reported, too, while a narrower one sounds, in a model whose
            card says which labels are broader than others.

    Raises:
        UsageError: A value is out of range.
    """

    panel: ClassVar[str] = "Events"

    hop_s: float = option(
        0.5, "--hop", metavar="SECONDS", help="Seconds between the starts of two windows."
    )
    average_s: float = option(
        3.0,
        "--average",
        metavar="SECONDS",
        help="Length of the average of scores; 0 for no average.",
    )
    average_kind: AverageKind = option(
        "mean",
        "--average-kind",
        help="Weights of the windows in the average: equal (mean), or highest for the newest "
        "(exponential).",
    )
    thresholds: Thresholds | None = None
    channel: int | None = option(
        None,
        "--channel",
        metavar="N",
        help="Channel to listen to, counted from 1; by default the mean of all channels.",
        panel="Source",
    )
    silent_after_s: float = option(
        300.0,
        "--silent-after",
        metavar="SECONDS",
        help="Digital silence, such as that of a muted microphone, after which a source counts as "
        "having no signal; 0 for never.",
        panel="Source",
    )
    batch_size: int | None = option(
        None,
        "--batch",
        metavar="WINDOWS",
        help="Number of windows scored at once; by default chosen for speed.",
        panel="Model",
    )
    exact_hop: bool = option(
        False,
        "--exact-hop",
        help="Use exactly --hop; by default it is rounded to a value at which windows share "
        "computation.",
    )
    fixed_hop: bool = option(
        False,
        "--fixed-hop",
        help="If this machine is too slow, skip audio and report gaps; by default the hop is "
        "widened.",
    )
    name_unknown: bool = option(
        False,
        "--unknown",
        help="Also report sounds that the model does not know, and silence.",
    )
    labels: frozenset[str] | None = None
    max_duration_s: float | None = option(
        None,
        "--max-duration",
        metavar="SECONDS",
        help="Maximum length of an event; a longer one is split into events of at most this "
        "length.",
    )
    ongoing_s: float | None = option(
        None,
        "--ongoing",
        metavar="SECONDS",
        help="While an event is ongoing, also write a JSON line at this interval.",
        panel="Output",
    )
    begin: Begin = option(
        "sure",
        "--begin",
        help="When an event begins: patient waits for the average; sure also begins as soon as "
        "single windows leave no doubt; eager begins even with little doubt, and has more "
        "false events.",
    )
    broader: bool = option(
        False,
        "--broader",
        help="Also report a broader label while a narrower one sounds (an alarm beside its siren), "
        "and kinds of a sound apart (bark and yip in place of dog); by default the narrowest is "
        "the event, and a bark is a dog.",
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
        if not 0 <= self.silent_after_s <= LONGEST_S:
            raise UsageError(
                f"--silent-after {self.silent_after_s}: must be 0 (never) or more seconds, "
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
