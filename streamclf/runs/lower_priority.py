"""A lower priority for threads whose work may wait."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress


def lower_priority(niceness: int) -> None:
    """Let what listens come before the calling thread; on Linux, where a thread has a niceness.

    Args:
        niceness: 0 to 19, the last being the most patient.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
