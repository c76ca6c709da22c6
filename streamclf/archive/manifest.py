"""The manifest of an archive: its recordings, and the items into which they are cut.

It is made once by `streamclf.archive.plan`, and lies beside the results: two Parquet files and a
file of JSON. No credentials are in it. Rows are made when they are asked for, because an archive
may have a million items.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import msgspec
import numpy.typing as npt

from streamclf.archive.place import Place
from streamclf.core.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

FORMAT = 1
"""Version of the manifest and of the results."""
PLAN_FILE = "manifest/plan.json"
RECORDINGS_FILE = "manifest/recordings.parquet"
ITEMS_FILE = "manifest/items.parquet"

Kind: TypeAlias = Literal["whole", "piece"]
"""Whether an item is a run of whole recordings, or a piece of a long one."""


@dataclass(frozen=True, slots=True)
class PlannedRecording:
    """A recording of the archive, as its header describes it.

    Attributes:
        recording: Its number, from 0, in the order of the paths.
        path: Path below the archive's root, with ``/``; the name of the source in results.
        bytes: Size of the file.
        mark: What changes when the file does: its ETag or its time of change; empty for none.
        rate: Sample rate in Hz; 0 where it cannot be opened.
        channels: Number of channels.
        seconds: Length that the header states; 0 where it states none.
        samples: The same in samples a channel.
        started: Time of the first sample in ms of UTC, or of the clock on the wall where
            ``utc_offset`` is None; None where it is not known.
        utc_offset: Offset of the place from UTC in minutes; None where it is not known.
        site: First folder below the root; empty where the file lies in the root itself.
        date: Local date of the first sample, ``2026-06-01``; empty where it is not known.
        why: Reason why it cannot be opened; empty where it can.
    """

    recording: int
    path: str
    bytes: int
    mark: str = ""
    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    samples: int = 0
    started: int | None = None
    utc_offset: int | None = None
    site: str = ""
    date: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """What one worker hears at a time: a run of whole recordings, or a piece of a long one.

    Attributes:
        number: Its number, from 0.
        kind: ``whole`` or ``piece``.
        recordings: The recordings, of one site and date; of a piece, the one.
        begin: First sample of a piece, at the recording's own rate.
        end: Sample after its last.
        piece: Number of the piece within its recording, from 0.
        n_pieces: Number of pieces of the recording; 0 for whole recordings.
        seconds: Length that is planned.
    """

    number: int
    kind: Kind
    recordings: tuple[PlannedRecording, ...]
    begin: int = 0
    end: int = 0
    piece: int = 0
    n_pieces: int = 0
    seconds: float = 0.0

    @property
    def site(self) -> str:
        """Site of its recordings; empty where it is not known."""
        return self.recordings[0].site

    @property
    def date(self) -> str:
        """Date of its recordings; empty where it is not known."""
        return self.recordings[0].date

    @property
    def result_number(self) -> int:
        """Number of the item under which its results lie: of pieces, that of the first one."""
        return self.number - self.piece


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned, in figures.

    Attributes:
        root: Root of the archive: a URL without credentials, or an absolute path.
        id: Hash of the recordings and items; results of another plan have other names.
        item_minutes: Length that items were cut to.
        recordings: Number of recordings, those that cannot be opened included.
        unopened: Number of recordings that cannot be opened.
        items: Number of items.
        seconds: Length of all items.
        made: When it was made, in UTC.
        version: Version of streamclf that made it.
        format: Version of the form.
    """

    root: str
    id: str
    item_minutes: float
    recordings: int
    unopened: int
    items: int
    seconds: float
    made: str
    version: str
    format: int = FORMAT


class Manifest:
    """Recordings and items of a plan.

    Args:
        plan: What is planned, in figures.
        recordings: Table of the recordings.
        items: Table of the items.
    """

    def __init__(self, plan: Plan, recordings: pa.Table, items: pa.Table) -> None:
        self.plan = plan
        self._recordings = recordings
        self._items = items

    def __len__(self) -> int:
        """Number of items."""
        return int(self._items.num_rows)

    def item(self, number: int) -> Item:
        """Return an item by its number."""
        (row,) = self._items.slice(number, 1).to_pylist()
        chosen = row["recordings"]
        first, last = chosen[0], chosen[-1]
        if last - first + 1 == len(chosen):
            rows = self._recordings.slice(first, len(chosen)).to_pylist()
        else:
            rows = self._recordings.take(chosen).to_pylist()
        return Item(
            row["item"],
            row["kind"],
            tuple(PlannedRecording(**each) for each in rows),
            *(row[name] for name in ("begin", "end", "piece", "n_pieces", "seconds")),
        )

    def recordings(self) -> Iterable[PlannedRecording]:
        """Yield all recordings."""
        for batch in self._recordings.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield PlannedRecording(**row)

    def unopened(self) -> dict[str, str]:
        """Return the reason of each recording that cannot be opened, by its path."""
        import pyarrow.compute as pc

        rows = self._recordings.select(["path", "why"]).filter(pc.field("why") != "").to_pylist()
        return {row["path"]: row["why"] for row in rows}

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers of the items: ``piece``, ``n_pieces``, ``seconds``, ..."""
        column: npt.NDArray[Any] = self._items[name].to_numpy()
        return column

    def first_recordings(self) -> npt.NDArray[Any]:
        """Return the number of the first recording of each item."""
        import pyarrow.compute as pc

        first: npt.NDArray[Any] = pc.list_element(self._items["recordings"], 0).to_numpy()
        return first

    def column(self, name: str) -> list[Any]:
        """Return a column of the items: ``seconds``, ``piece``, ``recordings``, ..."""
        column: list[Any] = self._items[name].to_pylist()
        return column


def make_manifest(
    plan: Plan, recordings: Sequence[PlannedRecording], items: Iterable[Item]
) -> tuple[Manifest, dict[str, bytes]]:
    """Make a manifest, and the files that hold it.

    Args:
        plan: Everything but the counts and the hash, which are filled in.
        recordings: The recordings in the order of their numbers.
        items: The items in the order of their numbers.

    Returns:
        The manifest, and the bytes by name; the plan comes last, because it makes the others valid.
    """
    rows = _to_table(recordings, _recordings_schema(), _recording_value)
    cut = _to_table(list(items), _items_schema(), _item_value)
    files = {RECORDINGS_FILE: _to_parquet(rows), ITEMS_FILE: _to_parquet(cut)}
    plan = msgspec.structs.replace(
        plan,
        id=_hash(files.values()),
        recordings=rows.num_rows,
        unopened=sum(bool(each.why) for each in recordings),
        items=cut.num_rows,
        seconds=round(math.fsum(cut["seconds"].to_pylist()), 6),
    )
    files[PLAN_FILE] = msgspec.json.format(msgspec.json.encode(plan)) + b"\n"
    return Manifest(plan, rows, cut), files


def read_plan(place: Place) -> Plan:
    """Read the figures of the plan.

    Raises:
        StoreError: There is none, it cannot be read, or a newer streamclf made it.
    """
    try:
        data = place.read(PLAN_FILE)
    except FileNotFoundError as error:
        raise StoreError(
            f"{place}: holds no plan: make one with `streamclf archive plan ARCHIVE --out {place}`"
        ) from error
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise StoreError(f"{place}/{PLAN_FILE}: is no plan: {error}; plan anew") from error
    if plan.format > FORMAT:
        raise StoreError(
            f"{place}: its plan has form {plan.format}, this streamclf reads up to {FORMAT}: "
            "install a newer one"
        )
    return plan


def read_manifest(place: Place) -> Manifest:
    """Read the manifest of a folder of results.

    Raises:
        StoreError: There is none, or it cannot be read.
    """
    import pyarrow.parquet as pq

    plan = read_plan(place)
    files = []
    for name in (RECORDINGS_FILE, ITEMS_FILE):
        try:
            files.append(place.read(name))
        except FileNotFoundError as error:
            raise StoreError(f"{place}/{name}: is not there: plan anew with --overwrite") from error
    if _hash(files) != plan.id:
        raise StoreError(
            f"{place}: the tables of the manifest are not those of its plan.json: plan anew with "
            "--overwrite"
        )
    return Manifest(plan, *(pq.read_table(io.BytesIO(data)) for data in files))


def _to_table(rows: Sequence[T], schema: pa.Schema, value: Callable[[T, str], Any]) -> pa.Table:
    """Make a table column by column, which for a million rows takes far less memory than rows."""
    import pyarrow as pa

    return pa.table(
        [pa.array([value(row, field.name) for row in rows], field.type) for field in schema],
        schema,
    )


def _recording_value(recording: PlannedRecording, name: str) -> Any:
    return getattr(recording, name)


def _item_value(item: Item, name: str) -> Any:
    if name == "item":
        return item.number
    if name == "recordings":
        return [each.recording for each in item.recordings]
    return getattr(item, name)


def _recordings_schema() -> pa.Schema:
    import pyarrow as pa

    types = {
        "recording": pa.int32(),
        "path": pa.string(),
        "bytes": pa.int64(),
        "mark": pa.string(),
        "rate": pa.int32(),
        "channels": pa.int32(),
        "seconds": pa.float64(),
        "samples": pa.int64(),
        "started": pa.int64(),
        "utc_offset": pa.int32(),
        "site": pa.string(),
        "date": pa.string(),
        "why": pa.string(),
    }
    return pa.schema(list(types.items()))


def _items_schema() -> pa.Schema:
    import pyarrow as pa

    types = {
        "item": pa.int32(),
        "kind": pa.string(),
        "recordings": pa.list_(pa.int32()),
        "begin": pa.int64(),
        "end": pa.int64(),
        "piece": pa.int32(),
        "n_pieces": pa.int32(),
        "seconds": pa.float64(),
    }
    return pa.schema(list(types.items()))


def _to_parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    into = io.BytesIO()
    pq.write_table(table, into, compression="zstd")
    return into.getvalue()


def _hash(files: Iterable[bytes]) -> str:
    """Return a hash of the tables' files."""
    digest = hashlib.sha256()
    for data in files:
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()[:16]
