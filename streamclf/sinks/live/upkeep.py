"""What the outputs of a live run are opened with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.pipes import FifoTarget, OutputTarget
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.live.targets import FileTarget, Target


@dataclass(frozen=True)
class Upkeep:
    """How the outputs of a live run are kept.

    Attributes:
        append: Go on with files that are there.
        rotation: When to begin new files.
        tell: Told what goes wrong with them, and that it goes on, in a line; from any thread.
        on_gone: Called, in place of a word, when standard output has no reader any more.
    """

    append: bool = False
    rotation: Rotation | None = None
    tell: Callable[[str], None] = lambda message: None
    on_gone: Callable[[], None] | None = None

    def open(self, path: Path | None, *, overwrite: bool) -> BackgroundLines:
        """Open a file or a named pipe; standard output for None.

        Raises:
            UsageError: The file is there and may neither be replaced nor continued.
            SinkError: It cannot be created.
        """
        if path is None:
            target: Target = OutputTarget.standard_output()
        elif path.is_fifo():
            target = FifoTarget(path)
        else:
            target = FileTarget(
                path, overwrite=overwrite, append=self.append, rotation=self.rotation,
                tell=self.tell,
            )  # fmt: skip
        on_gone = self.on_gone if path is None else None
        return BackgroundLines(target, tell=self.tell, on_gone=on_gone)
