"""What is known of the time before: what was heard and told, so that a restart loses nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamclf.notify.rules import Rule


@dataclass(frozen=True, slots=True)
class Told:
    """A message that a rule told.

    Attributes:
        moment_us: The moment that it was about, from which a cooldown counts, in microseconds
            since 1970-01-01 UTC.
        utc_offset_min: The place's offset from UTC at that moment, in minutes.
    """

    moment_us: int
    utc_offset_min: int


@dataclass(frozen=True, slots=True)
class PastSound:
    """A sound that was heard before.

    Attributes:
        label: The sound that was asked for: its own label, or a broader one.
        name: That sound as people read it.
        onset_us: When it began.
        offset_us: When it ended.
    """

    label: str
    name: str
    onset_us: int
    offset_us: int


class History(Protocol):
    """Interface of what is known of the time before a moment.

    Sounds count where they have reached the rule's ``min_score``, were sure ``at_least`` so, and
    lasted for ``lasting``; with ``quiet``, however long they lasted. All times are microseconds
    since 1970-01-01 UTC.
    """

    def leave_out(self, events: Collection[str]) -> None:
        """Know nothing of messages about some events from now on, because they are told again.

        Args:
            events: Identifiers of all events that are left out.
        """

    def last_told(self, rule: Rule, source: str, label: str) -> Told | None:
        """Find the last message of a rule about a sound of a source.

        Args:
            rule: The rule, by its name.
            source: Name of the source.
            label: The sound that was asked for; empty for the quiet of several.
        """

    def lost_since(self, rule: Rule, source: str) -> int | None:
        """When a source was lost that a rule told of last; None if it told that it is back."""

    def last_heard(
        self, rule: Rule, source: str, labels: Sequence[str], before_us: int
    ) -> int | None:
        """Find the onset of the last sound of labels that counts for a rule, before a moment."""

    def onsets(
        self, rule: Rule, source: str, labels: Sequence[str], since_us: int, before_us: int
    ) -> Sequence[int]:
        """Find the onsets of the sounds of labels that count, from a moment to another one.

        Args:
            rule: The rule.
            source: Name of the source.
            labels: The labels, of which events that follow one another are one sound.
            since_us: First moment.
            before_us: Moment after the last.

        Returns:
            The newest of them, at most `MOST_REPEATS`, the earliest first.
        """

    def last_sound(self, rule: Rule, source: str, before_us: int) -> PastSound | None:
        """Find the sound among those of a rule that ended last, begun before a moment."""

    def heard_spans(self, source: str, since_us: int, before_us: int) -> Sequence[tuple[int, int]]:
        """Find the spans in which a source was heard without a gap, from a moment to another."""


class NoHistory:
    """A history that knows nothing, such as that of a store without rows."""

    def leave_out(self, events: Collection[str]) -> None:
        """Do nothing."""

    def last_told(self, rule: Rule, source: str, label: str) -> Told | None:
        """None."""
        return None

    def lost_since(self, rule: Rule, source: str) -> int | None:
        """None."""
        return None

    def last_heard(
        self, rule: Rule, source: str, labels: Sequence[str], before_us: int
    ) -> int | None:
        """None."""
        return None

    def onsets(
        self, rule: Rule, source: str, labels: Sequence[str], since_us: int, before_us: int
    ) -> Sequence[int]:
        """None at all."""
        return ()

    def last_sound(self, rule: Rule, source: str, before_us: int) -> PastSound | None:
        """None."""
        return None

    def heard_spans(self, source: str, since_us: int, before_us: int) -> Sequence[tuple[int, int]]:
        """None at all."""
        return ()
