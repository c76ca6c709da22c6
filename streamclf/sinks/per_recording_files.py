"""Output files of single recordings, which get their names when the recording is complete.

Until then a file is called ``NAME.partial``. A file under its own name is therefore complete,
whatever ends a batch, and a later run can tell which recordings remain.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from streamclf.core.errors import StreamclfError
from streamclf.core.stats import Statistics
from streamclf.sinks.base import Sink
from streamclf.sinks.factory import open_sink
from streamclf.sinks.file_names import format_of, output_for
from streamclf.sinks.output_files import already_exists, is_special, is_there, reason_of

PARTIAL = ".partial"
MAX_NAME_LENGTH = 255
"""Longest name of a file, in bytes."""


def partial_path(path: Path) -> Path:
    """Return the name of an output file before it is complete."""
    n_left = MAX_NAME_LENGTH - len(os.fsencode(path.name))
    if not 0 <= n_left < len(PARTIAL):
        return path.with_name(path.name + PARTIAL)
    # The name itself fits, but not with the ending.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(digest + PARTIAL)


class PerRecordingFiles:
    """Sinks of the current recording; opening the next recording's sinks closes them.

    Args:
        templates: Names with ``{stem}``, ``{name}`` or ``{dir}``.
        overwrite: Replace existing files.
        n_best: Number of classes in one answer for each recording, which replaces its events; 0
            writes events.
        begins: Also write a line when an event begins.

    Attributes:
        unfinished: Files that kept their partial name because the recording was not completed.
        failures: Errors about files that could not be created or renamed, one line each. The other
            files are written all the same.
    """

    def __init__(
        self,
        templates: Sequence[Path],
        *,
        overwrite: bool,
        n_best: int = 0,
        begins: bool = False,
    ) -> None:
        self._templates, self._overwrite = templates, overwrite
        self._n_best, self._begins = n_best, begins
        self._recording: Path | None = None
        self._sinks = ExitStack()
        self._names: list[tuple[Path, Path]] = []
        self.unfinished: list[Path] = []
        self.failures: list[str] = []

    def open(self, recording: Path) -> list[Sink]:
        """Open the sinks of a recording, and replace partial files of an earlier run.

        A file that cannot be created is added to `failures`; the other sinks are returned.
        """
        self.close()
        self._recording = recording
        sinks = []
        for template in self._templates:
            try:
                sinks.append(self._open(output_for(template, recording)))
            except StreamclfError as error:
                self.failures.append(str(error))
        return sinks

    def _open(self, path: Path) -> Sink:
        if is_special(path):  # a pipe or device has no partial name
            sink = open_sink(path, begins=self._begins, n_best=self._n_best)
        else:
            if is_there(path) and not self._overwrite:
                raise already_exists(path)
            partial = partial_path(path)
            sink = open_sink(
                partial,
                format_of(path),
                begins=self._begins,
                overwrite=True,
                n_best=self._n_best,
            )
            self._names.append((partial, path))
        self._sinks.callback(sink.close)
        return sink

    def publish(self, recording: Path, statistics: Statistics) -> None:
        """Close the files of a completed recording, and give them their names.

        Those of a recording of which nothing could be heard are deleted, so that it does not count
        as done. A file that cannot be renamed keeps its partial name and is added to `failures`.
        """
        if recording != self._recording:  # it could not be opened, so it has no files
            return
        self._sinks.close()
        names, self._names = self._names, []
        for partial, path in names:
            if not statistics.elapsed_samples:
                with suppress(OSError):
                    partial.unlink()
                continue
            try:
                partial.replace(path)
            except OSError as error:
                self.failures.append(
                    f"{path}: cannot be given its name: {reason_of(error)}; "
                    f"the results are in {partial}"
                )

    def close(self) -> None:
        """Close all files; those with a partial name are added to `unfinished`."""
        self._sinks.close()
        self.unfinished += [partial for partial, _ in self._names]
        self._names = []
