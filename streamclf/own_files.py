"""The files of one recording after another; each has its name once its recording was heard whole.

Until then it is called ``NAME.partial``. So what stands under its own name is complete, whatever
ends a batch, and a later run can tell which recordings are still to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from streamclf.batch import output_for
from streamclf.errors import SinkError
from streamclf.sinks.base import Sink
from streamclf.sinks.choose import format_of, open_sink
from streamclf.sinks.lines import already_exists

PARTIAL = ".partial"


class OwnFiles:
    """Opens a recording's sinks, and closes those of the one before.

    Args:
        templates: Names with ``{stem}`` or ``{dir}``.
        overwrite: Replace files that are there.
        n_best: Write one answer a recording in place of its events, of so many classes; 0: events.
    """

    def __init__(self, templates: Sequence[Path], *, overwrite: bool, n_best: int = 0) -> None:
        self._templates, self._overwrite, self._n_best = templates, overwrite, n_best
        self._recording: Path | None = None
        self._sinks = ExitStack()
        self._names: list[tuple[Path, Path]] = []
        self.unfinished: list[Path] = []

    def open(self, recording: Path) -> list[Sink]:
        """Sinks for a recording; what is left of an earlier run's is replaced.

        Raises:
            UsageError: A file of that name is there, and may not be replaced.
            SinkError: One cannot be created.
        """
        self.close()
        self._recording = recording
        return [self._open(output_for(template, recording)) for template in self._templates]

    def _open(self, path: Path) -> Sink:
        if path.exists() and not path.is_file():  # a pipe, which holds nothing to be lost
            sink = open_sink(path, overwrite=True, n_best=self._n_best)
        else:
            if path.exists() and not self._overwrite:
                raise already_exists(path)
            partial = path.with_name(path.name + PARTIAL)
            sink = open_sink(partial, format_of(path), overwrite=True, n_best=self._n_best)
            self._names.append((partial, path))
        self._sinks.callback(sink.close)
        return sink

    def keep(self, recording: Path) -> None:
        """Give the files of a recording that was heard to its end their names.

        Raises:
            SinkError: That is not possible; they stay as they are.
        """
        if recording != self._recording:  # it could not be opened, and has none
            return
        self._sinks.close()
        names, self._names = self._names, []
        for partial, path in names:
            try:
                partial.replace(path)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise SinkError(
                    f"{path}: cannot be given its name: {reason}; the results are in {partial}"
                ) from error

    def close(self) -> None:
        """Close what is open; what has no name of its own yet is told in `unfinished`."""
        self._sinks.close()
        self.unfinished += [partial for partial, _ in self._names]
        self._names = []
