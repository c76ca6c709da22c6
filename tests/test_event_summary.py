"""What a batch says that it found: by label, nothing, or one answer a recording."""

import contextlib
import csv
import json
import os
import pty
import subprocess

import numpy as np
import prepared
import pytest
import toys

from streamclf.core.card import Thresholds, Unknown
from streamclf.core.highest_averages import HighestAverages
from streamclf.core.records import Average, Scores
from streamclf.core.stats import Statistics
from streamclf.core.text_format import format_pace, format_place


def average(*values, position=0):
    values = np.array(values, dtype=np.float32)
    return Average(Scores(position, 12_000, values), values)


@pytest.fixture
def day(write_wav):
    """Recordings with two events, with none, and with no audio."""
    both = np.concatenate([toys.tone(440, 4), toys.silence(3), toys.tone(2500, 4)])
    paths = [write_wav(both, "day/a.wav"), write_wav(toys.silence(4), "day/b.wav")]
    (paths[0].parent / "c.wav").write_text("no audio")
    return paths[0].parent


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_batch_ends_with_its_events_by_label(streamclf, day, tone_model, jobs, tmp_path):
    run = ("file", day, "--model", tone_model, "--except", "quiet", "--jobs", jobs)
    result = streamclf(*run, "-f", "text", "--stats", tmp_path / "s.json")
    assert result.code == 1
    said = result.err.splitlines()
    assert said[0].startswith("streamclf: 2 of 3 recordings, 15.0 s of audio in ")
    assert said[1] == "streamclf: 2 events: 1 low, 1 high"
    assert json.loads((tmp_path / "s.json").read_text())["events_by_label"] == {"low": 1, "high": 1}
    lines = result.out.splitlines()
    assert lines[-2:] == [f"{day}/b.wav", "  (no events)"]
    assert sum("(no events" in line for line in lines) == 1


def test_many_labels_are_told_by_the_most_frequent():
    from streamclf.core.stats import Statistics
    from streamclf.runs.event_summary import summarise_events

    labels = [f"l{n}" for n in range(20)]
    statistics = Statistics(8000, n_windows=9, n_events=210)
    statistics.events_by_label.update({label: 20 - n for n, label in enumerate(labels)})
    said = summarise_events(statistics, toys.toy_card(labels=labels), dict.fromkeys(labels, 0.5))
    assert said.startswith("210 events: 20 l0, 19 l1, ")
    assert said.endswith(", 9 l11, 36 of 8 other labels")


@pytest.mark.parametrize("jobs", [1, 2])
def test_where_no_event_was_found_the_highest_averages_are_told(
    streamclf, write_wav, tone_model, jobs
):
    sound = np.concatenate([toys.silence(6), toys.tone(1000, 6)])
    paths = [write_wav(sound, "a.wav"), write_wav(toys.silence(4), "b.wav")]
    run = ("file", *paths, "--model", tone_model, "--threshold", 0.95, "--except", "quiet",
           "--jobs", jobs)  # fmt: skip
    result = streamclf(*run)
    assert result.out == ""
    said = result.err.splitlines()[1]
    assert said.startswith("streamclf: no event; highest: middle 0.67 at 0:0")
    assert said.endswith(f" of {paths[0]}, its threshold is 0.95")
    text = streamclf(*run, "-f", "text")
    first, second = [line for line in text.out.splitlines() if "(no events" in line]
    assert first.startswith("  (no events; highest: middle 0.67 at 0:0")
    assert first.endswith(", its threshold is 0.95)")
    assert second == "  (no events)"
    assert "no event;" not in text.err  # once is enough


def test_live_the_last_words_tell_it_too(streamclf, scene, tone_model):
    run = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model)
    assert "3 events: 2 quiet, 1 middle" in streamclf(*run).err
    said = streamclf(*run, "--threshold", 1, "--only", "middle").err
    assert "no event; highest: middle 0.67 at 0:0" in said


def test_quiet_says_nothing_but_what_is_wrong(streamclf, day, tone_model):
    result = streamclf("file", day / "a.wav", "--model", tone_model, "-q")
    assert (result.code, result.err) == (0, "")
    assert len(result.lines) == 3
    failed = streamclf("file", day, "--model", tone_model, "--quiet")
    assert failed.code == 1
    assert [line.split(": ")[1] for line in failed.err.splitlines()] == ["error", "error"]


def test_one_answer_a_recording(streamclf, day, tone_model, tmp_path):
    (day / "c.wav").unlink()
    run = ("file", day, "--model", tone_model, "--summary", "-k", 2)
    result = streamclf(*run, "-o", tmp_path / "all.csv", "-o", tmp_path / "{stem}.jsonl")
    assert [line["type"] for line in result.lines] == ["summary", "summary"]
    first, second = result.lines
    scores = [row["score"] for row in first["labels"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert first["source"] == str(day / "a.wav")
    assert (first["onset"], first["offset"]) == (0.0, 11.0)
    assert second["labels"][0] == {"label": "quiet", "score": pytest.approx(0.9987, abs=1e-4)}
    rows = list(csv.reader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1:]] == ["summary"] * 4
    assert [row[2] for row in rows[1:3]] == [row["label"] for row in first["labels"]]
    assert json.loads((tmp_path / "a.jsonl").read_text()) == first
    text = streamclf(*run, "-f", "text").out.splitlines()
    assert text[2:] == [f"{day}/b.wav", "  quiet 1.00"]
    (closing,) = streamclf(*run).err.splitlines()
    assert "event" not in closing  # nobody asked for them


def test_the_answer_is_the_mean_of_all_windows(streamclf, write_wav, tmp_path):
    """As training's figures are: the mean of the windows, with the card's temperature."""
    card = toys.toy_card(temperature=0.5, thresholds=Thresholds())
    model = toys.write_tone_detector(tmp_path / "sharp.onnx", card)
    path = write_wav(np.concatenate([toys.tone(440, 4), toys.tone(2500, 4)]))
    run = ("file", path, "--model", model)
    (answer,) = streamclf(*run, "--summary", "-k", 4).lines
    streamclf(*run, "--average", 0, "--scores", tmp_path / "s.csv")
    rows = np.loadtxt(tmp_path / "s.csv", delimiter=",", skiprows=1, usecols=range(3, 7))
    plain = np.sqrt(rows)
    plain /= plain.sum(axis=1, keepdims=True)
    mean = plain.mean(axis=0) ** 2
    expected = dict(zip(toys.LABELS, mean / mean.sum(), strict=True))
    for row in answer["labels"]:
        assert row["score"] == pytest.approx(expected[row["label"]], abs=2e-4)


def test_an_answer_may_be_that_it_is_unknown(streamclf, write_wav, tmp_path):
    model = toys.write_tone_detector(
        tmp_path / "m.onnx", toys.toy_card(unknown=Unknown(0.99), name="m")
    )
    (answer,) = streamclf("file", write_wav(toys.tone(440, 4)), "--model", model, "--summary").lines
    assert [row["label"] for row in answer["labels"][:2]] == ["unknown", "low"]


def test_a_regression_answers_with_its_value(streamclf, write_wav, tmp_path):
    model = toys.write_loudness_meter(tmp_path / "meter.onnx")
    path = write_wav(toys.tone(440, 3, level=0.4))
    (answer,) = streamclf("file", path, "--model", model, "--summary").lines
    assert (answer["type"], answer["value"]) == ("summary", pytest.approx(0.08, abs=1e-3))
    assert (
        "  power 0.08" in streamclf("file", path, "--model", model, "--summary", "-f", "text").out
    )


@pytest.mark.parametrize("output", [["-f", "raven"], ["-o", "x.txt"], ["-o", "{stem}.raven.txt"]])
def test_labels_and_selections_hold_no_answers(streamclf, scene, output):
    result = streamclf("file", scene, "--summary", *output)
    assert result.code == 2
    assert "--summary gives one answer a recording" in result.err
    assert len(result.err.splitlines()) == 1


def test_the_dashboard_gives_no_answers(streamclf, scene, on_terminal):
    result = streamclf("file", scene, "--summary", "--ui")
    assert result.code == 2
    assert "--summary is written when a recording has ended" in result.err


def test_answers_go_on_in_one_table(streamclf, day, tone_model, tmp_path):
    run = ("file", day, "--model", tone_model, "--summary", "-o", tmp_path / "all.csv", "--resume")
    streamclf(*run)
    whole = (tmp_path / "all.csv").read_text()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "all.csv").write_text("".join(lines[:-1]))
    assert "1 of 3 recordings had been done before" in streamclf(*run).err
    assert (tmp_path / "all.csv").read_text() == whole


def test_the_highest_averages_of_recordings_are_joined():
    first, second = HighestAverages(), HighestAverages()
    for highest, values in [(first, (0.1, 0.7)), (first, (0.3, 0.2)), (second, (0.2, 0.8))]:
        highest.add(average(*values, position=8000))
    total = HighestAverages()
    total.merge(HighestAverages(), "none")
    total.merge(first, "a")
    total.merge(second, "b")
    said = total.describe(["x", "y"], {"x": 0.9, "y": 0.95}, 8000, str.upper)
    assert said == "Y 0.80 at 0:01 of b, its threshold is 0.95; X 0.30 at 0:01 of a, threshold 0.90"
    assert total.describe(["x", "y"], {"x": 0.9}, 8000, str).startswith("x 0.30")
    assert HighestAverages().describe(["x"], {"x": 0.5}, 8000, str) == ""
    assert (format_place(12.7), format_place(3723)) == ("0:12", "1:02:03")


@pytest.mark.parametrize(("options", "shown"), [([], True), (["-q"], False)])
def test_quiet_shows_no_progress_either(options, shown, write_wav, tone_model):
    path = write_wav(np.tile(toys.tone(440, 10), 6))
    master, terminal = pty.openpty()
    with prepared.begin(
        "file", path, path, path.parent, "--model", tone_model, "--hop", "0.01", *options,
        stdout=subprocess.DEVNULL, stderr=terminal,
    ) as process:  # fmt: skip
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # Linux says so that the other end is closed
            while piece := os.read(master, 65_536):
                said += piece
    os.close(master)
    assert process.returncode == 0
    assert (b"\x1b[" in said) == shown
    assert (b"real time" in said) == shown


def test_a_pace_is_never_told_as_none():
    paces = [format_pace(times) for times in (157.4, 9.6, 3.21, 0.28, 0.004)]
    assert paces == ["157x", "10x", "3.2x", "0.28x", "0.004x"]


@pytest.mark.parametrize(
    ("ppm", "words"),
    [
        (-0.3, "clock is right"),
        (12.4, "clock is off by +12 ppm"),
        (-41.6, "clock is off by -42 ppm"),
    ],
)
def test_a_clock_is_off_or_right(ppm, words):
    assert f"the device's {words}" in Statistics(sample_rate=8000, drift_ppm=ppm).summary()


def test_what_is_never_told_did_not_come_near():
    highest = HighestAverages()
    highest.add(average(0.9, 0.4))
    said = highest.describe(["noise", "dog"], {"noise": np.inf, "dog": 0.5}, 8000, str)
    assert said == "dog 0.40 at 0:00, its threshold is 0.50"
