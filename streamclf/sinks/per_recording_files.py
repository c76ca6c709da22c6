"""The files of one recording after another; each has its name once its recording was heard whole.

Until then it is called ``NAME.partial``. So what stands under its own name is complete, whatever
ends a batch, and a later run can tell which recordings are still to be done.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from streamclf.core.errors import StreamclfError
from streamclf.sinks.base import Sink
from streamclf.sinks.factory import format_of, open_sink
from streamclf.sinks.output_files import already_exists, is_special, is_there, reason_of

PARTIAL = ".partial"
LONGEST_NAME = 255
"""Bytes, or letters, that file systems take."""


def partial_of(path: Path) -> Path:
    """What a file is called until it is whole."""
    n_left = LONGEST_NAME - len(os.fsencode(path.name))
    if not 0 <= n_left < len(PARTIAL):
        return path.with_name(path.name + PARTIAL)
    # There is room for its own name, but not for more.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(digest + PARTIAL)


def output_for(template: Path, recording: Path) -> Path:
    """Fill ``{stem}`` (the recording's name without ending) and ``{dir}`` (its folder) in."""
    text = str(template).replace("{stem}", recording.stem).replace("{dir}", str(recording.parent))
    return Path(text)


def is_template(path: Path) -> bool:
    """Whether a name stands for a file a recording."""
    return "{stem}" in str(path) or "{dir}" in str(path)


class OwnFiles:
    """Opens a recording's sinks, and closes those of the one before.

    Args:
        templates: Names with ``{stem}`` or ``{dir}``.
        overwrite: Replace files that are there.
        n_best: Write one answer a recording in place of its events, of so many classes; 0: events.
        begins: Lines for events that begin, too.

    Attributes:
        unfinished: What has no name of its own, as its recording was not heard to its end.
        failures: Files that could not be created or named, a line each; all else went on.
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
        """Sinks for a recording; what is left of an earlier run's is replaced.

        One that cannot be created is told in `failures`, and the others are there all the same.
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
        if is_special(path):  # a pipe, which holds nothing to be lost
            sink = open_sink(path, begins=self._begins, n_best=self._n_best)
        else:
            if is_there(path) and not self._overwrite:
                raise already_exists(path)
            partial = partial_of(path)
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

    def keep(self, recording: Path) -> None:
        """Give the files of a recording that was heard to its end their names.

        Those for which that is not possible stay as they are, and are told in `failures`.
        """
        if recording != self._recording:  # it could not be opened, and has none
            return
        self._sinks.close()
        names, self._names = self._names, []
        for partial, path in names:
            try:
                partial.replace(path)
            except OSError as error:
                self.failures.append(
                    f"{path}: cannot be given its name: {reason_of(error)}; "
                    f"the results are in {partial}"
                )

    def close(self) -> None:
        """Close what is open; what has no name of its own yet is told in `unfinished`."""
        self._sinks.close()
        self.unfinished += [partial for partial, _ in self._names]
        self._names = []
