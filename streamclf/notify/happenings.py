"""What rules and targets are told, live and when the past is replayed.

All times are microseconds since 1970-01-01 UTC, as in the store. Live they are made from the
records of a stream (`streamclf.notify.notifier`), in a replay from the rows of the store
(`streamclf.notify.replay`), so that both lead to the same messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streamclf.core.sureness import Sureness
from streamclf.core.vocabulary import Vocabulary

Phase: TypeAlias = Literal["begin", "ongoing", "end"]
"""Moment in the life of an event."""


@dataclass(frozen=True, slots=True)
class SoundHappened:
    """An event began, goes on, or has ended.

    Attributes:
        phase: Which of them.
        event_id: Identifier of the event, the same in all of its phases, see
            `streamclf.core.event_id`.
        source: Name of the source.
        label: The model's identifier of the sound.
        name: The label as people read it.
        score: Highest averaged score so far, from 0 to 1.
        onset_us: When it began.
        known_us: When this was known; rules count from it.
        offset_us: When it ended; None while it sounds.
        utc_offset_min: The place's offset from UTC, in minutes.
        vocabulary: What names mean to the model that heard it; None where only its own names count.
        sureness: How sure that score is, by the card of its model; None where that has no word.
    """

    phase: Phase
    event_id: str
    source: str
    label: str
    name: str
    score: float
    onset_us: int
    known_us: int
    offset_us: int | None = None
    utc_offset_min: int = 0
    vocabulary: Vocabulary | None = field(default=None, compare=False, repr=False)
    sureness: Sureness | None = None

    def asked_by(self, names: Sequence[str]) -> str | None:
        """Tell by which of several names it is asked for, see `Vocabulary.asked`."""
        return self._names.asked(names, self.label)

    def meant_by(self, said: str) -> str | None:
        """Tell which label with that name it is, or is narrower than, see `Vocabulary.meant`."""
        return self._names.meant(said).get(self.label)

    def is_narrower_than(self, label: str) -> bool:
        """Whether its label is narrower than another one."""
        return label in self._names.broader_than(self.label)

    def names_better_than(self, other: SoundHappened) -> bool:
        """Whether it says more exactly or more surely than another event what a sound is."""
        if other.is_narrower_than(self.label):
            return False
        return self.is_narrower_than(other.label) or self.score > other.score

    @property
    def _names(self) -> Vocabulary:
        return self.vocabulary or Vocabulary({self.label: self.name})


@dataclass(frozen=True, slots=True)
class AudioHeard:
    """A source was heard without a gap, and nothing else happened.

    Rules that wait for silence count this time alone: a microphone that is unplugged is not quiet.

    Attributes:
        source: Name of the source.
        from_us: Begin of the audio.
        until_us: End of the audio.
        utc_offset_min: The place's offset from UTC, in minutes.
    """

    source: str
    from_us: int
    until_us: int
    utc_offset_min: int = 0


Happening: TypeAlias = SoundHappened | AudioHeard
