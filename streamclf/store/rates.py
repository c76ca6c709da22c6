"""Tables of counts with the hours heard beside them, so that quiet and deaf hours differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamclf.store.queries import By, Count, Key, count_events, hours_heard
from streamclf.store.question import Database, Question


@dataclass(frozen=True, slots=True)
class Rate:
    """A group of events, and how long was listened for them.

    Attributes:
        count: The events.
        heard_h: Hours heard of the same time, source and model.
    """

    count: Count
    heard_h: float

    @property
    def per_hour(self) -> float | None:
        """Events in an hour heard; None where nothing was heard."""
        return self.count.n_events / self.heard_h if self.heard_h > 0 else None


def list_rates(connection: Database, question: Question, by: Sequence[By]) -> list[Rate]:
    """Count events in groups, with the hours heard of each.

    Groups without events are among them where something was heard, unless labels are counted apart.
    """
    counts = {each.key: each for each in count_events(connection, question, by)}
    heard = hours_heard(connection, question, [each for each in by if each != "label"])
    if "label" not in by:
        for key in heard:
            counts.setdefault(key, Count(key, 0, 0.0, None, None, 0.0))
    places = [place for place, each in enumerate(by) if each != "label"]
    return [
        Rate(counts[key], heard.get(tuple(key[place] for place in places), 0.0))
        for key in sorted(counts, key=_order)
    ]


def _order(key: Key) -> tuple[object, ...]:
    return tuple(each.casefold() if isinstance(each, str) else each for each in key)
