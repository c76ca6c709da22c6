"""Streams that a store must take: long, early, dense, by clocks that are set, live and of files."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import toys
from stored import (
    BEGAN,
    RATE,
    block,
    change,
    faults,
    hear_event,
    hear_gap,
    made_stream,
    onsets,
    rows,
)

from streamclf.core.records import EventBegan, SoundEvent
from streamclf.store.minutes import NEAR_US
from streamclf.store.store import Store


def us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def test_a_gap_of_a_month_is_one_row_and_no_minute(tmp_path):
    path = tmp_path / "x.db"
    month = 30 * 86_400 * RATE
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream())
        position = hear_event(sink, hear_gap(sink, hear_event(sink, 0), month))
    assert rows(path, "SELECT elapsed_samples, heard_samples FROM runs") == [(position, 2000)]
    assert rows(path, "SELECT count(*) FROM levels") == [(2,)]
    (first, second), duration = rows(path, "SELECT onset_us FROM events"), timedelta(days=30)
    assert second[0] - first[0] == us(BEGAN + duration) - us(BEGAN) + 1_000_000
    assert faults(path) == []


@pytest.mark.parametrize("started", [None, BEGAN])
def test_positions_beyond_a_float_are_exact(started, tmp_path):
    """2 ** 53 and more: a float does not know these apart, and no clock knows their year."""
    path = tmp_path / "x.db"
    first = 2**53 + 1
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream(position=first, started=started))
        position = hear_gap(sink, hear_event(sink, first), 3)
        sink.write(EventBegan("cat", position, 0.5, position))
        sink.hear(block(position, 1001))
    assert rows(path, "SELECT first_position, elapsed_samples FROM runs") == [(first, 2004)]
    assert rows(path, "SELECT onset, offset, onset_us FROM events ORDER BY onset") == [
        (first, first + 500, None), (first + 1003, first + 2004, None),
    ]  # fmt: skip
    assert rows(path, "SELECT position FROM gaps") == [(first + 1000,)]
    assert faults(path) == []


def test_a_run_of_huge_positions_is_closed_after_a_kill(tmp_path):
    path = tmp_path / "x.db"
    store = Store(path, report=print, live=True)
    sink = store.sink()
    sink.begin(made_stream())
    hear_event(sink, 0)
    store.close()
    # As a kill leaves it, 900 years after its begin.
    change(path, "UPDATE levels SET heard_samples = ?", 3 * 10**13)
    change(
        path, "UPDATE runs SET state = 'open', writer = 'killed', elapsed_samples = ?, "
        "heard_samples = ?", 3 * 10**13, 3 * 10**13,
    )  # fmt: skip
    change(path, "UPDATE events SET state = 'open', offset = NULL, offset_us = NULL")
    said: list[str] = []
    Store(path, report=said.append, live=True).close()
    assert "1 run of a process that was killed is closed with 1 open event" in said[0]
    ((offset, offset_us, kind),) = rows(path, "SELECT offset, offset_us, typeof(offset_us) "
                                              "FROM events")  # fmt: skip
    assert (offset, kind) == (3 * 10**13, "integer")
    assert offset_us == us(BEGAN) + 3 * 10**16
    assert faults(path) == []


@pytest.mark.parametrize(
    "started",
    [
        datetime(1900, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 30, 500_000, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(9998, 12, 31, 23, 0, tzinfo=UTC),
    ],
)
def test_times_of_any_year_are_exact_and_so_are_their_minutes(started, tmp_path):
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream(started=started))
        hear_event(sink, 0, 130_000)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = (started - epoch) // timedelta(microseconds=1)
    offset = started.utcoffset() or timedelta()
    assert rows(path, "SELECT onset_us, utc_offset_min FROM events") == [
        (expected, offset // timedelta(minutes=1))
    ]
    minutes = rows(path, "SELECT minute_us, position FROM levels ORDER BY position")
    assert len(minutes) in (3, 4)
    for minute_us, position in minutes:
        assert minute_us % 60_000_000 == 0
        # Just before a full minute counts as it.
        assert minute_us - NEAR_US <= expected + position * 1000 < minute_us + 60_000_000
    assert faults(path) == []


def test_a_time_without_a_zone_is_one_of_this_machine_s(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        path = tmp_path / "x.db"
        with Store(path, report=print, live=True) as store:
            sink = store.sink()
            sink.begin(made_stream(started=datetime(2026, 7, 1, 4, 30)))
            hear_event(sink, 0)
        assert rows(path, "SELECT onset_us, utc_offset_min FROM events") == [
            (us(datetime(2026, 6, 30, 22, 45, tzinfo=UTC)), 345)
        ]
    finally:
        monkeypatch.undo()
        time.tzset()


class PlaceClock:
    """Clock of a place, with its summer time; it may be set."""

    def __init__(self, began: datetime, zone: str) -> None:
        self.began, self.zone = began, ZoneInfo(zone)
        self.set_by: list[tuple[int, timedelta]] = []

    def moment(self, position: int) -> datetime | None:
        moved = sum((by for place, by in self.set_by if position >= place), timedelta())
        return (self.began + moved + timedelta(seconds=position / RATE)).astimezone(self.zone)


def test_summer_time_that_ends_changes_the_offset_and_no_minute(tmp_path):
    path = tmp_path / "x.db"
    clock = PlaceClock(datetime(2026, 10, 25, 0, 58, tzinfo=UTC), "Europe/Berlin")
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream(clock=clock, started=None))
        position = 0
        for _ in range(4):  # 02:58, 02:59, 02:00, 02:01 by the wall
            position = hear_event(sink, position, 60_000)
    assert rows(path, "SELECT utc_offset_min, minute_us FROM levels ORDER BY position") == [
        (120, us(clock.began)), (120, us(clock.began) + 60_000_000),
        (60, us(clock.began) + 120_000_000), (60, us(clock.began) + 180_000_000),
    ]  # fmt: skip
    assert [row[0] for row in rows(path, "SELECT utc_offset_min FROM events ORDER BY onset")] == [
        120, 120, 60, 60,
    ]  # fmt: skip
    assert faults(path) == []


def test_a_clock_that_is_set_back_makes_no_event_end_before_it_began(tmp_path):
    path = tmp_path / "x.db"
    clock = PlaceClock(BEGAN, "UTC")
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream(clock=clock, started=None))
        sink.hear(block(0, 30_000))
        sink.write(EventBegan("dog", 20_000, 0.6, 30_000))
        sink.write(EventBegan("cat", 21_000, 0.6, 30_000))
        clock.set_by.append((30_000, -timedelta(hours=1)))
        sink.hear(block(30_000, 90_000))
        sink.write(SoundEvent("dog", 20_000, 40_000, 0.9))
    assert rows(path, "SELECT offset_us - onset_us, state FROM events ORDER BY onset") == [
        (20_000_000, "ended"), (99_000_000, "cut"),
    ]  # fmt: skip
    minutes = [minute for (minute,) in rows(path, "SELECT minute_us FROM levels ORDER BY position")]
    assert minutes != sorted(minutes)
    assert faults(path) == []


def test_a_time_that_is_unknown_at_first_is_told_when_it_is_known(tmp_path):
    path = tmp_path / "x.db"

    class Late(PlaceClock):
        known = False

        def moment(self, position: int) -> datetime | None:
            return super().moment(position) if self.known else None

    clock = Late(BEGAN, "UTC")
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream(clock=clock, started=None))
        sink.hear(block(0, 5000))
        sink.write(EventBegan("dog", 1000, 0.6, 5000))
        store.flush()
        assert rows(path, "SELECT begun_us FROM runs") == [(None,)]
        assert rows(path, "SELECT onset_us, offset_us FROM events") == [(None, None)]
        clock.known = True
        sink.hear(block(5000, 5000))
        sink.write(SoundEvent("dog", 1000, 9000, 0.7))
    assert rows(path, "SELECT begun_us FROM runs") == [(us(BEGAN),)]
    assert rows(path, "SELECT onset_us, offset_us FROM events") == [
        (us(BEGAN) + 1_000_000, us(BEGAN) + 9_000_000)
    ]
    assert faults(path) == []


def test_thousands_of_events_at_once_are_all_there(tmp_path):
    path = tmp_path / "x.db"
    said: list[str] = []
    with Store(path, report=said.append, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream())
        for position in range(0, 20_000, 2):  # 500 a second of audio, all in an instant
            hear_event(sink, position, 2)
    assert onsets(path) == list(range(0, 20_000, 2))
    assert said == []
    assert faults(path) == []


def test_ten_thousand_open_events_end_with_their_run(tmp_path):
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as store:
        sink = store.sink()
        sink.begin(made_stream())
        sink.hear(block(0, 20_000))
        for n in range(10_000):
            sink.write(EventBegan(f"label {n}", n, 0.5, 20_000))
        store.flush()
        assert rows(path, "SELECT count(*) FROM events WHERE state = 'open'") == [(10_000,)]
        assert faults(path) == []
    assert rows(path, "SELECT DISTINCT state, offset FROM events") == [("cut", 20_000)]
    assert faults(path) == []


def test_minutes_of_a_run_do_not_grow_into_those_of_the_next(tmp_path):
    """An answer of the disk about the last run may come when the next has begun."""
    path = tmp_path / "x.db"
    store = Store(path, report=print, live=True)
    sink = store.sink()
    store._write_next = lambda: False  # the thread ends; its part is played here
    sink.begin(made_stream())
    store._thread.join()
    sink.hear(block(0, 1000))
    sink.take()
    sink.begin(made_stream(run="r2"))
    sink.hear(block(0, 1000))
    sink.acknowledge()
    minutes = [values for sql, values in sink.take() if "INTO levels" in sql]
    assert [(values["run"], values["heard"]) for values in minutes] == [("r1", 1000), ("r2", 1000)]
    store.close()


def test_the_same_samples_give_the_same_rows_live_and_from_a_file(
    tmp_path, tone_model, streamclf, write_wav
):
    tones = itertools.cycle(toys.TONES.values())
    lengths = [2, 3, 4, 1, 2, 5, 6, 3, 40, 7, 8]
    parts = [
        toys.tone(hz, seconds) if seconds % 2 else toys.silence(seconds)
        for hz, seconds in zip(tones, lengths, strict=False)
    ]
    path = write_wav(np.concatenate(parts))
    live, batch = tmp_path / "live.db", tmp_path / "batch.db"
    common = ["--model", tone_model, "--hop", "0.25", "--unknown"]
    listen = ["listen", "--source", f"sim:{path}", "--speed", "0", "--no-ui", *common]
    assert streamclf(*listen, "--store", live).code == 0
    assert streamclf("file", path, *common, "--store", batch).code == 0
    events = "SELECT label, onset, offset, short, state FROM events"
    assert rows(live, events) == rows(batch, events)
    assert len(rows(live, events)) > 5
    scores = "SELECT score, highest_score FROM events"
    np.testing.assert_allclose(rows(live, scores), rows(batch, scores), atol=1e-5)
    runs = "SELECT sample_rate, first_position, elapsed_samples, heard_samples, state FROM runs"
    assert rows(live, runs) == rows(batch, runs)
    for store in (live, batch):
        result = streamclf("store", "check", store)
        assert (result.code, result.err) == (0, "")
        assert Path(store).name in result.out
