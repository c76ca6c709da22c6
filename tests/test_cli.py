"""The commands as a user types them."""

import json
import re

import numpy as np
import prepared
import pytest
import toys

from streamclf import __version__
from streamclf.cli import main
from streamclf.cli.arguments import BESIDE, load_single_command

COMMANDS = [each.callback.__name__ for each in main.app.registered_commands if not each.hidden]


def test_version(streamclf):
    assert streamclf("--version").out == f"streamclf {__version__}\n"


def test_help_names_the_commands(streamclf):
    result = streamclf("--help")
    assert result.code == 0
    for command in ("listen", "file", "devices", "info"):
        assert command in result.out
    assert streamclf().code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_alone_is_what_it_is_beside_the_others(streamclf, monkeypatch, command):
    """Only the command that is run reads its options; the rest of the app is left out."""
    alone = streamclf(command, "--help")
    lean = load_single_command(main.app, [command, "x"])
    assert len(lean.registered_commands) == 1 + len(BESIDE.get(command, []))
    monkeypatch.setattr(main, "load_single_command", lambda app, arguments: app)
    assert alone == streamclf(command, "--help")
    assert alone.code == 0


@pytest.mark.parametrize("arguments", [[], ["--version"], ["fiel"], ["--help", "file"]])
def test_without_a_command_first_all_are_there(arguments):
    assert load_single_command(main.app, arguments) is main.app


@pytest.mark.parametrize("command", ["listen", "file", "devices", "info"])
def test_help_of_each_command(streamclf, command):
    result = streamclf(command, "--help")
    assert result.code == 0
    assert f"Usage: streamclf {command}" in result.out


def test_file_writes_json_lines_when_piped(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 0
    assert [line["label"] for line in result.lines] == ["quiet", "middle", "quiet"]
    event = result.lines[1]
    assert set(event) == {"type", "schema", "id", "source", "label", "onset", "offset", "score"}
    assert (event["type"], event["source"]) == ("event", str(scene))
    assert abs(event["onset"] - 3) <= 0.5
    assert abs(event["offset"] - 7) <= 0.5
    assert event["score"] == pytest.approx(2 / 3, abs=0.01)
    assert result.err.startswith("streamclf: 1 recording, 11.0 s of audio in ")
    assert "x real time), 20 windows, 3 events; tones on cpu (" in result.err


def test_file_listen_and_odd_blocks_agree(streamclf, scene, tone_model, tmp_path):
    """The same audio through `file`, through a simulated microphone and through a pipe."""
    scores = [tmp_path / f"{name}.csv" for name in ("file", "sim", "pipe")]
    from_file = streamclf("file", scene, "--model", tone_model, "--scores", scores[0])
    simulated = streamclf(
        "listen",
        "--source",
        f"sim:{scene}",
        "--speed",
        0,
        "--model",
        tone_model,
        "--scores",
        scores[1],
    )
    piped = prepared.run(
        "listen",
        "--source",
        "-",
        "--model",
        tone_model,
        "--scores",
        scores[2],
        input=scene.read_bytes(),
        capture_output=True,
        check=True,
    )
    events = [_events(from_file.lines), _events(simulated.lines)]
    events.append(_events([json.loads(line) for line in piped.stdout.splitlines()]))
    assert events[0] == events[1] == events[2]
    tables = [np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 7)) for path in scores]
    assert tables[0].shape == (20, 6)
    np.testing.assert_allclose(tables[1], tables[0], atol=1e-6)
    np.testing.assert_allclose(tables[2], tables[0], atol=1e-6)


def _events(lines):
    return [
        (line["label"], line["onset"], line["offset"], line["score"])
        for line in lines
        if line["type"] == "event"
    ]


def test_scores_have_a_column_a_label(streamclf, scene, tone_model, tmp_path):
    path = tmp_path / "scores.csv"
    streamclf("file", scene, "--model", tone_model, "--scores", path, "--hop", 1)
    header, first, *rest = path.read_text().splitlines()
    assert header == "source,onset,offset,quiet,low,middle,high"
    assert first.startswith(f"{scene},0.0,1.5,0.998")
    assert len(rest) == 10


def test_listen_adds_times_and_updates(streamclf, scene, tone_model):
    result = streamclf(
        "listen",
        "--source",
        f"sim:{scene}",
        "--speed",
        0,
        "--model",
        tone_model,
        "--updates",
        "-k",
        2,
    )
    updates = [line for line in result.lines if line["type"] == "update"]
    assert len(updates) == 20
    assert [len(update["top"]) for update in updates] == [2] * 20
    assert updates[0]["top"][0] == {"label": "quiet", "score": 0.9987}
    assert all("time" in line for line in result.lines)
    assert result.err.startswith(
        f"streamclf: listening to sim:{scene} with tones (4 labels) on cpu"
    )
    assert "heard 11.0 s in 20 windows: 3 events, no gaps" in result.err
    closing = result.err.splitlines()[-1]
    assert re.search(r"; the model was busy for \d+\.\d% of the time$", closing)


def test_listen_ends_after_the_duration(streamclf, scene, tone_model):
    result = streamclf(
        "listen",
        "--source",
        f"sim:{scene}",
        "--speed",
        0,
        "--loop",
        "--model",
        tone_model,
        "--duration",
        30,
    )
    assert result.code == 0
    assert "heard 30." in result.err


def test_listen_reads_raw_standard_input(tone_model):
    samples = (toys.tone(440, 4, 16_000) * 32767).astype("<i2").tobytes()
    run = prepared.run(
        "listen",
        "--source",
        "-",
        "--raw",
        "s16le:16000:1",
        "--model",
        tone_model,
        input=samples,
        capture_output=True,
        check=True,
    )
    began, event = [json.loads(line) for line in run.stdout.splitlines()]
    assert (event["label"], event["onset"], event["offset"]) == ("low", 0.0, 4.0)
    assert (began["type"], began["id"], began["onset"]) == ("begin", event["id"], 0.0)


def test_a_hop_longer_than_the_window_is_warned_about(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--hop", 2)
    assert result.code == 0
    assert "warning: --hop 2 s is longer than the window of 1.5 s" in result.err


def test_thresholds_of_a_file_are_used(streamclf, scene, tone_model, tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("max_gap = 0.5\n[classes]\nquiet = 1.0\n")
    result = streamclf("file", scene, "--model", tone_model, "--thresholds", path, "--average", 3)
    assert "middle" in [line["label"] for line in result.lines]


def test_info_shows_the_card(streamclf, tone_model):
    result = streamclf("info", tone_model, "--all")
    assert result.code == 0
    for words in ("tones (version 1)", "8000 Hz", "12000 samples (1.5 s)", "quiet, low, middle"):
        assert words in result.out
    card = json.loads(streamclf("info", tone_model, "--json").out)
    assert card["labels"] == toys.LABELS
    assert (card["sample_rate"], card["window_samples"]) == (8000, 12_000)
    assert card["thresholds"]["max_gap"] == 0.5
