"""Rules: what is told to whom. A rule is a table ``[[rules]]`` in the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from streamclf.core.errors import UsageError
from streamclf.core.sureness import rank_sureness
from streamclf.core.table_keys import Duration
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import SoundHappened
from streamclf.notify.hours import Hours
from streamclf.notify.templates import DEFAULTS, REPEATED, check_template

On: TypeAlias = Literal["begin", "end", "ongoing", "quiet", "lost"]
"""What a rule tells."""
AtLeast: TypeAlias = Literal["likely", "sure"]
"""How sure a sound must be."""
DAY_S = 86_400
LONGEST_NAME = 64
LONGEST_S = 30 * DAY_S
"""Longest duration in a rule."""
MOST_REPEATS = 1000
MOST_DAYS = 3650
SHORTEST_ROUND_S = 1.0
"""Shortest cooldown of a rule that tells again and again."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: Name of the rule in messages, in the log and for ``streamclf rules``.
        labels: Sounds that it is about, as identifiers or as people read them, narrower ones
            included: ``Alarm`` is a siren as well; all if left out.
        sources: Names of the sources that it is about; all if left out.
        on: What it tells. ``begin``: a sound has begun. ``end``: a sound has ended. ``ongoing``: a
            sound goes on, told again after each ``cooldown``. ``quiet``: nothing of it was heard
            for ``lasting``, told once until it is heard again. ``lost``: a source is away for
            ``lasting``, or without a signal, as a muted microphone; told once, and when it is heard
            again.
        min_score: Score, from 0 to 1, that a sound must have reached to count. A sound that
            reaches it after its begin counts from then on.
        at_least: How sure a sound must be to count, by the card of its model: ``likely`` or
            ``sure``. One that becomes so after its begin counts from then on. Sounds that a model
            has no word for count whatever their score.
        lasting: How long a sound must have lasted to count. It is then told while it still sounds.
            With ``quiet``, the time heard without it; gaps do not count. With ``lost``, how long
            the source must have been away.
        repeats: How many sounds must have begun ``within`` that time. After a message the counting
            begins anew.
        within: Time in which so many must have begun.
        cooldown: Shortest time between two messages about one sound of one source.
        hours: Hours of the place in which it tells, such as ``22:00-06:00``; several with commas.
        first_of_day: Whether a sound of a source is told at most once a day, from midnight to
            midnight of the place.
        rare: Days that the sound must not have been heard by the source before.
        to: Names of the targets that are told; all if left out.
        message: Text with fields in braces, such as ``{name} in {source} at {time}``.

    Raises:
        UsageError: The options make no sense. The message begins with the key.
    """

    name: str
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    on: On = "begin"
    min_score: float = 0.0
    at_least: AtLeast | None = None
    lasting: Duration = 0.0
    repeats: int = 1
    within: Duration | None = None
    cooldown: Duration = 0.0
    hours: str | None = None
    first_of_day: bool = False
    rare: int | None = None
    to: tuple[str, ...] = ()
    message: str | None = None

    def __post_init__(self) -> None:
        name = self.name
        if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
            raise UsageError(f"name {name!r}: must be 1 to {LONGEST_NAME} printable characters")
        for key, texts in [("labels", self.labels), ("sources", self.sources), ("to", self.to)]:
            if not all(text.strip() for text in texts):
                raise UsageError(f"{key}: one of them is empty: leave it out")
        self._check_numbers()
        self._check_combination()
        if self.hours is not None:
            Hours.read(self.hours)
        if self.message is not None:
            check_template(self.message)

    def _check_numbers(self) -> None:
        """Refuse numbers beyond their limits.

        Raises:
            UsageError: There is one.
        """
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"min-score {self.min_score:g}: must be from 0 to 1")
        for key, seconds in [
            ("lasting", self.lasting), ("within", self.within or 0.0), ("cooldown", self.cooldown)
        ]:  # fmt: skip
            if not 0 <= seconds <= LONGEST_S:
                raise UsageError(
                    f"{key} {seconds:.10g} s: must be at most {LONGEST_S // DAY_S} days, "
                    f"{LONGEST_S} s"
                )
        for key, number, limit in [
            ("repeats", self.repeats, MOST_REPEATS), ("rare", self.rare, MOST_DAYS)
        ]:  # fmt: skip
            if number is not None and not 1 <= number <= limit:
                raise UsageError(f"{key} {number}: must be from 1 to {limit}")

    def _check_combination(self) -> None:
        """Refuse keys that do not go together.

        Raises:
            UsageError: There are such keys.
        """
        if self.repeats > 1 and not self.within:
            raise UsageError(
                f'repeats {self.repeats}: needs the time in which: add within, such as "1m"'
            )
        if self.within is not None and self.repeats == 1:
            raise UsageError(
                "within: is the time for repeats: add repeats, 2 or more, or leave it out"
            )
        if self.on == "quiet" and not self.lasting:
            raise UsageError('on quiet: needs how long: add lasting, such as "10m"')
        if self.on == "lost" and not self.lasting:
            raise UsageError('on lost: needs how long: add lasting, such as "10m"')
        if self.on == "ongoing" and self.cooldown < SHORTEST_ROUND_S:
            raise UsageError(
                "on ongoing: needs the time after which it is told again: add cooldown, "
                f'{SHORTEST_ROUND_S:g} s or more, such as "10m"'
            )
        if self.on == "lost":
            for key, given in [
                ("labels", bool(self.labels)),
                ("min-score", self.min_score > 0),
                ("at-least", self.at_least is not None),
            ]:
                if given:
                    raise UsageError(
                        f"{key}: makes no sense with on = lost: it is about sources, not sounds; "
                        "leave it out"
                    )
        if self.on in ("quiet", "ongoing", "lost"):
            for key, given in [
                ("repeats", self.repeats > 1),
                ("rare", self.rare is not None),
                ("first-of-day", self.first_of_day),
            ]:
                if given:
                    raise UsageError(
                        f"{key}: makes no sense with on = {self.on}: it counts sounds that begin "
                        "or end; leave it out"
                    )

    @property
    def template(self) -> str:
        """The text of its messages, with fields."""
        if self.message is not None:
            return self.message
        return REPEATED if self.repeats > 1 else DEFAULTS[self.on]

    @property
    def waits_for_score(self) -> bool:
        """Whether a sound counts only once it is sure enough."""
        return self.min_score > 0 or self.at_least is not None

    def is_sure(self, score: float, rank: int) -> bool:
        """Whether a sound is sure enough to count.

        Args:
            score: Its highest score.
            rank: How sure it is, see `streamclf.core.sureness.rank_sureness`.
        """
        enough = self.at_least is None or rank >= rank_sureness(self.at_least)
        return score >= self.min_score and enough

    @cached_property
    def opening(self) -> Hours | None:
        """The hours in which it tells; None for all."""
        return None if self.hours is None else Hours.read(self.hours)

    def hears(self, source: str) -> bool:
        """Whether it is about a source."""
        return not self.sources or source in self.sources

    def asks_for(self, happening: SoundHappened) -> str | None:
        """Tell by which label it asks for what happened: its own, a broader one, or a kind.

        Returns:
            The label; None where the rule is not about this source or sound.
        """
        if not self.hears(happening.source):
            return None
        return happening.asked_by(self.labels) if self.labels else happening.label

    def labels_of(self, asked: str, vocabulary: Vocabulary | None) -> list[str]:
        """List the labels whose events it asks for by a label, as `asks_for` tells it."""
        if vocabulary is None or not self.labels:
            return [asked]
        return [
            label
            for label in dict.fromkeys(
                each for said in self.labels for each in vocabulary.meant(said)
            )
            if vocabulary.asked(self.labels, label) == asked
        ]
