"""A batch that goes on: which recordings are still to be heard, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamclf.core.stats import count
from streamclf.runs.console import say
from streamclf.runs.outputs import OutputOptions, is_done
from streamclf.sinks.shared_tables import SharedTable


class Resumption:
    """What an earlier run left.

    Args:
        outputs: Where results go.

    Raises:
        UsageError: A table of many recordings is none that can be gone on with.
        SinkError: It cannot be read.
    """

    def __init__(self, outputs: OutputOptions) -> None:
        self._outputs = outputs
        self._tables = [SharedTable(path) for path in outputs.shared if path.is_file()]
        self._rest: list[Path] = []

    def leave_out_done(self, paths: Sequence[Path]) -> list[Path]:
        """The recordings that are still to be heard; says how many are not.

        Raises:
            UsageError: A table holds a part of a recording that is not named, or cannot tell two
                recordings apart.
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
        say(f"{n_done} of {count(len(paths), 'recording')} had been done before")
        if self._rest:
            for table in self._tables:
                table.check(self._rest)
        return self._rest

    def make_room(self) -> None:
        """Take the rows of recordings that are heard anew out of the tables; says of which.

        Raises:
            SinkError: A table cannot be written.
        """
        for table in self._tables:
            names = table.take_out(self._rest)
            if names:
                which = names[0] if len(names) == 1 else f"{len(names)} recordings"
                say(f"{table.path}: rows of {which}, heard anew now, are taken out")
