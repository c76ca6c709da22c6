"""Events of one set of labels read as those of another: AudioSet's many as a set's few.

A label of the many means a class of the few, or nothing (`train.datasets.audioset`). Events that
mean the same class and touch, or lie no further apart than `JOINED_S`, are one: where a bark is
told and then a dog, the dog was heard once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from train.evaluation.event_metrics import Event

JOINED_S = 1.0

Means = Mapping[str, Sequence[str]]
"""Labels of the many by the class that they mean."""


def translate_events(events: Iterable[Event], means: Means) -> tuple[list[Event], Counter[str]]:
    """Read events as those of the classes.

    Returns:
        Events of classes, and how many events mean no class, by label.
    """
    of_label = {label: name for name, labels in means.items() for label in labels}
    others: Counter[str] = Counter()
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        name = of_label.get(event.label)
        if name is None:
            others[event.label] += 1
        else:
            groups.setdefault((event.source, name), []).append(event)
    joined = [event for (_, name), own in groups.items() for event in _join(own, name)]
    return sorted(joined, key=lambda event: (event.source, event.onset, event.label)), others


def translate_scores(
    scores: npt.NDArray[np.float32], labels: Sequence[str], means: Means
) -> npt.NDArray[np.float32]:
    """Scores of the classes, each the highest of the labels that mean it.

    Args:
        scores: ``(windows, labels)``.
        labels: The many.
        means: A class that none of the labels means has a score of 0.

    Returns:
        ``(windows, classes)``.
    """
    place = {label: k for k, label in enumerate(labels)}
    columns = [[place[label] for label in own if label in place] for own in means.values()]
    empty = np.zeros(len(scores), np.float32)
    return np.stack([scores[:, c].max(axis=1) if c else empty for c in columns], axis=1)


def _join(events: list[Event], name: str) -> list[Event]:
    joined: list[Event] = []
    for event in sorted(events, key=lambda event: event.onset):
        last = joined[-1] if joined else None
        if last is not None and event.onset <= last.offset + JOINED_S:
            joined[-1] = Event(last.source, name, last.onset, max(last.offset, event.offset))
        else:
            joined.append(Event(event.source, name, event.onset, event.offset))
    return joined
