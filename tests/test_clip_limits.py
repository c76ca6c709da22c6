"""Which clips go, and which never do: decisions over rows alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.store.clip_limits import (
    DAY_US,
    KEPT_FRACTION,
    ClipLimits,
    StoredClip,
    choose_clips,
)

NOW_US = 1_800_000_000_000_000
LABELS = ("car", "dog", "owl")


def clip(number: int, label: str = "car", score: float = 0.5, **changes) -> StoredClip:
    """A clip of 100 bytes, the older the lower its number: days since the first of January."""
    path = f"{label}/yard/{number:03d}.flac"
    return StoredClip((number,), path, label, score, number * DAY_US, 100, **changes)


clips = st.lists(
    st.builds(
        clip,
        number=st.integers(0, 999),
        label=st.sampled_from(LABELS),
        score=st.integers(1, 9).map(lambda tenth: tenth / 10),
        held=st.booleans(),
    ),
    unique_by=lambda each: each.path,
    max_size=60,
).flatmap(
    lambda drawn: st.lists(
        st.integers(1, 500), min_size=len(drawn), max_size=len(drawn)
    ).map(lambda sizes: [replace(c, n_bytes=n) for c, n in zip(drawn, sizes, strict=True)])
)  # fmt: skip
limits = st.builds(
    ClipLimits,
    limit_bytes=st.none() | st.integers(0, 5000),
    days=st.none() | st.floats(0, 400),
    least=st.integers(0, 5),
)


@given(clips, limits, st.integers(0, 1200))
def test_the_choice_keeps_its_promises(rows, limits, day):
    now_us = day * DAY_US
    choice = choose_clips(rows, limits, now_us)
    gone = {row.path: why for row, why in choice.gone}
    assert len(gone) == len(choice.gone)
    staying = [row for row in rows if row.path not in gone]
    # Nothing goes that somebody keeps, and nothing without a limit.
    assert not any(row.held for row, _ in choice.gone)
    assert limits.limit_bytes is not None or "limit" not in gone.values()
    assert limits.days is not None or "age" not in gone.values()
    # So many of each label stay, and among them the best.
    before, after = (Counter(row.label for row in some) for some in (rows, staying))
    for label in before:
        assert after[label] >= min(limits.least, before[label])
        scores = sorted((row.score for row in rows if row.label == label), reverse=True)
        kept = sorted((row.score for row in staying if row.label == label), reverse=True)
        assert kept[: limits.least] == scores[: limits.least]
    # What is too old goes, unless something holds it back; what is not, does not go by age.
    if limits.days is not None:
        oldest_us = now_us - round(limits.days * DAY_US)
        assert all(row.written_us < oldest_us for row, why in choice.gone if why == "age")
        old = [row for row in staying if row.written_us < oldest_us]
        assert choice.n_old_held == sum(row.held for row in old)
        assert choice.n_old_held + choice.n_old_best == len(old)
    # The limit is reached wherever something may still go.
    assert choice.used_bytes == sum(row.n_bytes for row in staying)
    if limits.limit_bytes is not None and choice.used_bytes > limits.limit_bytes:
        assert choice.n_held + choice.n_best == len(staying)
        every = replace(limits, least=len(rows))
        free = [row for row in staying if not row.held]
        assert not choose_clips(free, every, now_us).gone
        assert all(Counter(row.label for row in free)[row.label] <= limits.least for row in free)
    # A second look at what stays changes nothing.
    assert not choose_clips(staying, limits, now_us).gone


def test_no_more_goes_by_size_than_makes_room():
    rows = [clip(number) for number in range(100)]
    choice = choose_clips(rows, ClipLimits(limit_bytes=9_000), NOW_US)
    assert choice.used_bytes == KEPT_FRACTION * 9_000 - 50  # whole clips of 100 bytes
    assert not choose_clips(rows, ClipLimits(limit_bytes=10_000), NOW_US).gone


def test_of_the_label_that_takes_most_the_lowest_scores_go_first():
    rows = [
        *(clip(number, "car", score=0.9 - number / 100) for number in range(6)),
        *(clip(number, "dog", score=0.1) for number in range(4)),
    ]
    choice = choose_clips(rows, ClipLimits(limit_bytes=900), NOW_US)
    # 1000 bytes, 855 may be used: the two worst of the cars; dogs take less.
    assert [row.path for row, _ in choice.gone] == ["car/yard/005.flac", "car/yard/004.flac"]


def test_among_equal_scores_the_oldest_goes_first():
    rows = [clip(number) for number in (3, 1, 2)]
    choice = choose_clips(rows, ClipLimits(limit_bytes=250), NOW_US)
    assert [row.path for row, _ in choice.gone] == ["car/yard/001.flac"]


def test_age_is_counted_from_the_writing():
    rows = [clip(number) for number in range(10)]
    choice = choose_clips(rows, ClipLimits(days=3, least=1), 10 * DAY_US)
    assert [row.path for row, _ in choice.gone] == [
        f"car/yard/{number:03d}.flac" for number in range(7)
    ]
    # The best of its label is the newest among equals.
    choice = choose_clips(rows[:5], ClipLimits(days=3, least=2), 10 * DAY_US)
    assert [row.path[-8:-5] for row, _ in choice.gone] == ["000", "001", "002"]
    assert (choice.n_old_best, choice.n_old_held) == (2, 0)


def test_without_limits_nothing_goes():
    rows = [clip(number) for number in range(10)]
    choice = choose_clips(rows, ClipLimits(), NOW_US)
    assert (choice.gone, choice.used_bytes) == ([], 1000)


@pytest.mark.parametrize("n", [100_000])
def test_a_hundred_thousand_clips_are_chosen_from(n):
    rows = [clip(number, LABELS[number % 3], score=number % 97 / 97) for number in range(n)]
    choice = choose_clips(rows, ClipLimits(limit_bytes=n * 50, least=10), NOW_US)
    assert choice.used_bytes == pytest.approx(KEPT_FRACTION * n * 50, abs=100)
