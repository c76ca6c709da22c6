"""Playback on the loudspeaker, in a separate process.

PortAudio takes calls from one thread at a time. A search for a lost microphone restarts it, which
would end all playback, and it may hang for ever when the sound server does. A separate process
keeps both away from the process that listens.

The process reads messages from its standard input: the number of samples as a little-endian int32,
then the samples as float32. A number of -1 drops the samples that wait to be played. At the end of
its input the process plays the rest and exits. It writes one line: ``ready``, or the reason why it
cannot play.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Protocol

import numpy as np

from streamclf.core import child_python
from streamclf.core.errors import DeviceError
from streamclf.core.records import Waveform

START_S = 10.0
"""Longest wait in seconds for the process to start; a frozen sound server never answers."""
FINISH_S = 2.0
"""Longest time in seconds for playing the rest when the loudspeaker is closed."""
MAX_WAITING_S = 1.0
"""Longest audio in seconds that waits to be played. More would lag behind the screen; it collects
when the device's clock is slow."""
_LENGTH = struct.Struct("<i")
_FLUSH = -1
_READY = "ready"


class Loudspeaker(Protocol):
    """Interface of a loudspeaker that plays mono audio."""

    def play(self, waveform: Waveform) -> None:
        """Queue a waveform ``(samples,)`` float32 for playing; does not wait.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        ...

    def flush(self) -> None:
        """Drop the audio that waits to be played.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        ...

    def close(self) -> None:
        """Play the waiting audio for at most `FINISH_S`, and release the device."""
        ...


def open_loudspeaker(sample_rate: int) -> Loudspeaker:
    """Open the system's default loudspeaker, which may take a second.

    Args:
        sample_rate: Sample rate of the audio to be played, in Hz.

    Raises:
        DeviceError: There is no loudspeaker, or the sound server does not answer.
    """
    return ProcessLoudspeaker(sample_rate)


class ProcessLoudspeaker:
    """The system's default loudspeaker, played by another process.

    Args:
        sample_rate: Sample rate of the audio to be played, in Hz.

    Raises:
        DeviceError: There is no loudspeaker, or the sound server does not answer.
    """

    def __init__(self, sample_rate: int) -> None:
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamclf.sources.microphone.loudspeaker",
                    str(sample_rate),
                ],
                env=child_python.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is meant for the main process alone.
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"no loudspeaker: {error.strerror or error}") from error
        answer = self._first_line()
        if answer != _READY:
            self._end()
            raise DeviceError(answer or "no loudspeaker: the sound server does not answer")

    def play(self, waveform: Waveform) -> None:
        """Queue a waveform ``(samples,)`` for playing.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        data = np.ascontiguousarray(waveform, dtype="<f4").tobytes()
        self._send(_LENGTH.pack(waveform.size) + data)

    def flush(self) -> None:
        """Drop the audio that waits to be played.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        self._send(_LENGTH.pack(_FLUSH))

    def close(self) -> None:
        """Play the waiting audio for at most `FINISH_S`, and release the device."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FINISH_S)
        self._end()

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    def _first_line(self) -> str:
        """Read the answer of the process; empty if it does not answer in time."""
        assert self._process.stdout is not None
        deadline = threading.Timer(START_S, self._process.kill)
        deadline.start()
        try:
            return self._process.stdout.readline().decode("utf-8", "replace").strip()
        finally:
            deadline.cancel()

    def _send(self, data: bytes) -> None:
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except (OSError, ValueError) as error:
            raise DeviceError("the loudspeaker is gone: is the sound server running?") from error

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class FakeLoudspeaker:
    """Loudspeaker that keeps the audio in memory, for tests and for machines without one.

    Args:
        sample_rate: Sample rate of the audio in Hz.

    Attributes:
        played: All waveforms in their order, including those dropped by `flush`.
        n_flushes: Number of calls of `flush`.
        closed: Whether `close` was called.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.played: list[Waveform] = []
        self.n_flushes = 0
        self.closed = False

    @property
    def sound(self) -> Waveform:
        """All audio that was played, ``(samples,)`` float32."""
        return np.concatenate([*self.played, np.zeros(0, np.float32)])

    def play(self, waveform: Waveform) -> None:
        """Keep a waveform."""
        self.played.append(waveform)

    def flush(self) -> None:
        """Count the call."""
        self.n_flushes += 1

    def close(self) -> None:
        """Set `closed`."""
        self.closed = True


class PlaybackBuffer:
    """Samples that wait to be played, shared by the reading thread and that of the device.

    Attributes:
        max_bytes: Size above which the oldest samples are dropped.
    """

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self.max_bytes = max_bytes
        self._data = bytearray()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._data)

    def put(self, data: bytes) -> None:
        """Append samples."""
        with self._lock:
            self._data += data
            del self._data[: max(len(self._data) - self.max_bytes, 0)]

    def take(self, n_bytes: int) -> bytes:
        """Take the oldest ``n_bytes``, padded with silence."""
        with self._lock:
            data = bytes(self._data[:n_bytes])
            del self._data[:n_bytes]
        return data.ljust(n_bytes, b"\0")

    def clear(self) -> None:
        """Drop all samples."""
        with self._lock:
            self._data.clear()


def main(sample_rate: int) -> int:
    """Play the audio that comes on standard input; returns the exit code."""
    from streamclf.sources.microphone.portaudio import open_output

    buffer = PlaybackBuffer()
    try:
        output = open_output(sample_rate, buffer.take, lambda: os._exit(0))
    except DeviceError as error:
        print(error, flush=True)
        return 1
    buffer.max_bytes = 4 * round(MAX_WAITING_S * output.sample_rate)
    print(_READY, flush=True)
    adapt = _resampler(sample_rate, output.sample_rate)
    source = sys.stdin.buffer
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        (n_samples,) = _LENGTH.unpack(head)
        if n_samples == _FLUSH:
            buffer.clear()
        else:
            buffer.put(adapt(source.read(4 * n_samples)))
    deadline = time.monotonic() + FINISH_S
    while len(buffer) and time.monotonic() < deadline:
        time.sleep(0.01)
    output.finish()
    return 0


def _resampler(from_hz: int, to_hz: int) -> Any:
    """Return a function from bytes to bytes that converts the sample rate, if it must change."""
    if from_hz == to_hz:
        return lambda data: data
    import soxr

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def adapt(data: bytes) -> bytes:
        adapted: bytes = stream.resample_chunk(np.frombuffer(data, dtype="<f4")).tobytes()
        return adapted

    return adapt


if __name__ == "__main__":
    # Finishing may hang; the parent process then kills this one. _exit, because PortAudio's own
    # clean-up at the end of a process may hang as well.
    os._exit(main(int(sys.argv[1])))
