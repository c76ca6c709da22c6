"""Agreement of found events with the true ones, event by event and second by second.

The definitions are those of sed_eval:

- *Events*: a found event is right if it has a true event's label, its onset lies within the collar
  of the true onset, and its offset within the collar of the true offset, or within half of the true
  event's length if that is more. Each event counts once; of all ways to pair them, one with the
  most pairs is taken.
- *Segments*: in each second a label is there or not, in truth and as found; any part of a second
  counts.

Source: A. Mesaros et al., "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6(6),
2016; https://tut-arg.github.io/sed_eval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx

COLLAR_S = 1.0
LENGTH_SHARE = 0.5
"""Part of a true event's length by which its offset may be missed, if it is more than the
collar."""

SEGMENT_S = 1.0
_ROUNDING_S = 1e-6
"""Tolerance for times that are written to the microsecond."""


@dataclass(frozen=True)
class Event:
    """An event of a recording, in seconds from its start."""

    source: str
    label: str
    onset: float
    offset: float


@dataclass
class Counts:
    """Numbers of right, found and true events (or segments)."""

    right: int = 0
    found: int = 0
    there: int = 0

    def add(self, right: int, found: int, there: int) -> None:
        """Add to the numbers."""
        self.right += right
        self.found += found
        self.there += there

    def figures(self) -> dict[str, float | int | None]:
        """F1, precision and recall, None where they are not defined, and the numbers."""
        either = self.found + self.there
        return {
            "f1": round(2 * self.right / either, 4) if either else None,
            "precision": round(self.right / self.found, 4) if self.found else None,
            "recall": round(self.right / self.there, 4) if self.there else None,
            "right": self.right,
            "found": self.found,
            "there": self.there,
        }


def count_events(
    truth: Iterable[Event], found: Iterable[Event], collar_s: float = COLLAR_S
) -> dict[str, Counts]:
    """Count events of each label."""
    counts: dict[str, Counts] = defaultdict(Counts)
    for (_, label), (true_ones, found_ones) in _by_source_and_label(truth, found).items():
        n_right = _n_pairs(true_ones, found_ones, collar_s)
        counts[label].add(n_right, len(found_ones), len(true_ones))
    return dict(counts)


def count_segments(
    truth: Iterable[Event],
    found: Iterable[Event],
    lengths: Mapping[str, float],
    segment_s: float = SEGMENT_S,
) -> dict[str, Counts]:
    """Count segments of each label.

    Args:
        truth: The true events.
        found: The found events; parts beyond a recording's end are ignored.
        lengths: Length of each recording in seconds.
        segment_s: Length of a segment.
    """
    counts: dict[str, Counts] = defaultdict(Counts)
    for (source, label), (true_ones, found_ones) in _by_source_and_label(truth, found).items():
        n_segments = math.ceil(lengths[source] / segment_s - _ROUNDING_S)
        there = _segments(true_ones, n_segments, segment_s)
        given = _segments(found_ones, n_segments, segment_s)
        counts[label].add(len(there & given), len(given), len(there))
    return dict(counts)


def count_false_alarms(truth: Iterable[Event], found: Iterable[Event]) -> int:
    """Count found events whose label does not sound at all while they last."""
    return sum(
        not any(one.onset < event.offset and event.onset < one.offset for one in true_ones)
        for true_ones, found_ones in _by_source_and_label(truth, found).values()
        for event in found_ones
    )


def evaluate_events(
    truth: Sequence[Event],
    found: Sequence[Event],
    lengths: Mapping[str, float],
    collar_s: float = COLLAR_S,
    segment_s: float = SEGMENT_S,
) -> dict[str, Any]:
    """Compute all figures: over everything (micro average) and of each label.

    Args:
        truth: The true events.
        found: The found events.
        lengths: Length in seconds of every recording that was used.
        collar_s: Largest error of an onset.
        segment_s: Length of a segment.
    """
    by_event = count_events(truth, found, collar_s)
    by_segment = count_segments(truth, found, lengths, segment_s)
    hours = sum(lengths.values()) / 3600
    n_false = count_false_alarms(truth, found)
    return {
        "recordings": len(lengths),
        "hours": round(hours, 4),
        "false_alarms_per_hour": round(n_false / hours, 2) if hours else None,
        "events": _sum(by_event).figures(),
        "segments": _sum(by_segment).figures(),
        "classes": {
            label: {
                "events": by_event[label].figures(),
                "segments": by_segment[label].figures(),
            }
            for label in sorted(by_event)
        },
    }


def _sum(counts: Mapping[str, Counts]) -> Counts:
    total = Counts()
    for one in counts.values():
        total.add(one.right, one.found, one.there)
    return total


def _by_source_and_label(
    truth: Iterable[Event], found: Iterable[Event]
) -> dict[tuple[str, str], tuple[list[Event], list[Event]]]:
    groups: dict[tuple[str, str], tuple[list[Event], list[Event]]] = {}
    for side, events in enumerate((truth, found)):
        for event in events:
            groups.setdefault((event.source, event.label), ([], []))[side].append(event)
    return groups


def _n_pairs(truth: list[Event], found: list[Event], collar_s: float) -> int:
    """The largest number of pairs of a true and a found event that exist at once."""
    graph = networkx.Graph()
    for k, one in enumerate(truth):
        for j, event in enumerate(found):
            if _fits(one, event, collar_s):
                graph.add_edge(("true", k), ("found", j))
    top = [node for node in graph if node[0] == "true"]
    return len(networkx.bipartite.hopcroft_karp_matching(graph, top)) // 2


def _fits(true: Event, found: Event, collar_s: float) -> bool:
    late = max(collar_s, LENGTH_SHARE * (true.offset - true.onset))
    return (
        abs(true.onset - found.onset) <= collar_s + _ROUNDING_S
        and abs(true.offset - found.offset) <= late + _ROUNDING_S
    )


def _segments(events: list[Event], n_segments: int, segment_s: float) -> set[int]:
    """Numbers of the segments that events overlap."""
    return {
        segment
        for event in events
        for segment in range(
            math.floor(event.onset / segment_s + _ROUNDING_S),
            min(n_segments, math.ceil(event.offset / segment_s - _ROUNDING_S)),
        )
    }
