"""An index of the results of a run: what questions need of thousands of items, in a few files.

It is written when a run is done, and holds nothing that the results do not. A part of it stands for
some of the items, and its name follows from the names and sizes of their files. So one that does
not fit what is there is not found, and the items are read one by one.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamclf.archive.many import call_for_each
from streamclf.archive.place import Place
from streamclf.archive.tables import COLUMNS, LEVELS, Table
from streamclf.core.errors import PlaceError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

N_ITEMS = 4096
"""Items of a part."""
LEAST_ITEMS = 64
"""Items of a run for which an index is worth its files."""
NEEDED: dict[Table, tuple[str, ...]] = {
    "heard": (
        "source", "recording", "time", "local_time", "utc_offset_min", "bytes", "sample_rate",
        "heard_samples", "missing_samples", "state",
    ),
    "gaps": (
        "cause", "time", "local_time", "utc_offset_min", "recording", "onset_sample", "n_samples",
    ),
    "levels": (
        "time", "local_time", "utc_offset_min", "recording", "onset_sample", "heard_samples",
        *LEVELS,
    ),
    "events": (
        "label", "score", "time", "local_time", "utc_offset_min", "recording", "onset_sample",
        "offset_sample", "begin_score", "short",
    ),
}  # fmt: skip
"""Columns that questions need. The events of a part are put last, so it is whole where they are."""
_REPEATED = ("label", "cause", "state", "utc_offset_min", "recording", "sample_rate", "short")


@dataclass(frozen=True)
class Part:
    """A part of an index.

    Attributes:
        folder: Its folder below the place.
        items: Names of its items' files below the folder of their table.
    """

    folder: str
    items: Sequence[str]

    def name(self, table: Table) -> str:
        """Name of the file of a table."""
        return f"{self.folder}/{table}.parquet"


def write_index(results: Place, run: str) -> None:
    """Write the index of a run that is done, as far as it is not there; remove what is outdated.

    Raises:
        StoreError: A file of results is missing, or cannot be read.
        PlaceError: The index cannot be written.
    """
    items = results.names(f"events/{run}")
    there = results.names(f"index/{run}")
    wanted = _cut(run, items) if len(items) >= LEAST_ITEMS else []
    for part in wanted:
        if part.name("events") not in there:
            for table in NEEDED:
                results.put_whole(part.name(table), _join_items(results, table, part.items))
    current = {part.name(table) for part in wanted for table in NEEDED}
    for name in there.keys() - current:
        results.remove(name)


def find_parts(results: Place, run: str, items: Mapping[str, int]) -> list[Part]:
    """Find the parts of an index that stand for items as they are.

    Args:
        results: Where the results lie.
        run: Hash of the run.
        items: Names of all files of events of the run, with their sizes in bytes.
    """
    there = results.names(f"index/{run}")
    return [part for part in _cut(run, items) if part.name("events") in there] if there else []


def _cut(run: str, items: Mapping[str, int]) -> list[Part]:
    """Cut the items of a run into parts."""
    rest, parts = iter(sorted(items.items())), []
    while some := list(islice(rest, N_ITEMS)):
        digest = hashlib.sha256(msgspec.json.encode(some)).hexdigest()[:16]
        names = [name.removeprefix("events/") for name, _ in some]
        parts.append(Part(f"index/{run}/{digest}", names))
    return parts


def _join_items(results: Place, table: Table, items: Sequence[str]) -> bytes:
    """Join the rows of some items, as the bytes of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    into, schema = io.BytesIO(), plain_schema(table)
    read = call_for_each(
        lambda item: read_columns(results, f"{table}/{item}", NEEDED[table]),
        items,
        results.max_requests,
    )
    with pq.ParquetWriter(
        into, schema, compression="zstd", use_dictionary=_repeated(schema), store_schema=False
    ) as writer:
        for some in _together(read):
            writer.write_table(pa.concat_tables(some).cast(schema))
    return into.getvalue()


def _repeated(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name in _REPEATED]


def _together(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Yield tables together that make a row group."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(each.num_rows for each in some) >= 1 << 16:
            yield some
            some = []
    if some:
        yield some


def plain_schema(table: Table) -> pa.Schema:
    """Return the schema of the columns that questions need; times are microseconds."""
    import pyarrow as pa

    kinds = {each.name: each.kind for each in COLUMNS[table]}
    plain = {"string": pa.string(), "float32": pa.float32(), "bool_": pa.bool_()}
    return pa.schema([(name, plain.get(kinds[name], pa.int64())) for name in NEEDED[table]])


def read_columns(place: Place, name: str, columns: Sequence[str]) -> pa.Table:
    """Read columns of a file of results.

    Raises:
        StoreError: The file is missing, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(place.read(name)))
        return file.read(columns=list(columns), use_threads=False).select(columns)
    except FileNotFoundError as error:
        raise StoreError(
            f"{place}/{name}: is not there, though the item is done: delete its file in events/ "
            "and run again"
        ) from error
    except PlaceError as error:
        raise StoreError(str(error)) from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(
            f"{place}/{name}: is damaged: delete it with its file in events/, and run again"
        ) from error


def fetch_part(place: Place, name: str, to: Path) -> None:
    """Have a file of an index on this machine's disk.

    Args:
        place: Where the results lie.
        name: Name of the file.
        to: Path by which it can be read.

    Raises:
        StoreError: It is missing, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = place.open_file(name, 0)
        if isinstance(file, Path):
            try:
                to.symlink_to(file)
            except OSError:  # Windows allows few users to
                shutil.copyfile(file, to)
        else:
            to.write_bytes(place.read(name))
        pq.read_metadata(to)
    except PlaceError as error:
        raise StoreError(str(error)) from error
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{place}/{name}: is missing or damaged: delete the folder index/, which the next "
            "`streamclf archive run` writes anew"
        ) from error
