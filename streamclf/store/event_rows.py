"""Events and counts as rows: CSV, JSON Lines, Audacity labels, Raven tables, text, Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.sinks.csv_cells import csv_line
from streamclf.sinks.json_records import CountLine, EventLine, OngoingLine
from streamclf.sinks.lines import LineFile
from streamclf.sinks.output_files import write_whole
from streamclf.store.listing import StoredEvent
from streamclf.store.queries import By
from streamclf.store.rates import Rate

RowFormat: TypeAlias = Literal["text", "csv", "jsonl", "parquet", "audacity", "raven"]
"""Format of rows."""
N_TOGETHER = 500
"""Lines that are written together."""
N_IN_GROUP = 50_000
"""Rows of a row group of Parquet."""

EVENT_COLUMNS = (
    "type,source,label,onset,offset,score,time,utc_offset,folder,state,verdict,model,clip"
)
"""The columns that `file` and `listen` write, and what only the store knows."""
COUNT_COLUMNS = (
    "events", "open", "cut", "minutes", "hours_heard", "per_hour", "first", "last", "score",
)  # fmt: skip
RAVEN_HEADER = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\t"
    "High Freq (Hz)\tBegin File\tFile Offset (s)\tLabel\tScore"
)
_encode = msgspec.json.Encoder().encode


def event_lines(
    events: Iterable[StoredEvent], form: RowFormat, shown: Mapping[str, str]
) -> Iterator[str]:
    """Write events as lines of a format, with its header.

    Args:
        events: The events.
        form: The format.
        shown: Names of labels that people read, for text.
    """
    if form == "csv":
        yield EVENT_COLUMNS
    if form == "raven":
        yield RAVEN_HEADER
    for number, event in enumerate(events, 1):
        if form == "text":
            yield _text(event, shown.get(event.label, event.label))
        else:
            yield _LINES[form](event, number)


def _csv(event: StoredEvent, number: int) -> str:
    wall, offset = _wall_clock(event.time)
    place = [event.onset_s, "" if event.offset_s is None else event.offset_s]
    known = [event.folder or "", event.state, event.verdict or "", event.model, event.clip or ""]
    score = round(event.highest_score, 4)
    return csv_line(["event", event.stream, event.label, *place, score, wall, offset, *known])


def _wall_clock(moment: datetime | None) -> tuple[str, str]:
    """Local time without an offset, and the offset, as `file` and `listen` write them."""
    if moment is None:
        return "", ""
    text = moment.isoformat(timespec="milliseconds")
    wall = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return wall, text.removeprefix(wall)


def _json(event: StoredEvent, number: int) -> str:
    return _encode(json_record(event)).decode()


def json_record(event: StoredEvent) -> EventLine | OngoingLine:
    """Make the line of an event; of one that still sounds the line that says so."""
    moment = event.time
    same: dict[str, Any] = {
        "id": event.id,
        "source": event.stream,
        "label": event.label,
        "onset": event.onset_s,
        "score": round(event.highest_score, 4),
        "time": UNSET if moment is None else moment.isoformat(timespec="milliseconds"),
    }
    if event.offset_s is None:
        return OngoingLine(**same, known=round(event.elapsed / event.sample_rate, 6))
    return EventLine(
        **same,
        offset=event.offset_s,
        short=True if event.short else UNSET,
        cut=True if event.state == "cut" else UNSET,
    )


def _audacity(event: StoredEvent, number: int) -> str:
    return f"{event.onset_s:.6f}\t{_end_s(event):.6f}\t{_cell(event.label)}"


def _raven(event: StoredEvent, number: int) -> str:
    name = Path(event.recording).name if event.recording else event.source
    begin, end = f"{event.onset_s:.6f}", f"{_end_s(event):.6f}"
    band = ["0", str(event.sample_rate // 2)]
    cells = [str(number), "Spectrogram 1", "1", begin, end, *band, _cell(name), begin]
    return "\t".join([*cells, _cell(event.label), str(round(event.highest_score, 4))])


def _end_s(event: StoredEvent) -> float:
    """End of an event; of one that still sounds the last audio that is known."""
    if event.offset_s is not None:
        return event.offset_s
    return max(event.elapsed / event.sample_rate, event.onset_s)


def _text(event: StoredEvent, name: str) -> str:
    moment = event.time
    when = "(no time)" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
    if event.offset_s is None:
        length = "sounds"
    else:
        length = f"{event.offset_s - event.onset_s:.1f} s"
        length += "?" if event.state == "cut" else ""
    at = "" if event.recording is None else f" at {event.onset_s:.1f} s"
    label = one_line(name)
    place = f"{one_line(event.stream)}{at}"
    return f"{when:<19}  {length:>8}  {event.highest_score:.2f}  {label:<20}  {place}"


def _cell(text: str) -> str:
    """Replace white space by blanks, so that a text fits into a cell between tabs."""
    return one_line(" ".join(text.split()))


_LINES: dict[RowFormat, Callable[[StoredEvent, int], str]] = {
    "csv": _csv,
    "jsonl": _json,
    "audacity": _audacity,
    "raven": _raven,
}


def count_lines(rates: Iterable[Rate], by: Sequence[By], form: RowFormat) -> Iterator[str]:
    """Write counts as lines of CSV or JSON Lines."""
    if form == "csv":
        yield ",".join(count_names(by))
    for rate in rates:
        values = {name: _plain(value) for name, value in count_values(rate, by).items()}
        if form == "csv":
            yield csv_line(["" if value is None else value for value in values.values()])
        else:
            known: dict[str, Any] = {k: v for k, v in values.items() if v is not None}
            yield _encode(CountLine(**known)).decode()


def count_names(by: Sequence[By]) -> tuple[str, ...]:
    """Names of the values of a row of counts."""
    return (*by, *COUNT_COLUMNS)


def count_values(rate: Rate, by: Sequence[By]) -> dict[str, Any]:
    """The values of a row of counts by their names."""
    count = rate.count
    moments = [count.first, count.last]
    values = (
        count.n_events, count.n_open, count.n_cut, round(count.sounding_s / 60, 3),
        round(rate.heard_h, 4), None if rate.per_hour is None else round(rate.per_hour, 4),
        *moments, round(count.highest_score, 4) if count.n_events else None,
    )  # fmt: skip
    return dict(zip(count_names(by), (*count.key, *values), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value.isoformat() if isinstance(value, date) else value


def write_lines(lines: Iterable[str], path: Path | None, *, overwrite: bool) -> int:
    """Write lines to a file, or to standard output.

    Returns:
        Number of lines.

    Raises:
        UsageError: The file exists and may not be replaced.
        SinkError: It cannot be written.
    """
    file = LineFile(path, overwrite=overwrite)
    n_lines = 0
    try:
        lines = iter(lines)
        while chunk := list(itertools.islice(lines, N_TOGETHER)):
            file.write(*chunk)
            n_lines += len(chunk)
    finally:
        file.close()
    return n_lines


def write_parquet(
    rows: Iterable[dict[str, Any]], kinds: dict[str, str], path: Path, *, overwrite: bool
) -> int:
    """Write a Parquet file, which gets its name once it is whole.

    Args:
        rows: Values by the names of the columns.
        kinds: Type of each column, by pyarrow's name of it.
        path: The file.
        overwrite: Whether a file that is there is replaced.

    Returns:
        Number of rows.

    Raises:
        UsageError: pyarrow is not installed, or the file exists and may not be replaced.
        SinkError: It cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed: pip install 'streamclf[parquet]', or "
            "take csv"
        ) from error
    schema = pyarrow.schema([(name, _arrow_type(pyarrow, kind)) for name, kind in kinds.items()])
    rows, n_rows = iter(rows), 0
    with (
        write_whole(path, overwrite=overwrite) as part,
        parquet.ParquetWriter(part, schema) as file,
    ):
        while chunk := list(itertools.islice(rows, N_IN_GROUP)):
            file.write_table(pyarrow.Table.from_pylist(chunk, schema))
            n_rows += len(chunk)
    return n_rows


def _arrow_type(pyarrow: Any, kind: str) -> Any:
    return pyarrow.timestamp("us", "UTC") if kind == "time" else getattr(pyarrow, kind)()


EVENT_KINDS = {
    "id": "string", "source": "string", "label": "string", "onset": "float64",
    "offset": "float64", "score": "float64", "time": "time", "utc_offset_min": "int32",
    "folder": "string", "state": "string", "verdict": "string", "model": "string",
    "clip": "string",
}  # fmt: skip
"""Columns of events in Parquet."""
COUNT_KINDS = {
    "label": "string", "source": "string", "model": "string", "day": "date32", "hour": "int32",
    "events": "int64", "open": "int64", "cut": "int64", "minutes": "float64",
    "hours_heard": "float64", "per_hour": "float64", "first": "time", "last": "time",
    "score": "float64",
}  # fmt: skip
"""Columns of counts in Parquet."""


def event_values(event: StoredEvent) -> dict[str, Any]:
    """The values of an event in Parquet."""
    return {
        "id": event.id, "source": event.stream, "label": event.label, "onset": event.onset_s,
        "offset": event.offset_s, "score": round(event.highest_score, 4), "time": event.onset_us,
        "utc_offset_min": event.utc_offset_min, "folder": event.folder,
        "state": event.state, "verdict": event.verdict, "model": event.model, "clip": event.clip,
    }  # fmt: skip
