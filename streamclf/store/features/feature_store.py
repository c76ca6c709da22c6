"""Reading of kept features: by source and time, file by file, without loading what is not needed.

The files are mapped into memory. Reading never locks what a listener writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import StoreError
from streamclf.store.features.layout import (
    NO_TIME,
    SUFFIX,
    UNDATED,
    FeatureHeader,
    day_of,
    digest_in,
    read_header,
    record_type,
)

MOST_TORN = 16
"""Records at the end of a file that a power cut may have left half written."""


@dataclass(frozen=True, eq=False)
class FeatureSpan:
    """Features of one source's windows, in the order of their files and places.

    Attributes:
        header: Header of the newest file that they come from.
        times_us: ``(windows,)`` int64, begin of each window in microseconds UTC, or `NO_TIME`.
        positions: ``(windows,)`` int64, first sample of each.
        lengths: ``(windows,)`` uint32, samples of each, without padding.
        values: ``(windows, size)`` int8.
    """

    header: FeatureHeader
    times_us: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.uint32]
    values: npt.NDArray[np.int8]

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Begin of each window in seconds since 1970-01-01 UTC, ``(windows,)``."""
        return self.times_us / 1e6

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """The features ``(windows, size)`` as the network gave them, but for the rounding."""
        return self.values.astype(np.float32) * np.float32(self.header.scale)


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """One file of features, mapped into memory.

    Attributes:
        path: The file.
        header: Its first line.
        records: ``(windows,)`` of `record_type`: all that are whole.
    """

    path: Path
    header: FeatureHeader
    records: npt.NDArray[Any]

    @classmethod
    def open(cls, path: Path) -> FeatureFile:
        """Open a file.

        Raises:
            StoreError: It cannot be read, or holds no features.
        """
        header, first = read_header(path)
        form = record_type(header.size, header.n_scores)
        try:
            n_whole = (path.stat().st_size - first) // form.itemsize
            records: Any = np.zeros(0, form)
            if n_whole > 0:
                records = np.memmap(path, form, "r", first, (n_whole,))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read: {error}") from error
        # A power cut may leave zeros at the end.
        while len(records) and not records["n_samples"][-1]:
            whole = np.flatnonzero(records["n_samples"])
            records = records[: whole[-1] + 1 if len(whole) else 0]
        if len(records) and not _fits(records[0]):
            raise StoreError(f"{path}: its records are not as its first line says: delete it")
        for _ in range(MOST_TORN):
            if len(records) and not _fits(records[-1]):
                records = records[:-1]
        if len(records) and not _fits(records[-1]):  # what is lost in the middle moves the rest
            raise StoreError(f"{path}: is damaged, its last records are none: delete it")
        return cls(path, header, records)

    def within(self, since_us: int | None, until_us: int | None) -> npt.NDArray[Any]:
        """Return the records of windows that begin in ``[since_us, until_us)``."""
        if (since_us is None and until_us is None) or self._is_whole_day(since_us, until_us):
            return self.records
        times = self.records["time_us"]
        fits = times != NO_TIME
        if since_us is not None:
            fits &= times >= since_us
        if until_us is not None:
            fits &= times < until_us
        places = np.flatnonzero(fits)
        if not len(places):
            return self.records[:0]
        if places[-1] - places[0] + 1 == len(places):  # a slice stays in its file
            return self.records[places[0] : places[-1] + 1]
        return self.records[places]

    def _is_whole_day(self, since_us: int | None, until_us: int | None) -> bool:
        """Whether the day of a live source lies in a range, so that no time need be looked at."""
        if self.header.recording:
            return False
        day = self.path.name.partition("_")[0]
        try:
            begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return False
        begin_us = round(begin.timestamp()) * 1_000_000
        end_us = begin_us + 86_400_000_000
        return (since_us is None or since_us <= begin_us) and (
            until_us is None or end_us <= until_us
        )


def _fits(record: np.void) -> bool:
    """Whether a record is where it should be: its energy is that of its values."""
    return int(np.square(record["values"].astype(np.int64)).sum()) == int(record["energy"])


class FeatureStore:
    """The features that were kept in a folder.

    Args:
        folder: The folder, which holds one folder for each source.

    Attributes:
        folder: As given.
        unreadable: Lines about files that could not be read, after `files`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: list[str] = []

    @classmethod
    def beside(cls, store: Path) -> FeatureStore:
        """Return the features that lie beside a store."""
        return cls(features_folder(store))

    def files(
        self,
        source: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        digest: str | None = None,
    ) -> Iterator[FeatureFile]:
        """Open files, by source and day. One that cannot be read is noted in `unreadable`.

        Args:
            source: Name of a source; None for all.
            since_us: Earliest time, in microseconds UTC; None for no limit.
            until_us: Time before which windows begin; None for no limit.
            digest: Only features of this digest.
        """
        first = None if since_us is None else day_of(since_us)
        last = None if until_us is None else day_of(until_us)
        timed = first is not None or last is not None
        self.unreadable = []
        for path in sorted(self.folder.glob(f"*/*{SUFFIX}")):
            day, _, rest = path.name.removesuffix(SUFFIX).partition("_")
            if digest is not None and digest_in(path.name) != digest:
                continue
            if timed and day == UNDATED:
                continue
            is_recording = "_" in rest  # it lies under the day of its begin, and may be longer
            if last is not None and day > last:
                continue
            if first is not None and day < first and not is_recording:
                continue
            try:
                if not path.stat().st_size:  # its writer was killed before the first line
                    continue
                file = FeatureFile.open(path)
            except FileNotFoundError:  # its day has gone by age
                continue
            except StoreError as error:
                self.unreadable.append(str(error))
                continue
            if source is None or file.header.source == source:
                yield file

    def sources(self) -> list[str]:
        """Names of the sources whose features are kept."""
        return sorted({file.header.source for file in self.files()})

    def digests(self, source: str | None = None) -> list[str]:
        """Digests of the features, those of the newest file last."""
        newest: dict[str, float] = {}
        for file in self.files(source):
            changed = file.path.stat().st_mtime
            newest[file.header.digest] = max(changed, newest.get(file.header.digest, 0.0))
        return sorted(newest, key=newest.__getitem__)

    def read(
        self,
        source: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        *,
        digest: str | None = None,
        every: int = 1,
    ) -> FeatureSpan | None:
        """Load features into memory.

        Args:
            source: Name of a source; None for all.
            since_us: Earliest time, in microseconds UTC; None for no limit.
            until_us: Time before which windows begin; None for no limit.
            digest: Only features of this digest; None takes those of the newest file.
            every: Takes each ``every``-th window, for a sample of a long time.

        Returns:
            The features; None where none are kept.
        """
        if digest is None:
            digests = self.digests(source)
            digest = digests[-1] if digests else None
        parts: list[npt.NDArray[Any]] = []
        header: FeatureHeader | None = None
        for file in self.files(source, since_us, until_us, digest):
            records = file.within(since_us, until_us)
            if len(records):
                parts.append(np.array(records[::every]))
                header = file.header
        return None if header is None else _join(header, parts)


def _join(header: FeatureHeader, parts: Sequence[npt.NDArray[Any]]) -> FeatureSpan:
    records = np.concatenate(parts)
    return FeatureSpan(
        header,
        np.ascontiguousarray(records["time_us"]),
        np.ascontiguousarray(records["position"]),
        np.ascontiguousarray(records["n_samples"]),
        np.ascontiguousarray(records["values"]),
    )


def features_folder(store: Path) -> Path:
    """Return the folder of the features beside a store: ``heard.features`` of ``heard.db``."""
    return store.with_name(f"{store.stem}{SUFFIX}")
