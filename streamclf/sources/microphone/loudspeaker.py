"""A loudspeaker: audio that is to be heard goes to a process of its own, which plays it.

PortAudio takes calls from one thread at a time, looks for lost microphones by starting anew, which
would end everything that plays, and may hang for ever when the sound server does. In a process of
its own none of that reaches whoever listens.

The process reads messages from its standard input: the number of samples as a little-endian int32,
then the samples as float32; -1 drops what waits to be played; the end of input lets it finish and
exit. It answers one line: ``ready``, or why it cannot play.
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
"""A sound server that froze never answers."""
FINISH_S = 2.0
MOST_WAITING_S = 1.0
"""More than this is late for what is on the screen, as when the device's clock is slow."""
_LENGTH = struct.Struct("<i")
_FLUSH = -1
_READY = "ready"


class Loudspeaker(Protocol):
    """Plays mono audio, piece behind piece."""

    def play(self, waveform: Waveform) -> None:
        """Play ``(samples,)`` behind what waits to be played; does not wait for it.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        ...

    def flush(self) -> None:
        """Drop what waits to be played.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        ...

    def close(self) -> None:
        """Play what waits, for at most `FINISH_S`, and release the device."""
        ...


def open_loudspeaker(sample_rate: int) -> Loudspeaker:
    """Open the system's default loudspeaker. May take a second.

    Args:
        sample_rate: Of what is to be played, in Hz.

    Raises:
        DeviceError: There is none, or it does not answer.
    """
    return ProcessLoudspeaker(sample_rate)


class ProcessLoudspeaker:
    """The system's default loudspeaker, played by another process.

    Args:
        sample_rate: In Hz.

    Raises:
        DeviceError: There is none, or it does not answer.
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
                # Ctrl-C is meant for the one who listens.
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"no loudspeaker: {error.strerror or error}") from error
        said = self._first_line()
        if said != _READY:
            self._end()
            raise DeviceError(said or "no loudspeaker: the sound server does not answer")

    def play(self, waveform: Waveform) -> None:
        """Play ``(samples,)`` behind what waits to be played.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        data = np.ascontiguousarray(waveform, dtype="<f4").tobytes()
        self._send(_LENGTH.pack(waveform.size) + data)

    def flush(self) -> None:
        """Drop what waits to be played.

        Raises:
            DeviceError: The loudspeaker is gone.
        """
        self._send(_LENGTH.pack(_FLUSH))

    def close(self) -> None:
        """Play what waits, for at most `FINISH_S`, and release the device."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FINISH_S)
        self._end()

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    def _first_line(self) -> str:
        """What it answers; empty where it does not in time."""
        assert self._process.stdout is not None
        giving_up = threading.Timer(START_S, self._process.kill)
        giving_up.start()
        try:
            return self._process.stdout.readline().decode("utf-8", "replace").strip()
        finally:
            giving_up.cancel()

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
    """A loudspeaker that remembers what it was given, for tests and for machines without one.

    Args:
        sample_rate: In Hz.

    Attributes:
        played: All pieces, in order; those that were dropped are among them.
        n_flushes: How often what waited was dropped.
        closed: Whether it was released.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.played: list[Waveform] = []
        self.n_flushes = 0
        self.closed = False

    @property
    def sound(self) -> Waveform:
        """Everything that was played, ``(samples,)``."""
        return np.concatenate([*self.played, np.zeros(0, np.float32)])

    def play(self, waveform: Waveform) -> None:
        """Remember it."""
        self.played.append(waveform)

    def flush(self) -> None:
        """Count it."""
        self.n_flushes += 1

    def close(self) -> None:
        """Be released."""
        self.closed = True


class Waiting:
    """Samples that wait to be played, between the thread that reads and the device's.

    Attributes:
        most_bytes: Beyond so many the oldest are dropped.
    """

    def __init__(self, most_bytes: int = 1 << 20) -> None:
        self.most_bytes = most_bytes
        self._data = bytearray()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._data)

    def put(self, data: bytes) -> None:
        """Append samples."""
        with self._lock:
            self._data += data
            del self._data[: max(len(self._data) - self.most_bytes, 0)]

    def take(self, n_bytes: int) -> bytes:
        """Take the oldest; silence where there are no more."""
        with self._lock:
            data = bytes(self._data[:n_bytes])
            del self._data[:n_bytes]
        return data.ljust(n_bytes, b"\0")

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._data.clear()


def main(sample_rate: int) -> int:
    """Play what comes on standard input; the exit code."""
    from streamclf.sources.microphone.portaudio import open_output

    waiting = Waiting()
    try:
        output = open_output(sample_rate, waiting.take, lambda: os._exit(0))
    except DeviceError as error:
        print(error, flush=True)
        return 1
    waiting.most_bytes = 4 * round(MOST_WAITING_S * output.sample_rate)
    print(_READY, flush=True)
    adapt = _resampler(sample_rate, output.sample_rate)
    source = sys.stdin.buffer
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        (n_samples,) = _LENGTH.unpack(head)
        if n_samples == _FLUSH:
            waiting.clear()
        else:
            waiting.put(adapt(source.read(4 * n_samples)))
    deadline = time.monotonic() + FINISH_S
    while len(waiting) and time.monotonic() < deadline:
        time.sleep(0.01)
    output.finish()
    return 0


def _resampler(from_hz: int, to_hz: int) -> Any:
    """From bytes to bytes, at another rate where the device takes no other."""
    if from_hz == to_hz:
        return lambda data: data
    import soxr

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def adapt(data: bytes) -> bytes:
        adapted: bytes = stream.resample_chunk(np.frombuffer(data, dtype="<f4")).tobytes()
        return adapted

    return adapt


if __name__ == "__main__":
    # What PortAudio does at the end of a process may hang, as finishing may: whoever started this
    # process ends it then.
    os._exit(main(int(sys.argv[1])))
