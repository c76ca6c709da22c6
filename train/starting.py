"""What happens before a command's own code: importing torch takes seconds."""

from __future__ import annotations

import os
import sys
from types import TracebackType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""


def end_quietly() -> None:
    """Let Ctrl-C during a command's imports end it with a line instead of a traceback.

    Python calls itself ``-m`` while it imports the package of ``python -m PACKAGE.NAME``; whoever
    imports the package from a program of their own keeps their own ways.
    """
    if sys.argv[:1] == ["-m"]:
        sys.excepthook = _say_interrupted


def _say_interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)
