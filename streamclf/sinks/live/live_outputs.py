"""Options for the outputs of a live run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamclf.sinks.lines import Lines
from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.pipes import FifoTarget, OutputTarget
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.live.targets import FileTarget, Target


@dataclass(frozen=True)
class LiveOutputs:
    """Options that the outputs of a live run share.

    Attributes:
        append: Continue existing files.
        rotation: Condition for starting new files; None for no rotation.
        report: Called with one line about each failure and recovery, from any thread.
        on_gone: Called when standard output has lost its reader; None reports it in a line.
    """

    append: bool = False
    rotation: Rotation | None = None
    report: Callable[[str], None] = lambda message: None
    on_gone: Callable[[], None] | None = None

    def open(self, path: Path | None, *, overwrite: bool) -> Lines:
        """Open a file or a named pipe, or standard output for None.

        Raises:
            UsageError: The file exists and may neither be replaced nor continued.
            SinkError: The file cannot be created.
        """
        return self.open_lines(path, overwrite=overwrite)

    def open_lines(self, path: Path | None, *, overwrite: bool) -> BackgroundLines:
        """Open as `open` does, and start the thread that writes.

        Raises:
            UsageError: The file exists and may neither be replaced nor continued.
            SinkError: The file cannot be created.
        """
        if path is None:
            target: Target = OutputTarget.standard_output()
        elif path.is_fifo():
            target = FifoTarget(path)
        else:
            target = FileTarget(
                path, overwrite=overwrite, append=self.append, rotation=self.rotation,
                report=self.report,
            )  # fmt: skip
        on_gone = self.on_gone if path is None else None
        return BackgroundLines(target, report=self.report, on_gone=on_gone)
