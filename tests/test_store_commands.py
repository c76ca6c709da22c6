"""`streamclf store`: check, export, import and vacuum."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sqlite3
import sys
from collections import namedtuple
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import toys
from stored import RATE, block, change, faults, hear_event, hear_gap, made_stream, rows

from streamclf.core.records import EventBegan, EventOngoing, SoundEvent
from streamclf.core.text_format import format_bytes
from streamclf.sinks import json_records
from streamclf.sinks.jsonl import JsonLinesSink
from streamclf.sinks.lines import PrintedLines
from streamclf.store import database, import_lines, imported_run
from streamclf.store.schema import VERSION
from streamclf.store.store import Store

ROOT = Path(__file__).parents[1]
STARTED = datetime(2026, 3, 28, 21, 30, 15, 250_000, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of a live run with two events and a gap, and one run that still goes on."""
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as opened:
        sink = opened.sink("yard")
        sink.begin(made_stream())
        hear_event(sink, hear_gap(sink, hear_event(sink, 0), 500))
    return path


@pytest.fixture
def going_on(store: Path) -> Store:
    """The store, written by a run that goes on."""
    with Store(store, report=print, live=True) as opened:
        sink = opened.sink("hall")
        sink.begin(made_stream(run="r2"))
        sink.hear(block(0, 2000))
        sink.write(EventBegan("cat", 1000, 0.6, 2000))
        opened.flush()
        yield opened


# Check.


def test_check_says_what_a_sound_store_holds(store, going_on, streamclf):
    result = streamclf("store", "check", "--store", store)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"{store}: fine: version {VERSION}, 2 sources, 2 runs (1 open), 0.00 h heard, "
        "3 events, 1 gap\n"
    )
    assert streamclf("store", "check", store).out == result.out


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("DELETE FROM levels", "run 1: heard_samples is 2000, its levels add up to 0"),
        ("DELETE FROM gaps", "run 1: gap_samples is 500, its gaps add up to 0"),
        (
            "UPDATE runs SET elapsed_samples = 9999",
            "run 1: elapsed_samples is 9999, heard and gaps add up to 2500",
        ),
        ("UPDATE events SET offset = NULL, offset_us = NULL, state = 'open' WHERE id = 1",
         "event 1 (dog, run 1): is open, its run is ended"),
        ("UPDATE events SET offset = NULL, offset_us = NULL WHERE id = 1",
         "event 1 (dog, run 1): is ended, its offset is none"),
        ("UPDATE events SET offset = -1, offset_us = onset_us - 1000 WHERE id = 1",
         "event 1 (dog, run 1): its offset is -1, its onset 0"),
        ("UPDATE events SET offset = 9000, offset_us = onset_us + 9000000 WHERE id = 1",
         "event 1 (dog, run 1): ends at 9000, its run at 2500"),
        ("UPDATE events SET offset_us = onset_us WHERE id = 1",
         "event 1 (dog, run 1): lasts 0 us by its times, 500000 us by its samples"),
        ("UPDATE events SET highest_score = 1.5 WHERE id = 1",
         "event 1 (dog, run 1): its score is 1.5, and lies from 0 to 1"),
        ("UPDATE gaps SET position = 2400", "gap 1 (run 1): goes from 2400 to 2900, its run from "
                                            "0 to 2500"),
        ("INSERT INTO gaps (run_id, position, n_samples, cause) VALUES (1, 1200, 10, 'x')",
         "gap 2 (run 1): begins at 1200, the one before it ends at 1500"),
        ("UPDATE levels SET position = 900",
         "minute at 900 (run 1): 2000 samples from there, its run goes from 0 to 2500"),
        ("UPDATE events SET source_id = 2", "event 1 (dog, run 1): its source is 2, that of its "
                                            "run 1"),
        ("DELETE FROM sources", "runs 1: there is no row in sources that it names"),
    ],
)  # fmt: skip
def test_check_names_what_does_not_add_up(statement, line, store, streamclf):
    with closing(sqlite3.connect(store)) as connection, connection:
        if "source_id" in statement:
            connection.execute("INSERT INTO sources (name) VALUES ('other')")
        connection.execute(statement)
    result = streamclf("store", "check", store)
    assert result.code == 1
    assert f"{store}: {line}" in result.out.splitlines()
    assert result.err.startswith(f"streamclf: error: {store}: does not add up: ")


def test_check_names_the_first_of_many(tmp_path, streamclf):
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as opened:
        sink = opened.sink()
        sink.begin(made_stream())
        for position in range(0, 100_000, 1000):
            hear_event(sink, position)
    change(path, "UPDATE events SET score = 2")
    result = streamclf("store", "check", path)
    lines = result.out.splitlines()
    assert len(lines) == 21
    assert "80 more like this, the last of them: event 100 " in lines[-1]


def test_check_looks_for_clips(store, tmp_path, streamclf):
    heard = tmp_path / "heard"
    heard.mkdir()
    for number, (name, n_bytes) in enumerate([("there.flac", 3), ("short.flac", 5)], 1):
        (heard / name).write_bytes(b"abc")
        change(
            store,
            "INSERT INTO clips (event_id, folder, path, bytes, written_us) VALUES (?, ?, ?, ?, 1)",
            *(number, str(heard), name, n_bytes),
        )
    assert streamclf("store", "check", store).code == 0
    result = streamclf("store", "check", store, "--clips")
    assert result.out == f"{store}: clip 2: {heard / 'short.flac'} has 3 bytes, its row says 5\n"
    (heard / "there.flac").unlink()
    result = streamclf("store", "check", store, "--clips")
    assert f"clip 1: {heard / 'there.flac'} is not there, and its row does not say so" in result.out
    change(store, "UPDATE clips SET gone_us = 1")
    assert streamclf("store", "check", store, "--clips").code == 0


def test_check_of_a_damaged_store_is_a_line(tmp_path, streamclf):
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as opened:
        sink = opened.sink()
        sink.begin(made_stream())
        for position in range(0, 500_000, 1000):
            hear_event(sink, position)
    with path.open("r+b") as file:
        for place in range(4096 * 20, path.stat().st_size, 4096):
            file.seek(place)
            file.write(os.urandom(1000))
    result = streamclf("store", "check", path)
    assert result.code == 1
    assert "malformed" in result.err or all(
        line.startswith(f"{path}: file: ") for line in result.out.splitlines()
    )
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["check", "export", "vacuum"])
def test_a_store_that_is_not_there_is_a_line(command, tmp_path, streamclf):
    result = streamclf("store", command, "--store", tmp_path / "none.db")
    assert (result.code, result.out) == (1, "")
    assert "none.db: there is no store: " in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["check", "export", "vacuum"])
def test_a_store_may_be_named_without_its_option(command, store, streamclf):
    streamclf("store", command, store)  # so that the next one does not find more to do
    named, chosen = (
        streamclf("store", command, store),
        streamclf("store", command, "--store", store),
    )
    assert (named.code, named.out) == (0, chosen.out)
    assert named.out


@pytest.mark.parametrize("command", ["check", "export", "vacuum"])
def test_two_stores_are_one_too_many(command, store, streamclf):
    result = streamclf("store", command, store, "--store", store)
    assert result.code == 2
    assert "both name a store: leave one out" in result.err


def test_the_default_store_lies_in_the_data_folder(tmp_path, monkeypatch, streamclf):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        lines = tmp_path / "empty.jsonl"
        lines.touch()
        assert streamclf("store", "import", lines).code == 0
        assert str(tmp_path / "streamclf" / "streamclf.db") in streamclf("store", "check").out


def test_a_folder_called_store_is_no_recording(tmp_path, monkeypatch, streamclf):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    assert "Usage: streamclf store" in streamclf("store", "--help").out


# Vacuum.


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (123_456, "123 kB"),
     (8_200_000_000, "8.2 GB"), (3.5e12, "3.5 TB")],
)  # fmt: skip
def test_sizes_are_written_for_people(n_bytes, text):
    assert format_bytes(n_bytes) == text


def test_vacuum_gives_room_back(tmp_path, streamclf):
    path = tmp_path / "x.db"
    with Store(path, report=print, live=True) as opened:
        sink = opened.sink()
        sink.begin(made_stream())
        for position in range(0, 3_000_000, 1000):
            hear_event(sink, position)
    change(path, "DELETE FROM runs")
    before = path.stat().st_size
    result = streamclf("store", "vacuum", "--store", path)
    assert result.code == 0
    assert path.stat().st_size < before / 2
    sizes = (format_bytes(before), format_bytes(path.stat().st_size))
    assert result.out == f"{path}: {sizes[0]} before, {sizes[1]} now\n"
    assert faults(path) == []


def test_vacuum_without_room_is_refused(store, streamclf, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5000))
    before = store.read_bytes()
    result = streamclf("store", "vacuum", "--store", store)
    assert (result.code, result.out) == (1, "")
    assert "is compacted with 2 times as much free; 5.0 kB are free: make room" in result.err
    assert store.read_bytes() == before


def test_vacuum_of_a_locked_store_is_a_line(store, streamclf, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        result = streamclf("store", "vacuum", "--store", store)
    assert (result.code, result.out) == (1, "")
    assert "cannot be compacted: database is locked; it is as it was: " in result.err


def test_a_store_that_is_written_can_be_compacted(store, going_on, streamclf):
    assert streamclf("store", "vacuum", "--store", store).code == 0
    assert faults(store) == []


# Export.


def parse(text: str) -> list[dict]:
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        schema = json.loads(
            (ROOT / f"docs/reference/schema/{line['type']}.json").read_text(encoding="utf-8")
        )
        jsonschema.validate(line, {**schema, "additionalProperties": False})
    return lines


def test_export_writes_the_lines_of_listen(store, going_on, tmp_path, streamclf):
    result = streamclf("store", "export", "--store", store)
    assert result.code == 0
    lines = parse(result.out)
    assert [(line["type"], line["onset"]) for line in lines] == [
        ("begin", 0.0), ("event", 0.0), ("gap", 1.0), ("begin", 1.5), ("event", 1.5),
        ("heard", 0.0), ("begin", 1.0),
    ]  # fmt: skip
    assert lines[1] == {
        "type": "event", "schema": 1, "id": "dog-0@r1", "source": "yard", "label": "dog",
        "onset": 0.0, "offset": 0.5, "time": "2026-07-01T04:30:50.000+00:00", "score": 0.7,
    }  # fmt: skip
    assert lines[2]["cause"] == "overflow"
    assert (lines[5]["offset"], lines[5]["events"]) == (2.5, 2)
    out = tmp_path / "all.jsonl"
    assert streamclf("store", "export", "--store", store, "-o", out).code == 0
    assert out.read_text(encoding="utf-8") == result.out
    again = streamclf("store", "export", "--store", store, "-o", out)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "--overwrite" in again.err
    assert streamclf("store", "export", "--store", store, "-o", out, "--overwrite").code == 0
    assert "is the store itself" in streamclf("store", "export", "--store", store, "-o", store).err


def test_a_live_run_s_lines_are_its_export(tmp_path, streamclf, tone_model, write_wav):
    path = write_wav(np.concatenate([toys.silence(4), toys.tone(1000, 6), toys.silence(6)]))
    store, lines = tmp_path / "x.db", tmp_path / "x.jsonl"
    listen = ["listen", "--source", f"sim:{path}", "--speed", "0", "--no-ui", "-m", tone_model]
    assert streamclf(*listen, "--store", store, "-o", lines).code == 0
    wrote = parse(lines.read_text(encoding="utf-8"))
    exported = parse(streamclf("store", "export", "--store", store).out)
    assert exported.pop()["type"] == "heard"
    events = [line for line in exported if line["type"] == "event"]
    assert events == [line for line in wrote if line["type"] == "event"] != []
    # When a begin was known is the time of the wall in the store; here audio came faster.
    for line in exported + wrote:
        line.pop("known", None)
    assert sorted(map(str, exported)) == sorted(map(str, wrote))


def test_a_store_that_is_damaged_in_the_middle_is_rescued(tmp_path, streamclf):
    store, rescued = tmp_path / "x.db", tmp_path / "rescued.db"
    with Store(store, report=print, live=True) as opened:
        for name in ("yard", "hall"):
            sink = opened.sink(name)
            sink.begin(made_stream(run=name))
            position = 0
            for _ in range(1500):
                position = hear_event(sink, position)
            sink.close()
    events = set(rows(store, "SELECT token, onset FROM events JOIN runs ON run_id = runs.id"))
    assert len(events) == 3000
    whole = bytearray(store.read_bytes())
    size = rows(store, "PRAGMA page_size")[0][0]
    pages = [  # 13: a leaf of a table
        number
        for number in range(1, len(whole) // size)
        if whole[number * size] == 13 and b"dog" in whole[number * size : (number + 1) * size]
    ]
    damaged = pages[5:7] + pages[11:12]
    for number in damaged:
        whole[number * size : (number + 1) * size] = b"\xff" * size
    store.write_bytes(whole)
    assert streamclf("store", "export", store).code == 1
    lines = tmp_path / "x.jsonl"
    result = streamclf("store", "export", "--rescue", store, "-o", lines)
    assert result.code == 0
    assert store.read_bytes() == whole
    assert streamclf("store", "import", lines, "--store", rescued).code == 0
    left = set(rows(rescued, "SELECT token, onset FROM events JOIN runs ON run_id = runs.id"))
    assert left < events
    assert 0 < len(events - left) < 3000 * 4 / len(pages)
    told = f"warning: events: {len(left):,} rows read; rows in 2 damaged places cannot be read"
    assert told.replace(",", "") in result.err.replace(",", "")
    assert faults(rescued) == []
    assert rows(rescued, "SELECT token, elapsed_samples, state FROM runs ORDER BY 1") == [
        (name, 1_500_000, "ended") for name in ("hall", "yard")
    ]


def test_a_store_of_which_nothing_is_left_cannot_be_rescued(tmp_path, streamclf):
    store = tmp_path / "x.db"
    store.write_bytes(b"\xff" * 8192)
    result = streamclf("store", "export", "--rescue", store)
    assert (result.code, result.out) == (1, "")
    assert f"{store}: nothing of it can be read: file is not a database" in result.err


# Import.

RUNS = (
    "SELECT token, sources.name, coalesce(path, ''), sample_rate, first_position, "
    "elapsed_samples, heard_samples, gap_samples, rows_lost, runs.state, begun_us / 1000, "
    "utc_offset_min, models.name, version, sha256 FROM runs "
    "JOIN sources ON source_id = sources.id JOIN models ON model_id = models.id "
    "LEFT JOIN recordings ON recording_id = recordings.id ORDER BY token"
)
EVENTS = (
    "SELECT token, label, onset, offset, round(score, 4), round(highest_score, 4), short, "
    "events.state, onset_us / 1000, (offset_us - onset_us), events.utc_offset_min, "
    "began_us IS NULL FROM events JOIN runs ON run_id = runs.id ORDER BY token, label, onset"
)
GAPS = (
    "SELECT token, position, n_samples, cause, gaps.begun_us / 1000 FROM gaps "
    "JOIN runs ON run_id = runs.id ORDER BY token, position"
)
MINUTES = (
    "SELECT token, minute_us, sum(levels.heard_samples) FROM levels JOIN runs ON run_id = runs.id "
    "GROUP BY token, minute_us ORDER BY token, minute_us"
)


def everything(store: Path) -> list[list[tuple]]:
    """All that lines carry."""
    return [rows(store, question) for question in (RUNS, EVENTS, GAPS, MINUTES)]


def write_random_runs(path: Path, seed: int, n_runs: int = 6) -> None:
    """Write live runs over two sources, with gaps, cut events and a run that goes on elsewhere."""
    chance = random.Random(seed)
    with Store(path, report=print, live=True) as store:
        began = STARTED
        for number in range(n_runs):
            sink = store.sink(chance.choice(["yard", "hall"]))
            position = first = chance.choice([0, 0, 123_456])
            sink.begin(made_stream(run=f"run{number}", started=began, position=first))
            sink.hear(block(position, 150))
            position += 150
            for _ in range(chance.randrange(12)):
                if chance.random() < 0.3:
                    position = hear_gap(sink, position, chance.randrange(1, 200_000))
                n_samples = chance.randrange(2, 90_000)
                score = chance.random()
                position = hear_event(sink, position, n_samples, chance.choice(["dog", "a-b@c"]),
                                      score)  # fmt: skip
            if chance.random() < 0.5:
                sink.hear(block(position, 1234))
                sink.write(EventBegan("cut", position, 0.5, position + 600))
                sink.write(EventOngoing("cut", position, 0.75, position + 1200))
            sink.close()
            began += timedelta(hours=7, milliseconds=chance.randrange(1000))


@pytest.mark.parametrize("seed", range(8))
def test_an_export_that_is_imported_gives_an_equal_store(seed, tmp_path, streamclf):
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    write_random_runs(first, seed)
    lines = tmp_path / "all.jsonl"
    assert streamclf("store", "export", "--store", first, "-o", lines).code == 0
    assert streamclf("store", "import", lines, "--store", second).code == 0
    runs, events, gaps, minutes = everything(first)
    # A run with nothing but silence and gaps has its name in no line, nor its rate.
    named = {token for token, *_ in events}
    imported = everything(second)
    for before, after in zip((runs, events, gaps, minutes), imported, strict=True):
        assert [row for row in before if row[0] in named] == [
            row for row in after if row[0] in named
        ]
    hours = "SELECT round(sum(1.0 * heard_samples / sample_rate), 3), count(*) FROM runs"
    assert rows(first, hours) == rows(second, hours)
    assert faults(second) == []
    # The same lines again, and into the store that they are of, add nothing.
    for store in (first, second):
        before = everything(store)
        result = streamclf("store", "import", lines, "--store", store)
        assert "new are 0 events, 0 gaps and 0 runs" in result.out
        assert everything(store) == before
        assert faults(store) == []


def test_a_pipe_of_export_and_import(store, tmp_path, streamclf, monkeypatch):
    text = streamclf("store", "export", "--store", store).out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    result = streamclf("store", "import", "-", "--store", tmp_path / "second.db")
    assert "new are 2 events, 1 gap and 1 run" in result.out
    assert everything(tmp_path / "second.db") == everything(store)


@pytest.mark.parametrize("resume", [True, False])
def test_lines_of_a_batch_give_the_store_of_the_batch(
    resume, tmp_path, tone_model, streamclf, write_wav, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("20260701_040000.wav", "20260701_050000.wav"):
        write_wav(np.concatenate([toys.silence(70), toys.tone(1000, 6)]), f"north/{name}")
    write_wav(toys.silence(10), "south/quiet.wav")
    own, other = tmp_path / "own.db", tmp_path / "other.db"
    command = ["file", "north", "south", "-m", tone_model, "-o", "all.jsonl", "--begins"]
    assert streamclf(*command, *(["--resume"] if resume else []), "--store", own).code == 0
    assert streamclf("store", "import", "all.jsonl", "--store", other).code == 0
    columns = EVENTS.replace("token", "path").replace(
        "ON run_id = runs.id", "ON run_id = runs.id JOIN recordings ON recording_id = recordings.id"
    )
    assert rows(own, columns) == rows(other, columns) != []
    heard = (
        "SELECT path, runs.state, round(1.0 * elapsed_samples / sample_rate, 3), sources.name "
        "FROM runs JOIN recordings ON recording_id = recordings.id "
        "JOIN sources ON source_id = sources.id ORDER BY path"
    )
    models = "SELECT DISTINCT models.name, version FROM runs JOIN models ON model_id = models.id"
    assert rows(other, models) == ([("tones", "1")] if resume else [("unknown", "")])
    if resume:
        assert rows(own, heard) == rows(other, heard)
        minutes = "SELECT minute_us, heard_samples FROM levels WHERE minute_us ORDER BY minute_us"
        assert rows(own, minutes) == rows(other, minutes) != []
    else:  # lines without marks do not say that a recording was heard to its end
        assert [(Path(path).name, state) for path, state, *_ in rows(other, heard)] == [
            ("20260701_040000.wav", "cut"), ("20260701_050000.wav", "cut"), ("quiet.wav", "cut"),
        ]  # fmt: skip
    assert faults(other) == []
    # Into the store of the batch itself they add nothing.
    result = streamclf("store", "import", "all.jsonl", "--store", own)
    assert "new are 0 events, 0 gaps and 0 runs" in result.out
    third = tmp_path / "third.db"
    assert streamclf("store", "export", "--store", own, "-o", "own.jsonl").code == 0
    assert streamclf("store", "import", "own.jsonl", "--store", third).code == 0
    # A batch that resumes goes on after what was imported, where lines tell of which file it was.
    for store, n_done in ((other, 3 if resume else 0), (third, 3)):
        result = streamclf(*command[:5], "--store", store, "--resume")
        assert f"{n_done} of 3 recordings had been done before" in result.err
    # Files that have changed since are heard again, and are not there twice.
    for path in tmp_path.glob("*/*.wav"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns - 1_000_000))
    result = streamclf(*command[:5], "--store", third, "--resume")
    assert "0 of 3 recordings had been done before" in result.err
    assert rows(third, columns) == rows(own, columns)
    assert rows(third, models.replace("version", "sha256")) == (
        rows(own, models.replace("version", "sha256"))
    )


def test_lines_of_a_file_that_was_replaced_do_not_say_that_the_new_one_was_heard(
    tmp_path, tone_model, streamclf, write_wav, monkeypatch
):
    """So it is where the store knows the new file by its own hearing, with another model."""
    monkeypatch.chdir(tmp_path)
    path = write_wav(toys.tone(1000, 6), "north/a.wav")
    command = ["file", "north", "-m", tone_model]
    for store, changed_ns in (("old.db", 10**18), ("new.db", 2 * 10**18)):
        os.utime(path, ns=(0, changed_ns))
        assert streamclf(*command, "--store", store).code == 0
    assert streamclf("store", "export", "--store", "old.db", "-o", "old.jsonl").code == 0
    (line,) = (each for each in Path("old.jsonl").read_text().splitlines() if '"heard"' in each)
    told = json.loads(line)
    assert (told["bytes"], told["modified"]) == (
        path.stat().st_size, "2001-09-09T01:46:40.000000+00:00",
    )  # fmt: skip
    with closing(sqlite3.connect("new.db")) as connection, connection:
        connection.execute("UPDATE models SET sha256 = 'another'")
        connection.execute("UPDATE runs SET elapsed_samples = 1")
    assert "1 run" in streamclf("store", "import", "old.jsonl", "--store", "new.db").out
    resumed = streamclf(*command, "--store", "new.db", "--resume")
    assert "0 of 1 recording had been done before" in resumed.err


def test_relative_names_begin_at_the_folder_that_is_told(tmp_path, streamclf):
    line = json_records.EventLine(
        id="dog-8000", source="site/a.wav", label="dog", onset=1.0, offset=2.0, score=0.5
    )
    lines, store = write_lines(tmp_path, line), tmp_path / "x.db"
    for _ in range(2):
        assert streamclf("store", "import", lines, "--store", store, "--folder", tmp_path).code == 0
    assert rows(store, "SELECT path, bytes FROM recordings") == [
        (str(tmp_path / "site" / "a.wav"), 0)
    ]
    assert rows(store, "SELECT name FROM sources") == [(str(tmp_path / "site"),)]
    assert rows(store, "SELECT sample_rate, elapsed_samples, state FROM runs") == [
        (8000, 16_000, "cut")
    ]
    refused = streamclf("store", "import", lines, "--store", store, "--folder", lines)
    assert refused.code == 2


def write_lines(folder: Path, *lines: object, name: str = "x.jsonl") -> Path:
    import msgspec

    path = folder / name
    with path.open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else msgspec.json.encode(line))
            file.write(b"\n")
    return path


def listened(path: Path, *runs: tuple[str, datetime | None]) -> int:
    """Write a file of lines as listen does: runs with events and gaps; returns seconds heard."""
    with path.open("a", encoding="utf-8") as file:
        for run, started in runs:
            sink = JsonLinesSink(PrintedLines(file.write), begins=True)
            sink.begin(made_stream(run=run, started=started))
            sink.write(gap := _gap(0, 2000))
            for n in range(3):
                position = gap.end + n * 100_000
                sink.write(EventBegan("dog", position, 0.7, position + 500))
                sink.write(SoundEvent("dog", position, position + 1000, 0.8, short=n == 1))
                sink.write(_gap(position + 50_000, 10_000))
    return 3


def _gap(position: int, n_samples: int):
    from streamclf.core.records import Gap

    return Gap(position, n_samples, RATE, "overflow")


@pytest.mark.parametrize("started", [STARTED, None])
def test_lines_of_runs_that_went_on_with_one_file_are_told_apart(started, tmp_path, streamclf):
    lines, store = tmp_path / "x.jsonl", tmp_path / "x.db"
    later = None if started is None else started + timedelta(days=3)
    listened(lines, ("r1", started), ("r2", later))
    result = streamclf("store", "import", lines, "--store", store)
    assert "new are 6 events, 8 gaps and 2 runs" in result.out
    # Heard up to the last thing that a line tells of, but in the gaps.
    elapsed = 2000 + 250_000 + 10_000
    assert rows(
        store, "SELECT token, elapsed_samples, gap_samples, state, sample_rate FROM runs"
    ) == [(run, elapsed, 32_000, "cut", 1000) for run in ("r1", "r2")]
    assert rows(store, "SELECT sum(short) FROM events") == [(2,)]
    assert faults(store) == []
    assert "new are 0 events" in streamclf("store", "import", lines, "--store", store).out


def test_pieces_of_a_run_may_come_one_after_another(tmp_path, streamclf):
    lines, whole, parts = tmp_path / "x.jsonl", tmp_path / "whole.db", tmp_path / "parts.db"
    listened(lines, ("r1", STARTED))
    assert streamclf("store", "import", lines, "--store", whole).code == 0
    text = lines.read_text(encoding="utf-8").splitlines(keepends=True)
    for n, cut in enumerate([(0, 2), (2, 5), (5, len(text))]):
        piece = tmp_path / f"x.{n}.jsonl"
        piece.write_text("".join(text[slice(*cut)]), encoding="utf-8")
        assert streamclf("store", "import", piece, "--store", parts).code == 0
        assert faults(parts) == []
    assert rows(parts, EVENTS) == rows(whole, EVENTS)
    assert rows(parts, GAPS) == rows(whole, GAPS)
    assert rows(parts, RUNS) == rows(whole, RUNS)
    assert rows(parts, MINUTES) == rows(whole, MINUTES)


def test_a_begin_whose_end_is_missing_is_cut_where_the_lines_end(tmp_path, streamclf):
    place = {"source": "mic", "time": "2026-07-01T06:00:00+02:00"}
    begin = json_records.BeginLine(
        id="dog-16000@r1", label="dog", onset=1.0, known=2.5, score=0.6, **place
    )
    store = tmp_path / "x.db"
    lines = write_lines(tmp_path, begin)
    assert streamclf("store", "import", lines, "--store", store).code == 0
    question = "SELECT state, onset, offset, score, highest_score, began_us - onset_us FROM events"
    assert rows(store, question) == [("cut", 16_000, 40_000, 0.6, 0.6, 1_500_000)]
    # Its end comes later, when the file has grown.
    end = json_records.EventLine(
        id="dog-16000@r1", label="dog", onset=1.0, offset=9.0, score=0.9, **place
    )
    write_lines(tmp_path, end)
    assert "new are 1 event," in streamclf("store", "import", lines, "--store", store).out
    assert rows(store, question) == [("ended", 16_000, 144_000, 0.6, 0.9, 1_500_000)]
    assert "new are 0 events" in streamclf("store", "import", lines, "--store", store).out
    assert faults(store) == []


def test_a_run_that_is_written_is_left_alone(store, going_on, tmp_path, streamclf):
    lines = tmp_path / "all.jsonl"
    assert streamclf("store", "export", "--store", store, "-o", lines).code == 0
    change(store, "DELETE FROM events WHERE state = 'open'")
    before = everything(store)
    result = streamclf("store", "import", lines, "--store", store)
    assert "; 1 belong to runs that are being written, and were left out" in result.out
    assert everything(store) == before


def test_what_an_outage_kept_out_of_the_store_is_taken_from_the_lines(tmp_path, streamclf):
    """A box wrote both. Its store was gone for the second half of the run."""
    lines, store = tmp_path / "x.jsonl", tmp_path / "x.db"
    listened(lines, ("r1", STARTED))
    with Store(store, report=print, live=True) as opened:
        sink = opened.sink()
        sink.begin(made_stream(run="r1", started=STARTED))
        sink.hear(_gap(0, 2000))
        sink.hear(block(2000, 3000))
        sink.write(SoundEvent("dog", 2000, 3000, 0.8))
    result = streamclf("store", "import", lines, "--store", store)
    assert "new are 2 events, 3 gaps and 0 runs; 2 were there already" in result.out
    assert rows(store, "SELECT elapsed_samples, gap_samples FROM runs") == [(262_000, 32_000)]
    assert rows(store, "SELECT onset FROM events ORDER BY onset") == [
        (2000,), (102_000,), (202_000,)
    ]  # fmt: skip
    assert faults(store) == []
    assert "new are 0 events, 0 gaps" in streamclf("store", "import", lines, "--store", store).out


def test_a_run_that_goes_on_with_another_model_is_not_heard_twice(tmp_path, streamclf):
    def line(run: str, onset: float) -> json_records.EventLine:
        time = (STARTED + timedelta(seconds=onset)).isoformat(timespec="milliseconds")
        return json_records.EventLine(
            id=f"dog-{round(onset * 16_000)}@{run}", source="mic", label="dog", onset=onset,
            offset=onset + 1, score=0.5, time=time,
        )  # fmt: skip

    store = tmp_path / "x.db"
    lines = write_lines(tmp_path, line("r1", 10), line("r1", 99), line("r2", 150), line("r2", 199))
    assert streamclf("store", "import", lines, "--store", store).code == 0
    assert rows(store, "SELECT token, first_position, elapsed_samples FROM runs") == [
        ("r1", 0, 1_600_000), ("r2", 1_600_000, 1_600_000),
    ]  # fmt: skip
    assert faults(store) == []


def test_lines_that_are_none_are_told_with_their_number(tmp_path, streamclf):
    good = json_records.EventLine(
        id="dog-8000@r1", source="mic", label="dog", onset=1.0, offset=2.0, score=0.5
    )
    lines = write_lines(
        tmp_path,
        b"",
        b"no JSON",
        good,
        b'{"type":"event","schema":1,"id":"dog-1"}',
        b'{"type":"update","source":"mic"}',
        b'{"type":"of tomorrow"}',
        b'{"type":"event","schema":2}',
        b'{"type":"loss","schema":1,"source":"mic","lines":7}',
        b'{"type":"gap","source":"mic","onset":5,"offset":1,"cause":"x"}',
        b'{"type":"gap","source":"mic","onset":5,"offset":1e300,"cause":"x"}',
        b'{"type":"gap","source":"mic","onset":1,"offset":2,"cause":"x","time":"never"}',
        b'{"type":"gap","source":"mic","onset":-1,"offset":2,"cause":"x"}',
        b"x" * (import_lines.LONGEST_LINE + 5),
        b'["a list"]',
        b'{"type":"event","id":"cat-1","source":"m","label":"dog","onset":1,"offset":2,"score":0}',
        b"\xff\xfe",
    )
    with lines.open("ab") as file:
        file.write(b'{"type":"event","schema":1,"id":"dog-9')  # as a power cut leaves it
    store = tmp_path / "x.db"
    result = streamclf("store", "import", lines, "--store", store)
    assert result.code == 1
    assert result.out == (
        f"{store}: new are 1 event, 0 gaps and 1 run; 3 lines skipped (1 of unknown kinds, 1 of "
        "version 2, 1 update); 11 lines could not be read; 7 lines had been lost before\n"
    )
    told = result.err.splitlines()
    assert [line.split(", line ")[1].split(":")[0] for line in told[:-1]] == [
        "2", "4", "9", "10", "11",
    ]  # fmt: skip
    assert told[-1] == f"streamclf: warning: {lines}: 6 more lines cannot be read"
    assert rows(store, "SELECT rows_lost FROM runs") == [(7,)]
    assert faults(store) == []


def test_a_file_that_cannot_be_read_leaves_the_others_done(tmp_path, streamclf):
    lines = tmp_path / "x.jsonl"
    listened(lines, ("r1", STARTED))
    store = tmp_path / "x.db"
    result = streamclf("store", "import", tmp_path / "none", lines, tmp_path, "--store", store)
    assert result.code == 1
    assert result.err.count("cannot be read") == 2
    assert "new are 3 events" in result.out


def test_gaps_and_marks_of_runs_without_events_are_runs(tmp_path, streamclf):
    """Quiet days, as an export tells of them."""
    path, second = tmp_path / "x.db", tmp_path / "second.db"
    with Store(path, report=print, live=True) as store:
        for day in range(4):
            sink = store.sink("yard")
            sink.begin(made_stream(run=f"r{day}", started=STARTED + timedelta(days=day)))
            position = hear_gap(sink, 0, 100 * day) if day else 0
            if day == 2:
                position = hear_event(sink, position)
            sink.hear(block(position, 5000))
            sink.close()
    lines = tmp_path / "all.jsonl"
    streamclf("store", "export", "--store", path, "-o", lines)
    result = streamclf("store", "import", lines, "--store", second)
    assert "new are 1 event, 3 gaps and 4 runs" in result.out
    hours = (
        "SELECT round(1.0 * heard_samples / sample_rate, 6), 1.0 * gap_samples / sample_rate, "
        "begun_us / 1000, state FROM runs ORDER BY begun_us"
    )
    assert rows(path, hours) == rows(second, hours)
    assert faults(second) == []
    for store in (path, second):
        result = streamclf("store", "import", lines, "--store", store)
        assert "new are 0 events, 0 gaps and 0 runs" in result.out


def test_an_import_that_was_killed_goes_on(tmp_path, streamclf, monkeypatch):
    lines, store = tmp_path / "x.jsonl", tmp_path / "x.db"
    listened(lines, ("r1", STARTED))
    monkeypatch.setattr(imported_run, "BATCH", 1)
    real = imported_run.RunImport._write_batch

    def break_off(self, batch):
        if batch and batch[0]["onset"] > 100_000:
            raise sqlite3.OperationalError("database or disk is full")
        real(self, batch)

    monkeypatch.setattr(imported_run.RunImport, "_write_batch", break_off)
    result = streamclf("store", "import", lines, "--store", store)
    assert (result.code, result.out) == (1, "")
    assert "database or disk is full; make room or end what locks it, and import" in result.err
    assert faults(store) == []
    monkeypatch.setattr(imported_run.RunImport, "_write_batch", real)
    result = streamclf("store", "import", lines, "--store", store)
    assert "new are 2 events, 0 gaps and 0 runs" in result.out
    assert faults(store) == []


def test_memory_of_an_import_is_bounded(tmp_path):
    """A file of twenty thousand lines is gathered on the disk, and not in this process."""
    import tracemalloc

    path = tmp_path / "x.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(20_000):
            file.write(
                f'{{"type":"event","schema":1,"id":"dog-{n * 32_000}@r1","source":"mic",'
                f'"label":"dog","onset":{2.0 * n},"offset":{2.0 * n + 1},"score":0.5}}\n'
            )
    store = tmp_path / "x.db"
    with closing(database.connect(store, create=True)) as connection, path.open("rb") as file:
        lines = import_lines.LineImport(connection, tmp_path, print)
        tracemalloc.start()
        try:
            lines.read("x.jsonl", file)
            found = lines.write()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (found.n_events, found.n_runs) == (20_000, 1)
    assert peak < 2_000_000  # 40 bytes a line beyond what any import takes, a quarter of its text
    assert faults(store) == []
