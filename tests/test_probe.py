"""The process that looks for a lost microphone: what its end says, and that it ends."""

import os
import subprocess
import sys
from pathlib import Path

import audio_server
import pytest
from live_runs import PATIENCE_S

from streamclf.sources.microphone import probe as module
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.probe import probe

DEVICE = DeviceIdentity(InputDevice(3, "usb", "ALSA", 1, 48_000.0), ("usb", "usb (2)"), 1)


@pytest.mark.parametrize(
    ("script", "there"),
    [
        ("exit 0", True),
        ("exit 3", False),
        ("exit 1", True),  # it failed for reasons of its own: then it must be tried here
        ("kill -ABRT $$", False),  # as it would have crashed here
        ('[ "$3" = usb ] && [ "$4" = ALSA ] && [ "$5 $6 $7" = "1 usb usb (2)" ]', True),
        ("exec sleep 60", False),
    ],
)
def test_probe_tells_by_the_end_of_the_process(tmp_path: Path, monkeypatch, script, there) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(module, "TIMEOUT_S", 2.0 if "sleep" in script else PATIENCE_S)
    assert probe(DEVICE) == ProbeResult(there)


def test_probe_without_a_program_leaves_it_to_the_caller(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert probe(DEVICE).present
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert probe(DEVICE).present


def test_probe_tells_which_devices_of_that_make_are_there(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(program))
    for printed, names in [
        ('ALSA says things\n["usb", "usb"]', ("usb", "usb")),
        ("[]", ()),
        ("ALSA alone", None),
        ("", None),
    ]:
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{printed}'\nexit 3\n")
        program.chmod(0o755)
        assert probe(DEVICE) == ProbeResult(present=False, names=names)


def test_probe_runs_nothing_that_lies_in_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sounddevice", "json", "streamclf"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w')")
    probe(DEVICE)
    assert not (tmp_path / "was_run").exists()


LOOK = """
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.device_identity import DeviceIdentity
from streamclf.sources.microphone.probe import probe
import sys
result = probe(DeviceIdentity(InputDevice(-1, sys.argv[1], sys.argv[2], 1, 0.0)))
print(result.present, *result.names or ())
"""


@pytest.mark.audio_server
@pytest.mark.skipif(bool(audio_server.available()), reason=audio_server.available() or "-")
def test_probe_sees_a_real_microphone_come_and_go() -> None:
    with audio_server.AudioServer() as server:
        env = {**os.environ, **server.env}

        def look(name: str) -> str:
            command = [sys.executable, "-c", LOOK, name, "ALSA"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            return done.stdout.strip()

        assert look("default") == "True default"
        assert look("another") == "False"
        server.stop()
        assert look("default").startswith("False")
        server.start()
        assert look("default").startswith("True")
        server.freeze()
        assert look("default").startswith("False")
