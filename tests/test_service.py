"""Running as a service: what systemd is told, signals, logs; systemd's part is played here."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import toys

from streamclf import log
from streamclf.records import Gap
from streamclf.runner import Interrupts
from streamclf.service import Service
from streamclf.sources.fake_backend import FakeBackend

PATIENCE_S = 60
UNIT = Path(__file__).parents[1] / "service" / "streamclf.service"
needs_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


class Systemd:
    """The other end of the notification socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(PATIENCE_S)
        self.told: list[str] = []

    def until(self, wanted: str) -> str:
        while True:
            message = self._socket.recv(4096).decode()
            self.told.append(message)
            if message.startswith(wanted):
                return message

    def rest(self) -> list[str]:
        self._socket.settimeout(0)
        messages = []
        try:
            while True:
                messages.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path):
    listener = Systemd(tmp_path)
    yield listener
    listener.close()


@pytest.fixture
def scene(write_wav):
    return write_wav(np.concatenate([toys.tone(1000, 3), toys.silence(2)]), "scene.wav")


@pytest.fixture
def start():
    """Begin to listen in a process of its own, which is ended with the test."""
    processes = []

    def start(*arguments: object, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamclf", "listen", *map(str, arguments)],
            **{
                "text": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                "stderr": subprocess.PIPE, **options,
            },
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def wait_until(condition, process: subprocess.Popen) -> None:
    """Wait for something that the process brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@needs_sockets
def test_systemd_hears_that_listening_began_goes_on_and_ends(start, systemd, scene, tone_model):
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"}
    process = start("--source", f"sim:{scene}", "--loop", "--model", tone_model, env=environment)
    systemd.until("READY=1")
    assert systemd.told == ["READY=1"]  # before everything else
    assert systemd.until("STATUS=") == f"STATUS=sim:{scene}: 0 windows: 0 events, no gaps"
    for _ in range(5):
        systemd.until("WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    systemd.until("STOPPING=1")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "heard " in err


@needs_sockets
def test_a_source_that_delivers_nothing_gets_no_ping(start, systemd, tone_model):
    """Silence on the line is not audio at work: systemd is to start such a process anew."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "40000"}
    process = start(
        "--source", "-", "--raw", "s16le:8000:1", "--model", tone_model, "--updates", text=False,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    process.stdin.write(bytes(2 * 12_000))
    process.stdin.flush()
    systemd.until("READY=1")
    assert b"update" in process.stdout.readline()  # all that came was worked on
    systemd.rest()
    with pytest.raises(BlockingIOError):  # ten times the time in which a ping would be due
        wait_for_word(systemd, 0.4)
    process.stdin.write(bytes(2 * 4000))
    process.stdin.flush()
    systemd._socket.settimeout(PATIENCE_S)
    systemd.until("WATCHDOG=1")
    process.stdin.close()
    systemd.until("STOPPING=1")
    assert process.wait(PATIENCE_S) == 0


def wait_for_word(systemd: Systemd, seconds: float) -> bytes:
    systemd._socket.settimeout(seconds)
    try:
        return systemd._socket.recv(4096)
    except TimeoutError as error:
        raise BlockingIOError from error


@needs_sockets
def test_a_loss_that_is_handled_keeps_the_service_alive(systemd):
    now = [0.0]
    environment = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "120000000"}
    with Service(lambda: "lost, trying again", environment, lambda: now[0]) as service:
        service.alive()
        now[0] = 29.0
        service.alive()
        now[0] = 31.0
        service.alive()
    assert systemd.rest() == [
        "READY=1", "WATCHDOG=1", "STATUS=lost, trying again",
        "STATUS=lost, trying again", "WATCHDOG=1", "STOPPING=1",
    ]  # fmt: skip


def test_a_lost_microphone_shows_a_sign_of_life_at_each_try():
    audio = FakeBackend()
    audio.clock.at(1.0, audio.unplug)
    microphone = audio.microphone()
    signs = []
    microphone.on_waiting = lambda: signs.append(audio.clock.now())
    audio.clock.at(200.0, microphone.stop)
    assert any(isinstance(record, Gap) for record in microphone.blocks(16_000))
    assert np.diff([1.0, *signs, 200.0]).max() <= 40  # the unit's watchdog waits for 120 s


@needs_sockets
def test_an_unplugged_microphone_is_said_to_systemd_and_survives_its_watchdog(
    start, systemd, scene, tone_model
):
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "40000"}
    start("--source", f"sim:{scene}?unplug=1,4", "--loop", "--speed", 4,
          "--model", tone_model, env=environment)  # fmt: skip
    said = systemd.until(f"STATUS=sim:{scene}: microphone")
    assert "lost: " in said
    systemd.until("WATCHDOG=1")  # while it is away
    assert " back after " in systemd.until(f"STATUS=sim:{scene}: microphone")


@needs_sockets
def test_without_systemd_nothing_is_sent(systemd):
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}):
        with Service(environment=environment) as service:
            service.alive()
    assert systemd.rest() == []


@needs_sockets
def test_only_the_process_meant_pings(systemd):
    environment = {
        "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1",
    }  # fmt: skip
    with Service(environment=environment) as service:
        service.alive()
        service.alive()
    assert "WATCHDOG=1" not in systemd.rest()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's abstract sockets")
def test_a_socket_without_a_file_is_found():
    name = f"streamclf-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(PATIENCE_S)
        with Service(environment={"NOTIFY_SOCKET": "@" + name}) as service:
            service.alive()
            assert listener.recv(100) == b"READY=1"


@needs_sockets
def test_systemd_that_went_away_ends_nothing(systemd):
    with Service(environment={"NOTIFY_SOCKET": str(systemd.path)}) as service:
        systemd.close()
        systemd.path.unlink()
        service.alive()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_one(tmp_path):
    """With a program that exists in place of ours, which need not be installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/streamclf", "/bin/true"))
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in run.stderr.splitlines() if UNIT.name in line]
    assert (run.returncode, complaints) == (0, [])


def test_the_example_configuration_is_right(streamclf, tone_model):
    path = UNIT.with_name("streamclf.toml")
    result = streamclf("config", "--check", "--config", path, "--model", tone_model)
    assert result.code == 0
    assert result.err.endswith(f"{path}: fine\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_sighup_reopens_the_files_and_listening_goes_on(start, scene, tone_model, tmp_path):
    path, moved = tmp_path / "e.jsonl", tmp_path / "e.jsonl.1"
    # On a busy machine a wider hop would let one event last for ever.
    process = start("--source", f"sim:{scene}", "--loop", "--speed", 5, "--fixed-hop",
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
        assert all(json.loads(line)["type"] == "event" for line in text.splitlines())


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_that_is_closed_ends_it_with_everything_written(
    start, scene, tone_model, tmp_path
):
    path = tmp_path / "e.jsonl"
    master, slave = os.openpty()
    process = start("--source", f"sim:{scene}", "--loop", "--model", tone_model, "--output", path,
                    "--no-ui", stderr=slave)  # fmt: skip
    os.close(slave)
    assert b"listening to" in os.read(master, 4096)
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
def test_nohup_is_respected(start, scene, tone_model, tmp_path):
    process = start(
        "--source", f"sim:{scene}", "--loop", "--model", tone_model, "--updates",
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
def test_a_signal_ends_it_though_nobody_reads(start, scene, tone_model, tmp_path, number):
    """Standard output's pipe is full."""
    path = tmp_path / "e.jsonl"
    process = start("--source", f"sim:{scene}", "--loop", "--speed", 0, "--updates",
                    "--model", tone_model, "--output", path, stdout=subprocess.PIPE)  # fmt: skip
    # Listening goes on long after the pipe is full.
    wait_until(lambda: size_of(path) > 100_000, process)
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 130
    lines = path.read_text().splitlines()
    assert all(json.loads(line)["type"] == "event" for line in lines)
    said = process.stderr.read()
    assert "warning: standard output: lost " in said
    assert "e.jsonl: lost" not in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that fill up")
def test_a_log_that_nobody_reads_holds_nothing_up(start, scene, tone_model, tmp_path):
    path = tmp_path / "e.jsonl"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = start("--source", f"sim:{scene}", "--loop", "--speed", 50, "--model", tone_model,
                    "--output", path, stderr=writer)  # fmt: skip
    wait_until(lambda: size_of(path) > 1000, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 130
    os.close(reader)
    os.close(writer)


def test_the_other_outputs_go_on_when_the_reader_goes_away(start, scene, tone_model, tmp_path):
    path = tmp_path / "e.jsonl"
    process = start("--source", f"sim:{scene}", "--loop", "--speed", 50, "--updates",
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
def test_a_file_that_may_not_grow_is_said_and_audio_goes_on(start, scene, tone_model, tmp_path):
    """RLIMIT_FSIZE: the system itself refuses, in the middle of a line."""
    import resource

    path = tmp_path / "e.jsonl"
    process = start(
        "--source", f"sim:{scene}", "--loop", "--speed", 0, "--duration", 300,
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
    assert all(json.loads(line)["type"] == "event" for line in text.splitlines())


def test_the_log_is_json_on_request(streamclf, scene, tone_model):
    arguments = ["listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model]
    result = streamclf(*arguments, "--hop", 2, "--log-format", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert [set(line) for line in lines] == [{"time", "level", "message"}] * len(lines)
    assert [line["level"] for line in lines] == ["warning", "info", "info"]
    assert lines[0]["message"].startswith("--hop 2 s is longer than the window")
    quiet = streamclf(*arguments, "--hop", 2, "--log-level", "warning")
    assert [line.split(":")[1] for line in quiet.err.splitlines()] == [" warning"]
    assert streamclf(*arguments, "--log-level", "error").err == ""
    failed = streamclf("listen", "--source", "sim:none.wav", "--log-format", "json")
    assert json.loads(failed.err)["level"] == "error"
    usual = streamclf(*arguments)
    assert usual.err.startswith("streamclf: listening to ")


def test_a_log_line_survives_names_that_are_no_text(capfd):
    log.set_up("json")
    log.say("warning: caf\udce9.wav:\n is odd")
    log.set_up()
    assert json.loads(capfd.readouterr().err)["message"] == "caf\\udce9.wav: is odd"
