import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.card import Threshold, Thresholds
from streamclf.core.records import Average, Gap, Notice, Scores, SoundEvent
from streamclf.pipeline.average import average
from streamclf.pipeline.events import Timing, detect

LABELS = ["a", "b"]
WINDOW, HOP = 30, 10
THRESHOLDS = Thresholds(on=0.5, off=0.3)


def timing(average_samples: int = 0, **changes: int) -> Timing:
    return Timing(**{"window": WINDOW, "hop": HOP, "average": average_samples, **changes})


def scores_of(rows: list, start: int = 0) -> list[Scores]:
    """Rows are scores of class a, or pairs for both classes."""
    pairs = [row if isinstance(row, tuple) else (row, 0.0) for row in rows]
    return [
        Scores(start + i * HOP, WINDOW, np.array(pair, dtype=np.float32))
        for i, pair in enumerate(pairs)
    ]


def events(items, how: Timing, thresholds: Thresholds = THRESHOLDS) -> list[tuple]:
    found = detect(average(items, how.average), LABELS, thresholds, how)
    return [
        (e.label, e.onset, e.offset, round(e.score, 3)) for e in found if isinstance(e, SoundEvent)
    ]


def test_detect_places_an_event_at_the_centres_of_its_windows():
    # Windows start at 0, 10, ...; those at 30..50 hear it: centres 45..65, half a hop around.
    assert events(scores_of([0, 0, 0, 1, 1, 1, 0, 0, 0]), timing()) == [("a", 40, 70, 1.0)]


def test_detect_places_an_event_the_same_however_long_the_average():
    rows = [0] * 10 + [1] * 10 + [0] * 20
    for average_samples in (0, 30, 60, 100):
        assert events(scores_of(rows), timing(average_samples)) == [("a", 110, 210, 1.0)]


def test_detect_extends_events_to_where_the_audio_begins_and_ends():
    assert events(scores_of([1, 1, 1]), timing()) == [("a", 0, 50, 1.0)]


def test_detect_ends_with_the_real_audio_of_a_padded_window():
    items = scores_of([1, 1])
    items.append(Scores(20, 12, items[0].values))
    assert events(items, timing()) == [("a", 0, 32, 1.0)]


def test_detect_holds_on_until_below_off():
    assert events(scores_of([0, 0.6, 0.4, 0.35, 0.2, 0]), timing()) == [("a", 20, 50, 0.6)]
    assert events(scores_of([0, 0.45, 0.4, 0.45, 0.2, 0]), timing()) == []


def test_detect_begins_where_a_sound_is_still_faint():
    rows = [0, 0, 0.4, 0.4, 0.7, 0.7, 0.4, 0, 0, 0]
    assert events(scores_of(rows), timing()) == [("a", 30, 80, 0.7)]
    # The average of six windows turns on late, when the first ones are out of it.
    rows = [0, 0, *[0.4] * 6, *[0.7] * 6, *[0] * 8]
    assert events(scores_of(rows), timing(60, max_gap=10))[0][1:3] == (30, 150)


def test_detect_looks_back_no_further_than_three_averages():
    # Or windows, where those are longer: 90 or 180 behind the cell that turns it on.
    rows = [0.4] * 30 + [0.7] * 6 + [0] * 8
    assert events(scores_of(rows), timing())[0][1:3] == (230, 370)
    assert events(scores_of(rows), timing(60))[0][1:3] == (150, 370)


def test_detect_leaves_out_faint_stretches_beside_one_that_is_on():
    rows = [0, 0.4, 0.4, 0, 0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0.4, 0.4, 0, 0, 0]
    assert events(scores_of(rows), timing(60)) == [("a", 70, 110, 0.6)]
    assert [e[1:3] for e in events(scores_of(rows), timing(60, max_gap=30))] == [(20, 150)]


def test_detect_tells_nothing_that_ended_before_the_average_began():
    rows = [0, 0, 0.6, *[0] * 7, *[0.9] * 6, *[0] * 8]
    assert events(scores_of(rows), timing(60)) == [("a", 110, 170, 0.9)]


def test_detect_gives_every_stretch_of_an_average_its_score():
    rows = [0, 0, 0.9, 0.9, 0, 0, 0.9, 0.9, 0, 0, 0, 0, 0, 0, 0, 0]
    found = events(scores_of(rows), timing(60, max_gap=10))
    assert [e[1:3] for e in found] == [(30, 50), (70, 90)]
    assert [e[3] for e in found] == [0.6, 0.6]


def test_detect_finds_the_last_stretch_where_only_the_average_is_on():
    thresholds = Thresholds(on=0.41, off=0.3)
    rows = [0, 0.4, 0.4, 0, *[0.4, 0.41, 0.42, 0.4, 0.42, 0.42], 0, 0, 0, 0, 0, 0]
    how = timing(60)
    assert [e[1:3] for e in events(scores_of(rows), how, thresholds)] == [(50, 110)]


def test_detect_bridges_pauses_up_to_max_gap():
    rows = [0, 0, 1, 0, 0, 1, 0, 0]
    assert events(scores_of(rows), timing(max_gap=20)) == [("a", 30, 70, 1.0)]
    assert events(scores_of(rows), timing(max_gap=19)) == [("a", 30, 40, 1.0), ("a", 60, 70, 1.0)]


def test_detect_splits_what_the_average_holds_together():
    rows = [0] * 6 + [1] * 6 + [0] * 4 + [1] * 6 + [0] * 10
    assert events(scores_of(rows), timing(60, max_gap=20)) == [
        ("a", 70, 130, 1.0),
        ("a", 170, 230, 1.0),
    ]


def test_detect_drops_short_events():
    rows = [0, 1, 0, 0, 0, 1, 1, 0]
    assert events(scores_of(rows), timing(min_duration=15)) == [("a", 60, 80, 1.0)]


def test_detect_reports_the_highest_averaged_score():
    assert events(scores_of([0, 0.6, 0.9, 0.6, 0]), timing())[0][3] == pytest.approx(0.9)
    averaged = events(scores_of([0] * 5 + [0.6, 0.9, 0.6] + [0] * 5), timing(30))
    assert averaged[0][3] == pytest.approx(0.7)


def test_detect_follows_several_classes_at_once():
    rows = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 0)]
    assert events(scores_of(rows), timing()) == [("a", 20, 40, 1.0), ("b", 30, 50, 1.0)]


def test_detect_uses_a_classs_own_thresholds():
    thresholds = Thresholds(on=0.5, off=0.3, classes={"b": Threshold(0.9, 0.8)})
    rows = [(0, 0), (0.6, 0.7), (0.6, 0.7), (0, 0), (0, 0)]
    assert events(scores_of(rows), timing(), thresholds) == [("a", 20, 40, 0.6)]


def test_detect_ends_events_before_a_gap_and_starts_anew_behind_it():
    gap = Gap(50, 100, 10, "test")
    items = [*scores_of([1, 1, 1]), gap, *scores_of([1, 1, 1, 0, 0, 0], 150)]
    how = timing()
    found = list(detect(average(items, 0), LABELS, THRESHOLDS, how))
    kinds = [type(item).__name__ for item in found if not isinstance(item, Average)]
    assert kinds == ["EventBegan", "SoundEvent", "Gap", "EventBegan", "SoundEvent"]
    assert events(items, how) == [("a", 0, 50, 1.0), ("a", 150, 190, 1.0)]


def test_detect_passes_averages_and_notices_in_order():
    notice = Notice(0, 10, "hello")
    items = [scores_of([0])[0], notice]
    found = list(detect(average(items, 0), LABELS, THRESHOLDS, timing()))
    assert [type(item) for item in found] == [Average, Notice]


def test_detect_gives_an_event_as_soon_as_no_pause_can_bridge_it():
    items = iter(scores_of([0, 1, 1, 0, 0, 0, 0, 0]))
    found = detect(average(items, 0), LABELS, THRESHOLDS, timing(max_gap=10))
    for item in found:
        if isinstance(item, SoundEvent):
            break
    assert next(items).position == 50  # windows at 0..40 were enough


def test_detect_with_an_exponential_average_that_looks_further_back():
    items = scores_of([0.9, 0.1, 0.1])
    how = timing(40)
    thresholds = Thresholds(on=0.3, off=0.1)
    averages = [
        Average(s, np.array([v, 0], np.float32)) for s, v in zip(items, [0, 0, 0.35], strict=True)
    ]
    (event,) = [e for e in detect(averages, LABELS, thresholds, how) if isinstance(e, SoundEvent)]
    assert event.onset == 0


@given(
    onset=st.integers(6, 20),
    length=st.integers(3, 15),
    average_windows=st.integers(0, 6),
)
def test_detect_finds_a_sound_within_a_hop_of_its_place(onset, length, average_windows):
    """A detector that hears a sound once it reaches a window's centre finds its ends."""
    begin, end = onset * HOP, (onset + length) * HOP
    needed = WINDOW / 2
    rows = []
    for i in range(onset + length + 20):
        overlap = min(end, i * HOP + WINDOW) - max(begin, i * HOP)
        rows.append(1.0 if overlap >= min(needed, end - begin) else 0.0)
    how = timing(average_windows * HOP)
    thresholds = Thresholds(on=0.3, off=0.1)
    ((_, found_onset, found_offset, _),) = events(scores_of(rows), how, thresholds)
    assert abs(found_onset - begin) <= HOP
    assert abs(found_offset - end) <= HOP


@given(rows=st.lists(st.floats(0, 1, width=32), max_size=60), average_windows=st.integers(0, 5))
@settings(max_examples=400)
def test_detect_never_lets_events_of_a_class_overlap_or_leave_the_audio(rows, average_windows):
    items = scores_of(rows)
    found = events(items, timing(average_windows * HOP, max_gap=10))
    places = sorted((onset, offset) for _, onset, offset, _ in found)
    assert all(0 <= onset < offset <= items[-1].end for onset, offset in places)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(places))


def test_label_that_is_never_reported_has_no_event_however_sure():
    rows = [(1.0, 0.9)] * 6 + [(0.0, 0.0)] * 6
    silent = Thresholds(on=0.5, off=0.3, never=["a"])
    assert {label for label, *_ in events(scores_of(rows), timing(), silent)} == {"b"}
    assert {label for label, *_ in events(scores_of(rows), timing())} == {"a", "b"}
