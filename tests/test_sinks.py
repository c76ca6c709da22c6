"""What is written where: every format, gaps in each, and files that survive what may come."""

import csv
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.records import Average, Gap, Notice, Scores, SoundEvent, StreamStarted
from streamclf.sinks.base import MemorySink, Sink
from streamclf.sinks.factory import open_scores, open_sink
from streamclf.sinks.file_names import format_of
from streamclf.sinks.lines import LineFile
from streamclf.sinks.live.targets import FileTarget

RATE = 8000
LABELS = ["dog", "door, slammed", "rain"]
STREAM = StreamStarted("a/long.wav", RATE, LABELS, "single-label")
LIVE = StreamStarted(
    "Mic", RATE, LABELS, "single-label",
    started=datetime(2026, 3, 29, 1, 59, 59, 900_000, timezone(timedelta(hours=1))),
)  # fmt: skip
METER = StreamStarted("meter.wav", RATE, ["power"], "regression")


def window(position: int, *values: float, averages: tuple[float, ...] = ()) -> Average:
    scores = Scores(position, 12_000, np.array(values, dtype=np.float32))
    return Average(scores, np.array(averages or values, dtype=np.float32))


RESULTS = [
    window(0, 0.7, 0.1, 0.2),
    SoundEvent("dog", 100_000, 120_000, 0.93456),
    Notice(120_000, RATE, "a word", "warning"),
    Gap(120_000, 8001, RATE, "overflow"),
    SoundEvent("door, slammed", 36_128_001, 36_136_000, 1.0),
]


def written(path: Path, stream: StreamStarted = STREAM, results: list = RESULTS, **options) -> str:
    sink = open_sink(path, **options)
    fill(sink, stream, results)
    return path.read_text()


def fill(sink: Sink, stream: StreamStarted = STREAM, results: list = RESULTS) -> None:
    sink.begin(stream)
    for result in results:
        sink.write(result)
    sink.close()
    sink.close()  # twice does no harm


def test_jsonl_has_a_line_an_event_and_a_gap(tmp_path):
    assert written(tmp_path / "x.jsonl").splitlines() == [
        '{"type":"event","schema":1,"id":"dog-100000","source":"a/long.wav","label":"dog","onset":12.5,'
        '"offset":15.0,"score":0.9346}',
        '{"type":"gap","schema":1,"source":"a/long.wav","onset":15.0,"offset":16.000125,"cause":"overflow"}',
        '{"type":"event","schema":1,"id":"door, slammed-36128001","source":"a/long.wav",'
        '"label":"door, slammed","onset":4516.000125,'
        '"offset":4517.0,"score":1.0}',
    ]


def test_jsonl_adds_the_time_of_live_streams(tmp_path):
    """On the night of the change to summer time, 12.5 s on; the offset stays what it was."""
    event, gap, _ = map(json.loads, written(tmp_path / "x.jsonl", LIVE).splitlines())
    assert event["time"] == "2026-03-29T02:00:12.400+01:00"
    assert gap["time"] == "2026-03-29T02:00:14.900+01:00"


def test_jsonl_shows_the_top_classes_on_request(tmp_path):
    results = [window(4000, 0.0, 0.0, 1.0, averages=(0.25, 0.25, 0.5))]
    (line,) = map(json.loads, written(tmp_path / "x.jsonl", results=results, top=2).splitlines())
    assert line == {
        "type": "update",
        "schema": 1,
        "source": "a/long.wav",
        "onset": 0.5,
        "offset": 2.0,
        "top": [{"label": "rain", "score": 0.5}, {"label": "dog", "score": 0.25}],
    }
    assert written(tmp_path / "y.jsonl", results=results, top=0) == ""


def test_jsonl_writes_the_values_of_a_regression(tmp_path):
    results = [window(0, 0.5, averages=(0.12345678,)), Gap(8000, 8000, RATE, "lost")]
    lines = written(tmp_path / "x.jsonl", METER, results).splitlines()
    assert lines == [
        '{"type":"value","schema":1,"source":"meter.wav","onset":0.0,"offset":1.5,"value":0.123457}',
        '{"type":"gap","schema":1,"source":"meter.wav","onset":1.0,"offset":2.0,"cause":"lost"}',
    ]
    two = StreamStarted("m", RATE, ["left", "right"], "regression")
    (line,) = written(tmp_path / "y.jsonl", two, [window(0, 1.0, -2.5)]).splitlines()
    assert json.loads(line)["values"] == {"left": 1.0, "right": -2.5}


def test_csv_has_a_row_an_event_and_a_gap(tmp_path):
    rows = list(csv.reader(written(tmp_path / "x.csv").splitlines()))
    assert rows == [
        ["type", "source", "label", "onset", "offset", "score", "time", "utc_offset"],
        ["event", "a/long.wav", "dog", "12.5", "15.0", "0.9346", "", ""],
        ["gap", "a/long.wav", "overflow", "15.0", "16.000125", "", "", ""],
        ["event", "a/long.wav", "door, slammed", "4516.000125", "4517.0", "1.0", "", ""],
    ]


def test_csv_has_live_times_and_values(tmp_path):
    rows = written(tmp_path / "x.csv", LIVE).splitlines()
    assert rows[1] == "event,Mic,dog,12.5,15.0,0.9346,2026-03-29T02:00:12.400,+01:00"
    rows = written(tmp_path / "y.csv", METER, [window(0, 0.125)]).splitlines()
    assert rows[1:] == ["value,meter.wav,power,0.0,1.5,0.125,,"]


def test_audacity_labels_are_three_columns_of_tabs(tmp_path):
    assert written(tmp_path / "x.txt").splitlines() == [
        "12.500000\t15.000000\tdog",
        "15.000000\t16.000125\tgap: overflow",
        "4516.000125\t4517.000000\tdoor, slammed",
    ]
    values = written(tmp_path / "y.txt", METER, [window(0, 0.125)])
    assert values == "0.000000\t1.500000\tpower 0.125\n"


def test_raven_table_numbers_its_rows(tmp_path):
    header, *rows = [
        line.split("\t") for line in written(tmp_path / "x.selections.txt").splitlines()
    ]
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["Selection"] for row in table] == ["1", "2", "3"]
    assert table[0] == {
        "Selection": "1",
        "View": "Spectrogram 1",
        "Channel": "1",
        "Begin Time (s)": "12.500000",
        "End Time (s)": "15.000000",
        "Low Freq (Hz)": "0",
        "High Freq (Hz)": "4000",
        "Begin File": "long.wav",
        "File Offset (s)": "12.500000",
        "Label": "dog",
        "Score": "0.9346",
    }
    assert (table[1]["Label"], table[1]["Score"]) == ("gap: overflow", "")


@pytest.mark.parametrize("name", ["x.txt", "x.selections.txt"])
def test_tables_of_tabs_hold_against_odd_names(tmp_path, name):
    stream = StreamStarted("a\tb\n.wav", RATE, ["two\twords\n"], "single-label")
    rows = written(tmp_path / name, stream, [SoundEvent("two\twords\n", 0, 8000, 1.0)])
    last = rows.splitlines()[-1].split("\t")
    assert "two words" in last
    assert len(last) == (3 if name == "x.txt" else 11)


ODD_NAME = "a\nb\tc  d\r\x1b[2J\u2028e.wav"
SHOWN = "a\\nb\\tc  d\\r\\x1b[2J\\u2028e.wav"


@pytest.mark.parametrize("chosen", ["text", "csv", "audacity", "raven", "jsonl"])
def test_a_line_break_in_a_name_breaks_no_line(tmp_path, chosen):
    stream = StreamStarted(ODD_NAME, RATE, LABELS, "single-label")
    sink = open_sink(tmp_path / "odd", chosen)
    sink.begin(stream)
    sink.write(RESULTS[1])
    sink.write(RESULTS[3])
    sink.close()
    text = (tmp_path / "odd").read_bytes().decode()
    n_more = {"text": 1, "csv": 1, "raven": 1}.get(chosen, 0)  # a title or a header
    assert text.count("\n") == 2 + n_more
    if chosen == "jsonl":
        assert json.loads(text.split("\n")[0])["source"] == ODD_NAME
    else:
        assert len(text.splitlines()) == 2 + n_more
        assert "\x1b" not in text
        assert (SHOWN in text) is (chosen != "audacity")


def test_scores_of_odd_names_are_a_line_each(tmp_path):
    sink = open_scores(tmp_path / "odd.csv")
    sink.begin(StreamStarted(ODD_NAME, RATE, LABELS, "single-label"))
    sink.write(RESULTS[0])
    sink.close()
    assert (tmp_path / "odd.csv").read_text().splitlines()[1].startswith(f"{SHOWN},0.0,")


def test_text_is_a_table_below_each_name(tmp_path):
    path = tmp_path / "x.out"
    sink = open_sink(path, "text")
    sink.begin(STREAM)
    sink.write(RESULTS[1])
    sink.write(RESULTS[3])
    sink.begin(LIVE)
    sink.write(RESULTS[4])
    sink.write(SoundEvent("rain", 479_990, 28_799_999, 0.5))
    sink.close()
    assert [line.rstrip() for line in path.read_text().splitlines()] == [
        "a/long.wav",
        "     0:12.50 -    0:15.00   0.93  dog",
        "     0:15.00 -    0:16.00         [gap: overflow]",
        "Mic, from 2026-03-29 01:59:59",
        "  1:15:16.00 - 1:15:17.00   1.00  door, slammed",
        "     1:00.00 - 1:00:00.00   0.50  rain",
    ]


def test_text_has_words_where_the_model_has_them(tmp_path):
    """The columns stay aligned for labels without a word, and beside gaps."""
    stream = replace(STREAM, sureness={"dog": [0.5, 0.9]})
    results = [RESULTS[1], replace(RESULTS[1], label="rain"), RESULTS[3]]
    text = written(tmp_path / "x.txt", stream, results, chosen="text")
    assert [line.rstrip() for line in text.splitlines()[1:]] == [
        "     0:12.50 -    0:15.00  sure    0.93  dog",
        "     0:12.50 -    0:15.00          0.93  rain",
        "     0:15.00 -    0:16.00                [gap: overflow]",
    ]


def test_text_tells_when_a_live_stream_began_as_its_clock_knows_it_by_then(tmp_path):
    """A server sends at first what it kept: later audio tells that the stream began earlier."""

    class Clock:
        def moment(self, position: int) -> datetime:
            return datetime(2026, 3, 29, 1, 59, 50) + timedelta(seconds=position / RATE)

    stream = replace(LIVE, clock=Clock(), live=True)
    text = written(tmp_path / "x.txt", stream, [RESULTS[1]], chosen="text")
    assert text.splitlines()[0] == "Mic, from 2026-03-29 01:59:50"


def test_memory_keeps_everything_with_its_stream():
    sink = MemorySink()
    with pytest.raises(ValueError, match="begin"):
        sink.write(RESULTS[0])
    fill(sink)
    assert sink.results == [(STREAM, result) for result in RESULTS]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("x.jsonl", "jsonl"),
        ("x.NDJSON", "jsonl"),
        ("x.csv", "csv"),
        ("x.txt", "audacity"),
        ("x.Selections.txt", "raven"),
        ("x.raven.txt", "raven"),
    ],
)
def test_the_ending_says_the_format(name, format):
    assert format_of(Path("some.folder") / name) == format


@pytest.mark.parametrize("name", ["x", "x.json", "x.xlsx", "csv", ".jsonl/x"])
def test_an_unknown_ending_shows_the_known_ones(name):
    with pytest.raises(UsageError) as caught:
        format_of(Path(name))
    assert str(caught.value) == (
        f"--output {name}: the ending says no format; .jsonl, .csv, .txt (Audacity labels) "
        "and .selections.txt (Raven) are known"
    )


def test_standard_output_needs_a_format():
    with pytest.raises(UsageError, match="standard output needs a --format"):
        open_sink(None)


def test_standard_output_takes_the_lines_and_stays_open(capfd):
    for _ in range(2):
        fill(open_sink(None, "audacity"), results=[RESULTS[1]])
    assert capfd.readouterr().out == "12.500000\t15.000000\tdog\n" * 2


@pytest.mark.parametrize("name", ["x.csv", "scores.csv", "scores.npz"])
def test_no_file_is_overwritten_unasked(tmp_path, name):
    path = tmp_path / name
    path.write_text("precious")
    opener = open_scores if name.startswith("scores") else open_sink
    with pytest.raises(UsageError) as caught:
        opener(path)
    assert str(caught.value) == (
        f"{path}: exists already: add --overwrite to replace it, or name another file"
    )
    assert path.read_text() == "precious"
    fill(opener(path, overwrite=True))
    assert not path.read_bytes().startswith(b"precious")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    for opener in (open_sink, FileTarget):
        with pytest.raises(SinkError) as caught:
            opener(tmp_path / "file" / "x.csv")
        assert str(caught.value) == (
            f"{tmp_path}/file/x.csv: {tmp_path}/file is a file, a folder is needed: rename one"
        )
        with pytest.raises(
            SinkError, match=r"can neither be made nor entered: not a directory; name"
        ):
            opener(tmp_path / "file" / "below" / "x.csv")


def test_names_that_are_no_text_can_be_written(tmp_path):
    file = LineFile(tmp_path / "x.txt")
    file.write("caf\udce9.wav \u2603")
    file.close()
    assert (tmp_path / "x.txt").read_bytes() == b"caf\\udce9.wav \xe2\x98\x83\n"
