"""Settings that must be made before a command imports torch, which takes seconds."""

from __future__ import annotations

import os
import sys

from streamclf.core import early_interrupts


def wait_passively() -> None:
    """Let a command's idle OpenMP threads sleep instead of spinning.

    OpenMP's threads wait for each other at every layer of a network. Where other work keeps the
    processor busy, spinning threads take time from the thread that they wait for: on two such cores
    a training took 127 seconds of CPU time instead of 20. The variable must be set before torch is
    imported.
    """
    if _is_command():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _is_command() -> bool:
    """Whether this is ``python -m``, whose ``argv`` is ``-m`` while Python imports the package."""
    return sys.argv[:1] == ["-m"]


def hide_interrupt_traceback() -> None:
    """Let Ctrl-C during a command's imports end it with a line, and with no traceback or crash.

    A program that imports the package keeps its own exception hook, and its imports.
    """
    if _is_command():
        early_interrupts.hide_interrupt_traceback("interrupted")
        early_interrupts.finish_native_imports()
