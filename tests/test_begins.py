"""The life of an event: one begin, one end, the same onset, whatever happens in between."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.card import Thresholds
from streamclf.core.records import (
    Average,
    Change,
    EventBegan,
    EventOngoing,
    Gap,
    Scores,
    SoundEvent,
)
from streamclf.pipeline.average import average
from streamclf.pipeline.events import Timing, detect

LABELS = ["a", "b"]
WINDOW, HOP = 30, 10
THRESHOLDS = Thresholds(on=0.5, off=0.3)


def timing(average_samples: int = 0, **changes: int | str) -> Timing:
    return Timing(**{"window": WINDOW, "hop": HOP, "average": average_samples, **changes})


def scores_of(rows: list, start: int = 0) -> list[Scores]:
    """Rows are scores of class a, or pairs for both classes."""
    pairs = [row if isinstance(row, tuple) else (row, 0.0) for row in rows]
    return [
        Scores(start + i * HOP, WINDOW, np.array(pair, dtype=np.float32))
        for i, pair in enumerate(pairs)
    ]


def lives(items, how: Timing, thresholds: Thresholds = THRESHOLDS, kind="mean") -> list:
    """All that is told, with how much had been heard by then."""
    heard, told = 0, []
    for result in detect(average(items, how.average, kind), LABELS, thresholds, how):
        if isinstance(result, Average):
            heard = result.end
        elif isinstance(result, EventBegan | EventOngoing | SoundEvent):
            told.append((heard, result))
    return told


def records(items, how: Timing, thresholds: Thresholds = THRESHOLDS) -> list:
    return [record for _, record in lives(items, how, thresholds)]


def check_lives(told: list, how: Timing) -> None:
    """Each begin has one end, with its id and onset; nothing told is dropped or told twice."""
    open_, ended = {}, Counter()
    for heard, record in told:
        if isinstance(record, EventBegan):
            assert record.id not in open_
            assert not ended[record.id]
            assert record.position == heard
            assert heard - record.onset >= how.min_duration
            open_[record.id] = record
            continue
        begun = open_[record.id]
        assert (record.label, record.onset) == (begun.label, begun.onset)
        assert not isinstance(record, EventOngoing) or record.position == heard > begun.position
        if isinstance(record, SoundEvent):
            assert record.onset < record.offset <= heard
            assert record.offset - record.onset >= how.min_duration
            if how.max_duration:
                assert record.offset - record.onset <= how.max_duration
            del open_[record.id]
            ended[record.id] += 1
    assert not open_


@st.composite
def streams(draw):
    """Windows of two classes, with gaps and other settings in between."""
    score = st.sampled_from([0.0, 0.1, 0.3, 0.35, 0.5, 0.7, 0.9, 0.99])
    items, position = [], 0
    for _ in range(draw(st.integers(1, 4))):
        rows = draw(st.lists(st.tuples(score, score), max_size=25))
        repeat = draw(st.integers(1, 3))
        more = scores_of([row for row in rows for _ in range(repeat)], position)
        items += more
        position = more[-1].end if more else position
        if draw(st.booleans()):
            items.append(Gap(position, 40, 10, "test"))
            position += 40
        elif more:
            position = more[-1].position + HOP
            on, back = draw(st.sampled_from([0.2, 0.5, 0.8])), draw(st.integers(0, 6)) * HOP
            items.append(Change(position, HOP, back, Thresholds(on=on, off=on / 2)))
    return items


@given(
    items=streams(),
    windows=st.integers(0, 7),
    kind=st.sampled_from(["mean", "exponential"]),
    lengths=st.fixed_dictionaries({
        "min_duration": st.sampled_from([0, 5, 25]),
        "max_gap": st.sampled_from([0, 10, 30]),
        "max_duration": st.sampled_from([0, 25, 70]),
        "ongoing": st.sampled_from([0, 10, 45]),
        "begin": st.sampled_from(["patient", "sure", "eager"]),
    }),
)  # fmt: skip
@settings(max_examples=200)
def test_each_begin_has_one_end(items, windows, kind, lengths):
    how = timing(windows * HOP, **lengths)
    told = lives(items, how, kind=kind)
    check_lives(told, how)


@given(items=streams(), windows=st.integers(0, 7), cut=st.integers(0, 80))
@settings(max_examples=100)
def test_what_was_told_of_a_stream_stays_true_where_it_is_cut(items, windows, cut):
    """Begins are those of the whole stream, but for what the end itself makes known."""
    how = timing(windows * HOP, max_gap=10)
    whole, part = lives(items, how), lives(items[:cut], how)
    n_heard = max((item.end for item in items[:cut] if not isinstance(item, Change)), default=0)
    earlier = [pair for pair in part if pair[0] < n_heard]
    assert whole[: len(earlier)] == earlier


def test_begin_is_told_with_the_average_that_turns_the_class_on():
    items = scores_of([0, 0, *[0.6] * 8, *[0] * 8])
    told = lives(items, timing(60, begin="patient"))
    # Of six windows' mean five must hold it: 0.6 * 5 / 6 = 0.5; the window at 60 ends at 90.
    assert told[0] == (90, EventBegan("a", 30, pytest.approx(0.5), 90))
    assert [type(record) for _, record in told] == [EventBegan, SoundEvent]
    assert told[0][1].id == told[1][1].id == "a-30"


def test_begin_is_told_sooner_where_the_windows_are_sure():
    items = scores_of([0, 0, *[0.999] * 8, *[0] * 8])
    patient, at_once = (lives(items, timing(60, begin=b)) for b in ("patient", "sure"))
    assert patient[0][0] == 70
    assert at_once[0] == (50, EventBegan("a", 30, pytest.approx(0.999), 50))
    # The event itself is the same.
    assert patient[1][1] == at_once[1][1]


def test_sure_windows_are_told_where_the_average_never_rises():
    """A bark in an average over ten seconds."""
    items = scores_of([0] * 24 + [0.99] * 4 + [0] * 30)
    assert records(items, timing(240, begin="patient")) == []
    (began, ended) = records(items, timing(240))
    assert (began.onset, ended.onset, ended.offset) == (250, 250, 290)
    assert began.score == pytest.approx(0.99)
    assert ended.score == pytest.approx(0.99 * 4 / 24)  # what the average came to


def test_no_class_is_sure_while_a_window_still_holds_another_event():
    # At the end of b windows name a for a moment.
    rows = [(0, 0.99)] * 8 + [(0.999, 0.0)] + [(0, 0)] * 10
    assert {record.label for record in records(scores_of(rows), timing(60))} == {"b"}
    alone = [(0, 0)] * 8 + [(0.999, 0.0)] + [(0, 0)] * 10
    assert {record.label for record in records(scores_of(alone), timing(60))} == {"a"}


def test_begin_waits_for_the_least_length():
    items = scores_of([0, 1, 1, 1, 0, 0])
    assert [heard for heard, _ in lives(items, timing())] == [40, 70]
    how = timing(min_duration=25)
    told = lives(items, how)
    # The cells of three windows are 30 long: only then is it sure not to be dropped.
    assert told[0] == (60, EventBegan("a", 20, 1.0, 60))
    assert records(scores_of([0, 1, 1, 0, 0]), how) == []


def test_event_that_reaches_its_least_length_at_the_end_has_a_begin():
    items = scores_of([0, 1])
    began, ended = records(items, timing(min_duration=20))
    assert (began.onset, began.position, ended.offset) == (20, 40, 40)


def test_two_stretches_that_are_bridged_have_one_begin():
    rows = [0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert [type(r) for r in records(scores_of(rows), timing(max_gap=20))] == [
        EventBegan,
        SoundEvent,
    ]
    assert len(records(scores_of(rows), timing(max_gap=19))) == 4


def test_begins_of_a_gap_and_of_the_end_have_their_ends_before_it():
    gap = Gap(50, 100, 10, "test")
    items = [*scores_of([1, 1, 1]), gap, *scores_of([1, 1, 1], 150)]
    kinds = [
        type(result).__name__
        for result in detect(average(items, 0), LABELS, THRESHOLDS, timing())
        if not isinstance(result, Average)
    ]
    assert kinds == ["EventBegan", "SoundEvent", "Gap", "EventBegan", "SoundEvent"]


def test_event_stays_the_same_over_a_change_of_settings():
    items = scores_of([0, *[0.6] * 12, *[0] * 10])
    items.insert(6, Change(60, HOP, 0, Thresholds(on=0.9, off=0.5)))
    told = records(items, timing(30))
    check_lives(lives(items, timing(30)), timing(30))
    assert [type(record) for record in told] == [EventBegan, SoundEvent]
    assert (told[0].onset, told[1].offset) == (20, 140)


def test_change_to_a_shorter_hop_leaves_no_cell_behind_the_last():
    items = scores_of([0, 1, 1, 1])
    items.append(Change(40, 2, 0, THRESHOLDS))
    items += [Scores(32 + 2 * k, WINDOW, np.array([1, 0], np.float32)) for k in range(5)]
    items += [Scores(42 + 2 * k, WINDOW, np.array([0, 0], np.float32)) for k in range(30)]
    check_lives(lives(items, timing(max_gap=4)), timing(max_gap=4))


def test_event_is_told_of_every_so_often():
    items = scores_of([0, *[1] * 20, *[0] * 4])
    told = lives(items, timing(ongoing=50))
    assert [(heard, type(r).__name__) for heard, r in told] == [
        (40, "EventBegan"),
        (90, "EventOngoing"),
        (140, "EventOngoing"),
        (190, "EventOngoing"),
        (240, "SoundEvent"),
    ]
    assert {record.id for _, record in told} == {"a-20"}


def test_long_event_ends_and_begins_anew():
    items = scores_of([0, *[1] * 20, *[0] * 4])
    told = records(items, timing(max_duration=80))
    pieces = [(r.onset, r.offset) for r in told if isinstance(r, SoundEvent)]
    assert pieces == [(20, 100), (100, 180), (180, 220)]
    assert [r.onset for r in told if isinstance(r, EventBegan)] == [20, 100, 180]
    check_lives(lives(items, timing(max_duration=80)), timing(max_duration=80))


def test_pieces_have_scores_of_their_own():
    items = scores_of([0, *[1] * 8, *[0.6] * 12, *[0] * 4])
    ended = [r for r in records(items, timing(max_duration=80)) if isinstance(r, SoundEvent)]
    assert [event.score for event in ended] == [1.0, pytest.approx(0.6), pytest.approx(0.6)]


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"ongoing": 300}, {"max_duration": 600}])
def test_event_of_hours_takes_no_memory(more):
    import tracemalloc

    def peak(n_windows: int) -> int:
        row = np.array([0.9, 0.0], np.float32)
        items = (Scores(k * HOP, WINDOW, row) for k in range(n_windows))
        tracemalloc.start()
        kinds = Counter(
            type(result) for result in detect(average(items, 60), LABELS, THRESHOLDS,
                                              timing(60, max_gap=20, **more))
        )  # fmt: skip
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kinds[EventBegan] == kinds[SoundEvent] >= 1
        return most

    # A record of 100 bytes kept for each window would be 200 kB more; other threads add below 50.
    assert peak(2_500) < peak(500) + 50_000
