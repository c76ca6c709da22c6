"""Devices: listed, chosen by index or name, found again; PortAudio's own ways behind the seam."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamclf.core.errors import DeviceError
from streamclf.sources.microphone import portaudio
from streamclf.sources.microphone.child_backend import ChildBackend
from streamclf.sources.microphone.devices import InputDevice, choose_input, list_inputs
from streamclf.sources.microphone.portaudio import PortAudioBackend
from streamclf.sources.simulated.fake_backend import FakeBackend

USB = InputDevice(3, "USB PnP: Audio (hw:1,0)", "ALSA", 1, 44_100.0)
PULSE = InputDevice(5, "pulse", "ALSA", 32, 44_100.0)
DEFAULT = InputDevice(6, "default", "ALSA", 32, 44_100.0, is_default=True)
HEADSET = InputDevice(8, "USB Headset (hw:2,0)", "ALSA", 1, 48_000.0)
INPUTS = [USB, PULSE, DEFAULT, HEADSET]


@pytest.mark.parametrize(
    ("wanted", "device"),
    [
        (None, DEFAULT),
        (3, USB),
        (np.int64(3), USB),
        ("3", USB),
        ("pnp", USB),
        ("HEADSET", HEADSET),
        (" default ", DEFAULT),
        ("pulse, alsa", PULSE),
        ("headset (hw:2,0), alsa", HEADSET),
    ],
)
def test_choose_input_finds(wanted: int | str | None, device: InputDevice) -> None:
    assert choose_input(INPUTS, wanted) == device


def test_choose_input_prefers_an_exact_name() -> None:
    pulse_too = InputDevice(9, "pulse monitor", "ALSA", 2, 44_100.0)
    assert choose_input([pulse_too, PULSE], "Pulse") == PULSE


def test_choose_input_takes_the_first_without_a_default() -> None:
    assert choose_input([USB, PULSE], None) == USB


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("usb", r"2 microphones are called 'usb'.*3: USB PnP.*8: USB Headset"),
        ("tape", r"no microphone is called 'tape'; there is 3: USB.*6: default, ALSA"),
        (4, r"no microphone has index 4; there is 3: USB"),
        ("4", r"no microphone has index 4"),
    ],
)
def test_choose_input_says_what_there_is(wanted: int | str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        choose_input(INPUTS, wanted)


def test_choose_input_without_devices_says_so() -> None:
    with pytest.raises(DeviceError, match="no input device"):
        choose_input([], None)


def test_list_inputs_lists_what_the_backend_sees() -> None:
    assert list_inputs(FakeBackend(INPUTS)) == INPUTS


def test_list_inputs_without_devices_says_so() -> None:
    with pytest.raises(DeviceError, match="no input device"):
        list_inputs(FakeBackend([]))


class FakePortAudioError(Exception):
    """Stands for sounddevice.PortAudioError."""


class FakeInputStream:
    """Stands for sounddevice.InputStream."""

    latency = 0.2

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.done: list[str] = []

    def start(self) -> None:
        if self.arguments["samplerate"] == 1:
            raise FakePortAudioError("Error starting stream: Wait timed out [PaErrorCode -9987]")
        frames = np.ones((4, 1), np.float32)
        self.arguments["callback"](
            frames, 4, SimpleNamespace(inputBufferAdcTime=7.5), SimpleNamespace(input_overflow=1)
        )

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A sounddevice module with two devices, one of which records."""
    module = SimpleNamespace(
        PortAudioError=FakePortAudioError,
        InputStream=FakeInputStream,
        default=SimpleNamespace(device=[-1, -1]),
        query_hostapis=lambda: ({"name": "ALSA", "default_input_device": 1},),
        query_devices=lambda: [
            {"name": "out", "hostapi": 0, "max_input_channels": 0, "default_samplerate": 1.0},
            {"name": "mic", "hostapi": 0, "max_input_channels": 2, "default_samplerate": 48e3},
        ],
        _initialized=1,
        _exit_handler=lambda: None,
        log=[],
    )

    def count(step: int, word: str) -> None:
        module._initialized += step
        module.log.append(word)

    module._terminate = lambda: count(-1, "terminate")
    module._initialize = lambda: count(1, "initialize")
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_portaudio_lists_what_records_and_marks_the_default(sounddevice: SimpleNamespace) -> None:
    expected = InputDevice(1, "mic", "ALSA", 2, 48_000.0, is_default=True)
    assert list_inputs(PortAudioBackend()) == [expected]
    sounddevice.default.device = [0, 0]
    assert not list_inputs(PortAudioBackend())[0].is_default


def test_portaudio_hands_on_blocks_flags_and_times(sounddevice: SimpleNamespace) -> None:
    got: list[tuple[int, bool, float]] = []
    stream = PortAudioBackend().open(
        USB,
        16_000,
        1,
        4,
        lambda data, flag, time: got.append((len(data), flag, time)),
        lambda: None,
    )
    assert got == [(4, True, 7.5)]
    assert stream.latency_s == 0.2
    stream.close()
    assert stream._stream.done == ["abort", "close"]  # type: ignore[attr-defined]


def test_portaudio_says_why_a_stream_does_not_start(sounddevice: SimpleNamespace) -> None:
    with pytest.raises(DeviceError, match="Wait timed out"):
        PortAudioBackend().open(USB, 1, 1, 4, lambda *_: None, lambda: None)


def test_portaudio_reset_terminates_every_initialisation(sounddevice: SimpleNamespace) -> None:
    sounddevice._initialized = 2
    PortAudioBackend().reset()
    assert sounddevice.log == ["terminate", "terminate", "initialize"]


@pytest.mark.parametrize("is_old", [True, False])
@pytest.mark.parametrize("there", ["same", "more", "unknown"])
def test_portaudio_refresh_initialises_only_for_other_devices(
    sounddevice: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, there: str, is_old: bool
) -> None:
    backend = PortAudioBackend()
    more = InputDevice(2, "usb", "ALSA", 1, 48_000.0)

    def list_anew(_: object) -> list[InputDevice]:
        if there == "unknown":
            raise DeviceError("it did not answer")
        return backend.list_devices() + [more] * (there == "more")

    monkeypatch.setattr(ChildBackend, "list_devices", list_anew)
    monkeypatch.setattr(portaudio, "_initialised_at", time.monotonic() - (60 if is_old else 0))
    changes = there == "more" and is_old
    assert backend.refresh() is changes
    assert sounddevice.log == ["terminate", "initialize"] * changes


def test_portaudio_errors_become_device_errors(sounddevice: SimpleNamespace) -> None:
    def fail() -> None:
        raise FakePortAudioError("Error querying host APIs")

    sounddevice.query_hostapis = sounddevice._initialize = fail
    with pytest.raises(DeviceError, match="cannot be listed: Error querying"):
        list_inputs(PortAudioBackend())
    with pytest.raises(DeviceError, match="PortAudio cannot start"):
        PortAudioBackend().reset()


def test_portaudio_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLibrary:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(DeviceError, match="apt install libportaudio2"):
        list_inputs(PortAudioBackend())


def test_portaudio_abandoned_is_not_terminated_at_exit(
    sounddevice: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[object] = []
    monkeypatch.setattr("atexit.unregister", dropped.append)
    PortAudioBackend().abandon()
    assert dropped == [sounddevice._exit_handler]
