"""Limits for the clips of a store, and the choice of the clips that go.

Nothing here touches a file: rows go in, decisions come out. `streamclf.store.retention` carries
them out.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

KEPT_FRACTION = 0.95
"""Part of the limit that is used after clips were deleted for their size, so that there is room
until the next sweep."""

DAY_US = 86_400_000_000

Why: TypeAlias = Literal["age", "limit"]


@dataclass(frozen=True)
class ClipLimits:
    """Limits for the clips of a store.

    Attributes:
        limit_bytes: Most bytes of all clips together; None for no limit.
        days: Days after which a clip is deleted; None for no limit.
        least: Number of clips of each label that stay, those with the highest scores.
    """

    limit_bytes: int | None = None
    days: float | None = None
    least: int = 0


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A clip whose file is there.

    Attributes:
        ids: Rows that name the file; more than one if a recording was heard twice, none for a clip
            that the store does not know.
        path: The file, below the folder of the clips.
        label: Label of the event, as a folder is named after it.
        score: The highest score of the event.
        written_us: When the file was written, in microseconds since 1970-01-01 UTC.
        n_bytes: Size of the file.
        held: Whether somebody keeps it: it was marked, its event was reviewed, or its file was
            changed.
    """

    ids: tuple[int, ...]
    path: str
    label: str
    score: float
    written_us: int
    n_bytes: int
    held: bool = False


@dataclass
class Choice:
    """The clips that go, and what holds others back.

    Attributes:
        gone: Clips to delete, in this order, each with the limit that it exceeds.
        used_bytes: Bytes of the clips that stay.
        n_old_held: Clips that stay beyond the days because somebody keeps them.
        n_old_best: Clips that stay beyond the days because they are the best of their label.
        n_held: Clips that stay above the limit of bytes because somebody keeps them.
        n_best: Clips that stay above the limit of bytes because they are the best of their label.
    """

    gone: list[tuple[StoredClip, Why]] = field(default_factory=list)
    used_bytes: int = 0
    n_old_held: int = 0
    n_old_best: int = 0
    n_held: int = 0
    n_best: int = 0


def choose_clips(clips: Sequence[StoredClip], limits: ClipLimits, now_us: int) -> Choice:
    """Choose the clips that go.

    Clips that somebody keeps never go, nor do the ``least`` clips of each label with the highest
    scores, the newest first among equals. Of the others, those beyond the days go. If what is left
    takes more than ``limit_bytes``, clips go until `KEPT_FRACTION` of it is used: one after the
    other from the label that takes most, those with the lowest scores first, and the oldest first
    among equals.

    Args:
        clips: All clips whose files are there, each file once.
        limits: What they may take.
        now_us: Now, in microseconds since 1970-01-01 UTC.
    """
    choice = Choice()
    best = _find_best(clips, limits.least)
    oldest_us = None if limits.days is None else now_us - round(limits.days * DAY_US)
    staying: list[StoredClip] = []
    for clip in clips:
        old = oldest_us is not None and clip.written_us < oldest_us
        if old and not clip.held and clip.path not in best:
            choice.gone.append((clip, "age"))
            continue
        choice.n_old_held += old and clip.held
        choice.n_old_best += old and not clip.held
        staying.append(clip)
    choice.used_bytes = sum(clip.n_bytes for clip in staying)
    if limits.limit_bytes is not None and choice.used_bytes > limits.limit_bytes:
        _choose_by_size(choice, staying, best, limits.limit_bytes)
    return choice


def _find_best(clips: Iterable[StoredClip], least: int) -> set[str]:
    """Find the paths of the clips with the highest scores of each label."""
    by_label: dict[str, list[StoredClip]] = defaultdict(list)
    for clip in clips:
        by_label[clip.label].append(clip)
    return {
        clip.path
        for own in by_label.values()
        for clip in heapq.nlargest(least, own, key=lambda c: (c.score, c.written_us, c.path))
    }


def _choose_by_size(
    choice: Choice, staying: Sequence[StoredClip], best: set[str], limit_bytes: int
) -> None:
    """Add clips to those that go until the others keep to the limit, or none may go any more."""
    bytes_of: dict[str, int] = defaultdict(int)
    free: dict[str, list[StoredClip]] = defaultdict(list)
    for clip in staying:
        bytes_of[clip.label] += clip.n_bytes
        if not clip.held and clip.path not in best:
            free[clip.label].append(clip)
    for own in free.values():
        own.sort(key=lambda c: (c.score, c.written_us, c.path), reverse=True)
    labels = [(-bytes_of[label], label) for label in free]
    heapq.heapify(labels)
    while labels and choice.used_bytes > KEPT_FRACTION * limit_bytes:
        _, label = labels[0]
        clip = free[label].pop()
        choice.gone.append((clip, "limit"))
        choice.used_bytes -= clip.n_bytes
        bytes_of[label] -= clip.n_bytes
        if free[label]:
            heapq.heapreplace(labels, (-bytes_of[label], label))
        else:
            heapq.heappop(labels)
    if choice.used_bytes > limit_bytes:
        choice.n_held = sum(clip.held for clip in staying)
        choice.n_best = sum(not clip.held and clip.path in best for clip in staying)
