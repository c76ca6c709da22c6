"""What happens to a store that is locked, full, damaged, moved or not to be written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePath

import pytest
from killed_writers import kill_a_writer
from live_runs import Words
from stored import (
    RATE,
    block,
    change,
    faults,
    fill_disk,
    hear_event,
    hear_gap,
    made_stream,
    mounted_disk,
    onsets,
    rows,
    until,
)

from streamclf.core.errors import StoreError
from streamclf.core.records import EventBegan, SoundEvent
from streamclf.notify.cut_events import find_left_events, read_cut_events
from streamclf.store import database, sink, store, writers
from streamclf.store.check import check_store
from streamclf.store.database import (
    UnwritableStoreError,
    check_before_opening,
    connect,
    connect_to_read,
)
from streamclf.store.names import find_labels, list_labels
from streamclf.store.store import Store

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX alone")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Try again soon."""
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    monkeypatch.setattr(store, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(store, "RETRY_LIMIT_S", 0.05)
    monkeypatch.setattr(store, "CLOSE_S", 60)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a store's lock, as another program may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = NORMAL")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def begun(path: Path, words: Words) -> tuple[Store, sink.StoreSink, int]:
    """A live store with a stream in it, one event and one gap; and where the stream is."""
    opened = Store(path, report=words, live=True)
    made = opened.sink()
    made.begin(made_stream())
    position = hear_gap(made, hear_event(made, 0), 500)
    opened.flush()
    return opened, made, position


# The disk is full.


def exhaust(connection: sqlite3.Connection) -> None:
    """Let SQLite find no room for one more page."""
    (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {n_pages}")


def test_a_full_store_is_written_from_memory_when_there_is_room(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        exhaust(opened._connection)
        while not words.told:  # audio is never held up
            position = hear_event(made, position)
        assert "cannot be written: database or disk is full; rows wait in memory" in words.told[0]
        for _ in range(500):
            position = hear_gap(made, hear_event(made, position), 10)
        assert len(onsets(path)) < position // 1000
        assert faults(path) == []
        opened._connection.execute("PRAGMA max_page_count = 1000000")
        words.until("is written again, after")
        opened.flush()
    assert len(words.told) == 2
    expected = [0, *range(1500, 1500 + 1000 * (len(onsets(path)) - 501), 1000)]
    assert onsets(path)[: len(expected)] == expected
    assert rows(path, "SELECT count(*) FROM gaps") == [(501,)]
    assert rows(path, "SELECT elapsed_samples, state, rows_lost FROM runs") == [
        (position, "ended", 0)
    ]
    assert faults(path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    with mounted_disk(tmp_path / "small") as folder:
        yield folder


def test_a_full_disk_is_survived(small_disk, words):
    path = small_disk / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        other = fill_disk(small_disk)
        while not words.told:
            position = hear_event(made, position)
        assert "rows wait in memory" in words.told[0]
        assert connect_refused(small_disk / "new.db").endswith("make room, or name another file")
        other.unlink()
        words.until("is written again, after")
    assert len(words.told) == 2
    assert rows(path, "SELECT elapsed_samples, state FROM runs") == [(position, "ended")]
    assert faults(path) == []


def kill_while_sounding(path: Path) -> None:
    """Leave a store as a kill does while a cat sounds: a run and an event are open."""
    opened, made, position = begun(path, print)
    made.write(EventBegan("cat", position, 0.6, position + 500))
    made.hear(block(position, 1000))
    opened.flush()
    whole = {
        each: each.read_bytes() for each in (path, path.with_name(f"{path.name}-wal"))
    }  # before the end is in them
    opened.close()
    for each, content in whole.items():
        each.write_bytes(content)


def cut_ends(path: Path, left: dict[int, bool]) -> list[tuple[str, int]]:
    return [(each.label, each.offset_us) for each in read_cut_events(path, left).ends]


@pytest.mark.parametrize("before", ["ended", "killed", "none"])
def test_a_start_on_a_full_disk_is_written_when_there_is_room(before, small_disk, words):
    path = small_disk / "x.db"
    if before == "ended":
        begun(path, words)[0].close()
    elif before == "killed":
        kill_while_sounding(path)
    fill_disk(small_disk)
    left = find_left_events(path)
    other = fill_disk(small_disk)  # a question moves the log's rows into the store: that made room
    with pytest.raises(StoreError, match=r"cannot be opened: the disk is full; make room, or name"):
        Store(path, report=print, live=False)
    with Store(path, report=words, live=True) as opened:
        (line,) = words.told
        assert line.endswith("until then rows wait in memory, and all else goes on")
        assert "cannot be opened: the disk is full; make room, or name another file" in line
        assert not opened.figures.is_written
        made = opened.sink()
        made.begin(made_stream(run="r2"))
        position = hear_gap(made, hear_event(made, 0), 500)
        if before != "none":  # the past can be asked meanwhile
            with closing(connect_to_read(path)) as connection:
                assert connection.execute("SELECT state FROM runs").fetchall() == [
                    ("open" if before == "killed" else "ended",)
                ]
        ends = cut_ends(path, left)
        assert [label for label, _ in ends] == (["dog", "cat"] if before == "killed" else [])
        other.unlink()
        words.until("is written again, after")
        assert cut_ends(path, left) == ends  # what it was told that the store says in the end
    assert rows(path, "SELECT elapsed_samples, gap_samples, state, rows_lost FROM runs")[-1] == (
        position, 500, "ended", 0
    )  # fmt: skip
    states = {"ended": ["ended"], "killed": ["cut"], "none": []}[before]
    assert rows(path, "SELECT state FROM runs") == [(each,) for each in [*states, "ended"]]
    assert faults(path) == []
    assert [each.name for each in small_disk.iterdir() if "writer" in each.name] == []


def test_a_start_on_a_disk_that_may_only_be_read_waits_for_it(small_disk, words):
    path = small_disk / "x.db"
    begun(path, words)[0].close()

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", small_disk], check=True)

    remount("ro")
    try:
        with pytest.raises(UnwritableStoreError, match="look whether its disk is sound"):
            Store(path, report=print, live=False)
        with pytest.raises(
            StoreError, match="cannot be opened"
        ) as refused:  # a place that is wrong
            Store(small_disk / "new.db", report=print, live=True)
        assert not isinstance(refused.value, UnwritableStoreError)
        opened = Store(path, report=words, live=True)
        made = opened.sink()
        made.begin(made_stream(run="r2"))
        hear_event(made, 0)
        assert "until then rows wait in memory" in words.told[-1]
    finally:
        remount("rw")
    words.until("is written again, after")
    opened.close()
    assert rows(path, "SELECT count(*) FROM events") == [(2,)]
    assert faults(path) == []


def connect_refused(path: Path) -> str:
    with pytest.raises(StoreError) as refused:
        connect(path, create=True)
    return str(refused.value)


def test_a_limit_of_the_file_s_size_is_survived(tmp_path, words):
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened:
        log = path.with_name("x.db-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10_000, most))
        try:
            while not words.told:
                position = hear_event(made, position)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        words.until("is written again, after")
    assert rows(path, "SELECT elapsed_samples, state FROM runs") == [(position, "ended")]
    assert faults(path) == []


def test_a_batch_gives_up_where_there_is_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "GIVE_UP_S", 0.1)
    path = tmp_path / "x.db"
    with Store(path, report=lambda line: None, live=False) as opened:
        exhaust(opened._connection)
        made = opened.sink()
        made.begin(made_stream())
        for position in range(0, 3_000_000, 1000):
            hear_event(made, position)
        with pytest.raises(StoreError, match=r"x\.db: could not be written for 0\.1 s: make room"):
            opened.flush()


# Another program holds its lock.


def test_a_locked_store_is_written_when_it_is_free(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        with locked(path):
            position = hear_event(made, position)
            words.until("cannot be written: database is locked; rows wait in memory")
            for _ in range(100):
                position = hear_event(made, position)
        words.until("is written again, after")
        opened.flush()
        assert len(onsets(path)) == 102
    assert len(words.told) == 2
    assert faults(path) == []


def test_a_store_that_is_locked_at_the_start_is_written_when_it_is_free(tmp_path, words):
    path = tmp_path / "x.db"
    connect(path, create=True).close()
    with locked(path):
        opened = Store(path, report=words, live=True)
        made = opened.sink()
        made.begin(made_stream())
        hear_event(made, 0)
        words.until("rows wait in memory")
    opened.close()
    assert onsets(path) == [0]


def test_runs_that_cannot_be_closed_at_the_start_are_closed_when_they_can(tmp_path, words):
    path = tmp_path / "x.db"
    begun(path, words)[0].close()
    change(path, "UPDATE runs SET state = 'open', writer = 'killed'")
    with locked(path):
        with pytest.raises(StoreError, match="database is locked; another program locks it: end"):
            Store(path, report=print, live=False)
        assert [each.name for each in tmp_path.glob("x.db-writer-*")] == []
        opened = Store(path, report=words, live=True)
        assert "until then rows wait in memory" in words.told[0]
        made = opened.sink()
        made.begin(made_stream(run="r2"))
        hear_event(made, 0)
    words.until("1 run of a process that was killed is closed")
    opened.close()
    assert rows(path, "SELECT state FROM runs") == [("cut",), ("ended",)]
    assert faults(path) == []


def test_rows_beyond_the_memory_are_counted_and_told(tmp_path, words, monkeypatch):
    monkeypatch.setattr(sink, "LIMIT_EVENTS", 50)
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        with locked(path):
            position = hear_event(made, position)
            words.until("rows wait in memory")
            for _ in range(100):
                position = hear_event(made, position)
            position = hear_gap(made, position, 100)
        recovery = words.until("is written again, after")
        assert f"; {made.n_lost} rows had no room in memory, and are lost" in recovery
        assert made.n_lost >= 2 * 101 - sink.LIMIT_EVENTS
        position = hear_event(made, position)
    assert f"lost {made.n_lost} rows in all" in words.told[-1]
    assert rows(path, "SELECT rows_lost, elapsed_samples FROM runs") == [(made.n_lost, position)]
    assert rows(path, "SELECT count(*) FROM gaps") == [(2,)]
    assert onsets(path)[-1] == position - 1000
    assert "lost while it was written" in check_store(path).counts
    assert faults(path) == []


def test_an_event_whose_end_was_lost_ends_with_its_run(tmp_path, words, monkeypatch):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        made.write(EventBegan("cat", position, 0.6, position))
        opened.flush()
        monkeypatch.setattr(sink, "LIMIT_EVENTS", 0)
        made.write(SoundEvent("cat", position, position + 10, 0.9))
        made.hear(block(position, 1000))
    assert rows(path, "SELECT state, offset FROM events WHERE label = 'cat'") == [
        ("cut", position + 1000)
    ]
    assert faults(path) == []


# The file is moved, deleted or replaced.


def test_a_store_that_is_moved_keeps_what_it_had_and_a_new_one_begins(tmp_path, words):
    path, moved = tmp_path / "x.db", tmp_path / "moved.db"
    opened, made, position = begun(path, words)
    with opened:
        path.rename(moved)
        position = hear_gap(made, hear_event(made, position), 200)
        words.until("was moved or deleted; a new store begins")
        opened.flush()
        position = hear_event(made, position)
    assert len(words.told) == 1
    assert rows(moved, "SELECT state, elapsed_samples FROM runs") == [("open", 1500)]
    assert onsets(moved) == [0]
    # The new one goes on where the old one ends: nothing is twice, nothing is missing.
    assert rows(path, "SELECT state, first_position, elapsed_samples, gap_samples FROM runs") == [
        ("ended", 1500, position - 1500, 200)
    ]
    assert onsets(path) == [1500, 2700]
    assert faults(moved) == []
    assert faults(path) == []


def test_a_store_that_is_deleted_begins_anew_with_what_sounds(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        made.write(EventBegan("cat", position, 0.6, position))
        made.hear(block(position, 500))
        opened.flush()
        for each in tmp_path.glob("x.db*"):
            if "-writer-" not in each.name:
                each.unlink()
        made.hear(block(position + 500, 500))
        opened.flush()
        words.until("a new store begins")
        assert rows(path, "SELECT label, onset, state, score FROM events") == [
            ("cat", position, "open", 0.6)
        ]
        made.write(SoundEvent("cat", position, position + 900, 0.8))
    assert rows(path, "SELECT label, onset, offset, state, highest_score FROM events") == [
        ("cat", position, position + 900, "ended", 0.8)
    ]
    assert rows(path, "SELECT first_position, elapsed_samples FROM runs") == [(position + 500, 500)]
    assert faults(path) == []


def test_minutes_go_on_in_a_new_store_where_the_old_one_ends(tmp_path, words):
    path, moved = tmp_path / "x.db", tmp_path / "moved.db"
    with Store(path, report=words, live=True) as opened:
        made = opened.sink()
        made.begin(made_stream())
        made.hear(block(0, 4000))  # of the ten seconds that are left of the minute
        opened.flush()
        path.rename(moved)
        made.hear(block(4000, 2000))
        opened.flush()
        made.hear(block(6000, 10_000))
    question = "SELECT position, minute_us / 60000000 % 60, heard_samples FROM levels"
    assert rows(moved, question) == [(0, 30, 4000)]
    assert rows(path, question) == [(4000, 30, 6000), (10_000, 31, 6000)]
    assert faults(path) == []


def test_levels_that_come_late_are_no_samples_twice(tmp_path, words):
    path, moved = tmp_path / "x.db", tmp_path / "moved.db"
    with Store(path, report=words, live=True) as opened:
        made = opened.sink()
        made.begin(made_stream())
        for position in (0, 10_000, 20_000):
            made.hear(block(position, 10_000))
            opened.flush()
        path.rename(moved)
        made.measure(block(0, 30_000))  # of both minutes, whose samples are written
        made.hear(block(30_000, 2000))
        opened.flush()
    assert rows(path, "SELECT first_position, elapsed_samples FROM runs") == [(30_000, 2000)]
    assert faults(path) == []
    assert faults(moved) == []


def test_a_clip_of_an_event_that_waited_is_noted_in_the_new_store(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        stream = made._stream
        with locked(path):
            event = SoundEvent("cat", position, position + 500, 0.9)
            made.hear(block(position, 1000))
            made.write(event)
            words.until("rows wait in memory")
            made.note_clip(stream, event, tmp_path, PurePath("cat") / "1.flac", 77)
            path.rename(tmp_path / "moved.db")
        opened.flush()
    assert rows(path, "SELECT label, bytes FROM clips JOIN events ON event_id = events.id") == [
        ("cat", 77)
    ]
    assert faults(path) == []


def test_a_run_that_ended_while_the_store_was_gone_is_whole_in_the_new_one(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        with locked(path):
            position = hear_event(made, position)
            words.until("rows wait")
            made.begin(made_stream(run="r2"))  # nothing of this one is written yet
            position = hear_event(made, 0)
            made.begin(made_stream(run="r3"))
            path.rename(tmp_path / "moved.db")
        opened.flush()
        hear_event(made, 0, 2000)
    assert rows(path, "SELECT token, state, elapsed_samples FROM runs ORDER BY token") == [
        ("r2", "ended", 1000), ("r3", "ended", 2000)
    ]  # fmt: skip
    assert made.n_lost == 2  # the begin and the end of the last event of r1, which ended
    assert "lost 2 rows in all" in words.told[-1]
    assert faults(path) == []


def test_a_database_of_another_program_in_its_place_is_left_alone(tmp_path, words):
    path, foreign = tmp_path / "x.db", tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    opened, made, position = begun(path, words)
    with opened:
        for each in tmp_path.glob("x.db*"):
            if "-writer-" not in each.name:
                each.unlink()
        foreign.rename(path)
        position = hear_event(made, position)
        words.until("is a database of another program: name another file; rows wait in memory")
        position = hear_event(made, position)
        path.rename(foreign)
        words.until("is written again")
    assert rows(foreign, "SELECT name FROM sqlite_schema") == [("mine",)]
    assert onsets(path) == [1500, 2500]
    assert [line for line in words.told if "cannot be written" in line] == words.told[:1]
    assert faults(path) == []


def test_garbage_in_its_place_is_put_aside(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        path.unlink()
        path.write_bytes(b"garbage" * 1000)
        hear_event(made, position)
        words.until("is damaged (file is not a database): it is now x.db.damaged-")
        opened.flush()
    assert onsets(path) == [1500]
    assert faults(path) == []


def test_a_store_that_is_damaged_while_it_is_open_is_put_aside(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        opened._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(100)
            file.write(os.urandom(path.stat().st_size - 100))
        opened._connection.execute("PRAGMA shrink_memory")  # so that it reads the file again
        position = hear_gap(made, hear_event(made, position), 100)
        line = words.until("is damaged (")
        opened.flush()
    assert len(words.told) == 1
    aside = tmp_path / line.split("it is now ")[1].split(",")[0]
    assert aside.stat().st_size > 4096
    assert onsets(path) == [1500]
    assert rows(path, "SELECT first_position, gap_samples, state FROM runs") == [
        (1500, 100, "ended")
    ]
    assert faults(path) == []


@pytest.mark.parametrize("tables", [["runs"], ["runs", "sources", "models"]])
def test_a_run_whose_rows_somebody_deletes_begins_anew(tables, tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        for table in tables:
            change(path, f"DELETE FROM {table}")
        position = hear_event(made, position)
        words.until("rows of an open run were deleted")
        opened.flush()
        assert onsets(path) == [1500]
        position = hear_event(made, position)
    assert len(words.told) == 1
    assert rows(path, "SELECT first_position, elapsed_samples, state FROM runs") == [
        (1500, position - 1500, "ended")
    ]
    assert made.n_lost == 0
    assert faults(path) == []


def test_an_event_that_somebody_deletes_is_written_at_its_end(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        made.hear(block(position, 1000))
        made.write(EventBegan("cat", position, 0.6, position))
        opened.flush()
        change(path, "DELETE FROM events")
        made.write(SoundEvent("cat", position, position + 500, 0.8))
    assert rows(path, "SELECT label, score, highest_score FROM events") == [("cat", 0.6, 0.8)]
    assert words.told == []
    assert faults(path) == []


def test_a_row_that_fits_into_no_table_is_lost_alone(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        made.hear(block(position, 1000))
        made.write(SoundEvent("cat", position, position + 500, float("nan")))
        made.write(SoundEvent("dog", position, position + 500, 0.5))
        words.until("1 row did not fit into its tables, and are lost")
        opened.flush()
        hear_event(made, position + 1000)
    assert rows(path, "SELECT label FROM events WHERE onset >= 1500") == [("dog",), ("dog",)]
    assert made.n_lost == 1
    assert faults(path) == []


def test_texts_that_no_encoding_holds_are_escaped(tmp_path, words):
    path = tmp_path / "x.db"
    with Store(path, report=words, live=True) as opened:
        made = opened.sink("yard \udcff")
        made.begin(made_stream())
        hear_event(made, 0, label="Hünd \ud800")
    assert rows(path, "SELECT name, label FROM events JOIN sources ON source_id = sources.id") == [
        ("yard \\udcff", "Hünd \\ud800")
    ]
    assert words.told == []


# What a start finds.


def damage(path: Path) -> None:
    """Write garbage into the middle of each page but the first."""
    with path.open("r+b") as file:
        for place in range(4096 + 50, path.stat().st_size, 4096):
            file.seek(place)
            file.write(os.urandom(2000))


def fill(path: Path) -> None:
    with Store(path, report=print, live=True) as opened:
        made = opened.sink()
        made.begin(made_stream())
        for position in range(0, 1_000_000, 1000):
            hear_event(made, position)


@pytest.mark.parametrize("kind", ["garbage", "zeros", "short", "half a page"])
def test_a_store_that_is_damaged_is_put_aside_at_the_start(kind, tmp_path, words):
    path = tmp_path / "x.db"
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "garbage": os.urandom(20_000),
            "zeros": bytes(20_000),
            "short": whole[: len(whole) // 2],
            "half a page": whole[:2000],
        }[kind]
    )
    damaged = path.read_bytes()
    with (
        pytest.raises(StoreError, match=r"is damaged|cannot be checked")
        if kind != "short"
        else (suppress(StoreError))
    ):
        check_store(path)
    opened, _, _ = begun(path, words)
    opened.close()
    (line,) = words.told
    assert "is damaged (" in line
    assert line.endswith("and a new store begins")
    aside = tmp_path / line.split("it is now ")[1].split(",")[0]
    assert aside.read_bytes() == damaged
    assert onsets(path) == [0]
    assert faults(path) == []


def test_damage_is_found_at_the_start_after_a_kill(tmp_path, words):
    path = tmp_path / "x.db"
    fill(path)
    change(path, "UPDATE runs SET state = 'open', writer = 'killed'")
    damage(path)
    opened, _, _ = begun(path, words)
    opened.close()
    assert "is damaged (" in words.told[-1]
    assert onsets(path) == [0]
    assert faults(path) == []


def test_two_starts_put_a_damaged_store_aside_once(tmp_path, words, monkeypatch):
    path = tmp_path / "x.db"
    path.write_bytes(os.urandom(5000))
    real = store.connect

    def let_another_be_first(where: Path, **options: object) -> sqlite3.Connection:
        try:
            return real(where, **options)
        except database.DamagedStoreError:
            monkeypatch.setattr(store, "connect", real)
            Store(path, report=words, live=True).close()
            raise

    monkeypatch.setattr(store, "connect", let_another_be_first)
    Store(path, report=words, live=True).close()
    assert len(words.told) == 1
    assert len(list(tmp_path.glob("x.db.damaged-*"))) == 1


@needs_posix
def test_a_log_that_is_deleted_after_a_kill_takes_no_more_than_itself(tmp_path, words):
    path = tmp_path / "x.db"
    fill(path)
    for n in range(5):
        kill_a_writer(path, f"killed {n}", 0.02)
        path.with_name("x.db-wal").unlink(missing_ok=True)
        path.with_name("x.db-shm").unlink(missing_ok=True)
        Store(path, report=words, live=True).close()
        assert faults(path) == []
    assert len(onsets(path)) >= 1000
    assert not any("damaged" in line for line in words.told)


@pytest.mark.parametrize("name", ["notes.txt", "sound.wav"])
def test_a_file_of_the_user_s_is_never_put_aside(name, tmp_path):
    path = tmp_path / name
    content = b"my thesis\n" * 1000 if name == "notes.txt" else os.urandom(9000)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is not a store, and may be a file of yours"):
        Store(path, report=print, live=True)
    with pytest.raises(StoreError, match="is not a store, and may be a file of yours"):
        check_before_opening(path)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    for read in (connect, connect_to_read, check_store, check_before_opening):
        with pytest.raises(StoreError, match="is a database of another program: name another file"):
            read(path)
    with pytest.raises(StoreError, match="is a database of another program"):
        Store(path, report=print, live=True)
    assert path.read_bytes() == before


def test_a_damaged_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.executemany("INSERT INTO mine VALUES (?)", [("x" * 500,)] * 100)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(2000))
    with pytest.raises(StoreError, match="is not a store, and may be a file of yours"):
        Store(path, report=print, live=True)


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "x.db"
    connect(path, create=True).close()
    change(path, "PRAGMA user_version = 9")
    for read in (connect, connect_to_read, check_store, check_before_opening):
        with pytest.raises(StoreError, match=r"is a store of version 9, .* install a newer"):
            read(path)


def test_a_look_before_opening_refuses_no_store_and_makes_none(tmp_path):
    path = tmp_path / "new" / "x.db"
    check_before_opening(path)
    assert not path.parent.exists()
    connect(path, create=True).close()
    check_before_opening(path)
    path.write_bytes(os.urandom(9000))  # damaged: another one is begun beside it
    check_before_opening(path)
    path.write_bytes(b"")
    check_before_opening(path)


def test_a_folder_is_no_store(tmp_path):
    assert connect_refused(tmp_path).endswith("is a folder, and a store is a file: name a file in "
                                              "it")  # fmt: skip
    (tmp_path / "file").touch()
    assert "cannot be opened" in connect_refused(tmp_path / "file" / "x.db")
    assert "cannot be opened" in connect_refused(tmp_path / "null\0.db")
    with pytest.raises(StoreError, match="there is no store"):
        connect(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="there is no store"):
        connect(tmp_path / "empty.db")
    assert (tmp_path / "empty.db").stat().st_size == 0, "a question makes no store of a file"


@pytest.mark.parametrize(
    "name", ["with space.db", "Vögel ♪.db", "a?b#c%20.db", "none ending", ":memory:", "file:x.db",
             "new/folder/x.db"]
)  # fmt: skip
def test_any_name_of_a_file_is_one(name, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    opened, _, _ = begun(Path(name), words)
    opened.close()
    assert (tmp_path / name).stat().st_size > 4096
    assert [each.name for each in (tmp_path / name).parent.iterdir()] == [Path(name).name]
    assert check_store(tmp_path / name).faults == []
    with closing(connect_to_read(Path(name))) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of root's, seen by a user who may read it and no more."""
    if not hasattr(os, "setresuid") or os.geteuid() != 0:
        pytest.skip("needs root, who is whom nothing forbids")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        os.setresuid(0, 0, 0)


def test_a_store_that_may_not_be_written_can_be_read(as_nobody):
    path = as_nobody / "a?b #1.db"
    fill(path)
    os.setresuid(65534, 65534, 0)
    assert check_store(path).faults == []
    with closing(connect_to_read(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1000,)
    with pytest.raises(StoreError, match="give yourself the rights to read and write it"):
        Store(path, report=print, live=True)
    with pytest.raises(StoreError, match="give yourself the rights to write into"):
        Store(as_nobody / "new.db", report=print, live=True)


def test_a_store_whose_folder_may_not_be_written_says_so(as_nobody):
    path = as_nobody / "x.db"
    fill(path)
    path.chmod(0o666)
    os.setresuid(65534, 65534, 0)
    assert check_store(path).faults == []
    with pytest.raises(StoreError, match="give yourself the rights to write into"):
        Store(path, report=print, live=True)


def test_a_store_of_another_version_cannot_be_read_where_it_cannot_be_written(as_nobody):
    path = as_nobody / "x.db"
    fill(path)
    change(path, "PRAGMA user_version = 0")
    change(path, "PRAGMA journal_mode = DELETE")
    os.setresuid(65534, 65534, 0)
    with pytest.raises(StoreError, match="cannot be opened"):
        check_store(path)


def test_a_store_of_an_earlier_version_can_be_read_where_it_cannot_be_written(as_nobody):
    path = as_nobody / "x.db"
    fill(path)
    change(path, "ALTER TABLE models DROP COLUMN broader")
    change(path, "PRAGMA user_version = 1")
    change(path, "PRAGMA journal_mode = DELETE")
    os.setresuid(65534, 65534, 0)
    with closing(connect_to_read(path)) as connection:
        (label,) = list_labels(connection)
        assert find_labels(connection, [label.upper()]) == (label,)


def test_locks_that_kills_left_are_removed_after_a_while(tmp_path):
    path = tmp_path / "x.db"
    connect(path, create=True).close()
    old, new = tmp_path / "x.db-writer-old", tmp_path / "x.db-writer-new"
    other = tmp_path / "x.db-writer"
    for each in (old, new, other):
        each.touch()
    os.utime(old, (1, 1))
    held = writers.WriterLock(path)
    held.take()
    os.utime(tmp_path / f"x.db-writer-{held.token}", (1, 1))
    Store(path, report=print, live=True).close()
    assert {each.name for each in tmp_path.iterdir()} == {
        "x.db", new.name, other.name, f"x.db-writer-{held.token}",
    }  # fmt: skip
    held.release()


def test_a_run_whose_writer_lives_is_left_alone(tmp_path, words):
    path = tmp_path / "x.db"
    opened, made, position = begun(path, words)
    with opened:
        second = Store(path, report=words, live=True)
        assert rows(path, "SELECT state FROM runs") == [("open",)]
        second.close()
        hear_event(made, position)
    assert words.told == []
    assert rows(path, "SELECT state FROM runs") == [("ended",)]


WRITE = """
import sys
from pathlib import Path, PurePath
from stored import hear_event, made_stream
from streamclf.store.store import Store
sys.stdin.readline()
with Store(Path(sys.argv[1]), report=print, live=True) as store:
    sink = store.sink(sys.argv[2])
    sink.begin(made_stream(run=sys.argv[2]))
    for position in range(0, 300_000, 1000):
        hear_event(sink, position)
        if position % 10_000 == 0:
            store.flush()
"""


def test_processes_that_begin_a_store_at_once_all_write_it(tmp_path):
    path = tmp_path / "x.db"
    root = Path(__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, path, name],
            env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in ("yard", "hall", "attic")
    ]  # fmt: skip
    said = [process.communicate("go\n", timeout=60)[0] for process in processes]
    assert said == ["", "", ""]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert rows(
        path,
        "SELECT token, runs.state, count(*) FROM runs JOIN events ON run_id = runs.id "
        "GROUP BY token ORDER BY token",
    ) == [(name, "ended", 300) for name in ("attic", "hall", "yard")]
    assert faults(path) == []


def test_a_recording_that_changed_and_was_heard_in_part_is_not_done(tmp_path):
    from streamclf.core.stats import Statistics

    path, recording = tmp_path / "x.db", tmp_path / "a.wav"
    recording.write_bytes(b"first")
    stream = made_stream(live=False, run="")
    object.__setattr__(stream, "source", str(recording))
    with Store(path, report=print, live=False) as opened:
        for whole in (True, False):
            made = opened.sink()
            made.begin(stream)
            hear_event(made, 0)
            made.end(Statistics(RATE), whole=whole)
            recording.write_bytes(b"second, which is longer")
    assert rows(path, "SELECT state FROM runs") == [("cut",), ("cut",)]
    until(lambda: faults(path) == [])
