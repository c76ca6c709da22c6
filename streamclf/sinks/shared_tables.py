"""Tables of many recordings that a batch goes on with: which recordings they hold to their end.

With ``--resume`` a row ``heard`` follows the rows of each recording that was heard to its end, in
the table itself, so that the two cannot part; one that had to be given up has a row ``unfinished``.
Rows are appended in the order of the recordings, by one process. So whatever ends it, only the last
recording of a table can be there in part without a word: one that has neither row behind it, and no
other recording either. (A table that was begun without ``--resume`` is read by the same rule; it
does not tell of recordings without events, which are heard again.)

Before the batch goes on, half a line at the end and all rows of recordings that are heard anew are
taken out: by cutting the file where they are its end, which is one step, else by a new file in its
place.
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
from streamclf.sinks.factory import format_of
from streamclf.sinks.lines import HEARD, UNFINISHED
from streamclf.sinks.tables import CsvSink

_TEXT = ("utf-8", "backslashreplace")
_NEW = ".new"
_LONGEST_HALF = 65_536
"""What is longer than this is no half line of ours."""


class _Line(msgspec.Struct):
    """What is asked of a line of JSON Lines."""

    type: str | None = None
    source: str | None = None


@dataclass
class _Stretch:
    """Consecutive rows of one recording, in bytes from the table's start.

    Attributes:
        source: The recording; None for rows that no recording is known of.
        start: Of its first row.
        end: Behind its last row.
        heard: Whether it was heard to its end, as the last row says; None if none says so.
    """

    source: str | None
    start: int
    end: int
    heard: bool | None = None


class SharedTable:
    """A table that an earlier run left.

    Args:
        path: The file, CSV or JSON Lines.

    Raises:
        UsageError: It is no table of this kind.
        SinkError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stretches: list[_Stretch] = []
        self._header_end = 0
        try:
            with path.open("rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                self._changed_ns = os.fstat(file.fileno()).st_mtime_ns
                self._whole = self._read(file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SinkError(f"{path}: cannot be read: {reason}; name another file") from error
        last = max((n for n, one in enumerate(self._stretches) if one.source), default=None)
        self._done = {
            stretch.source
            for number, stretch in enumerate(self._stretches)
            if stretch.source is not None
            and (stretch.heard or (stretch.heard is None and number != last))
        }
        end = self._stretches[last] if last is not None else None
        self._unfinished = end.source if end is not None and end.heard is None else None
        if self._unfinished is not None:
            self._done.discard(self._unfinished)

    def _read(self, file: BinaryIO) -> int:
        """Take note of the rows; returns where the last whole one ends."""
        as_csv = format_of(self.path) == "csv"
        end = 0
        for text, start, end in _rows(file, quoted=as_csv):
            if as_csv and not start:
                self._check_header(text)
                self._header_end = end
                continue
            kind, source = _parse_csv(text) if as_csv else _parse_json(text)
            last = self._stretches[-1] if self._stretches else None
            if last is None or last.source != source or last.heard is not None:
                last = _Stretch(source, start, end)
                self._stretches.append(last)
            last.end = end
            last.heard = {HEARD: True, UNFINISHED: False}.get(kind or "")
        file.seek(end)
        self._check_half(file.read(_LONGEST_HALF), as_csv, first=not end)
        return end

    def _check_half(self, half: bytes, as_csv: bool, *, first: bool) -> None:
        """Refuse what stands behind the last line break if it is no half line of ours."""
        begin = CsvSink.header.encode() if as_csv else b'{"type":"'
        ours = half[: len(begin)] == begin[: len(half)] or (as_csv and not first)
        if not half.strip(b"\0"):
            return  # what a power cut leaves of a line that was not on the disk yet
        if not ours or len(half) == _LONGEST_HALF:
            raise UsageError(
                f"--resume: {self.path} ends with {half[:40].decode(*_TEXT)!r}, which is no line "
                "of a table of events: name another file"
            )

    def _check_header(self, text: bytes) -> None:
        header = text.decode(*_TEXT).rstrip("\r\n")
        if header != CsvSink.header:
            raise UsageError(
                f"--resume: {self.path} has the columns {header[:60]}, they must be "
                f"{CsvSink.header}: name another file"
            )

    def holds(self, recording: Path) -> bool:
        """Whether it holds a recording to its end, as that is now."""
        try:
            newer = recording.stat().st_mtime_ns > self._changed_ns
        except OSError:
            return False
        return not newer and self._name(recording) in self._done

    def check_names(self, recordings: Collection[Path]) -> None:
        """See whether it can tell the recordings of a batch apart.

        Raises:
            UsageError: It shows two of them by one name, so that one would pass for the other.
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
        """See whether a batch of these recordings can go on with it.

        Raises:
            UsageError: A recording of which it holds a part is not among them.
        """
        if self._unfinished is None or self._unfinished in set(map(self._name, recordings)):
            return
        raise UsageError(
            f"--resume: {self.path} ends with rows of {self._unfinished}, which was not heard to "
            "its end and is not among the recordings: name it as well, or another table"
        )

    def take_out(self, recordings: Collection[Path]) -> list[str]:
        """Take out half a line and the rows of recordings that are heard anew.

        Returns:
            The recordings of which there were rows.

        Raises:
            SinkError: It cannot be written; it stays as it is.
        """
        names = set(map(self._name, recordings))
        gone = [stretch for stretch in self._stretches if stretch.source in names]
        kept = [stretch for stretch in self._stretches if stretch.source not in names]
        end = kept[-1].end if kept else self._header_end
        try:
            if gone and gone[0].start < end:
                self._write_anew(kept)
            elif end < self._size:
                os.truncate(self.path, end)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SinkError(f"{self.path}: cannot go on: {reason}; name another file") from error
        return list(dict.fromkeys(stretch.source for stretch in gone if stretch.source))

    def _name(self, recording: Path) -> str:
        """A recording as the rows name it; a row of CSV shows control characters."""
        name = os.fsencode(recording).decode(*_TEXT)
        return one_line(name) if format_of(self.path) == "csv" else name

    def _write_anew(self, kept: list[_Stretch]) -> None:
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
    """Whole rows with the bytes where they start and end; a quoted cell may hold line breaks."""
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
    return (cells[0], cells[1]) if len(cells) > 1 else (None, None)


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
