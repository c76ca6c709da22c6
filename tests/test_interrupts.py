"""Commands that are interrupted, lose their reader, or stand on a terminal."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import prepared
import pyte
import pytest
import toys
from live_runs import PATIENCE_S


def start(*arguments, stdin: int | None = None) -> subprocess.Popen:
    return prepared.begin(
        *arguments,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_listening_with_what_was_found(scene, tone_model, number):
    process = start("listen", "--source", f"sim:{scene}", "--model", tone_model, "--updates")
    for _ in range(3):  # lines come, so it listens
        assert json.loads(process.stdout.readline())["type"] in ("update", "begin")
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
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
        assert process.wait(timeout=PATIENCE_S) == 130
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
        assert process.wait(timeout=PATIENCE_S) == 1
        assert "rror" not in process.stderr.read()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_file_on_a_terminal_shows_a_table_and_progress(scene, tone_model, write_wav):
    other = write_wav(toys.tone(2500, 3), "other.wav")
    master, slave = os.openpty()
    run = prepared.begin(
        "file",
        scene,
        other,
        "--model",
        tone_model,
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
    assert [line.split()[4] for line in lines[1:4]] == ["quiet", "middle", "quiet"]
    assert lines[4] == str(other)
    assert lines[5].split()[4] == "high"
    assert lines[6].startswith("streamclf: 2 recordings, 14.0 s of audio")
    assert lines[7] == "streamclf: 4 events: 2 quiet, 1 middle, 1 high"
    assert len(lines) == 8
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
