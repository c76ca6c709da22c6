"""Program started by `child_backend`: it lists the microphones, or records one of them.

It writes a line of JSON to standard output, and then the blocks, until its parent closes standard
input or is gone.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO

import numpy as np

from streamclf.core.errors import DeviceError
from streamclf.core.records import Waveform
from streamclf.sources.microphone.child_backend import HEADER, describe_devices
from streamclf.sources.microphone.device_identity import DeviceIdentity
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.portaudio import PortAudioBackend

N_BLOCKS = 100
"""Number of blocks that wait for a parent that does not read: ten seconds of audio."""


class Writer:
    """Writes blocks from a thread of its own, because the callback must not wait for the pipe.

    Args:
        pipe: Where to write.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._blocks: queue.Queue[bytes | None] = queue.Queue(N_BLOCKS)
        self._lost = False

    def put(self, waveform: Waveform, overflowed: bool, adc_time: float) -> None:
        """Take a block from the callback; a block that finds no room is reported as lost."""
        samples = np.ascontiguousarray(waveform, dtype="<f4")
        header = HEADER.pack(len(samples), overflowed or self._lost, adc_time)
        try:
            self._blocks.put_nowait(header + samples.tobytes())
        except queue.Full:
            self._lost = True
        else:
            self._lost = False

    def finish(self) -> None:
        """End `run`, because the audio system has ended the stream."""
        self._blocks.put(None)

    def run(self) -> None:
        """Write blocks until the stream ends, or nobody reads them."""
        try:
            while (block := self._blocks.get()) is not None:
                self._pipe.write(block)
                self._pipe.flush()
        except OSError:
            return


def main(pipe: IO[bytes], *arguments: str) -> int:
    """List the devices without arguments; else record one.

    Args:
        pipe: Standard output.
        *arguments: Name of the device, its host API, the number of devices of that name before it,
            sample rate in Hz, channels, samples a block.

    Returns:
        The exit code.
    """
    backend = PortAudioBackend()
    writer = Writer(pipe)
    try:
        inputs = backend.list_devices()
        if not arguments:
            _answer(pipe, describe_devices(inputs))
            return 0
        name, host_api, place = arguments[:3]
        sample_rate, channels, block_samples = map(int, arguments[3:])
        wanted = DeviceIdentity(InputDevice(-1, name, host_api, 1, 0.0), (), int(place))
        device = wanted.find(inputs)
        if device is None or device.name != name:
            raise DeviceError(f"microphone {name} is not there")
        stream = backend.open(
            device, sample_rate, channels, block_samples, writer.put, writer.finish
        )
    except DeviceError as error:
        _answer(pipe, {"error": str(error)})
        return 1
    _answer(pipe, {"latency_s": stream.latency_s})
    writer.run()
    return 0


def _answer(pipe: IO[bytes], answer: object) -> None:
    pipe.write(json.dumps(answer).encode() + b"\n")
    pipe.flush()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    # Blocks go to a copy of standard output, and what libraries print goes nowhere.
    own = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # _exit closes nothing, because that would hang with a sound server that hangs.
    os._exit(main(own, *sys.argv[1:]))
