"""The command `heard`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from stored import change
from stores import Heard, Run, make_store

from streamclf.cli.heard_screen import describe, describe_range
from streamclf.cli.question_options import QuestionOptions
from streamclf.cli.text_table import Column, Look, format_table, shorten
from streamclf.sinks.json_records import CountLine, EventLine, OngoingLine
from streamclf.store.database import connect
from streamclf.store.question import Question
from streamclf.store.reviews import review_event

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 23, 6, 0, tzinfo=BERLIN)


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch):
    """Dates are read in the zone that the stores are of."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone cannot be set here")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def store(tmp_path) -> Path:
    """A morning of two microphones, and two recordings of which one has no date."""
    return make_store(
        tmp_path / "heard.db",
        [
            Run("yard", MONDAY, 7200, [
                Heard("dog", 60, 2.5, 0.75), Heard("dog", 3700, 1.25, 0.9123456),
                Heard("rain", 10, 600.5, 0.8, state="cut"),
            ], gaps=[(1000, 360, "stream lost")]),
            Run("rtsp://cam:***@host/ü", MONDAY, 3600, [Heard("cat", 0.5, None, 0.5)],
                state="open"),
            Run("/field/a", MONDAY, 60, [Heard("dog", 1.5, 2)], recording="/field/a/1.wav"),
            Run("/field/b", None, 60, [Heard("crow", 2.5, 2)], recording="/field/b/2.wav"),
        ],
    )  # fmt: skip


@pytest.fixture
def heard(streamclf, store):
    """Ask the store."""
    return lambda *arguments: streamclf("heard", "--store", store, *arguments)


def test_a_day_is_told_by_label(heard):
    result = heard("--since", "2026-03-23", "--until", "2026-03-23")
    assert result.code == 0
    assert result.err == ""
    assert (
        result.out
        == """\
Monday 23 Mar 2026
5 events in 3 h 01 min of audio from 3 sources; 6 min 00 s missing

  label  events  minutes  first  last   highest
  dog         3      0.1  06:00  07:01     0.91
  cat         1      0.0  06:00  06:00     0.50
  rain        1     10.0  06:00  06:00     0.80

Still sounding: cat (rtsp://cam:***@host/ü, since 06:00:00)
1 event cut off: its run ended without warning
1 event has no time (recordings without a date): --by label counts them
"""
    )


def test_labels_are_told_with_words_where_the_model_has_them(heard, store):
    change(store, """UPDATE models SET sureness = '{"dog": [0.5, 0.9], "cat": [0.6]}'""")
    lines = heard("--since", "2026-03-23", "--until", "2026-03-23").out.splitlines()
    assert lines[3:7] == [
        "  label  events  minutes  first  last   surest",
        "  dog         3      0.1  06:00  07:01  sure   0.91",
        "  cat         1      0.0  06:00  06:00  maybe  0.50",
        "  rain        1     10.0  06:00  06:00         0.80",
    ]
    assert "highest" in heard("--by", "day").out.splitlines()[3]  # of all labels together


def test_hours_without_events_and_hours_without_ears_differ(heard):
    lines = heard("--by", "hour", "--label", "dog").out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  0")}
    assert rows["05:00"] == ["0", "-", "-"]
    assert rows["06:00"] == ["2", "1.04", "1.9", "0.1", "0.90"]
    assert rows["07:00"] == ["1", "1.00", "1.0", "0.0", "0.91"]
    assert rows["08:00"] == ["0", "0", "0.10"]


def test_groups_within_groups(heard):
    out = heard("--by", "source", "--by", "label").out
    assert [line.split() for line in out.splitlines()[3:] if line.startswith("  ")] == [
        ["source", "label", "events", "per", "hour", "minutes", "first", "last", "highest"],
        ["a", "dog", "1", "60.0", "0.0", "06:00", "06:00", "0.90"],
        ["b", "crow", "1", "60.0", "0.0", "0.90"],
        ["rtsp://cam:***@host/ü", "cat", "1", "1.00", "0.0", "06:00", "06:00", "0.50"],
        ["yard", "dog", "2", "1.00", "0.1", "06:01", "07:01", "0.91"],
        ["rain", "1", "0.50", "10.0", "06:00", "06:00", "0.80"],
    ]


def test_without_a_question_it_is_about_today(streamclf, tmp_path):
    now = datetime.now().astimezone()
    begun = now - timedelta(hours=30)
    store = make_store(
        tmp_path / "s.db",
        [Run("yard", begun, 30 * 3600, [("old", 0), ("new", 30 * 3600 - 1)])],
    )
    out = streamclf("heard", "--store", store).out
    assert out.startswith(f"Today, {now:%A} {now.day} ")
    assert "new" in out
    assert "old" not in out
    assert "old" in streamclf("heard", "--store", store, "--by", "label").out


def test_people_read_the_names_of_labels(streamclf, tmp_path):
    store = make_store(
        tmp_path / "s.db",
        [Run("yard", MONDAY, 60, [("clock_alarm", 1), Heard("dog", 2, None)],
             display_names={"clock_alarm": "Clock alarm", "dog": "Dog"})],
    )  # fmt: skip
    out = streamclf("heard", "--store", store, "--by", "label").out
    assert "  Clock alarm  " in out
    assert "Still sounding: Dog (yard" in out
    page = tmp_path / "page.html"
    streamclf("report", "--store", store, "-o", page, "--since", "2026-03-23")
    assert page.read_text(encoding="utf-8").count("Clock alarm") >= 3
    assert "  Clock alarm  " in streamclf("heard", "--store", store, "--format", "text").out
    assert "clock_alarm" in streamclf("heard", "--store", store, "--format", "csv").out


def test_an_empty_answer_says_the_way_out(heard, streamclf, tmp_path):
    lines = heard("--since", "2026-03-24").out.splitlines()
    assert lines[1] == "No event, and nothing listened"
    assert lines[-1] == ("The store holds 6 events on 2026-03-23: --since 2026-03-23 asks for all")
    quiet = heard("--label", "dog", "--min-score", "1", "--by", "label").out.splitlines()
    assert quiet[1] == "0 events in 3 h 02 min of audio from 4 sources; 6 min 00 s missing"
    assert quiet[-1] == "The store holds 6 events on 2026-03-23: ask for less"
    empty = tmp_path / "empty.db"
    connect(empty, create=True).close()
    out = streamclf("heard", "--store", empty).out
    assert "The store holds no event yet: listen or file with --store" in out


def test_a_quiet_store_says_what_was_listened_to(streamclf, store):
    connection = connect(store)
    connection.execute("DELETE FROM events")
    connection.close()
    said = (
        "The store holds no event: nothing was told in 3 h 02 min of audio from 4 sources; a "
        "lower --threshold tells more"
    )
    for asked in ([], ["--since", "2026-03-24"]):
        out = streamclf("heard", "--store", store, *asked).out
        assert out.splitlines()[-1] == said


def test_a_store_without_levels_says_so(streamclf, store):
    connection = connect(store)
    connection.execute("DELETE FROM levels")
    connection.execute("UPDATE runs SET heard_samples = 0")
    connection.close()
    out = streamclf("heard", "--store", store, "--by", "label").out
    assert out.splitlines()[1] == "6 events; how long was listened is not known"
    assert out.splitlines()[4].split() == ["dog", "3", "-", "0.1", "06:00", "07:01", "0.91"]


EVENTS = [
    ("yard", "rain", "10.0", "610.5", "0.8", "2026-03-23T06:00:10.000", "+01:00", "", "cut"),
    ("yard", "dog", "60.0", "62.5", "0.75", "2026-03-23T06:01:00.000", "+01:00", "", "ended"),
]


def test_csv_is_read_by_its_reader(heard, tmp_path):
    file = tmp_path / "events.csv"
    assert heard("-o", file, "--source", "yard").code == 0
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    keys = "source label onset offset score time utc_offset folder state".split()
    assert [tuple(row[key] for key in keys) for row in rows[:2]] == EVENTS
    assert [row["label"] for row in rows] == ["rain", "dog", "dog"]
    assert {row["type"] for row in rows} == {"event"}
    everything = list(csv.DictReader(io.StringIO(heard("--format", "csv").out)))
    assert [row["label"] for row in everything] == ["cat", "dog", "rain", "dog", "dog", "crow"]
    assert everything[0]["offset"] == ""
    assert everything[0]["state"] == "open"
    assert [everything[-1][key] for key in ("time", "source", "folder")] == [
        "", "/field/b/2.wav", "/field/b",
    ]  # fmt: skip


def test_json_lines_are_read_by_their_types(heard):
    lines = heard("--format", "jsonl").out.splitlines()
    found = [msgspec.json.decode(line, type=EventLine | OngoingLine) for line in lines]
    cat, recorded, rain, dog, _, crow = found
    assert isinstance(cat, OngoingLine)
    assert (cat.known, cat.time) == (3600.0, "2026-03-23T06:00:00.500+01:00")
    assert isinstance(rain, EventLine)
    assert rain.cut is True
    assert (dog.id.split("@")[0], dog.onset, dog.score) == ("dog-960000", 60.0, 0.75)
    assert isinstance(dog, EventLine)
    assert (dog.offset, dog.cut) == (62.5, msgspec.UNSET)
    assert (recorded.id, recorded.source) == ("dog-24000", "/field/a/1.wav")
    assert crow.time is msgspec.UNSET


def test_counts_are_rows_too(heard):
    question = ["--by", "source", "--by", "hour", "--label", "dog"]
    rows = list(csv.DictReader(io.StringIO(heard(*question, "--format", "csv").out)))
    assert [(r["source"], r["hour"], r["events"], r["hours_heard"]) for r in rows] == [
        ("/field/a", "6", "1", "0.0167"),
        ("rtsp://cam:***@host/ü", "6", "0", "1.0"),
        ("yard", "6", "1", "0.9"),
        ("yard", "7", "1", "1.0"),
        ("yard", "8", "0", "0.1"),
    ]
    lines = heard(*question, "--format", "jsonl").out.splitlines()
    counts = [msgspec.json.decode(line, type=CountLine) for line in lines]
    assert [each.events for each in counts] == [1, 0, 1, 1, 0]
    assert counts[1].first is msgspec.UNSET
    assert counts[2].first == "2026-03-23T06:01:00.000+01:00"
    assert json.loads(lines[0])["type"] == "count"


def test_parquet_is_read_by_pyarrow(heard, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "events.parquet"
    assert heard("-o", file).code == 0
    rows = parquet.read_table(file).to_pylist()
    assert [row["label"] for row in rows] == ["cat", "dog", "rain", "dog", "dog", "crow"]
    assert rows[3]["time"] == MONDAY + timedelta(seconds=60)
    assert (rows[3]["utc_offset_min"], rows[3]["offset"], rows[0]["offset"]) == (60, 62.5, None)
    counts = tmp_path / "counts.parquet"
    assert heard("-o", counts, "--by", "day", "--by", "label").code == 0
    row = parquet.read_table(counts).to_pylist()[0]
    assert (str(row["day"]), row["label"], row["events"]) == ("2026-03-23", "cat", 1)


def test_raven_and_audacity_have_the_times_of_the_recording(heard, tmp_path):
    file = tmp_path / "all.selections.txt"
    assert heard("-o", file, "--label", "crow,dog").code == 0
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    assert [(r["Begin File"], r["Begin Time (s)"], r["Label"]) for r in rows] == [
        ("1.wav", "1.500000", "dog"), ("yard", "60.000000", "dog"),
        ("yard", "3700.000000", "dog"), ("2.wav", "2.500000", "crow"),
    ]  # fmt: skip
    assert heard("--format", "audacity", "--source", "1.wav").out == "1.500000\t3.500000\tdog\n"
    result = heard("--format", "audacity")
    assert result.code == 2
    assert "these events lie in 4: choose one by --source FILE" in result.err


def test_events_as_text(heard):
    assert heard("--format", "text", "--min-score", "0.8").out == """\
2026-03-23 06:00:01     2.0 s  0.90  dog                   /field/a/1.wav at 1.5 s
2026-03-23 06:00:10  600.5 s?  0.80  rain                  yard
2026-03-23 07:01:40     1.2 s  0.91  dog                   yard
(no time)               2.0 s  0.90  crow                  /field/b/2.wav at 2.5 s
"""  # fmt: skip


def test_reviewed_events_alone(heard, store):
    connection = connect(store)
    for row, verdict in [(1, "wrong"), (1, "right"), (2, "wrong"), (3, "right"), (3, None)]:
        review_event(connection, row, verdict, None, time.time_ns() // 1000)
    connection.close()

    def rows(*asked):
        return [json.loads(line)["label"] for line in heard(*asked).out.splitlines()]

    form = ("--format", "jsonl")
    said = {word: sorted(rows("--reviewed", word, *form)) for word in ("right", "wrong", "not")}
    assert len(said["right"]) == len(said["wrong"]) == 1
    assert sorted(chain(*said.values())) == sorted(rows(*form))
    by = heard("--reviewed", "wrong", "--by", "label", "--format", "jsonl").out.splitlines()
    assert [(json.loads(line)["label"], json.loads(line)["events"]) for line in by] == [
        (said["wrong"][0], 1)
    ]
    result = heard("--reviewed", "maybe")
    assert result.code == 2
    assert "--reviewed" in result.err


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_plot_is_a_picture(heard, tmp_path, ending):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"week{ending}"
    result = heard("--plot", file)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"streamclf: {file}: 3 labels over the hours of the day\n"
    content = file.read_bytes()
    if ending == ".png":
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        from xml.etree import ElementTree

        assert ElementTree.fromstring(content).tag.endswith("svg")
        assert b"grey: nothing listened in this hour" in content  # it may well have sounded
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    again = heard("--plot", file)
    assert again.code == 2
    assert "exists already: add --overwrite" in again.err
    assert heard("--plot", file, "--overwrite").code == 0
    none = heard("--plot", tmp_path / "none.png", "--since", "2026-03-25")
    assert (none.code, "no event with a time to draw" in none.err) == (2, True)


def test_labels_of_any_kind_are_drawn(streamclf, tmp_path):
    pytest.importorskip("matplotlib")
    labels = ["犬 $x^2$", "a\nb", "$\\frac$", "ü" * 80, "\x1b[31m"]
    store = make_store(
        tmp_path / "s.db", [Run("yard", MONDAY, 60, [(name, n) for n, name in enumerate(labels)])]
    )
    assert streamclf("heard", "--store", store, "--plot", tmp_path / "a.png").code == 0


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("matplotlib", ["--plot", "week.png"], "--plot needs matplotlib, which is not installed"),
        ("pyarrow", ["-o", "a.parquet"], "Parquet needs pyarrow, which is not installed"),
    ],
)
def test_extras_that_are_missing_are_named(heard, monkeypatch, tmp_path, module, arguments, told):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    result = heard(*arguments)
    assert result.code == 2
    assert told in result.err
    assert result.err.count("\n") == 1
    assert not Path(arguments[1]).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "soon"], "--since 'soon': is no date: write it as in yesterday"),
        (["--since", "2099-01-01"], "has not come yet: name an earlier time"),
        (["--since", "2026-03-02", "--until", "2026-03-01"], "is not after --since"),
        (
            ["--label", "dgo"],
            "--label dgo: the store has no event of this name (did you mean dog?)",
        ),
        (["--source", "yrad"], "--source yrad: the store has no source of this name"),
        (["--min-score", "2"], "--min-score 2: must be 0 to 1"),
        (["--by", "week"], "--by week: must be hour, day, source, label or model"),
        (["--by", "day", "--by", "day"], "--by day: is given twice"),
        (["--by", "day", "--format", "raven"], "--by asks for counts: take csv, jsonl or parquet"),
        (["--format", "parquet"], "name a file by --output"),
        (["-o", "a.xlsx"], "the ending says no format; .jsonl, .csv, .parquet, .txt (Audacity"),
        (["--plot", "a.pdf"], "must end in .png or .svg"),
        (["--plot", "a.png", "--by", "day"], "leave --by, --format and --output out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(heard, arguments, told):
    result = heard(*arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert result.err.count("\n") == 1


def test_a_file_that_exists_is_kept(heard, tmp_path):
    for name in ("events.csv", "events.parquet"):
        file = tmp_path / name
        file.write_text("mine")
        result = heard("-o", file)
        assert (result.code, file.read_text()) == (2, "mine")
        assert "add --overwrite to replace it" in result.err
        assert heard("-o", file, "--overwrite").code == 0
        assert file.read_bytes()[:4] in (b"type", b"PAR1")


def test_a_store_that_is_not_there_or_is_damaged_is_told(streamclf, tmp_path):
    result = streamclf("heard", "--store", tmp_path / "none.db")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "there is no store" in result.err
    damaged = make_store(
        tmp_path / "s.db", [Run("yard", MONDAY, 60, [("dog", n / 100) for n in range(3000)])]
    )
    content = bytearray(damaged.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    damaged.write_bytes(content)
    result = streamclf("heard", "--store", damaged, "--by", "label")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "is damaged" in result.err


def test_the_store_of_the_user_is_asked_where_none_is_named(streamclf, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert QuestionOptions().path.is_relative_to(tmp_path)
    make_store(QuestionOptions().path, [Run("yard", MONDAY, 60, [("dog", 1)])])
    assert "dog" in streamclf("heard", "--by", "label").out


ODD = ["dog\nbark", "犬" * 20, "\x1b[2J", "a" * 90, ""]


def test_odd_names_neither_break_lines_nor_columns(streamclf, tmp_path):
    runs = [Run(f"{name}/mic", MONDAY, 60, [(name, 1)]) for name in ODD]
    store = make_store(tmp_path / "s.db", runs)
    for by in ("label", "source"):
        out = streamclf("heard", "--store", store, "--by", by).out
        assert len(out.splitlines()) == 4 + len(ODD)
        assert "\x1b" not in out
    connection = connect(store)
    for width in (80, 40):
        lines = describe(connection, Question(), ["label"], Look(width, colours=False))
        rows = lines[3:]
        assert len(rows) == 1 + len(ODD)
    connection.close()


def test_a_terminal_has_bars_and_colours_and_fits(store):
    connection = connect(store)
    for width in (80, 100):
        lines = describe(connection, Question(), ["hour"], Look(width, colours=False))
        table = [line for line in lines if line.startswith("  ")]
        assert len(table) == 25
        assert max(map(len, lines)) <= width
        longest = [line.count("█") for line in table]
        assert longest[7] == max(longest) >= 20
        assert longest[6] == 0  # nothing was heard at five
    coloured = describe(connection, Question(), ["hour"], Look(80, colours=True))
    assert "\x1b[36m" in "".join(coloured)
    ascii_only = describe(connection, Question(), ["hour"], Look(80, colours=False, blocks=False))
    assert "###" in "".join(ascii_only)
    assert "█" not in "".join(ascii_only)
    connection.close()


def test_a_table_shows_wide_letters_and_long_names_whole_in_their_columns():
    columns = [Column("name", ["犬猫", "b"]), Column("n", ["1", "22"], right=True)]
    assert format_table(columns, [None, None], Look()) == [
        "  name   n", "  犬猫   1", "  b     22",
    ]  # fmt: skip
    assert shorten("/a/very/long/path/to/some/folder/of/recordings/site-7").endswith("/site-7")
    assert len(shorten("x" * 200)) == 32


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        (None, None, "All that was heard"),
        ("2026-03-23", None, "Since Mon 23 Mar 2026"),
        ("2026-03-23T22:00", None, "Since Mon 23 Mar 2026, 22:00"),
        (None, "2026-03-24", "Until Mon 23 Mar 2026"),
        ("2026-03-23", "2026-03-24", "Monday 23 Mar 2026"),
        ("2026-03-23", "2026-03-30", "Mon 23 Mar to Sun 29 Mar 2026"),
        ("2025-12-31", "2026-01-02", "Wed 31 Dec 2025 to Thu 1 Jan 2026"),
        ("2026-03-23T22:00", "2026-03-24T06:00", "Mon 23 Mar, 22:00 to Tue 24 Mar 2026, 06:00"),
    ],
)
def test_a_time_is_told_in_words(since, until, told):
    ends = [
        None if end is None else datetime.fromisoformat(end).astimezone() for end in (since, until)
    ]
    assert describe_range(Question(*ends)) == told
