"""Results of an archive as a database that answers the questions to a store, by DuckDB.

Rows become the tables of `streamclf.store.schema`, as far as results have them, so that the same
queries, screens and files serve both. A table is read when the first query names it. Of a run that
is done, `streamclf.archive.index` has them in a few files, of which DuckDB reads the columns that a
query needs. Else the files of all items are fetched whole, many at once, because they are small and
a store answers slowly.

A recorder that does not tell its offset from UTC is taken to stand in this machine's zone, as a
store takes it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from streamclf.archive.index import NEEDED, fetch_part, find_parts, plain_schema, read_columns
from streamclf.archive.manifest import PLAN_FILE, read_plan
from streamclf.archive.place import Place
from streamclf.archive.places import open_place
from streamclf.archive.run_description import description_name
from streamclf.archive.tables import LEVELS, Table
from streamclf.core.errors import PlaceError, StoreError, UsageError
from streamclf.core.redaction import mask_url, one_line
from streamclf.store.minutes import MINUTE_US, to_us
from streamclf.store.question import Rows
from streamclf.store.writers import LENGTH_US

if TYPE_CHECKING:
    import pyarrow as pa

N_TOGETHER = 256
"""Files that are fetched, and whose rows are handed over, together."""
QUARTER_US = 900_000_000
"""Microseconds of a quarter of an hour; clocks are set at no other time."""
_INDEX = re.compile(r" INDEXED BY \w+")
_NAMES = re.compile(r"\b(?:events|gaps|runs|levels|sources|recordings|models)\b")
_EMPTY = """
CREATE TABLE clips (event_id BIGINT, folder VARCHAR, path VARCHAR, gone_us BIGINT);
CREATE TABLE reviews (id BIGINT, event_id BIGINT, reviewed_us BIGINT, verdict VARCHAR);
CREATE TABLE bare (quarter BIGINT PRIMARY KEY, ahead_us BIGINT, offset_min BIGINT);
CREATE TABLE models (id BIGINT, name VARCHAR, version VARCHAR, sha256 VARCHAR,
                     display_names VARCHAR, broader VARCHAR, sureness VARCHAR);
CREATE TABLE sources (id BIGINT, name VARCHAR, calibration_db DOUBLE);
CREATE TABLE recordings (id BIGINT, path VARCHAR, bytes BIGINT, source_id BIGINT)"""
_MOMENT = "coalesce(time, local_time - ahead_us)"
_MADE: dict[Table, tuple[str, str]] = {
    "heard": ("runs", """
SELECT recording AS id, recording::VARCHAR AS token, source_id, 1 AS model_id,
    recording AS recording_id, sample_rate, 0::BIGINT AS first_position, us AS begun_us,
    offset_min_of_place AS utc_offset_min, heard_samples + missing_samples AS elapsed_samples,
    heard_samples, missing_samples AS gap_samples, 0 AS rows_lost,
    CASE state WHEN 'whole' THEN 'ended' ELSE 'cut' END AS state, file
FROM placed JOIN recordings ON recordings.id = recording
WHERE heard_samples + missing_samples > 0"""),
    "events": ("events", """
SELECT row_number() OVER () AS id, recording AS run_id, runs.source_id, label, us AS onset_us,
    us + (offset_sample - onset_sample) * 1000000 // sample_rate AS offset_us,
    offset_min_of_place AS utc_offset_min, NULL::BIGINT AS began_us, begin_score::DOUBLE AS score,
    score::DOUBLE AS highest_score, onset_sample AS onset, offset_sample AS "offset",
    short::INTEGER AS short, 'ended' AS state
FROM placed JOIN runs ON runs.id = recording"""),
    "gaps": ("gaps", """
SELECT row_number() OVER () AS id, recording AS run_id, onset_sample AS position, n_samples,
    us AS begun_us, cause
FROM placed"""),
    "levels": ("levels", f"""
SELECT recording AS run_id, onset_sample AS position, us AS minute_us,
    offset_min_of_place AS utc_offset_min, heard_samples,
    {", ".join(f"{name}::DOUBLE AS {name}" for name in LEVELS)}
FROM placed"""),
}  # fmt: skip
"""Table of a store that is made of each table of results, and how, where ``placed`` has the rows
with their times."""
_PLACED = f"""
WITH placed AS (
SELECT *, {_MOMENT} AS us, coalesce(utc_offset_min, offset_min) AS offset_min_of_place
FROM {{}} LEFT JOIN bare ON time IS NULL AND quarter = local_time // {QUARTER_US})"""


class _RunDescription(msgspec.Struct, frozen=True):
    """What the description of a run tells of its model."""

    model: _DescribedModel


class _DescribedModel(msgspec.Struct, frozen=True):
    name: str
    version: str = ""
    sha256: str = ""
    display_names: dict[str, str] = {}
    broader: dict[str, list[str]] = {}
    sureness: dict[str, list[float]] = {}


class Results:
    """Results of an archive, which can be asked as a store can.

    Args:
        place: The folder of results.
        connection: An empty database of DuckDB; the caller closes it.
        spill: A folder for temporary files; the caller removes it.
        since_us: First moment that questions are about, in microseconds since 1970; None for all.
        until_us: Moment after the last; None for all.
        run: First digits of the run's name; empty where there is one alone.

    Raises:
        StoreError: There are no results, or those of several runs fit.
    """

    def __init__(
        self,
        place: Place,
        connection: Any,
        spill: str,
        since_us: int | None = None,
        until_us: int | None = None,
        run: str = "",
    ) -> None:
        self._place = place
        self._range = since_us, until_us
        self._connection = connection
        self._spill = Path(spill)
        self._run, items = _find_items(place, run)
        self._parts = find_parts(place, self._run, items)
        covered = {item for part in self._parts for item in part.items}
        names = (name.removeprefix("events/") for name in items)
        self._items = [name for name in names if name not in covered]
        self._loaded: set[Table] = set()
        self._connection.execute(_EMPTY)

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Ask a query, see `streamclf.store.question.Database`.

        Raises:
            StoreError: A file is missing, or cannot be read.
        """
        for name in sorted(set(_NAMES.findall(sql)) - self._loaded):
            self._load(name if name in NEEDED else "heard")
        # A cursor of its own, because one query may be read while another is asked.
        rows: Rows = _Cursor(self._connection.cursor().execute(_INDEX.sub("", sql), list(values)))
        return rows

    def _load(self, table: Table) -> None:
        if table in self._loaded:
            return
        if table != "heard":
            self._load("heard")
        everything = range(len(self._items))
        self._fetch(table, self._items_in_range() if table == "levels" else everything)
        # Few columns of an index's many rows are read for a query; what was fetched is kept.
        kind = "VIEW" if self._parts and table != "heard" else "TABLE"
        rows = self._add_parts(table) if self._parts else f"fetched_{table}"
        self._settle_clocks(rows)
        if table == "heard":
            self._name_recordings(rows)
        name, made = _MADE[table]
        self._connection.execute(f"CREATE {kind} {name} AS {_PLACED.format(rows)}{made}")
        if kind == "TABLE":
            self._connection.execute(f"DROP TABLE fetched_{table} CASCADE")
        self._loaded.add(table)

    def _add_parts(self, table: Table) -> str:
        """Add the index's rows to those of a table that were fetched; returns where all are."""
        columns = ", ".join(NEEDED[table])
        for number, part in enumerate(self._parts):
            fetch_part(self._place, part.name(table), self._spill / f"{table}-{number:06}.parquet")
        files = str(self._spill / f"{table}-*.parquet").replace("'", "''")
        self._connection.execute(
            f"CREATE VIEW all_{table} AS SELECT {columns}, -1 AS file FROM read_parquet('{files}') "
            f"UNION ALL SELECT {columns}, file FROM fetched_{table}"
        )
        return f"all_{table}"

    def _items_in_range(self) -> Sequence[int]:
        """Items with a minute that lies in the time that is asked for."""
        since_us, until_us = self._range
        begin = f"begun_us // {MINUTE_US} * {MINUTE_US}"
        # A minute begins up to a second before the clock's, see `streamclf.store.minutes`.
        end = f"begun_us + {LENGTH_US.format('elapsed_samples')} + {MINUTE_US}"
        rows = self._connection.execute(
            f"SELECT DISTINCT file FROM runs WHERE (? IS NULL OR {end} >= ?) "
            f"AND (? IS NULL OR {begin} < ?) AND file >= 0 ORDER BY file",
            [since_us, since_us, until_us, until_us],
        )
        return [file for (file,) in rows.fetchall()]

    def _fetch(self, table: Table, numbers: Sequence[int]) -> None:
        """Fetch the files of a table that no index has."""
        import pyarrow as pa

        columns = NEEDED[table]
        schema = plain_schema(table).append(pa.field("file", pa.int64()))
        create = f"CREATE TABLE fetched_{table} AS SELECT * FROM fetched"
        self._hand_over(schema.empty_table(), create)

        def fetch(number: int) -> tuple[int, pa.Table]:
            return number, read_columns(self._place, f"{table}/{self._items[number]}", columns)

        with ThreadPoolExecutor(self._place.max_requests) as threads:
            for first in range(0, len(numbers), N_TOGETHER):
                read = threads.map(fetch, numbers[first : first + N_TOGETHER])
                rows = _join(list(read)).cast(schema)
                self._hand_over(rows, f"INSERT INTO fetched_{table} SELECT * FROM fetched")

    def _hand_over(self, rows: pa.Table, sql: str) -> None:
        self._connection.register("fetched", rows)
        self._connection.execute(sql)
        self._connection.unregister("fetched")

    def _settle_clocks(self, rows: str) -> None:
        """Note how far this machine's zone was ahead of UTC, for times without an offset."""
        found = self._connection.execute(
            f"SELECT DISTINCT local_time // {QUARTER_US} FROM {rows} "
            "WHERE time IS NULL AND local_time IS NOT NULL "
            "EXCEPT SELECT quarter FROM bare"
        ).fetchall()
        settled = []
        for (quarter,) in found:
            local_us = quarter * QUARTER_US
            us, offset_min = to_us(datetime(1970, 1, 1) + timedelta(microseconds=local_us))
            if us is not None:
                settled.append((quarter, local_us - us, offset_min))
        self._insert("bare", settled)

    def _name_recordings(self, table: str) -> None:
        root = PurePosixPath(read_plan(self._place).root.replace("\\", "/")).name
        rows = self._connection.execute(
            f"SELECT recording, source, bytes FROM {table} ORDER BY recording"
        ).fetchall()
        folders: dict[str, int] = {}
        named: list[tuple[int, str, int, int]] = []
        for number, path, n_bytes in rows:
            folder = str(PurePosixPath(path).parent)
            folder = root or folder if folder == "." else folder
            named.append((number, path, n_bytes, folders.setdefault(folder, len(folders) + 1)))
        self._insert("recordings", named)
        self._insert("sources", [(number, name, None) for name, number in folders.items()])
        model = _read_description(self._place, self._run).model
        fields = (model.display_names, model.broader, model.sureness)
        told = (msgspec.json.encode(each).decode() for each in fields)
        self._insert("models", [(1, model.name, model.version, model.sha256, *told)])

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows as columns of Arrow, which a million rows take a moment for."""
        import pyarrow as pa

        kinds = {int: pa.int64(), str: pa.string(), type(None): pa.float64()}
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            arrays = [pa.array(column, kinds[type(column[0])]) for column in columns]
            made = pa.table(dict(zip(map(str, range(len(arrays))), arrays, strict=True)))
            self._hand_over(made, f"INSERT INTO {table} SELECT * FROM fetched")


class _Cursor:
    """Rows of a query, fetched as they are read."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        rows: list[Any] = self._cursor.fetchall()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while rows := self._cursor.fetchmany(2048):
            yield from rows


@contextmanager
def open_results(
    url: str, since_us: int | None = None, until_us: int | None = None, *, run: str = ""
) -> Iterator[Results]:
    """Open a folder of results to ask it.

    Args:
        url: A path, or a URL that fsspec knows.
        since_us: First moment that questions are about, in microseconds since 1970; None for all.
        until_us: Moment after the last; None for all.
        run: First digits of the run's name; empty where there is one alone.

    Raises:
        UsageError: The URL cannot be understood, or a package is not installed.
        StoreError: There are no results, they are of several runs, or a file cannot be read.
    """
    duckdb = _load_duckdb(url)
    place = open_place(url)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="streamclf-") as spill,
            closing(_connect(spill)) as connection,
        ):
            yield Results(place, connection, spill, since_us, until_us, run)
    except duckdb.Error as error:
        raise StoreError(f"{place}: cannot be asked: {one_line(str(error))}") from error
    finally:
        place.close()


def _load_duckdb(url: str) -> Any:
    try:
        import duckdb
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--store {mask_url(url)}: needs DuckDB and pyarrow: pip install 'streamclf[archive]'"
        ) from error
    return duckdb


def _connect(spill: str) -> Any:
    """Open an empty database; what memory does not hold goes to a folder."""
    import duckdb

    # Nothing is read but what is handed over, and nothing is fetched from elsewhere.
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": spill,
        }
    )
    # As SQLite has it.
    connection.execute("SET GLOBAL integer_division = true")
    connection.execute("SET GLOBAL default_null_order = 'nulls_first'")
    return connection


def _find_items(place: Place, wanted: str) -> tuple[str, dict[str, int]]:
    """Find the items of a run that are done.

    Returns:
        The run, and the names of all its files of events with their sizes in bytes.
    """
    names = {name: size for name, size in place.names("events").items()
             if name.endswith(".parquet")}  # fmt: skip
    runs = sorted({name.split("/")[1] for name in names})
    if not runs:
        held = "has no results yet" if place.exists(PLAN_FILE) else "holds no results of an archive"
        raise StoreError(
            f"{place}: {held}: `streamclf archive run {place}` hears it, after `archive plan`"
        )
    fitting = [run for run in runs if run.startswith(wanted)]
    if len(fitting) != 1:
        held = f"has no run {wanted}" if not fitting else f"holds {len(fitting)} runs"
        listed = ", ".join(fitting or runs)
        raise StoreError(
            f"{place}: {held} ({listed}; each is of another model, settings or plan): name one, as "
            f"in --store {place}#{runs[0][:4]}"
        )
    folder = f"events/{fitting[0]}/"
    return fitting[0], {name: size for name, size in names.items() if name.startswith(folder)}


def _join(read: Sequence[tuple[int, pa.Table]]) -> pa.Table:
    """Join the rows of several files, with the number of each."""
    import numpy as np
    import pyarrow as pa

    numbers = np.repeat([number for number, _ in read], [rows.num_rows for _, rows in read])
    rows = pa.concat_tables([rows for _, rows in read]).combine_chunks()
    return rows.append_column("file", pa.array(numbers))


def _read_description(place: Place, run: str) -> _RunDescription:
    name = description_name(run)
    try:
        return msgspec.json.decode(place.read(name), type=_RunDescription)
    except FileNotFoundError as error:
        raise StoreError(f"{place}/{name}: is not there: `archive run` writes it anew") from error
    except PlaceError as error:
        raise StoreError(str(error)) from error
    except msgspec.DecodeError as error:
        raise StoreError(f"{place}/{name}: cannot be read: {error}") from error
