"""Settings that must be made before a command imports torch, which takes seconds."""

from __future__ import annotations

import os
import sys
from types import TracebackType

INTERRUPTED = 130
"""The exit code of a command that was ended by Ctrl-C."""


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
    """Let Ctrl-C during a command's imports end it with a line instead of a traceback.

    A program that imports the package keeps its own exception hook.
    """
    if _is_command():
        sys.excepthook = _say_interrupted


def _say_interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)
