"""Rules: what is told to whom. A rule is a table ``[[rules]]`` in the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamclf.core.table_keys import Duration

On: TypeAlias = Literal["begin", "end", "ongoing", "quiet"]
"""What a rule tells."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: Name of the rule, by which `streamclf rules` and messages call it.
        labels: Sounds that it is about, as identifiers or as people read them; all by default.
        sources: Names of the sources that it is about; all by default.
        on: When it tells: as a sound begins, when it has ended, again and again while it goes on,
            or when nothing of it was heard for so long.
        min_score: Lowest score, from 0 to 1, of a sound that counts.
        lasting: How long the sound must have lasted; with ``quiet``, how long it must not have been
            heard.
        repeats: How often the sound must have been heard.
        within: Time in which ``repeats`` must have been heard.
        cooldown: Shortest time between two messages about one sound of one source.
        hours: Time of the day in which it tells, such as ``22:00-06:00``.
        first_of_day: Whether only the first time of a day is told.
        rare: Days for which the sound must not have been heard before.
        to: Names of the targets that are told; all by default.
        message: Text with fields such as ``{name}``.

    Raises:
        UsageError: The options make no sense. The message begins with the key.
    """

    name: str
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    on: On = "begin"
    min_score: float = 0.0
    lasting: Duration = 0.0
    repeats: int = 1
    within: Duration | None = None
    cooldown: Duration | None = None
    hours: str | None = None
    first_of_day: bool = False
    rare: int | None = None
    to: tuple[str, ...] = ()
    message: str | None = None
