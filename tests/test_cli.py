"""The commands as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyte
import pytest
import toys

from streamclf import __version__, cli, options

COMMANDS = "listen file devices info bench verify config".split()
LISTEN = [sys.executable, "-m", "streamclf", "listen"]


@pytest.fixture
def scene(write_wav):
    return write_wav(
        np.concatenate([toys.silence(3), toys.tone(1000, 4), toys.silence(4)]), "scene.wav"
    )


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
    lean = options.only_named(cli.app, [command, "x"])
    assert len(lean.registered_commands) == (2 if command == "config" else 1)
    monkeypatch.setattr(options, "only_named", lambda app, arguments: app)
    assert alone == streamclf(command, "--help")
    assert alone.code == 0


@pytest.mark.parametrize("arguments", [[], ["--version"], ["fiel"], ["--help", "file"]])
def test_without_a_command_first_all_are_there(arguments):
    assert options.only_named(cli.app, arguments) is cli.app


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
    assert set(event) == {"type", "source", "label", "onset", "offset", "score"}
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
    piped = subprocess.run(
        [*LISTEN, "--source", "-", "--model", tone_model, "--scores", scores[2]],
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
    run = subprocess.run(
        [*LISTEN, "--source", "-", "--raw", "s16le:16000:1", "--model", tone_model],
        input=samples,
        capture_output=True,
        check=True,
    )
    (event,) = [json.loads(line) for line in run.stdout.splitlines()]
    assert (event["label"], event["onset"], event["offset"]) == ("low", 0.0, 4.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["file", "x.wav", "--hop", "0"], "--hop 0.0: must be above 0 seconds"),
        (["file", "x.wav", "--hop", "nan"], "--hop nan: must be above 0 seconds"),
        (["file", "x.wav", "--average", "-1"], "--average -1.0: must be 0 (none) or more"),
        (["file", "x.wav", "--threshold", "1.5"], "--threshold 1.5: must lie between 0 and 1"),
        (["file", "x.wav", "--channel", "0"], "--channel 0: channels count from 1"),
        (["file", "x.wav", "--output", "x.pdf"], "--output x.pdf: the ending says no format"),
        (["file", "x.wav", "--scores", "x.txt"], "--scores x.txt: must end in .csv or .npz"),
        (["file", "x.wav", "--min-duration", "-1"], "--min-duration -1.0: must be 0 or more"),
        (["file", "x.wav", "--thresholds", "none.toml"], "none.toml: cannot be read"),
        (["file", "x.wav", "--batch", "0"], "the batch size is 0"),
        (["file", "x.wav", "--provider", "gpu"], "'gpu' is not one of"),
        (["file"], "Missing argument 'PATH...'"),
        (["listen", "--source", "x.wav"], "--source x.wav: must be - (standard input)"),
        (["listen", "--source", "-", "--raw", "s7"], "--raw s7: must be FORMAT:RATE:CHANNELS"),
        (["listen", "--source", "-", "--device", "1"], "--device goes with a microphone"),
        (["listen", "--speed", "2"], "--speed goes with --source sim:FILE"),
        (["listen", "--raw", "s16le:16000:1"], "--raw goes with --source -"),
        (["listen", "--source", "sim:x.wav", "--duration", "0"], "--duration 0.0: must be above 0"),
        (["hear"], "No such command 'hear'"),
        (["file", "--colour"], "No such option: --colour"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(streamclf, tone_model, arguments, words):
    model = ["--model", tone_model] if arguments[0] in ("file", "listen") else []
    result = streamclf(*arguments, *model)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("streamclf: error: ")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_a_source_that_is_a_file_says_what_to_do(streamclf, scene, tone_model):
    result = streamclf("listen", "--source", scene, "--model", tone_model)
    assert result.code == 2
    assert f"streamclf file {scene} analyses it, --source sim:{scene} plays it" in result.err


def test_a_hop_longer_than_the_window_is_warned_about(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--hop", 2)
    assert result.code == 0
    assert "warning: --hop 2 s is longer than the window of 1.5 s" in result.err


def test_a_missing_model_is_one_line(streamclf, scene):
    result = streamclf("file", scene, "--model", "none.onnx")
    assert result.code == 1
    assert result.err.startswith("streamclf: error: none.onnx: no such model file")
    assert result.err.count("\n") == 1


def test_a_provider_that_is_not_there_is_an_error(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--provider", "coreml")
    assert result.code == 1
    assert "provider coreml was asked for" in result.err
    assert result.err.count("\n") == 1


def test_failures_come_last_and_the_rest_is_done(streamclf, scene, tone_model, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("this is no audio at all\n" * 20)
    missing = tmp_path / "missing.wav"
    empty = tmp_path / "empty"
    empty.mkdir()
    result = streamclf("file", missing, text, scene, empty, "--model", tone_model)
    assert result.code == 1
    assert {line["source"] for line in result.lines} == {str(scene)}
    assert result.err.splitlines()[1:] == [
        "streamclf: error: 3 of 4 failed:",
        f"streamclf: error: {empty}: the folder holds no audio files "
        "(looked for .wav, .flac, .ogg, .mp3, .m4a, .webm, ...)",
        f"streamclf: error: {missing}: cannot be opened: no such file or directory",
        f"streamclf: error: {text}: holds text, not audio",
    ]


def test_one_failure_alone_is_one_line(streamclf, tone_model):
    result = streamclf("file", "missing.wav", "--model", tone_model)
    assert result.code == 1
    assert (
        result.err == "streamclf: error: missing.wav: cannot be opened: no such file or directory\n"
    )


def test_truncated_audio_gives_its_results_a_gap_and_exit_1(streamclf, scene, tone_model):
    whole = scene.read_bytes()
    scene.write_bytes(whole[: len(whole) * 2 // 3])
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 1
    assert [line["type"] for line in result.lines] == ["event", "event", "gap"]
    assert result.lines[-1]["offset"] == 11.0
    assert result.lines[-1]["cause"] == "truncated"
    assert "is cut short: the header promises 11.00 s" in result.err


def test_samples_that_are_no_numbers_are_said(streamclf, write_wav, tone_model):
    waveform = toys.tone(1000, 3)
    waveform[100:110] = np.inf
    path = write_wav(waveform, "inf.wav", subtype="FLOAT")
    result = streamclf("file", path, "--model", tone_model)
    assert result.code == 0
    kind = "samples that are no audio (NaN, Inf or above 2^32)"
    assert f"{path}: {kind} from 0.00 s on: replaced by zeros" in result.err
    assert f"{path}: {kind}: 10 replaced by zeros" in result.err


def test_outputs_are_written_by_ending(streamclf, scene, tone_model, tmp_path):
    names = ["e.jsonl", "e.csv", "e.txt", "e.selections.txt"]
    outputs = [option for name in names for option in ("--output", tmp_path / name)]
    result = streamclf("file", scene, "--model", tone_model, *outputs)
    assert result.code == 0
    assert (tmp_path / "e.jsonl").read_text() == result.out
    rows = (tmp_path / "e.csv").read_text().splitlines()
    assert rows[0] == "type,source,label,onset,offset,score,time"
    assert len(rows) == 4
    labels = [line.split("\t") for line in (tmp_path / "e.txt").read_text().splitlines()]
    assert [label for _, _, label in labels] == ["quiet", "middle", "quiet"]
    assert (tmp_path / "e.selections.txt").read_text().startswith("Selection\tView\t")


def test_an_output_that_exists_is_kept(streamclf, scene, tone_model, tmp_path):
    output = tmp_path / "e.csv"
    output.write_text("precious")
    arguments = ["file", scene, "--model", tone_model, "--output", output]
    result = streamclf(*arguments)
    assert result.code == 2
    assert "exists already: add --overwrite to replace it" in result.err
    assert output.read_text() == "precious"
    assert streamclf(*arguments, "--overwrite").code == 0
    assert output.read_text().startswith("type,source")


def test_audacity_labels_of_several_recordings_need_a_name_each(
    streamclf, write_wav, tone_model, tmp_path
):
    paths = [write_wav(toys.tone(440, 2), f"{name}.wav") for name in "ab"]
    arguments = ["file", *paths, "--model", tone_model, "--output"]
    refused = streamclf(*arguments, tmp_path / "all.txt")
    assert refused.code == 2
    assert "put {stem} into the name" in refused.err
    assert streamclf(*arguments, tmp_path / "{stem}.txt").code == 0
    for name in "ab":
        assert (tmp_path / f"{name}.txt").read_text() == "0.000000\t2.000000\tlow\n"


def test_output_names_that_would_collide_are_refused(streamclf, write_wav, tone_model, tmp_path):
    paths = [write_wav(toys.tone(440, 2), f"{name}/x.wav") for name in "ab"]
    arguments = ["file", *paths, "--model", tone_model, "--output"]
    result = streamclf(*arguments, tmp_path / "{stem}.csv")
    assert result.code == 2
    assert "would share" in result.err
    assert streamclf(*arguments, "{dir}/{stem}.csv").code == 0
    assert (tmp_path / "a" / "x.csv").exists()


def test_no_output_is_created_when_another_one_cannot_be(
    streamclf, write_wav, tone_model, tmp_path
):
    paths = [write_wav(toys.tone(440, 2), f"{name}.wav") for name in "ab"]
    (tmp_path / "b.csv").write_text("precious")
    new = tmp_path / "new.csv"
    arguments = ["file", *paths, "--model", tone_model, "--output", new]
    for more in (["--output", tmp_path / "{stem}.csv"], ["--scores", tmp_path / "b.csv"]):
        result = streamclf(*arguments, *more)
        assert result.code == 2
        assert f"{tmp_path / 'b.csv'}: exists already" in result.err
    result = streamclf(*arguments, "--scores", new)
    assert result.code == 2
    assert "is named twice" in result.err
    assert not new.exists()
    assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "b.csv").read_text() == "precious"


def test_formats_of_standard_output(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--format", "text")
    assert result.out.splitlines()[0] == str(scene)
    assert "middle" in result.out.splitlines()[2]
    csv = streamclf("file", scene, "--model", tone_model, "--format", "csv")
    assert csv.out.startswith("type,source,label")


def test_thresholds_of_a_file_are_used(streamclf, scene, tone_model, tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("max_gap = 0.5\n[classes]\nquiet = 1.0\n")
    result = streamclf("file", scene, "--model", tone_model, "--thresholds", path, "--average", 3)
    assert "middle" in [line["label"] for line in result.lines]


def test_info_shows_the_card(streamclf, tone_model):
    result = streamclf("info", tone_model)
    assert result.code == 0
    for words in ("tones (version 1)", "8000 Hz", "12000 samples (1.5 s)", "quiet, low, middle"):
        assert words in result.out
    card = json.loads(streamclf("info", tone_model, "--json").out)
    assert card["labels"] == toys.LABELS
    assert (card["sample_rate"], card["window_samples"]) == (8000, 12_000)
    assert card["thresholds"]["max_gap"] == 0.5


def test_a_mistake_of_our_own_is_one_line_too(streamclf, scene, tone_model, monkeypatch):
    def fail(*arguments, **keywords):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("streamclf.commands.run_recordings", fail)
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 1
    assert "a mistake in streamclf itself: ZeroDivisionError: oops" in result.err
    monkeypatch.setenv("STREAMCLF_TRACEBACK", "1")
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 1
    assert 'raise ZeroDivisionError("oops")' in result.err


def start(*arguments, stdin: int | None = None) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "streamclf", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_listening_with_what_was_found(scene, tone_model, number):
    process = start("listen", "--source", f"sim:{scene}", "--model", tone_model, "--updates")
    for _ in range(3):  # lines come, so it listens
        assert json.loads(process.stdout.readline())["type"] == "update"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["label"] == "quiet"
    assert "heard " in err


def test_an_interrupt_ends_waiting_for_standard_input(tone_model):
    arguments = ["listen", "--source", "-", "--raw", "s16le:8000:1", "--model", tone_model]
    with start(*arguments, stdin=subprocess.PIPE) as process:
        process.stdin.write("0" * 8000)
        process.stdin.flush()
        assert "listening to -" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert "heard 0." in process.stderr.read()


def test_an_interrupt_ends_a_batch_and_keeps_what_was_found(write_wav, tone_model, tmp_path):
    paths = [write_wav(np.tile(toys.tone(440, 60), 40), f"{i}.wav") for i in range(3)]
    scores = tmp_path / "scores.csv"
    process = start(
        "file", *paths, "--model", tone_model, "--hop", "0.002", "--scores", scores
    )  # fmt: skip
    while not (scores.exists() and scores.stat().st_size > 10_000) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[0])["label"] == "low"
    assert "3 recordings" in err


def test_a_reader_that_goes_away_ends_the_run_quietly(scene, tone_model):
    process = start(
        "listen",
        "--source",
        f"sim:{scene}",
        "--speed",
        0,
        "--loop",
        "--updates",
        "--model",
        tone_model,
    )
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=30) == 1
        assert "rror" not in process.stderr.read()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_file_on_a_terminal_shows_a_table_and_progress(scene, tone_model, write_wav):
    other = write_wav(toys.tone(2500, 3), "other.wav")
    master, slave = os.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "streamclf", "file", scene, other, "--model", tone_model],
        stdout=slave,
        stderr=slave,
        stdin=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "30"},
    )
    os.close(slave)
    shown = _read_terminal(master)
    assert run.wait() == 0
    screen = pyte.Screen(200, 30)
    pyte.ByteStream(screen).feed(shown)
    lines = [line.strip() for line in screen.display if line.strip()]
    assert lines[0] == str(scene)
    assert [line.split()[3] for line in lines[1:4]] == ["quiet", "middle", "quiet"]
    assert lines[4] == str(other)
    assert lines[5].split()[3] == "high"
    assert lines[6].startswith("streamclf: 2 recordings, 14.0 s of audio")
    assert len(lines) == 7
    assert b"all recordings" in shown  # the bars were there, and have gone


def _read_terminal(descriptor: int) -> bytes:
    shown = b""
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # the other side has closed
            piece = b""
        if not piece:
            os.close(descriptor)
            return shown
        shown += piece
