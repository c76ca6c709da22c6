"""Records that pass from stage to stage.

Records are immutable. Positions count samples from the start of the stream, lengths count samples;
both are integers. Seconds are derived from them when something is written, and never added up. A
source counts at its own sample rate. From :mod:`streamclf.pipeline.resample` on, all positions and
lengths are at the model's rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.event_id import event_id
from streamclf.core.sureness import Limits, Sureness, tell_sureness

if TYPE_CHECKING:
    from streamclf.core.card import Task, Thresholds
    from streamclf.core.unknown_rule import UnknownRule

Waveform: TypeAlias = npt.NDArray[np.float32]
"""float32 in [-1, 1]; ``(channels, samples)`` in a `Block`, ``(samples,)`` in a `Window`."""


class StreamClock(Protocol):
    """Interface of a clock for the samples of a live stream (`streamclf.core.local_clock`)."""

    def moment(self, position: int) -> datetime | None:
        """Return the local time at which a sample sounded; None before the first audio or gap."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that hears a stream.

    Attributes:
        name: Name on its card.
        version: Version on its card.
        file: Path of its file; empty where it has none.
    """

    name: str
    version: str
    file: str = ""

    @property
    def spoken(self) -> str:
        """Name and version: ``pocket 11``."""
        return f"{self.name} {self.version}"

    @classmethod
    def parse(cls, spoken: str) -> ModelIdentity:
        """Read name and version."""
        name, _, version = spoken.rpartition(" ")
        return cls(name or version, version if name else "")


@dataclass(frozen=True, slots=True)
class FeatureFormat:
    """Form of the features that a stream's scores carry.

    Attributes:
        size: Number of values of a window.
        scale: Step of these values in 8 bits (`streamclf.core.card.Features`).
        digest: Hash of all that they are computed by. Features with the same digest can be
            compared, whatever the model's labels.
        window: Length of a window in samples, at the model's rate.
    """

    size: int
    scale: float
    digest: str
    window: int


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """Beginning of a stream: the first record of each, before its first audio, gap or notice.

    A stream is one run of an engine over a source. A source that delivers nothing has no stream.

    Attributes:
        source: Name of the source.
        sample_rate: Sample rate of the model in Hz, to which all positions refer.
        labels: Labels of the model.
        task: Task of the model.
        started: Local time of the first sample. A recording's file states it, with or without an
            offset from UTC; for a live stream, it is the time known when the first audio arrived.
        unknown: The model's rule for unknown sounds; None if such sounds are not detected.
        clock: Clock of a live stream, which becomes more accurate with all its audio; else None.
        live: Whether audio arrives in real time.
        display_names: Names shown to people in place of labels; a label without one is shown
            itself.
        thresholds: Averaged score at which an event begins, for the labels whose events are
            asked for; infinite where no event is ever told.
        temperature: Temperature of averaged scores, see `streamclf.core.temperature`.
        n_taught: Number of labels, the last ones, that have no temperature.
        run: Name that tells this run over a live source from others; empty for recordings, whose
            events are the same in each run.
        position: Index of the first sample; above 0 where the stream continues another one.
        model: The model; None where it is unknown.
        features: Form of the features that the scores carry; None where they carry none.
        speech_scores: Score of a single window from which it holds speech, for labels of speech.
        broader: Labels that are broader than a label by one step, as the model's card has them.
        sureness: Scores from which on events are likely and sure, by label
            (`streamclf.core.sureness`); empty where the model's card does not know them.
    """

    source: str
    sample_rate: int
    labels: list[str]
    task: Task
    started: datetime | None = None
    unknown: UnknownRule | None = None
    clock: StreamClock | None = None
    live: bool = False
    display_names: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    n_taught: int = 0
    run: str = ""
    position: int = 0
    model: ModelIdentity | None = None
    features: FeatureFormat | None = None
    speech_scores: Mapping[str, float] = field(default_factory=dict)
    broader: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sureness: Limits = field(default_factory=dict)

    def display_name(self, label: str) -> str:
        """Return the name shown to people for a label."""
        return self.display_names.get(label, label)

    def tell_sureness(self, label: str, score: float) -> Sureness | None:
        """Tell how sure an event with a highest score is; None where its label has no words."""
        return tell_sureness(self.sureness, label, score)

    def event_id(self, record_id: str) -> str:
        """Return a name of an event that is unique over several runs.

        Args:
            record_id: The event's ``id`` in its records, which is unique within the stream.
        """
        return f"{record_id}@{self.run}" if self.run else record_id

    def seconds(self, position: int) -> float:
        """Convert a position to seconds from the stream's start, to the microsecond."""
        return round(position / self.sample_rate, 6)

    def moment(self, position: int) -> datetime | None:
        """Return the local time at which a sample sounded; None where it is unknown."""
        try:
            if self.clock is not None:
                return self.clock.moment(position)
            if self.started is None:
                return None
            return self.started + timedelta(seconds=position / self.sample_rate)
        except (OverflowError, OSError, ValueError):  # a year that no clock knows
            return None

    def wall_clock(self, position: int) -> tuple[str, str]:
        """Write a position as local time without an offset, and that offset (``+02:00``).

        Both have the same form in every row of a table. They are empty where they are unknown.
        """
        moment = self.moment(position)
        if moment is None:
            return "", ""
        text, plain = moment.isoformat(timespec="milliseconds"), moment.replace(tzinfo=None)
        wall = plain.isoformat(timespec="milliseconds")
        return wall, text.removeprefix(wall)

    def time(self, position: int) -> str | None:
        """Write a position as local time in ISO 8601, with its offset from UTC if it is known.

        None where the local time is unknown.
        """
        moment = self.moment(position)
        return moment.isoformat(timespec="milliseconds") if moment is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive samples as a source delivered them.

    Attributes:
        position: Index of the first sample, at ``sample_rate``, from the stream's start.
        waveform: ``(channels, samples)`` float32, full scale = 1.
        sample_rate: Sample rate in Hz.
    """

    position: int
    waveform: Waveform
    sample_rate: int

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.waveform.shape[1])

    @property
    def end(self) -> int:
        """Position just after the last sample."""
        return self.position + self.n_samples

    def has_format_of(self, other: Block) -> bool:
        """Whether two blocks have the same sample rate and number of channels."""
        return (self.sample_rate, len(self.waveform)) == (other.sample_rate, len(other.waveform))


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that is known to be missing.

    Attributes:
        position: Index of the first missing sample, at ``sample_rate``.
        n_samples: Number of missing samples.
        sample_rate: Sample rate in Hz.
        cause: One or two words: ``overflow``, ``device lost``, ``truncated``, ...
    """

    position: int
    n_samples: int
    sample_rate: int
    cause: str

    @property
    def end(self) -> int:
        """Position just after the last missing sample."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the user, at its place in the stream.

    Attributes:
        position: Place in the stream in samples, at ``sample_rate``.
        sample_rate: Sample rate in Hz.
        message: One line of text.
        level: ``warning`` if results may be lost or wrong, else ``info``.
    """

    position: int
    sample_rate: int
    message: str
    level: Literal["info", "warning"] = "warning"


@dataclass(frozen=True, slots=True)
class Change:
    """New settings that hold from this place in the stream on.

    The record passes through the stages with the audio, so that all of them change at the same
    sample.

    Attributes:
        position: Index of the first sample after it, at the model's rate.
        hop: Samples between the starts of two windows.
        average: Length in samples that scores are averaged over; 0 for no averaging.
        thresholds: Rules that turn scores into events.
    """

    position: int
    hop: int
    average: int
    thresholds: Thresholds


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Input of the classifier.

    Attributes:
        position: Index of the first sample, at the model's rate.
        waveform: ``(window_samples,)`` float32.
        n_samples: Number of samples that are audio; fewer than ``window_samples`` only where the
            audio between two gaps is shorter than a window. The rest is padding
            (`streamclf.pipeline.short_audio`).
    """

    position: int
    waveform: Waveform
    n_samples: int

    @property
    def end(self) -> int:
        """Position just after the last sample of audio; padding does not count."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Output of the network for one window.

    Attributes:
        position: Index of the window's first sample, at the model's rate.
        n_samples: Number of samples of audio in the window, without padding.
        values: ``(classes,)`` float32: probabilities, or a regression's values.
        short: Whether the window was padded, because the audio was shorter.
        features: ``(size,)`` float32, the network's description of the window
            (`streamclf.core.card.Features`). None where they were not asked for, and for silence,
            which the network does not hear.
    """

    position: int
    n_samples: int
    values: npt.NDArray[np.float32]
    short: bool = False
    features: npt.NDArray[np.float32] | None = None

    @property
    def end(self) -> int:
        """Position just after the window's last sample of audio; padding does not count."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """Scores averaged over the newest windows.

    Attributes:
        scores: Scores of the newest window alone.
        values: ``(classes,)`` float32: the averaged scores.
    """

    scores: Scores
    values: npt.NDArray[np.float32]

    @property
    def position(self) -> int:
        """Index of the newest window's first sample."""
        return self.scores.position

    @property
    def end(self) -> int:
        """Position just after the newest window's last sample of audio."""
        return self.scores.end


@dataclass(frozen=True, slots=True)
class EventBegan:
    """Beginning of an event; a `SoundEvent` with the same id follows when the event has ended.

    Attributes:
        label: One of the model's labels.
        onset: Position of the event's first sample, the same as in its `SoundEvent`.
        score: The highest averaged score so far, 0..1. Where the event began because of the newest
            window alone, it is that window's score if that is higher; so it may exceed the score
            of the `SoundEvent`.
        position: Position just after the last sample that had been scored when the event began.
    """

    label: str
    onset: int
    score: float
    position: int

    @property
    def id(self) -> str:
        """Name of the event, unique within the stream, see `event_id`."""
        return event_id(self.label, self.onset)


@dataclass(frozen=True, slots=True)
class EventOngoing:
    """Report that an event that has begun still goes on.

    Attributes:
        label: Label of its `EventBegan`.
        onset: Onset of its `EventBegan`.
        score: The highest averaged score so far, 0..1.
        position: Position just after the last sample that has been scored.
    """

    label: str
    onset: int
    score: float
    position: int

    @property
    def id(self) -> str:
        """Name of the event, as in its `EventBegan`, see `event_id`."""
        return event_id(self.label, self.onset)


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A complete event: a sound with a label, a beginning and an end.

    Attributes:
        label: One of the model's labels.
        onset: Position of its first sample.
        offset: Position just after its last sample.
        score: The highest averaged score while it lasted, 0..1.
        short: Whether it was found in audio shorter than the model's window.
    """

    label: str
    onset: int
    offset: int
    score: float
    short: bool = False

    @property
    def id(self) -> str:
        """Name of the event, as in its `EventBegan`, see `event_id`."""
        return event_id(self.label, self.onset)


Result: TypeAlias = Average | EventBegan | EventOngoing | SoundEvent | Gap | Notice | Change
"""Records that the engine yields after a `StreamStarted`, in the order in which they are known."""


def rescale(position: int, from_rate: int, to_rate: int) -> int:
    """Convert a position between sample rates, exactly rounded to the nearest sample."""
    # Python's integers are unbounded. A float cannot hold the product exactly after some weeks of
    # audio, an integer of NumPy's overflows after years.
    return (2 * int(position) * int(to_rate) + int(from_rate)) // (2 * int(from_rate))
