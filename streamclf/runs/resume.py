"""Resumption of a batch: the recordings that remain, and their rows in shared tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamclf.core.text_format import format_count
from streamclf.runs.console import say
from streamclf.runs.outputs import is_done
from streamclf.sinks.options import OutputOptions
from streamclf.sinks.shared_tables import SharedTable


class Resumption:
    """Resumption of a batch from the outputs of an earlier run.

    Args:
        outputs: The outputs of the batch.

    Raises:
        UsageError: A table of many recordings cannot be continued.
        SinkError: A table cannot be read.
    """

    def __init__(self, outputs: OutputOptions) -> None:
        self._outputs = outputs
        self._tables = [SharedTable(path) for path in outputs.shared if path.is_file()]
        self._rest: list[Path] = []

    def select_remaining(self, paths: Sequence[Path]) -> list[Path]:
        """Return the recordings that remain, and log the number of those done before.

        Args:
            paths: All recordings of the batch.

        Raises:
            UsageError: A table holds a part of a recording that is not in the batch, or gives two
                recordings the same name.
        """
        for table in self._tables:
            table.check_names(paths)
        missing = [path for path in self._outputs.shared if not path.exists()]
        self._rest = [
            path
            for path in paths
            if missing
            or not is_done(self._outputs, path)
            or not all(table.holds(path) for table in self._tables)
        ]
        n_done = len(paths) - len(self._rest)
        say(f"{n_done} of {format_count(len(paths), 'recording')} had been done before")
        if self._rest:
            for table in self._tables:
                table.check(self._rest)
        return self._rest

    def remove_stale_rows(self) -> None:
        """Remove the rows of the remaining recordings from the tables, and log it.

        Raises:
            SinkError: A table cannot be written.
        """
        for table in self._tables:
            names = table.remove_rows(self._rest)
            if names:
                which = names[0] if len(names) == 1 else f"{len(names)} recordings"
                say(f"{table.path}: rows of {which}, heard anew now, are taken out")
