"""Standard error, which carries everything but results."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamclf.core import log
from streamclf.core.standard_streams import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def say(message: str) -> None:
    """Log one line; the prefix ``warning:`` or ``error:`` sets its level."""
    log.say(message)


def has_terminal() -> bool:
    """Whether this process belongs to a terminal, and should end when the terminal closes."""
    return any(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))


class Bars:
    """Progress bars on standard error, for the current recording and for all recordings.

    Bars are shown only on a terminal, and not if only warnings and errors are logged. While they
    are shown, all other text for the terminal must go through `print` and `say`, which write above
    the bars.

    Args:
        n_recordings: Number of recordings. The bar for all recordings needs two or more.
    """

    def __init__(self, n_recordings: int) -> None:
        self._n_recordings = n_recordings
        self._progress: Progress | None = None
        self._overall: TaskID | None = None
        self._current: TaskID | None = None

    def __enter__(self) -> Self:
        if not (is_terminal(sys.stderr) and log.logs_progress()):
            return self
        from rich.console import Console  # only a terminal needs it
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        log.HANDLER.write = self._above
        if self._n_recordings > 1:
            self._overall = self._progress.add_task(
                "all recordings", total=self._n_recordings, note=f"0 of {self._n_recordings}"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            log.HANDLER.write = None
            self._progress.stop()
            self._progress = None

    def begin(self, name: str, duration_s: float | None) -> None:
        """Show a bar for the next recording."""
        if self._progress is not None:
            short = name if len(name) <= 40 else f"...{name[-37:]}"
            self._current = self._progress.add_task(short, total=duration_s, note="")

    def advance_to(self, seconds: float, note: str = "") -> None:
        """Move the bar of the current recording.

        Args:
            seconds: Seconds of audio processed.
            note: Text beside the bar.
        """
        if self._progress is not None and self._current is not None:
            self._progress.update(self._current, completed=seconds, note=note)

    def end(self, n_done: int) -> None:
        """Remove the bar of the current recording, and move the bar for all recordings."""
        if self._progress is None:
            return
        if self._current is not None:
            self._progress.remove_task(self._current)
            self._current = None
        if self._overall is not None:
            note = f"{n_done} of {self._n_recordings}"
            self._progress.update(self._overall, completed=n_done, note=note)

    def say(self, message: str) -> None:
        """Log one line, above the bars."""
        say(message)

    def print(self, text: str) -> None:
        """Write lines to standard output, or to the terminal above the bars."""
        if self._progress is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._above(text)

    def _above(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(
                text, end="", markup=False, highlight=False, emoji=False, soft_wrap=True
            )
