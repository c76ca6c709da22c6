"""Search for a lost microphone by a short-lived process that tries to open it.

Each initialisation of PortAudio leaks about 12 kB (ALSA's configuration, its connection to the
sound server), and a call into it may hang for ever. A separate process ends with both.
"""

from __future__ import annotations

import json
import subprocess
import sys

from streamclf.core import child_python
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult

TIMEOUT_S = 6.0
PRESENT, ABSENT = 0, 3
"""Exit codes of the process; any other code tells nothing about the device."""


def probe(lost: DeviceIdentity) -> ProbeResult:
    """Find out whether a lost device is connected and can be opened.

    Args:
        lost: The device, and the other devices of its make.

    Returns:
        The result; the device counts as connected where the process cannot tell.
    """
    if not sys.executable:
        return ProbeResult(present=True)
    device = lost.device
    arguments = [device.name, device.host_api, str(lost.place), *lost.twins]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamclf.sources.microphone.probe_child", *arguments],
            env=child_python.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            # Ctrl-C is meant for the main process alone.
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProbeResult(present=False)
    except OSError:
        return ProbeResult(present=True)
    # A negative code is a crash by a signal, which opening the device here would cause as well.
    return ProbeResult(done.returncode != ABSENT and done.returncode >= 0, _names(done.stdout))


def _names(printed: bytes) -> tuple[str, ...] | None:
    """Read the names printed by the process; None if it printed none.

    The audio system may have printed other lines before them.
    """
    try:
        names = json.loads(printed.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None
