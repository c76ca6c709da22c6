"""Outputs that several streams of one process write, each from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streamclf.sinks.lines import Lines
from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.live_outputs import LiveOutputs


@dataclass(frozen=True)
class SharedOutputs(LiveOutputs):
    """Live outputs whose files are opened once, and stay open until `close`.

    Each stream has a sink of its own, as a sink belongs to one stream. Sinks of the same file write
    the same lines.
    """

    _lines: dict[Path | None, BackgroundLines] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, path: Path | None, *, overwrite: bool) -> Lines:
        """Open a file, a named pipe, or standard output for None; or join those who write it.

        Raises:
            UsageError: The file exists and may neither be replaced nor continued.
            SinkError: The file cannot be created.
        """
        key = None if path is None else path.absolute()
        with self._lock:
            if key not in self._lines:
                self._lines[key] = self.open_lines(path, overwrite=overwrite)
            return _SharedLines(self._lines[key], self._lock)

    def holds(self, path: Path) -> bool:
        """Whether a file is open already."""
        return path.absolute() in self._lines

    @property
    def n_lost(self) -> int:
        """Number of lines that are lost, over all outputs."""
        return sum(lines.n_lost for lines in self._lines.values())

    @property
    def lines(self) -> list[BackgroundLines]:
        """All outputs; may be read from any thread."""
        with self._lock:
            return [*self._lines.values()]

    def reopen(self) -> None:
        """Reopen files that may have been moved away (logrotate)."""
        for lines in self._lines.values():
            lines.reopen()

    def close(self) -> None:
        """Close all outputs; they use the same time for what waits to be written."""
        for lines in self._lines.values():
            lines.finish()
        for lines in self._lines.values():
            lines.close()


class _SharedLines(Lines):
    """One stream's way to an output; the output stays open when the stream has ended."""

    def __init__(self, lines: BackgroundLines, lock: threading.Lock) -> None:
        self.describe_loss: Callable[[int], str] | None = None
        self._lines = lines
        self._lock = lock

    def write_header(self, line: str) -> None:
        """Set the first line, which is the same for all sinks of this output."""
        with self._lock:
            self._lines.write_header(line)

    def write(self, *lines: str) -> None:
        """Append lines without waiting.

        Raises:
            SinkError: The output is closed.
        """
        with self._lock:
            self._lines.describe_loss = self.describe_loss
            self._lines.write(*lines)

    def close(self) -> None:
        """Leave the output to the others."""
