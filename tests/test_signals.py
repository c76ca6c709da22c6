"""Signals, closed terminals and logs that nobody reads, while a process of its own listens."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live_runs import PATIENCE_S

from streamclf.runs.interrupts import Interrupts


def wait_until(condition, process: subprocess.Popen) -> None:
    """Wait for something that the process brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_sighup_reopens_the_files_and_listening_goes_on(start, piece, tone_model, tmp_path):
    path, moved = tmp_path / "e.jsonl", tmp_path / "e.jsonl.1"
    # On a busy machine a wider hop would let one event last for ever.
    process = start("--source", f"sim:{piece}", "--loop", "--speed", 5, "--fixed-hop",
                    "--model", tone_model, "--output", path)  # fmt: skip
    assert "listening to" in process.stderr.readline()
    path.rename(moved)
    process.send_signal(signal.SIGHUP)
    assert process.stderr.readline() == f"streamclf: {path}: opened anew\n"
    wait_until(lambda: size_of(path), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 130
    for file in (moved, path):
        text = file.read_text()
        assert text == "" or text.endswith("\n")
        assert all(json.loads(line)["type"] in ("begin", "event") for line in text.splitlines())


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_that_is_closed_ends_it_with_everything_written(
    start, piece, tone_model, tmp_path
):
    path = tmp_path / "e.jsonl"
    master, slave = os.openpty()
    process = start("--source", f"sim:{piece}", "--loop", "--speed", 5, "--fixed-hop",
                    "--model", tone_model, "--output", path, "--no-ui", stderr=slave)  # fmt: skip
    os.close(slave)
    assert b"listening to" in os.read(master, 4096)
    wait_until(lambda: size_of(path), process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S) == 130
    assert json.loads(path.read_text().splitlines()[-1])["type"] == "event"
    os.close(master)


def test_a_second_interrupt_ends_a_run_that_does_not_end():
    asked = threading.Event()
    with Interrupts(asked.set) as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert asked.wait(PATIENCE_S)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert interrupts.happened


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_nohup_is_respected(start, piece, tone_model, tmp_path):
    process = start(
        "--source", f"sim:{piece}", "--loop", "--model", tone_model, "--updates",
        "--output", tmp_path / "e.jsonl", stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "opened anew" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_though_nobody_reads(start, piece, tone_model, tmp_path, number):
    """Standard output's pipe is full, and what waits for it is there when Python ends."""
    path = tmp_path / "e.jsonl"
    process = start("--source", f"sim:{piece}", "--loop", "--speed", 0, "--updates",
                    "--model", tone_model, "--output", path, stdout=subprocess.PIPE,
                    fork=False)  # fmt: skip
    # Listening goes on long after the pipe is full.
    wait_until(lambda: size_of(path) > 100_000, process)
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 130
    lines = path.read_text().splitlines()
    assert all(json.loads(line)["type"] in ("begin", "event") for line in lines)
    said = process.stderr.read()
    assert "warning: standard output: lost " in said
    assert "e.jsonl: lost" not in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that fill up")
def test_a_log_that_nobody_reads_holds_nothing_up(start, piece, tone_model, tmp_path):
    path = tmp_path / "e.jsonl"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = start("--source", f"sim:{piece}", "--loop", "--speed", 50, "--model", tone_model,
                    "--output", path, stderr=writer)  # fmt: skip
    wait_until(lambda: size_of(path) > 1000, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 130
    os.close(reader)
    os.close(writer)


def test_the_other_outputs_go_on_when_the_reader_goes_away(start, piece, tone_model, tmp_path):
    path = tmp_path / "e.jsonl"
    process = start("--source", f"sim:{piece}", "--loop", "--speed", 50, "--updates",
                    "--model", tone_model, "--output", path, stdout=subprocess.PIPE)  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    assert "listening to" in process.stderr.readline()
    assert "standard output: its reader has gone; all else goes on" in process.stderr.readline()
    before = size_of(path)
    wait_until(lambda: size_of(path) > before, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 130


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_a_file_that_may_not_grow_is_said_and_audio_goes_on(start, piece, tone_model, tmp_path):
    """RLIMIT_FSIZE: the system itself refuses, in the middle of a line."""
    import resource

    path = tmp_path / "e.jsonl"
    process = start(
        "--source", f"sim:{piece}", "--loop", "--speed", 0, "--duration", 300,
        "--model", tone_model, "--output", path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )  # fmt: skip
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"warning: {path}: cannot be written: file too large; lines wait in memory" in err
    assert f"warning: {path}: lost " in err
    assert "heard 5 min" in err
    text = path.read_text()
    assert 0 < len(text) <= 1000
    assert text.endswith("\n")
    assert all(json.loads(line)["type"] in ("begin", "event") for line in text.splitlines())
