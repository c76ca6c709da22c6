"""Running as a service: what systemd is told, signals, logs; systemd's part is played here."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from live_runs import PATIENCE_S

from streamclf.core import log
from streamclf.core.records import Gap
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.sources.simulated.fake_backend import FakeBackend

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

    def wait(self, seconds: float) -> bytes:
        """The next message, if one comes within the time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(4096)
        except TimeoutError as error:
            raise BlockingIOError from error
        finally:
            self._socket.settimeout(PATIENCE_S)

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


@needs_sockets
def test_systemd_hears_that_listening_began_goes_on_and_ends(start, systemd, piece, tone_model):
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"}
    process = start("--source", f"sim:{piece}", "--loop", "--model", tone_model, env=environment)
    systemd.until("READY=1")
    assert systemd.told == ["READY=1"]  # before everything else
    assert systemd.until("STATUS=") == f"STATUS=sim:{piece}: 0 windows: 0 events, no gaps"
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
        systemd.wait(0.4)
    process.stdin.write(bytes(2 * 4000))
    process.stdin.flush()
    systemd.until("WATCHDOG=1")
    process.stdin.close()
    systemd.until("STOPPING=1")
    assert process.wait(PATIENCE_S) == 0


@needs_sockets
def test_a_loss_that_is_handled_keeps_the_service_alive(systemd):
    now = [0.0]
    environment = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "120000000"}
    with SystemdNotifier(lambda: "lost, trying again", environment, lambda: now[0]) as service:
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
    start, systemd, piece, tone_model
):
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "40000"}
    start("--source", f"sim:{piece}?unplug=1,4", "--loop", "--speed", 4,
          "--model", tone_model, env=environment)  # fmt: skip
    said = systemd.until(f"STATUS=microphone sim:{piece}")
    assert "lost: " in said
    systemd.until("WATCHDOG=1")  # while it is away
    assert " back after " in systemd.until(f"STATUS=microphone sim:{piece}")


@needs_sockets
def test_without_systemd_nothing_is_sent(systemd):
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}):
        with SystemdNotifier(environment=environment) as service:
            service.alive()
    assert systemd.rest() == []


@needs_sockets
def test_only_the_process_meant_pings(systemd):
    environment = {
        "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1",
    }  # fmt: skip
    with SystemdNotifier(environment=environment) as service:
        service.alive()
        service.alive()
    assert "WATCHDOG=1" not in systemd.rest()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's abstract sockets")
def test_a_socket_without_a_file_is_found():
    name = f"streamclf-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(PATIENCE_S)
        with SystemdNotifier(environment={"NOTIFY_SOCKET": "@" + name}) as service:
            service.alive()
            assert listener.recv(100) == b"READY=1"


@needs_sockets
def test_systemd_that_went_away_ends_nothing(systemd):
    with SystemdNotifier(environment={"NOTIFY_SOCKET": str(systemd.path)}) as service:
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
    result = streamclf("serve", "--check", "--config", path, "--model", tone_model)
    assert result.code == 0
    assert result.err.endswith(f"{path}: fine: microphone\n")


def test_the_log_is_json_on_request(streamclf, piece, tone_model):
    arguments = ["listen", "--source", f"sim:{piece}", "--speed", 0, "--model", tone_model]
    result = streamclf(*arguments, "--hop", 2, "--log-format", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert [set(line) for line in lines] == [{"time", "level", "message"}] * len(lines)
    assert [line["level"] for line in lines] == ["warning", "info", "info", "info"]
    assert lines[0]["message"].startswith("--hop 2 s is longer than the window")
    quiet = streamclf(*arguments, "--hop", 2, "--log-level", "warning")
    assert [line.split(":")[1] for line in quiet.err.splitlines()] == [" warning"]
    assert streamclf(*arguments, "--log-level", "error").err == ""
    failed = streamclf("listen", "--source", "sim:none.wav", "--log-format", "json")
    assert json.loads(failed.err)["level"] == "error"
    usual = streamclf(*arguments)
    assert usual.err.startswith("streamclf: listening to ")


def test_a_log_line_survives_names_that_are_no_text(capfd):
    log.set_up(log.LogOptions("json"))
    log.say("warning: caf\udce9.wav:\n is odd")
    log.set_up()
    assert json.loads(capfd.readouterr().err)["message"] == "caf\\udce9.wav:\\n is odd"
