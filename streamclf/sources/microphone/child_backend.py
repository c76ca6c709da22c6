"""PortAudio in processes of its own, for a second microphone and all that follow.

PortAudio lists devices when it is initialised, and a new initialisation ends all streams of the
process. So a microphone that is found again after it was lost would interrupt every other one. Here
each device is opened by a process that does nothing else (`capture_child`), so each microphone
stands for itself. It costs about 50 MB of memory, and the time to start a process.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from streamclf.core import child_python
from streamclf.core.errors import DeviceError
from streamclf.sources.microphone.backend import Callback, OpenStream
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.probe import probe

MODULE = "streamclf.sources.microphone.capture_child"
ANSWER_TIMEOUT_S = 8.0
"""Longest wait, in seconds, for a process to list or to open devices."""
HEADER = struct.Struct("<I?d")
"""What precedes the samples of a block: their number, whether audio was lost before them, and the
ADC time of the first in seconds."""
END_TIMEOUT_S = 1.0
"""Longest wait, in seconds, for the thread that reads to end, after its process was killed."""


class ChildBackend:
    """PortAudio in a process for each list and for each open device.

    Args:
        command: The command line of the process, without its arguments; tests replace it.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", MODULE)) -> None:
        self._command = [*command]
        self._listed: list[InputDevice] | None = None
        self._stream: _ChildStream | None = None

    def list_devices(self) -> list[InputDevice]:
        """List the devices that can record, as of the last `reset`.

        Raises:
            DeviceError: There is no PortAudio library, or it fails.
        """
        if self._listed is None:
            answer = self._ask()
            self._listed = [InputDevice(**fields) for fields in answer["devices"]]
        return self._listed

    def open(
        self,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> OpenStream:
        """Start a process that records, see `Backend.open`.

        Raises:
            DeviceError: PortAudio refuses, or the process does not answer.
        """
        place = DeviceIdentity.among(self.list_devices(), device).place
        child = self._start(
            device.name, device.host_api, place, sample_rate, channels, block_samples
        )
        try:
            answer = _read_answer(child)
        except BaseException:
            _kill(child)
            raise
        stream = _ChildStream(child, float(answer["latency_s"]), channels, callback, finished)
        self._stream = stream
        return stream

    def probe(self, lost: DeviceIdentity) -> ProbeResult:
        """Search for a lost device in another process."""
        return probe(lost)

    def reset(self) -> None:
        """Forget the list of devices; each process finds those that are there."""
        self._listed = None

    def refresh(self) -> bool:
        """Ask a new process which devices are there, see `Backend.refresh`."""
        before, self._listed = self._listed, None
        return self.list_devices() != before

    def abandon(self) -> None:
        """End the process that records, so that nothing hangs at exit."""
        if self._stream is not None:
            self._stream.kill()

    def _ask(self) -> dict[str, Any]:
        child = self._start()
        try:
            return _read_answer(child)
        finally:
            _kill(child)

    def _start(self, *arguments: object) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*self._command, *map(str, arguments)],
                env=child_python.environment(),
                stdin=subprocess.PIPE,  # its end tells the child that this process is gone
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is meant for the main process alone.
                start_new_session=True,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DeviceError(
                f"a microphone beside another one needs a process of its own, which cannot be "
                f"started: {reason}"
            ) from error


class _ChildStream:
    """A device that a process records, and the thread that takes its blocks."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        latency_s: float,
        channels: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> None:
        self.latency_s = latency_s
        self._child = child
        self._channels = channels
        self._callback = callback
        self._finished = finished
        self._thread = threading.Thread(target=self._take, name="microphone process", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process and the thread."""
        self.kill()
        self._thread.join(END_TIMEOUT_S)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        _kill(self._child, close=False)

    def _take(self) -> None:
        pipe = self._child.stdout
        assert pipe is not None
        try:
            while (block := _read_block(pipe, self._channels)) is not None:
                self._callback(*block)
        finally:
            _kill(self._child)
            self._finished()


def _read_block(
    pipe: IO[bytes], channels: int
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], bool, float] | None:
    """Read a block as the callback takes it; None at the end."""
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    n_samples, overflowed, adc_time = HEADER.unpack(header)
    data = pipe.read(4 * n_samples * channels)
    if len(data) < 4 * n_samples * channels:
        return None
    waveform = np.frombuffer(data, dtype="<f4").reshape(n_samples, channels)
    return waveform, overflowed, adc_time


def _read_answer(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Read the first line of a process, which is JSON; what a library prints goes elsewhere.

    Raises:
        DeviceError: It tells of an error, or does not answer in time.
    """
    assert child.stdout is not None
    timer = threading.Timer(ANSWER_TIMEOUT_S, child.kill)
    timer.start()
    try:
        line = child.stdout.readline()
    finally:
        timer.cancel()
    try:
        answer = json.loads(line)
    except ValueError:
        raise DeviceError(
            f"the process of the microphone did not answer within {ANSWER_TIMEOUT_S:g} s; is the "
            "sound server alive? Restart it"
        ) from None
    if "error" in answer:
        raise DeviceError(answer["error"])
    assert isinstance(answer, dict)
    return answer


def _kill(child: subprocess.Popen[bytes], *, close: bool = True) -> None:
    child.kill()
    child.wait()
    if close:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def describe_devices(devices: Sequence[InputDevice]) -> dict[str, Any]:
    """The answer of a process that lists the devices."""
    return {"devices": [asdict(device) for device in devices]}
