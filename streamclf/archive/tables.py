"""Results of an item as Parquet files, which a whole folder of them reads as one table.

The bytes of a file follow from its rows: no time, no machine and no path of the run is in it, and
all options of the writer are fixed. The version of pyarrow is (``created_by``), so two machines
write the same bytes where their pyarrow is the same; the rows are the same everywhere.

Columns keep to types that DuckDB, Polars and pandas read alike: texts, numbers, and times of three
kinds. ``time`` is a moment in UTC, null where the recording does not tell its offset from UTC.
``local_time`` is the clock of the place, without an offset; most recorders know no more.
``utc_offset_min`` is the difference, where it is known.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from urllib.parse import quote

import msgspec

from streamclf.archive.manifest import FORMAT, PlannedRecording
from streamclf.archive.whole import Heard, HeardMinute, HeardWindows
from streamclf.core.records import rescale
from streamclf.pipeline.event_rules import EVENT_RULES
from streamclf.store.minutes import to_us

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Table: TypeAlias = Literal["events", "gaps", "heard", "levels", "scores", "features"]
"""A folder of results. `events` is put last: an item whose events are there is done."""
TABLES: tuple[Table, ...] = get_args(Table)
UNKNOWN = "unknown"
"""Folder of recordings whose site or date is unknown; the column is null there."""
_LONGEST_FOLDER = 200
"""Characters of a site's folder, of which a disk takes about 255."""
METADATA_KEY = b"streamclf"
"""Key of the metadata of each file: JSON."""
ROW_GROUP = 1 << 17
"""Most rows of a row group."""
ROUNDING = 1
"""Samples at the model's rate by which a header and the audio differ by resampling alone."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: Its type: a name of pyarrow's, ``time`` for UTC, ``local`` for a clock's time, or
            ``floats`` for a list of float32.
        meaning: What it holds.
        is_repeated: Whether many rows share a value, so that a dictionary keeps it short.
    """

    name: str
    kind: str
    meaning: str
    is_repeated: bool = False


_SOURCE = Column("source", "string", "the recording: its path below the archive's root", True)
_RECORDING = Column("recording", "int32", "the recording's number in the manifest")
_TIME = Column("time", "time", "its begin in UTC; null where no offset from UTC is known")
_LOCAL_TIME = Column("local_time", "local", "its begin by the place's clock; null if unknown")
_OFFSET_MIN = Column("utc_offset_min", "int16", "the place's offset from UTC; null if unknown")

_PLACE = (
    Column("site", "string", "first folder below the archive's root; null for none", True),
    Column("date", "date32", "local date of the recording's begin; null if unknown", True),
    Column("run", "string", "hash of model, settings and plan", True),
)
"""The last columns of each table. They are no partitions by Hive's rules: of such a one, readers
differ in what is unknown, and in the type."""

COLUMNS: dict[Table, tuple[Column, ...]] = {
    "events": (
        _SOURCE,
        Column("label", "string", "the label", True),
        Column("onset", "float64", "begin in seconds from the recording's start"),
        Column("offset", "float64", "end in seconds from the recording's start"),
        Column("score", "float32", "highest averaged score while it lasted, 0 to 1"),
        _TIME,
        _LOCAL_TIME,
        _OFFSET_MIN,
        Column("id", "string", "name of the event, unique within the recording"),
        _RECORDING,
        Column("onset_sample", "int64", "begin in samples at the model's rate"),
        Column("offset_sample", "int64", "end in samples at the model's rate"),
        Column("begin_score", "float32", "score with which it began"),
        Column("short", "bool_", "whether its audio was shorter than the model's window"),
        *_PLACE,
    ),
    "gaps": (
        _SOURCE,
        Column("onset", "float64", "begin in seconds from the recording's start"),
        Column("offset", "float64", "end in seconds from the recording's start"),
        Column("cause", "string", "why the audio is missing: truncated, damaged, ...", True),
        _TIME,
        _LOCAL_TIME,
        _OFFSET_MIN,
        _RECORDING,
        Column("onset_sample", "int64", "begin in samples at the model's rate"),
        Column("n_samples", "int64", "length in samples at the model's rate"),
        *_PLACE,
    ),
    "heard": (
        _SOURCE,
        Column("state", "string", "whole; part: not heard to its end; failed: not heard", True),
        Column("reason", "string", "why it was not heard to its end; null if it was"),
        Column("promised_s", "float64", "seconds that its header promises"),
        Column("heard_s", "float64", "seconds heard"),
        Column("missing_s", "float64", "seconds of its gaps"),
        Column("failed_s", "float64", "seconds promised that never came"),
        Column("beyond_s", "float64", "seconds that came beyond those promised"),
        Column("n_events", "int32", "number of its events"),
        _TIME,
        _LOCAL_TIME,
        _OFFSET_MIN,
        Column("end_time", "time", "its end in UTC; null where no offset from UTC is known"),
        _RECORDING,
        Column("bytes", "int64", "size of its file"),
        Column("source_rate", "int32", "its own sample rate in Hz; 0 if unknown"),
        Column("sample_rate", "int32", "the model's sample rate in Hz, of all positions"),
        Column("promised_samples", "int64", "length promised, at the model's rate"),
        Column("heard_samples", "int64", "samples heard"),
        Column("missing_samples", "int64", "samples of its gaps"),
        Column("failed_samples", "int64", "samples promised that never came"),
        Column("beyond_samples", "int64", "samples beyond those promised"),
        Column("windows", "int64", "windows that the model heard"),
        *_PLACE,
    ),
    "levels": (
        _SOURCE,
        Column("time", "time", "the full minute in UTC; null where no offset from UTC is known"),
        Column("local_time", "local", "the full minute by the place's clock; null if unknown"),
        _OFFSET_MIN,
        Column("heard_s", "float64", "seconds heard in it"),
        Column("laeq", "float32", "mean level, A-weighted, in dB re full scale, as all levels"),
        Column("lamax", "float32", "highest level, A-weighted"),
        Column("la10", "float32", "level exceeded in a tenth of the time, A-weighted"),
        Column("la50", "float32", "level exceeded in half of the time, A-weighted"),
        Column("la90", "float32", "level exceeded in nine tenths of the time, A-weighted"),
        Column("zeq", "float32", "mean level without weighting"),
        _RECORDING,
        Column("onset_sample", "int64", "its first sample at the model's rate"),
        Column("heard_samples", "int64", "samples heard in it, at the model's rate"),
        *_PLACE,
    ),
    "scores": (
        _SOURCE,
        Column("onset", "float64", "begin of the window in seconds from the recording's start"),
        Column("offset", "float64", "end of its audio, likewise"),
        Column("scores", "floats", "averaged score of each label, in the order of runs/RUN.json"),
        _RECORDING,
        Column("onset_sample", "int64", "begin of the window in samples at the model's rate"),
        *_PLACE,
    ),
    "features": (
        _SOURCE,
        Column("onset", "float64", "begin of the window in seconds from the recording's start"),
        Column("offset", "float64", "end of its audio, likewise"),
        Column("features", "floats", "features of the window; null for silence"),
        _RECORDING,
        Column("onset_sample", "int64", "begin of the window in samples at the model's rate"),
        *_PLACE,
    ),
}
"""Columns of each table, in order."""
LEVELS = ("laeq", "lamax", "la10", "la50", "la90", "zeq")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the audio of an item; it stands in the metadata of its events.

    Promised and beyond are together what was heard, is missing or failed, to the sample.

    Attributes:
        run: Hash of model, settings and plan.
        item: Number of the item.
        recordings: Number of its recordings.
        sample_rate: The model's sample rate in Hz, of all samples.
        promised: Samples that the headers promise.
        heard: Samples heard.
        missing: Samples of gaps.
        failed: Samples promised that never came.
        beyond: Samples beyond those promised.
        gaps: Number of gaps, and of their samples, by cause.
        failures: Reason of each recording that was not heard to its end, by its path.
        windows: Windows that the model heard.
        rows: Rows of each table.
        format: Version of the form.
        rules: Version of the event rules that made its events; 0 where none is stated.
    """

    run: str
    item: int
    recordings: int
    sample_rate: int
    promised: int
    heard: int
    missing: int
    failed: int
    beyond: int
    gaps: dict[str, tuple[int, int]]
    failures: dict[str, str]
    windows: int
    rows: dict[str, int]
    format: int = FORMAT
    rules: int = 0

    def seconds(self, n_samples: int) -> float:
        """Convert a number of its samples to seconds."""
        return round(n_samples / self.sample_rate, 6)


def result_name(table: Table, run: str, site: str, date: str, item: int) -> str:
    """Return the name of a file of results below their folder.

    Args:
        table: The table.
        run: Hash of model, settings and plan.
        site: Site of the recordings; empty where it is unknown.
        date: Local date of the recordings; empty where it is unknown.
        item: Number of the item.
    """
    return f"{table}/{run}/{_folder_of(site)}/{date or UNKNOWN}/{item:08}.parquet"


def _folder_of(site: str) -> str:
    """Return the folder of a site; a name that no disk would take is cut, and stays unique."""
    name = quote(site, safe=" ")
    if len(name) > _LONGEST_FOLDER:
        name = f"{name[:_LONGEST_FOLDER]}-{hashlib.sha256(site.encode()).hexdigest()[:8]}"
    return name or UNKNOWN


def make_tables(
    heard: Sequence[tuple[PlannedRecording, Heard | str]],
    *,
    run: str,
    item: int,
    sample_rate: int,
) -> dict[Table, bytes]:
    """Make the files of an item.

    Args:
        heard: Its recordings in the order of their numbers, each with what was heard in it, or
            with the reason why nothing was.
        run: Hash of model, settings and plan.
        item: Number of the item.
        sample_rate: The model's sample rate in Hz.

    Returns:
        The bytes of each table's file. The events come last, whose metadata hold the account.
        Scores and features are among them if any recording has them.
    """
    rows: dict[Table, list[dict[str, Any]]] = {name: [] for name in TABLES}
    kept: set[Table] = set(TABLES) - {"scores", "features"}
    for recording, found in heard:
        same = {
            "source": recording.path,
            "recording": recording.recording,
            "site": recording.site or None,
            "date": date.fromisoformat(recording.date) if recording.date else None,
            "run": run,
        }
        for name, made in _rows_of(recording, found, sample_rate):
            kept.add(name)
            rows[name] += [row | same for row in made]
    account = _add_up(heard, rows, run=run, item=item, sample_rate=sample_rate)
    plain = msgspec.json.encode({"run": run, "item": item, "format": FORMAT})
    files = {
        name: write_table(name, rows[name], plain)
        for name in TABLES
        if name != "events" and name in kept
    }
    return files | {"events": write_table("events", rows["events"], msgspec.json.encode(account))}


def read_account(file: bytes) -> Account:
    """Read the account of an item from the bytes of its events.

    Raises:
        ValueError: They are no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(io.BytesIO(file)).metadata or {}
        return msgspec.json.decode(metadata[METADATA_KEY], type=Account)
    except (pa.ArrowException, OSError, KeyError, msgspec.DecodeError) as error:
        raise ValueError(f"is no file of events: {error}") from error


def make_schema(table: Table) -> pa.Schema:
    """Return the schema of a table in Arrow's types."""
    import pyarrow as pa

    kinds = {
        "time": pa.timestamp("us", "UTC"),
        "local": pa.timestamp("us"),
        "floats": pa.list_(pa.field("element", pa.float32())),
    }
    return pa.schema(
        [(each.name, kinds.get(each.kind) or getattr(pa, each.kind)()) for each in COLUMNS[table]]
    )


def write_table(table: Table, rows: Sequence[dict[str, Any]], metadata: bytes) -> bytes:
    """Write rows as Parquet. The same rows and metadata give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pylist(list(rows), make_schema(table))
    into = io.BytesIO()
    with pq.ParquetWriter(
        into,
        made.schema,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=[each.name for each in COLUMNS[table] if each.is_repeated],
        store_schema=False,  # Parquet's own types say all, and two versions of Arrow's agree
    ) as writer:
        writer.write_table(made, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata({METADATA_KEY: metadata})
    return into.getvalue()


def _rows_of(
    recording: PlannedRecording, heard: Heard | str, sample_rate: int
) -> Iterator[tuple[Table, Iterable[dict[str, Any]]]]:
    """Rows of a recording for each table, without what all of them have."""
    yield "heard", [_heard_row(recording, heard, sample_rate)]
    if isinstance(heard, str):
        return
    yield "events", _event_rows(heard)
    yield "gaps", _gap_rows(heard)
    yield "levels", _level_rows(heard)
    windows = heard.windows
    if windows is not None and windows.averages is not None:
        yield "scores", _window_rows(heard, windows, "scores", windows.averages)
    if windows is not None and windows.features is not None:
        yield "features", _window_rows(heard, windows, "features", windows.features)


def _event_rows(heard: Heard) -> Iterator[dict[str, Any]]:
    stream = heard.stream
    for event in heard.events:
        yield {
            "label": event.label,
            "onset": stream.seconds(event.onset), "offset": stream.seconds(event.offset),
            "score": event.score, **_times(stream.moment(event.onset)), "id": event.id,
            "onset_sample": event.onset, "offset_sample": event.offset,
            "begin_score": event.began_score, "short": event.short,
        }  # fmt: skip


def _gap_rows(heard: Heard) -> Iterator[dict[str, Any]]:
    stream = heard.stream
    for gap in heard.gaps:
        yield {
            "onset": stream.seconds(gap.position), "offset": stream.seconds(gap.end),
            "cause": gap.cause, **_times(stream.moment(gap.position)),
            "onset_sample": gap.position, "n_samples": gap.n_samples,
        }  # fmt: skip


def _level_rows(heard: Heard) -> Iterator[dict[str, Any]]:
    started = heard.stream.started
    knows_offset = started is not None and started.utcoffset() is not None
    for minute in heard.minutes:
        levels = minute.levels
        yield {
            **_minute_times(minute, knows_offset),
            "heard_s": heard.stream.seconds(minute.heard_samples),
            **{name: None if levels is None else getattr(levels, name) for name in LEVELS},
            "onset_sample": minute.position, "heard_samples": minute.heard_samples,
        }  # fmt: skip


def _window_rows(
    heard: Heard, windows: HeardWindows, name: Table, values: npt.NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    stream = heard.stream
    places = zip(windows.positions.tolist(), windows.ends.tolist(), values, strict=True)
    for position, end, row in places:
        is_known = row[0] == row[0]  # rows of silence are not a number
        yield {
            "onset": stream.seconds(position), "offset": stream.seconds(end),
            name: row if is_known else None,
            "onset_sample": position,
        }  # fmt: skip


def _heard_row(recording: PlannedRecording, heard: Heard | str, sample_rate: int) -> dict[str, Any]:
    samples = _Samples.of(recording, heard, sample_rate)
    begin: datetime | None = None
    end: datetime | None = None
    if isinstance(heard, Heard):
        elapsed = samples.heard + samples.missing
        begin, end = (
            heard.stream.moment(heard.stream.position + position) for position in (0, elapsed)
        )
    counts = {name: getattr(samples, name) for name in samples.__slots__}
    return {
        "state": _state(heard), "reason": _reason(heard) or None,
        **{f"{name}_s": round(n / sample_rate, 6) for name, n in counts.items()},
        "n_events": len(heard.events) if isinstance(heard, Heard) else 0,
        **_times(begin), "end_time": _times(end)["time"],
        "bytes": recording.bytes,
        "source_rate": recording.rate, "sample_rate": sample_rate,
        **{f"{name}_samples": n for name, n in counts.items()},
        "windows": heard.statistics.n_windows if isinstance(heard, Heard) else 0,
    }  # fmt: skip


def _state(heard: Heard | str) -> str:
    if isinstance(heard, str):
        return "failed"
    return "part" if heard.fault else "whole"


def _reason(heard: Heard | str) -> str:
    return heard if isinstance(heard, str) else heard.fault


@dataclass(frozen=True, slots=True)
class _Samples:
    """Where the samples of a recording went, at the model's rate."""

    promised: int
    heard: int
    missing: int
    failed: int
    beyond: int

    @classmethod
    def of(cls, recording: PlannedRecording, heard: Heard | str, sample_rate: int) -> _Samples:
        promised = rescale(recording.samples, recording.rate, sample_rate) if recording.rate else 0
        if isinstance(heard, str):
            return cls(promised, 0, 0, promised, 0)
        statistics = heard.statistics
        elapsed = statistics.delivered_samples + statistics.gap_samples
        if abs(promised - elapsed) <= ROUNDING:
            promised = elapsed
        return cls(
            promised,
            statistics.delivered_samples,
            statistics.gap_samples,
            max(promised - elapsed, 0),
            max(elapsed - promised, 0),
        )


def _add_up(
    heard: Sequence[tuple[PlannedRecording, Heard | str]],
    rows: dict[Table, list[dict[str, Any]]],
    *,
    run: str,
    item: int,
    sample_rate: int,
) -> Account:
    gaps: dict[str, tuple[int, int]] = {}
    for gap in rows["gaps"]:
        n_gaps, n_samples = gaps.get(gap["cause"], (0, 0))
        gaps[gap["cause"]] = n_gaps + 1, n_samples + gap["n_samples"]

    def total(name: str) -> int:
        return sum(row[name] for row in rows["heard"])

    return Account(
        run=run,
        item=item,
        recordings=len(heard),
        sample_rate=sample_rate,
        **{name: total(f"{name}_samples") for name in _Samples.__slots__},
        gaps=dict(sorted(gaps.items())),
        failures={row["source"]: row["reason"] for row in rows["heard"] if row["reason"]},
        windows=total("windows"),
        rows={name: len(each) for name, each in rows.items()},
        rules=EVENT_RULES,
    )


def _times(moment: datetime | None) -> dict[str, Any]:
    """The three columns of a time."""
    if moment is None:
        return {"time": None, "local_time": None, "utc_offset_min": None}
    local = moment.replace(tzinfo=None)
    if moment.utcoffset() is None:
        return {"time": None, "local_time": local, "utc_offset_min": None}
    us, offset_min = to_us(moment)
    assert us is not None
    return {"time": _moment(us), "local_time": local, "utc_offset_min": offset_min}


def _minute_times(minute: HeardMinute, knows_offset: bool) -> dict[str, Any]:
    """The same of a minute, which is counted by the clock of the place if no offset is known."""
    if minute.minute_us is None:
        return _times(None)
    moment = _moment(minute.minute_us)
    if not knows_offset:
        return {"time": None, "local_time": moment.replace(tzinfo=None), "utc_offset_min": None}
    offset_min = minute.utc_offset_min or 0
    local = (moment + timedelta(minutes=offset_min)).replace(tzinfo=None)
    return {"time": moment, "local_time": local, "utc_offset_min": minute.utc_offset_min}


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
