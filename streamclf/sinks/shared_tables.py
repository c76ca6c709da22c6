"""Tables of many recordings that a resumed batch continues.

With ``--resume`` the rows of a recording that was processed to its end are followed by a row
``heard``; a recording that had to be given up has a row ``unfinished``. These rows lie in the table
itself, so that they cannot get separated from it. One process appends the rows in the order of the
recordings. After any interruption, therefore, only the last recording can be incomplete without
such a row. A table that was started without ``--resume`` is read by the same rule; it does not name
recordings without events, so these are processed again.

Before the batch continues, an unfinished line at the end and all rows of recordings that are
processed again are removed. If they are at the end, the file is truncated in one step, else it is
replaced by a new file.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.redaction import one_line
from streamclf.sinks.csv_cells import plain_cell
from streamclf.sinks.file_names import format_of
from streamclf.sinks.lines import HEARD, UNFINISHED
from streamclf.sinks.tables import CsvSink

_TEXT = ("utf-8", "backslashreplace")
_NEW = ".new"
_MAX_UNFINISHED_LINE = 65_536
"""Longest unfinished line, in bytes, at the end of a table."""


class _Line(msgspec.Struct):
    """Fields of a JSON line that matter here."""

    type: str | None = None
    source: str | None = None


@dataclass
class _RowRange:
    """Consecutive rows of one recording, as a range of bytes in the table.

    Attributes:
        source: The recording; None for rows that name no recording.
        start: Start of the first row.
        end: End of the last row.
        heard: True if the last row is ``heard``, False if it is ``unfinished``, else None.
    """

    source: str | None
    start: int
    end: int
    heard: bool | None = None


class SharedTable:
    """A table of an earlier run.

    Args:
        path: The file, CSV or JSON Lines.

    Raises:
        UsageError: The file is no table of events.
        SinkError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ranges: list[_RowRange] = []
        self._header_end = 0
        try:
            with path.open("rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                self._changed_ns = os.fstat(file.fileno()).st_mtime_ns
                self._whole = self._read(file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SinkError(f"{path}: cannot be read: {reason}; name another file") from error
        last = max((n for n, one in enumerate(self._ranges) if one.source), default=None)
        self._done = {
            rows.source
            for number, rows in enumerate(self._ranges)
            if rows.source is not None and (rows.heard or (rows.heard is None and number != last))
        }
        end = self._ranges[last] if last is not None else None
        self._unfinished = end.source if end is not None and end.heard is None else None
        if self._unfinished is not None:
            self._done.discard(self._unfinished)

    def _read(self, file: BinaryIO) -> int:
        """Read the ranges of rows; return the end of the last complete row."""
        as_csv = format_of(self.path) == "csv"
        end = 0
        for text, start, end in _rows(file, quoted=as_csv):
            if as_csv and not start:
                self._check_header(text)
                self._header_end = end
                continue
            kind, source = _parse_csv(text) if as_csv else _parse_json(text)
            last = self._ranges[-1] if self._ranges else None
            if last is None or last.source != source or last.heard is not None:
                last = _RowRange(source, start, end)
                self._ranges.append(last)
            last.end = end
            last.heard = {HEARD: True, UNFINISHED: False}.get(kind or "")
        file.seek(end)
        self._check_unfinished_line(file.read(_MAX_UNFINISHED_LINE), as_csv, first=not end)
        return end

    def _check_unfinished_line(self, unfinished: bytes, as_csv: bool, *, first: bool) -> None:
        """Refuse bytes after the last line break that are no unfinished row of such a table."""
        begin = CsvSink.header.encode() if as_csv else b'{"type":"'
        ours = unfinished[: len(begin)] == begin[: len(unfinished)] or (as_csv and not first)
        if not unfinished.strip(b"\0"):
            return  # a power cut leaves zeros in place of a line that was not on the disk
        if not ours or len(unfinished) == _MAX_UNFINISHED_LINE:
            raise UsageError(
                f"--resume: {self.path} ends with {unfinished[:40].decode(*_TEXT)!r}, which is no "
                "line of a table of events: name another file"
            )

    def _check_header(self, text: bytes) -> None:
        header = text.decode(*_TEXT).rstrip("\r\n")
        if header != CsvSink.header:
            raise UsageError(
                f"--resume: {self.path} has the columns {header[:60]}, they must be "
                f"{CsvSink.header}: name another file"
            )

    def holds(self, recording: Path) -> bool:
        """Whether the table holds a recording completely, and is newer than the recording."""
        try:
            newer = recording.stat().st_mtime_ns > self._changed_ns
        except OSError:
            return False
        return not newer and self._name(recording) in self._done

    def check_names(self, recordings: Collection[Path]) -> None:
        """Check that the table names each recording of a batch differently.

        Args:
            recordings: All recordings of the batch.

        Raises:
            UsageError: Two recordings have the same name in the table.
        """
        named: dict[str, Path] = {}
        for recording in recordings:
            name = self._name(recording)
            if named.setdefault(name, recording) != recording:
                raise UsageError(
                    f"--resume: {self.path} calls two recordings {name}: rename one, or write "
                    ".jsonl, which has each name as it is"
                )

    def check(self, recordings: Collection[Path]) -> None:
        """Check that a batch includes the recording that the table holds in part.

        Args:
            recordings: The recordings that remain.

        Raises:
            UsageError: It does not.
        """
        if self._unfinished is None or self._unfinished in set(map(self._name, recordings)):
            return
        raise UsageError(
            f"--resume: {self.path} ends with rows of {self._unfinished}, which was not heard to "
            "its end and is not among the recordings: name it as well, or another table"
        )

    def remove_rows(self, recordings: Collection[Path]) -> list[str]:
        """Remove an unfinished line and the rows of recordings that are processed again.

        Args:
            recordings: The recordings that are processed again.

        Returns:
            Names of the recordings that had rows.

        Raises:
            SinkError: The table cannot be written; it is unchanged.
        """
        names = set(map(self._name, recordings))
        removed = [rows for rows in self._ranges if rows.source in names]
        kept = [rows for rows in self._ranges if rows.source not in names]
        end = kept[-1].end if kept else self._header_end
        try:
            if removed and removed[0].start < end:
                self._rewrite(kept)
            elif end < self._size:
                os.truncate(self.path, end)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SinkError(f"{self.path}: cannot go on: {reason}; name another file") from error
        return list(dict.fromkeys(rows.source for rows in removed if rows.source))

    def _name(self, recording: Path) -> str:
        """Return the name of a recording in the rows; CSV escapes control characters."""
        name = os.fsencode(recording).decode(*_TEXT)
        return one_line(name) if format_of(self.path) == "csv" else name

    def _rewrite(self, kept: list[_RowRange]) -> None:
        part = self.path.with_name(self.path.name + _NEW)
        try:
            with self.path.open("rb") as old, part.open("wb") as new:
                shutil.copymode(self.path, part)
                for start, end in [(0, self._header_end), *((one.start, one.end) for one in kept)]:
                    old.seek(start)
                    _copy(old, new, end - start)
                new.flush()
                os.fsync(new.fileno())
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)


def _rows(file: BinaryIO, *, quoted: bool) -> Iterator[tuple[bytes, int, int]]:
    """Yield complete rows with their start and end in bytes; quoted cells may hold line breaks."""
    start, row = 0, b""
    for line in file:
        row += line
        if not line.endswith(b"\n"):
            return
        if quoted and row.count(b'"') % 2:
            continue
        yield row, start, start + len(row)
        start, row = start + len(row), b""


def _parse_csv(row: bytes) -> tuple[str | None, str | None]:
    try:
        cells = next(csv.reader([row.decode(*_TEXT)], strict=True), [])
    except csv.Error:
        return None, None
    return (cells[0], plain_cell(cells[1])) if len(cells) > 1 else (None, None)


def _parse_json(row: bytes) -> tuple[str | None, str | None]:
    try:
        line = msgspec.json.decode(row, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, None
    return line.type, line.source


def _copy(old: BinaryIO, new: BinaryIO, n_bytes: int) -> None:
    while n_bytes > 0 and (piece := old.read(min(n_bytes, 1 << 20))):
        new.write(piece)
        n_bytes -= len(piece)
