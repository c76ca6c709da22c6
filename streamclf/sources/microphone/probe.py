"""A short-lived process that looks whether a lost microphone can be opened again.

Every new initialisation of PortAudio leaks some 12 kB (ALSA's configuration, its connection to
the sound server), and a call into it may hang for ever. In a process of its own both end with it.
"""

from __future__ import annotations

import json
import subprocess
import sys

from streamclf.core import child_python
from streamclf.sources.microphone.device_identity import Look, Remembered

TIMEOUT_S = 6.0
THERE, AWAY = 0, 3
"""Exit codes; any other says nothing of the device."""


def probe(lost: Remembered) -> Look:
    """See whether a device is there and can be opened; it is, as well, where that cannot be told.

    Args:
        lost: As it was, and which others of its make were there.
    """
    if not sys.executable:
        return Look(there=True)
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
            # Ctrl-C is meant for the one who listens.
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Look(there=False)
    except OSError:
        return Look(there=True)
    # Killed by a signal: what crashes there would have crashed here.
    return Look(done.returncode != AWAY and done.returncode >= 0, _names(done.stdout))


def _names(printed: bytes) -> tuple[str, ...] | None:
    """What `main` prints, if it came so far; the audio system may have said something before."""
    try:
        names = json.loads(printed.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None
