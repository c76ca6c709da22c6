"""Events of several labels that are one sound to a rule that asks for a broader one.

The narrowest label that sounds is the event, so what begins as an alarm may go on as a siren. To a
rule about alarms both are one alarm, which it counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

FOLLOWS_US = 2_500_000
"""Longest pause after which an event of another label goes on with a sound: half a window and the
longest pause within a sound, of the models that come with streamclf. An event of the same label is
another sound."""


@dataclass(slots=True)
class JoinedSound:
    """Events that follow one another without a pause.

    Attributes:
        open: Those that sound: identifiers by label.
        ended: Ends of the others, by label, in microseconds since 1970-01-01 UTC.
    """

    open: dict[str, str] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def goes_on_with(self, label: str, onset_us: int) -> bool:
        """Whether an event that begins goes on with this sound."""
        if any(each != label for each in self.open):
            return True
        return any(
            each != label and onset_us <= offset_us + FOLLOWS_US
            for each, offset_us in self.ended.items()
        )

    def begin(self, label: str, event_id: str) -> None:
        """Note an event that begins. One of the same label before it has ended, told or not."""
        self.open[label] = event_id

    def end(self, label: str, offset_us: int) -> int | None:
        """Note the end of an event.

        Returns:
            The end of the sound; None while another event of it goes on.
        """
        self.open.pop(label, None)
        self.ended[label] = offset_us
        return None if self.open else max(self.ended.values())


@dataclass(frozen=True, slots=True, order=True)
class PastEvent:
    """An event that the store knows.

    Attributes:
        known_us: When its begin was known, in microseconds since 1970-01-01 UTC; its onset where
            nobody noted that.
        onset_us: When it began, in microseconds since 1970-01-01 UTC.
        offset_us: When it ended; its onset where that is not known.
        label: Its label.
        score: Its highest score.
    """

    known_us: int
    onset_us: int
    offset_us: int
    label: str
    score: float


def join_past(events: Iterable[PastEvent]) -> list[PastEvent]:
    """Join events to sounds, each with label and onset of its first event.

    Args:
        events: The events in the order in which they were known.
    """
    joined: list[tuple[JoinedSound, PastEvent]] = []
    for event in events:
        sound, so_far = joined[-1] if joined else (JoinedSound(), event)
        if joined and sound.goes_on_with(event.label, event.onset_us):
            so_far = PastEvent(
                so_far.known_us,
                so_far.onset_us,
                max(so_far.offset_us, event.offset_us),
                so_far.label,
                max(so_far.score, event.score),
            )
            joined[-1] = sound, so_far
        else:
            sound = JoinedSound()
            joined.append((sound, event))
        sound.end(event.label, event.offset_us)
    return [sound for _, sound in joined]
