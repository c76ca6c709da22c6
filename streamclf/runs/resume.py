"""Resumption of a batch: the recordings that remain, and their rows in shared tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamclf.core.text_format import format_count
from streamclf.runs.console import say
from streamclf.runs.outputs import is_done
from streamclf.sinks.options import OutputOptions
from streamclf.sinks.shared_tables import SharedTable
from streamclf.store.recordings import StoredRecording


class Resumption:
    """Resumption of a batch from the outputs of an earlier run.

    Args:
        outputs: The outputs of the batch.
        model: File of the model; a store holds recordings as heard by one model.

    Raises:
        UsageError: A table of many recordings cannot be continued.
        SinkError: A table or the store cannot be read.
    """

    def __init__(self, outputs: OutputOptions, model: Path) -> None:
        self._outputs = outputs
        self._stored = _find_stored(outputs, model)
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
            or not (self._stored is None or _is_stored(path, self._stored))
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


def _find_stored(outputs: OutputOptions, model: Path) -> set[StoredRecording] | None:
    """Find the recordings that the store holds to their end; None if there is no store to ask."""
    if outputs.store is None:
        return None
    if not outputs.store.exists():
        return set()
    from streamclf.store.recordings import find_whole_recordings

    return find_whole_recordings(outputs.store, model)


def _is_stored(path: Path, stored: set[StoredRecording]) -> bool:
    """Whether the store holds a recording, which has not changed since."""
    try:
        return StoredRecording.of(path) in stored
    except OSError:
        return False
