"""Program started by `probe`: it searches for a device, tries to open it, and exits."""

from __future__ import annotations

import json
import os
import signal
import sys

from streamclf.core.errors import DeviceError
from streamclf.sources.microphone.device_identity import DeviceIdentity
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.portaudio import PortAudioBackend
from streamclf.sources.microphone.probe import ABSENT, PRESENT, TIMEOUT_S


def main(name: str, host_api: str, place: str, *twins: str) -> int:
    """Search for a device, print the names of all of its make, and open it.

    Args:
        name: Name of the device.
        host_api: Its host API.
        place: Number of devices with the same name before it in the system's list.
        *twins: Names of the other devices of its make that were connected with it.

    Returns:
        The exit code.
    """
    backend = PortAudioBackend()
    lost = DeviceIdentity(InputDevice(-1, name, host_api, 1, 0.0), twins, int(place))
    try:
        inputs = backend.list_devices()
        print(json.dumps(lost.names_in(inputs)), flush=True)
        found = lost.find(inputs)
        if found is None:
            return ABSENT
        rate = round(found.default_sample_rate)
        backend.open(found, rate, 1, rate // 10, lambda *_: None, lambda: None)
    except DeviceError:
        return ABSENT
    return PRESENT


if __name__ == "__main__":
    if hasattr(signal, "alarm"):
        signal.alarm(round(2 * TIMEOUT_S))  # ends this process if its parent is gone
    # _exit closes nothing, because that would hang with a sound server that hangs.
    os._exit(main(*sys.argv[1:]))
