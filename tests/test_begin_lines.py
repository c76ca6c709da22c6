"""Begins as users get them: lines live and of recordings, over restarts and interruptions."""

import csv
import itertools
import json
import signal
import subprocess
from collections import Counter

import numpy as np
import pytest
import toys

from streamclf.core.records import EventBegan, EventOngoing, SoundEvent, StreamStarted
from streamclf.sinks.factory import open_sink


def kinds_of(lines: list[dict]) -> Counter:
    return Counter(line["type"] for line in lines)


def check_lives(lines: list[dict]) -> None:
    """Each event has one begin before it, with its id and onset."""
    open_ = {}
    for line in lines:
        if line["type"] == "begin":
            assert line["id"] not in open_
            open_[line["id"]] = line
        elif line["type"] in ("ongoing", "event"):
            begun = open_[line["id"]]
            assert (line["label"], line["onset"]) == (begun["label"], begun["onset"])
            if line["type"] == "event":
                del open_[line["id"]]
    assert not open_


def test_lines_of_an_event_from_its_begin_to_its_end(tmp_path):
    sink = open_sink(tmp_path / "x.jsonl", begins=True)
    sink.begin(StreamStarted("a.wav", 8000, ["dog"], "single-label"))
    for record in [
        EventBegan("dog", 100_000, 0.71234, 108_000),
        EventOngoing("dog", 100_000, 0.9, 348_000),
        SoundEvent("dog", 100_000, 400_000, 0.95),
    ]:
        sink.write(record)
    sink.close()
    common = '"id":"dog-100000","source":"a.wav","label":"dog","onset":12.5,'
    assert (tmp_path / "x.jsonl").read_text().splitlines() == [
        '{"type":"begin","schema":1,' + common + '"known":13.5,"score":0.7123}',
        '{"type":"ongoing","schema":1,' + common + '"known":43.5,"score":0.9}',
        '{"type":"event","schema":1,' + common + '"offset":50.0,"score":0.95}',
    ]


@pytest.mark.parametrize("name", ["x.csv", "x.txt", "x.selections.txt", "x.jsonl"])
def test_files_keep_ended_events_unless_begins_are_asked_for(tmp_path, name):
    texts = []
    for records in ([], [EventBegan("dog", 0, 0.7, 1), EventOngoing("dog", 0, 0.7, 2)]):
        sink = open_sink(tmp_path / name, overwrite=True)
        sink.begin(StreamStarted("a.wav", 8000, ["dog"], "single-label"))
        for record in [*records, SoundEvent("dog", 0, 8000, 0.9)]:
            sink.write(record)
        sink.close()
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_file_tells_begins_on_request(streamclf, scene, tone_model, tmp_path):
    plain = streamclf("file", scene, "--model", tone_model)
    assert kinds_of(plain.lines) == {"event": 3}
    table, own = tmp_path / "x.csv", tmp_path / "{stem}.jsonl"
    told = streamclf(
        "file", scene, "--model", tone_model, "--begins", "-o", table, "-o", own, "--jobs", 1
    )  # fmt: skip
    assert kinds_of(told.lines) == {"begin": 3, "event": 3}
    check_lives(told.lines)
    assert [line for line in told.lines if line["type"] == "event"] == plain.lines
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["type"] for row in rows] == ["event"] * 3
    written = (tmp_path / "scene.jsonl").read_text()
    assert [json.loads(line) for line in written.splitlines()] == told.lines


def test_file_tells_that_events_go_on(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--ongoing", 1, "--hop", 0.25)
    check_lives(result.lines)
    assert kinds_of(result.lines)["ongoing"] >= 6
    (middle,) = [r for r in result.lines if (r["type"], r["label"]) == ("begin", "middle")]
    moments = [
        r["known"] for r in result.lines if (r["type"], r["id"]) == ("ongoing", middle["id"])
    ]
    assert moments == [middle["known"] + k for k in range(1, len(moments) + 1)]


def test_file_cuts_long_events_into_pieces(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--begins", "--max-duration", 1.5)
    check_lives(result.lines)
    events = [line for line in result.lines if line["type"] == "event"]
    assert max(line["offset"] - line["onset"] for line in events) == 1.5
    whole = streamclf("file", scene, "--model", tone_model).lines[1]
    pieces = [line for line in events if line["label"] == "middle"]
    assert (pieces[0]["onset"], pieces[-1]["offset"]) == (whole["onset"], whole["offset"])
    assert all(a["offset"] == b["onset"] for a, b in itertools.pairwise(pieces))


@pytest.mark.parametrize(
    "how",
    [
        (),
        ("--begin", "patient"),
        ("--begin", "eager"),
        ("--unknown",),
        ("--average-kind", "exponential"),
    ],
)
def test_listen_tells_the_begins_that_file_tells(streamclf, scene, tone_model, how):
    live = streamclf(
        "listen", "--source", f"sim:{scene}", "--speed", 0, "--no-ui", "--model", tone_model, *how
    ).lines  # fmt: skip
    recorded = streamclf("file", scene, "--model", tone_model, "--begins", *how).lines
    check_lives(live)
    runs = {line["id"].rpartition("@")[2] for line in live}
    assert len(runs) == 1
    plain = [{**line, "id": line["id"].rpartition("@")[0], "source": str(scene)} for line in live]
    for line in plain:
        del line["time"]
    assert [line["id"] for line in plain] == [line["id"] for line in recorded]
    for one, other in zip(plain, recorded, strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-4)
        assert one == other


def test_patient_runs_tell_later_and_eager_ones_sooner(streamclf, write_wav, tone_model):
    loud = np.concatenate([toys.silence(6), toys.tone(1000, 4, level=0.9), toys.silence(4)])
    path = write_wav(loud)
    known = [
        next(line["known"] for line in streamclf(
            "file", path, "--model", tone_model, "--begins", "--hop", 0.25, *how
        ).lines if line["label"] == "middle")
        for how in ((), ("--begin", "patient"), ("--begin", "eager"))
    ]  # fmt: skip
    assert known[2] < known[0] <= known[1]


def test_ids_of_a_run_started_again_are_others(streamclf, scene, tone_model, tmp_path):
    output = tmp_path / "all.jsonl"
    for _ in range(2):
        streamclf(
            "listen", "--source", f"sim:{scene}", "--speed", 0, "--no-ui", "--append",
            "--model", tone_model, "-o", output,
        )  # fmt: skip
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert kinds_of(lines) == {"begin": 6, "event": 6}
    check_lives(lines)
    assert len({line["id"] for line in lines}) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_what_has_begun(start, write_wav, tone_model, number):
    path = write_wav(np.concatenate([toys.silence(3), toys.tone(1000, 60)]))
    process = start(
        "--source", f"sim:{path}", "--no-ui", "--model", tone_model, "--ongoing", 1,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    lines = []
    while not any((r["type"], r["label"]) == ("ongoing", "middle") for r in lines):
        lines.append(json.loads(process.stdout.readline()))
    process.send_signal(number)
    lines += [json.loads(line) for line in process.stdout]
    assert process.wait() == 130
    check_lives(lines)
    assert lines[-1]["label"] == "middle"


def test_text_shows_events_as_they_begin_live(streamclf, scene, tone_model):
    live = streamclf(
        "listen", "--source", f"sim:{scene}", "--speed", 0, "--no-ui", "--model", tone_model,
        "--format", "text",
    ).out  # fmt: skip
    rows = [line.split() for line in live.splitlines()[1:]]
    assert [row[2] for row in rows if row[4] == "middle"] == ["...", "0:07.00"]
    recorded = streamclf("file", scene, "--model", tone_model, "--format", "text").out
    assert "..." not in recorded


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--ongoing", 0, "--ongoing 0.0: must be 0.1 to 86400 seconds"),
        ("--max-duration", -1, "--max-duration -1.0: must be 0.1 to 86400 seconds"),
        ("--max-duration", "nan", "--max-duration nan: must be 0.1 to 86400 seconds"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(streamclf, scene, tone_model, option, value, words):
    result = streamclf("file", scene, "--model", tone_model, option, value)
    assert result.code == 2
    assert words in result.err


def test_pieces_shorter_than_the_least_length_are_refused(streamclf, scene, tone_model):
    result = streamclf(
        "file", scene, "--model", tone_model, "--max-duration", 1, "--min-duration", 2
    )
    assert result.code == 2
    assert "--max-duration 1.0: is shorter than the least length of an event, 2 s" in result.err
