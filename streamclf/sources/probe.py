"""A short-lived process that looks whether a lost microphone can be opened again.

Every new initialisation of PortAudio leaks some 12 kB (ALSA's configuration, its connection to
the sound server), and a call into it may hang for ever. In a process of its own both end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from streamclf.errors import DeviceError
from streamclf.sources.devices import InputDevice, find_again

TIMEOUT_S = 6.0
THERE, AWAY = 0, 3
"""Exit codes; any other says nothing of the device."""


def probe(device: InputDevice) -> bool:
    """Whether a device is there and can be opened; True as well where that cannot be told.

    Args:
        device: As it was.
    """
    if not sys.executable:
        return True
    arguments = [device.name, device.host_api]
    path = os.pathsep.join(folder for folder in sys.path if folder)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamclf.sources.probe", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            # Ctrl-C is meant for the one who listens.
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    except OSError:
        return True
    # Killed by a signal: what crashes there would have crashed here.
    return done.returncode != AWAY and done.returncode >= 0


def main(name: str, host_api: str) -> int:
    """Look for a device and open it; the exit code."""
    from streamclf.sources.backend import PortAudioBackend

    backend = PortAudioBackend()
    lost = InputDevice(-1, name, host_api, 1, 0.0)
    try:
        found = find_again(backend.list_devices(), lost)
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
    os._exit(main(*sys.argv[1:3]))
