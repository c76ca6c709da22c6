"""Import of JSON Lines that `listen`, `file` or an export wrote.

The lines are first gathered in a temporary table, which lies on the disk where they are many. They
are then written run by run, so that one file may hold any number of runs and sources.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import UNSET

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count
from streamclf.sinks.json_records import (
    LINES,
    SCHEMA,
    BeginLine,
    EventLine,
    GapLine,
    HeardLine,
    LossLine,
    UnfinishedLine,
)
from streamclf.store.database import reason_of
from streamclf.store.imported_run import UNKNOWN_RATE, Counts, RunImport
from streamclf.store.minutes import to_us
from streamclf.store.staging import STAGE, assign_lines, find_stream, list_streams, tell_rates

LONGEST_LINE = 1_000_000
"""Bytes; a longer line is none of streamclf's."""
MAX_TOLD = 5
"""Broken lines of a file that are told singly."""
_LONGEST_S = 5e8
"""Longest stream that is taken, some 16 years; a line beyond it is no line of a real run."""

_FIELDS = (
    "label", "position", "onset", "end", "score", "us", "offset_min", "short", "number", "sha256",
    "bytes", "modified_us",
)  # fmt: skip
_INSERT = (
    f"INSERT INTO temp.lines (stream, kind, {', '.join(_FIELDS)}) "
    f"VALUES (:stream, :kind, {', '.join(f':{name}' for name in _FIELDS)})"
)
_TAKEN = {
    kind.__struct_config__.tag: msgspec.json.Decoder(kind)
    for kind in (BeginLine, EventLine, GapLine, HeardLine, UnfinishedLine, LossLine)
}
_KNOWN = {kind.__struct_config__.tag for kind in LINES}


class _Head(msgspec.Struct):
    type: str = ""
    schema: int = SCHEMA


_HEAD = msgspec.json.Decoder(_Head)


@dataclass
class Imported(Counts):
    """What an import did.

    Attributes:
        skipped: Lines of other kinds, by their kind.
        n_broken: Lines that could not be read.
        n_lost: Lines that had been lost when the file was written, as it says.
    """

    skipped: dict[str, int] = field(default_factory=dict)
    n_broken: int = 0
    n_lost: int = 0

    def describe(self) -> str:
        """Describe it in one line for people."""
        parts = [
            f"new are {format_count(self.n_events, 'event')}, {format_count(self.n_gaps, 'gap')} "
            f"and {format_count(self.n_runs, 'run')}"
        ]
        if self.n_known:
            parts.append(f"{self.n_known} were there already")
        if self.n_open:
            parts.append(f"{self.n_open} belong to runs that are being written, and were left out")
        if self.skipped:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.skipped.items()))
            parts.append(f"{format_count(sum(self.skipped.values()), 'line')} skipped ({kinds})")
        if self.n_broken:
            parts.append(f"{format_count(self.n_broken, 'line')} could not be read")
        if self.n_lost:
            parts.append(f"{format_count(self.n_lost, 'line')} had been lost before")
        return "; ".join(parts)


class LineImport:
    """Import of any number of files into a store.

    Args:
        connection: A connection to the store.
        folder: Folder that relative names of recordings start from.
        report: Called with one line about each line that is broken.
    """

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, report: Callable[[str], None]
    ) -> None:
        self._connection, self._folder, self._report = connection, folder, report
        self._imported = Imported()
        self._last: tuple[str, str, int] | None = None
        for statement in STAGE:
            connection.execute(statement)

    def read(self, name: str, file: IO[bytes]) -> None:
        """Gather the lines of a file.

        Args:
            name: Its name in messages.
            file: The file.

        Raises:
            OSError: It cannot be read; the lines before are gathered.
            StoreError: There is no room for a temporary table.
        """
        n_broken = 0
        connection = self._connection
        try:
            connection.execute("BEGIN")  # of the temporary table alone, the store is not locked
            for number, text in enumerate(_read_lines(file), 1):
                try:
                    self._stage(text)
                except (msgspec.MsgspecError, ValueError, OverflowError) as error:
                    n_broken += 1
                    if n_broken <= MAX_TOLD:
                        self._report(f"warning: {name}, line {number}: cannot be read: {error}")
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{name}: cannot be gathered: {reason_of(error)}; make room in the folder of "
                "temporary files"
            ) from error
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")
            self._imported.n_broken += n_broken
        if n_broken > MAX_TOLD:
            more = format_count(n_broken - MAX_TOLD, "more line")
            self._report(f"warning: {name}: {more} cannot be read")

    def write(self) -> Imported:
        """Write what was gathered into the store.

        Raises:
            StoreError: The store cannot be written. What was written stays, and the same import
                again goes on.
        """
        try:
            assign_lines(self._connection)
            # Runs of which no line tells the rate are taken for runs of the model of the others.
            rates = tell_rates(self._connection)
            rate = rates[0] if len(rates) == 1 else UNKNOWN_RATE
            for stream in list_streams(self._connection):
                RunImport(self._connection, stream, self._folder, rate, self._imported).write()
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the store cannot be written: {reason_of(error)}; make room or end what locks "
                "it, and import the same files again"
            ) from error
        return self._imported

    def _stage(self, text: bytes) -> None:
        """Gather one line.

        Raises:
            msgspec.MsgspecError: It is not a line of streamclf's.
            ValueError: Its values make no sense.
        """
        if not text.strip():
            return
        head = _HEAD.decode(text)
        decoder = _TAKEN.get(head.type)
        if decoder is None or head.schema != SCHEMA:
            kind = head.type if head.type in _KNOWN else "of unknown kinds"
            self._skip(kind if head.schema == SCHEMA else f"of version {head.schema}")
            return
        line: Any = decoder.decode(text)
        if isinstance(line, LossLine):
            self._imported.n_lost += line.lines
            if line.source is not None:
                self._insert(line.source, "", head.type, {"number": line.lines})
            return
        run = position = None
        fields: dict[str, Any] = {"onset": line.onset}
        if isinstance(line, BeginLine | EventLine):
            position, run = _read_id(line.id, line.label)
            fields |= {"label": line.label, "position": position, "score": line.score}
        fields["end"] = line.known if isinstance(line, BeginLine) else line.offset
        if not line.onset <= fields["end"] <= _LONGEST_S:
            raise ValueError(
                f"it goes from {line.onset} s to {fields['end']} s: {_LONGEST_S:g} s at most"
            )
        if isinstance(line, EventLine):
            fields |= {"short": int(line.short is True), "number": int(line.cut is True)}
        elif isinstance(line, GapLine):
            fields["label"] = line.cause
        elif isinstance(line, HeardLine | UnfinishedLine):
            fields["number"] = line.events
            if line.model is not UNSET:
                fields["label"] = line.model
                fields["sha256"] = None if line.model_sha256 is UNSET else line.model_sha256
        if isinstance(line, HeardLine) and line.bytes is not UNSET and line.modified is not UNSET:
            fields["bytes"] = line.bytes
            fields["modified_us"], _ = to_us(datetime.fromisoformat(line.modified))
        if isinstance(line.time, str):
            fields["us"], fields["offset_min"] = to_us(datetime.fromisoformat(line.time))
        self._insert(line.source, run or "", head.type, fields)

    def _skip(self, kind: str) -> None:
        self._imported.skipped[kind] = self._imported.skipped.get(kind, 0) + 1

    def _insert(self, source: str, run: str, kind: str, fields: dict[str, Any]) -> None:
        if self._last is None or self._last[:2] != (source, run):
            self._last = (source, run, find_stream(self._connection, source, run))
        values = dict.fromkeys(_FIELDS) | fields
        self._connection.execute(_INSERT, {**values, "stream": self._last[2], "kind": kind})


def _read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, of which one that is too long is cut off."""
    while line := file.readline(LONGEST_LINE):
        yield line
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _read_id(identifier: str, label: str) -> tuple[int, str]:
    """Return the position and the run that an event's id holds.

    Raises:
        ValueError: It is not an id of this label.
    """
    rest = identifier.removeprefix(f"{label}-")
    digits, _, run = rest.partition("@")
    if rest == identifier or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"id {identifier!r} is not {label}-POSITION or {label}-POSITION@RUN")
    if len(digits) > 18:
        raise ValueError(f"id {identifier!r}: its position has more than 18 digits")
    return int(digits), run
