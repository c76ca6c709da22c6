"""Work that a page asks for and that goes on in a thread of its own, beside what listens."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from contextlib import suppress
from pathlib import Path

from streamclf.core.errors import StreamclfError
from streamclf.runs.console import say
from streamclf.store.database import is_damage, reason_of

NICENESS = 10
"""Niceness of such a thread, 0 to 19; the higher, the longer it waits for what listens."""


def lower_priority() -> None:
    """Let what listens come before the calling thread; on Linux, where a thread has a niceness."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def describe_failure(error: Exception, store: Path, work: str) -> str:
    """Describe to who waits why work has failed; what nobody expected goes to standard error too.

    Args:
        error: What the work raised.
        store: The store that was asked.
        work: What it was, for standard error: ``teaching``.

    Returns:
        One line.
    """
    if isinstance(error, StreamclfError):
        return str(error)
    if isinstance(error, sqlite3.DatabaseError):
        damage = "is damaged" if is_damage(error) else "cannot be asked now"
        return f"{store}: {damage}: {reason_of(error)}"
    say(f"error: {work}: {type(error).__name__}: {error}")
    return "this is a mistake in streamclf: the log tells more"
