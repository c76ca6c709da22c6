"""What flows from stage to stage.

Records are immutable. Positions and lengths are integer counts of samples from the stream's
start; seconds are derived from them when something is written, and never added up. A source
counts at its own sample rate; from :mod:`streamclf.pipeline.resample` on, everything counts at the
model's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from streamclf.core.card import Thresholds

Waveform: TypeAlias = npt.NDArray[np.float32]
"""float32 in [-1, 1]; ``(channels, samples)`` in a `Block`, ``(samples,)`` in a `Window`."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive samples as a source delivered them.

    Attributes:
        position: Index of the first sample, at ``sample_rate``, from the stream's start.
        waveform: ``(channels, samples)`` float32, full scale = 1.
        sample_rate: In Hz.
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
        """Position just behind the last sample."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that is known to be missing.

    Attributes:
        position: Index of the first missing sample, at ``sample_rate``.
        n_samples: How many are missing.
        sample_rate: In Hz.
        cause: One or two words: ``overflow``, ``device lost``, ``truncated``, ...
    """

    position: int
    n_samples: int
    sample_rate: int
    cause: str

    @property
    def end(self) -> int:
        """Position just behind the last missing sample."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the listener should be told, at its place in the stream.

    Attributes:
        position: Where in the stream, at ``sample_rate``.
        sample_rate: In Hz.
        message: One line.
        level: ``info`` for what is good to know, ``warning`` for what may cost results.
    """

    position: int
    sample_rate: int
    message: str
    level: Literal["info", "warning"] = "warning"


@dataclass(frozen=True, slots=True)
class Change:
    """Another way of listening, from here on.

    It flows with the audio, so that each stage goes over to it at the same place.

    Attributes:
        position: Index of the first sample that comes behind it, at the model's rate.
        hop: Samples between the starts of two windows.
        average: Samples that scores are averaged over; 0 for none.
        thresholds: When scores become events.
    """

    position: int
    hop: int
    average: int
    thresholds: Thresholds


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The classifier's input.

    Attributes:
        position: Index of the first sample.
        waveform: ``(window_samples,)`` float32.
        n_samples: Samples of audio that it stands for; fewer than ``window_samples`` only where
            there is no more between two gaps. What fills the rest was made
            (`streamclf.pipeline.short_audio`).
    """

    position: int
    waveform: Waveform
    n_samples: int

    @property
    def end(self) -> int:
        """Position just behind the last sample of audio that it stands for."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the network says of one window.

    Attributes:
        position: Index of the window's first sample.
        n_samples: Samples of audio that the window stands for.
        values: ``(classes,)`` float32: probabilities, or a regression's values.
        short: Whether these are fewer than a window has.
    """

    position: int
    n_samples: int
    values: npt.NDArray[np.float32]
    short: bool = False

    @property
    def end(self) -> int:
        """Position just behind the last sample of audio that the window stands for."""
        return self.position + self.n_samples


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """Scores averaged over the windows that ended lately.

    Attributes:
        scores: The newest window's own scores.
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
        """Position just behind the last sample of audio that the newest window stands for."""
        return self.scores.end


@dataclass(frozen=True, slots=True)
class EventBegan:
    """A sound that is heard now; a `SoundEvent` with the same id follows when it has ended.

    Attributes:
        label: One of the model's labels.
        onset: Position of its first sample; that of its `SoundEvent` is the same.
        score: The highest averaged score so far, 0..1, or that of the newest window where it is
            sure by itself and higher; so it may exceed that of the `SoundEvent`.
        position: How much had been heard when it became known: just behind the last sample.
    """

    label: str
    onset: int
    score: float
    position: int

    @property
    def id(self) -> str:
        """Unique within the stream, see `event_id`."""
        return event_id(self.label, self.onset)


@dataclass(frozen=True, slots=True)
class EventOngoing:
    """A sound that was told of and still goes on.

    Attributes:
        label: As when it began.
        onset: As when it began.
        score: The highest averaged score so far, 0..1.
        position: How much has been heard: just behind the last sample.
    """

    label: str
    onset: int
    score: float
    position: int

    @property
    def id(self) -> str:
        """As when it began."""
        return event_id(self.label, self.onset)


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A sound with a name, a beginning and an end.

    Attributes:
        label: One of the model's labels.
        onset: Position of its first sample.
        offset: Position just behind its last sample.
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
        """That of the `EventBegan` before it, see `event_id`."""
        return event_id(self.label, self.onset)


def event_id(label: str, onset: int) -> str:
    """What an event is called from its begin to its end.

    Events of one label never overlap, so label and onset name one event of a stream. Nothing else
    goes into it: the same audio gives the same ids, live or from disk and however it is cut.
    """
    return f"{label}-{onset}"


Result: TypeAlias = Average | EventBegan | EventOngoing | SoundEvent | Gap | Notice | Change
"""What comes out of the engine, in the order in which it became known."""


def rescale(position: int, from_rate: int, to_rate: int) -> int:
    """Convert a position between sample rates, rounded to the nearest sample, exactly."""
    # Python's integers: a float has no room for the product after some weeks, NumPy's after years.
    return (2 * int(position) * int(to_rate) + int(from_rate)) // (2 * int(from_rate))
