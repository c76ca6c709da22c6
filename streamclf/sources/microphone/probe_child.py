"""The process that `probe` starts: it opens PortAudio, looks for a device, and ends."""

from __future__ import annotations

import json
import os
import signal
import sys

from streamclf.core.errors import DeviceError
from streamclf.sources.microphone.device_identity import Remembered
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.portaudio import PortAudioBackend
from streamclf.sources.microphone.probe import AWAY, THERE, TIMEOUT_S


def main(name: str, host_api: str, place: str, *twins: str) -> int:
    """Look for a device and open it; the exit code. Prints the names of all of its make."""
    backend = PortAudioBackend()
    lost = Remembered(InputDevice(-1, name, host_api, 1, 0.0), twins, int(place))
    try:
        inputs = backend.list_devices()
        print(json.dumps(lost.names_in(inputs)), flush=True)
        found = lost.find(inputs)
        if found is None:
            return AWAY
        rate = round(found.default_sample_rate)
        backend.open(found, rate, 1, rate // 10, lambda *_: None, lambda: None)
    except DeviceError:
        return AWAY
    return THERE


if __name__ == "__main__":
    if hasattr(signal, "alarm"):
        signal.alarm(round(2 * TIMEOUT_S))  # should nobody be left who waits
    # Nothing is closed: a sound server that hangs would hold that up.
    os._exit(main(*sys.argv[1:]))
