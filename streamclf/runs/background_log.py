"""Log of a live run, written by a thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streamclf.core.log import HANDLER
from streamclf.core.standard_streams import is_closed
from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.pipes import OutputTarget


@contextmanager
def log_in_background() -> Iterator[None]:
    """Let a thread write the log, so that a slow reader of standard error delays no other thread.

    Lines that the reader has not taken at the end are lost.
    """
    if is_closed(sys.stderr):
        yield
        return
    sys.stderr.flush()
    target = OutputTarget("standard error", sys.stderr.fileno())
    lines = BackgroundLines(target, on_gone=lambda: None)
    HANDLER.write = lambda line: lines.write(line.removesuffix("\n"))
    try:
        yield
    finally:
        lines.close()
        # A reader that still does not read would delay the end as well.
        HANDLER.write = (lambda line: None) if lines.n_lost else None
