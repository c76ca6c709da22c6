"""PortAudio: microphones and the loudspeaker, through sounddevice.

Only this module imports sounddevice, also for `streamclf.sources.microphone.loudspeaker`.
These observations of PortAudio (19.6, ALSA, with PulseAudio behind it) decide how
`streamclf.sources.microphone.microphone` uses it:

- When the sound server dies, the stream ends: the finished callback is called at once.
- When the server freezes, no callback is called any more, aborting the stream takes 30 s, and
  closing it may never return. So all calls are made by one thread, with a deadline.
- PortAudio lists devices when it is initialised; only a new initialisation finds new devices. A
  microphone that was not there when the process began is found by that alone.
- PortAudio and ALSA write about failures to standard error, from C.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamclf.core.errors import DeviceError
from streamclf.core.records import Waveform
from streamclf.sources.microphone.backend import Callback, OpenStream
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.probe import probe

FRESH_S = 0.4
"""Seconds after an initialisation in which the list of devices counts as current."""
_initialised_at = -FRESH_S


class PortAudioBackend:
    """PortAudio through sounddevice, which is imported when it is first needed."""

    def list_devices(self) -> list[InputDevice]:
        """List the devices that can record.

        Raises:
            DeviceError: There is no PortAudio library, or it fails.
        """
        sounddevice = _import_sounddevice()
        try:
            host_apis = sounddevice.query_hostapis()
            devices = sounddevice.query_devices()
            default = _default_input(sounddevice, host_apis)
        except sounddevice.PortAudioError as error:
            raise DeviceError(f"microphones cannot be listed: {error}") from error
        return [
            InputDevice(
                index=index,
                name=device["name"],
                host_api=host_apis[device["hostapi"]]["name"],
                channels=device["max_input_channels"],
                default_sample_rate=device["default_samplerate"],
                is_default=index == default,
            )
            for index, device in enumerate(devices)
            if device["max_input_channels"] > 0
        ]

    def open(
        self,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> OpenStream:
        """Open and start an input stream of float32 samples, see `Backend.open`.

        Raises:
            DeviceError: PortAudio refuses; the message is PortAudio's, without the device's name.
        """
        sounddevice = _import_sounddevice()

        def on_block(indata: Waveform, _frames: int, time: Any, status: Any) -> None:
            callback(indata, bool(status.input_overflow), time.inputBufferAdcTime)

        try:
            stream = sounddevice.InputStream(
                device=device.index,
                samplerate=sample_rate,
                channels=channels,
                blocksize=block_samples,
                dtype="float32",
                # A high latency, because results may be a little late but audio must not be lost.
                latency="high",
                callback=on_block,
                finished_callback=finished,
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise DeviceError(error) from error
        try:
            stream.start()
        except sounddevice.PortAudioError as error:
            stream.close()
            raise DeviceError(error) from error
        return _PortAudioStream(stream)

    def probe(self, lost: DeviceIdentity) -> ProbeResult:
        """Search for a lost device in another process; memory that PortAudio leaks ends with it."""
        return probe(lost)

    def reset(self) -> None:
        """Terminate PortAudio and initialise it again.

        Raises:
            DeviceError: PortAudio cannot be initialised.
        """
        sounddevice = _import_sounddevice()
        try:
            # Initialisations are counted, and an earlier reset may have failed half way.
            while sounddevice._initialized:
                sounddevice._terminate()
            sounddevice._initialize()
            _note_initialised(time.monotonic())
        except sounddevice.PortAudioError as error:
            raise DeviceError(f"PortAudio cannot start: {error}") from error

    def refresh(self) -> bool:
        """Initialise PortAudio again if another process sees other devices, see `Backend.refresh`.

        Raises:
            DeviceError: PortAudio cannot be initialised.
        """
        from streamclf.sources.microphone.child_backend import ChildBackend  # it needs this module

        if time.monotonic() - _initialised_at < FRESH_S:
            return False
        try:
            there = ChildBackend().list_devices()
        except DeviceError:  # nothing can be told of them
            return False
        if there == self.list_devices():
            return False
        self.reset()
        return True

    def abandon(self) -> None:
        """Keep sounddevice from terminating PortAudio at exit, which would hang too."""
        atexit.unregister(_import_sounddevice()._exit_handler)


class _PortAudioStream:
    """An open `sounddevice.InputStream`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.latency_s = float(stream.latency)

    def close(self) -> None:
        # abort does not wait for the device's buffers, as stop would.
        self._stream.abort()
        self._stream.close()


@dataclass(frozen=True)
class Output:
    """An open device that plays.

    Attributes:
        sample_rate: Sample rate in Hz; the device's default if it refused the wanted one.
        finish: Waits until all samples have been played, and stops; may hang if the sound server
            does.
    """

    sample_rate: int
    finish: Callable[[], object]


def open_output(
    sample_rate: int, take: Callable[[int], bytes], finished: Callable[[], object]
) -> Output:
    """Start playing mono float32 samples on the default loudspeaker.

    Args:
        sample_rate: Wanted sample rate in Hz.
        take: Returns exactly the given number of bytes of samples; called in the device's thread.
        finished: Called when playback ends, also when it ends because the sound server died.

    Raises:
        DeviceError: There is no loudspeaker, or it cannot be opened.
    """
    sounddevice = _import_sounddevice("loudspeaker")

    def on_block(outdata: Any, _frames: int, _time: Any, _status: Any) -> None:
        outdata[:] = take(len(outdata))

    def start(rate: int) -> Output:
        stream = sounddevice.RawOutputStream(
            samplerate=rate, channels=1, dtype="float32", callback=on_block,
            finished_callback=finished,
        )  # fmt: skip
        stream.start()
        return Output(rate, stream.stop)

    try:
        usual = round(sounddevice.query_devices(kind="output")["default_samplerate"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(
            "no loudspeaker: none is connected, or the sound server does not run"
        ) from error
    try:
        try:
            return start(sample_rate)
        except sounddevice.PortAudioError:
            return start(usual)
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"no loudspeaker: it cannot be opened: {error}") from error


def _default_input(sounddevice: Any, host_apis: Any) -> int:
    """Return the index of the default input device, -1 if there is none."""
    chosen = sounddevice.default.device[0]
    if chosen >= 0:
        return int(chosen)
    defaults = [api["default_input_device"] for api in host_apis]
    return next((int(index) for index in defaults if index >= 0), -1)


def _import_sounddevice(wanted: str = "microphone") -> Any:
    """Import sounddevice, which loads and initialises PortAudio.

    Args:
        wanted: Kind of device that needs it, for the error message.

    Raises:
        DeviceError: There is no PortAudio library, or it does not start.
    """
    known = "sounddevice" in sys.modules
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"no {wanted} without the PortAudio library ({error}); install it: "
            "apt install libportaudio2, or your system's package of PortAudio"
        ) from error
    except Exception as error:
        raise DeviceError(f"PortAudio cannot start: {error}") from error
    if not known:
        _note_initialised(time.monotonic())
    return sounddevice


def _note_initialised(now: float) -> None:
    global _initialised_at
    _initialised_at = now
