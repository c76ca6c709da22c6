"""What happens before a command's own code: importing torch takes seconds."""

from __future__ import annotations

import os
import sys
from types import TracebackType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""


def let_threads_sleep() -> None:
    """Let threads of a command that have nothing to do sleep, instead of turning round and round.

    OpenMP's threads wait for each other at every layer of a network. Where other work keeps the
    processor busy, those that turn take its time from the one that is waited for: on two such cores
    a training took 127 seconds of them instead of 20. It must be said before torch is imported.
    """
    if _is_command():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _is_command() -> bool:
    """Whether this is ``python -m``: Python calls itself so while it imports that package."""
    return sys.argv[:1] == ["-m"]


def end_quietly() -> None:
    """Let Ctrl-C during a command's imports end it with a line instead of a traceback.

    Whoever imports the package from a program of their own keeps their own ways.
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
