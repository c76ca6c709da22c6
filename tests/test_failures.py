"""Commands that fail: one line, the exit code, and the rest is done."""

import numpy as np
import pytest
import toys


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
        (
            ["file", "x.wav", "--format", "x"],
            "--format x: must be jsonl, csv, audacity, raven or text",
        ),
        (["listen", "--privacy", "voice"], "--privacy voice: must be speech, or left out"),
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
    assert result.err.startswith("streamclf: 1 of 4 recordings, 11.0 s of audio in ")
    assert result.err.splitlines()[1:] == [
        "streamclf: 3 events: 2 quiet, 1 middle",
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


def test_a_mistake_of_our_own_is_one_line_too(streamclf, scene, tone_model, monkeypatch):
    def fail(*arguments, **keywords):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("streamclf.cli.file.run_recordings", fail)
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 1
    assert "a mistake in streamclf itself: ZeroDivisionError: oops" in result.err
    monkeypatch.setenv("STREAMCLF_TRACEBACK", "1")
    result = streamclf("file", scene, "--model", tone_model)
    assert result.code == 1
    assert 'raise ZeroDivisionError("oops")' in result.err
