"""The progress of a long job, on standard error: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def show_progress(
    what: str, total: int, unit: str, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """Show a job's progress.

    Args:
        what: The job, as in ``preparing esc50``.
        total: Number of items.
        unit: Plural name of the items.
        done: Items done before.

    Yields:
        A function that takes the number of items done so far.
    """
    if sys.stderr.isatty():
        with _bar(what, total, unit, done) as update:
            yield update
        return
    last = time.monotonic()

    def say(n_done: int) -> None:
        nonlocal last
        if n_done == total or time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            print(f"{what}: {n_done} of {total} {unit}", file=sys.stderr, flush=True)

    yield say


@contextmanager
def _bar(what: str, total: int, unit: str, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TextColumn(unit), TimeLeft(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda n_done: bar.update(task, completed=n_done)
