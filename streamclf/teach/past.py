"""The past as features: what was heard and kept, which a new label is tried on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamclf.store.features.feature_store import FeatureFile, FeatureStore
from streamclf.store.features.layout import NO_TIME, FeatureHeader, follows, known_time
from streamclf.teach.examples import Features
from streamclf.teach.taught_graph import Head

BLOCK = 65_536
"""Windows that are computed at once, of the memory that their features take as float32."""


@dataclass(frozen=True, eq=False)
class PastStream:
    """Windows of a source in the order of their positions, with the logits of a label.

    Attributes:
        source: Name of the source; of a recording its path.
        sample_rate: Rate of the positions in Hz.
        times_us: ``(windows,)``, begin of each in microseconds UTC, or `NO_TIME`.
        positions: ``(windows,)``, first sample of each.
        lengths: ``(windows,)``, samples of each.
        logits: ``(windows,)`` float32.
        every_s: Seconds between two windows.
        is_recording: Whether the source is a recording.
    """

    source: str
    sample_rate: int
    times_us: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.uint32]
    logits: npt.NDArray[np.float32]
    every_s: float
    is_recording: bool = False


class Past:
    """Kept features of some time.

    Args:
        store: Where they are kept.
        digest: Digest of the features that the label is taught on; others cannot be compared.
        streams: Names of sources and paths of recordings; None for all.
        since_us: Earliest time in microseconds UTC; None for no limit.
        until_us: Time before which windows begin; None for no limit.
    """

    def __init__(
        self,
        store: FeatureStore,
        digest: str,
        streams: Collection[str] | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> None:
        self._store, self._digest, self._streams = store, digest, streams
        self._since_us, self._until_us = since_us, until_us
        self.n_windows, self.seconds = 0, 0.0
        for file, records in self.records():
            self.n_windows += len(records)
            held = _count_held(records["position"], file.header)
            self.seconds += int(held.sum()) * file.header.every_s

    def sample(self, n_most: int) -> Features:
        """Return features of windows that lie evenly in that time, ``(windows, size)``."""
        step = max(1, -(-self.n_windows // n_most))
        parts, skipped = [], 0
        for file, records in self.records():
            chosen = records["values"][skipped::step]
            skipped = (skipped - len(records)) % step
            parts.append(chosen.astype(np.float32) * np.float32(file.header.scale))
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def score(self, head: Head) -> Iterator[PastStream]:
        """Compute the logits of all windows, run by run.

        A run goes on over midnight, where the next day's file begins. A window whose next one came
        later than half a second after it, as it does with a wider hop, is held until then, so that
        all streams have windows of the same distance.
        """
        waiting: dict[FeatureHeader, _ScoredRun] = {}
        for file, records in self.records():
            header = file.header
            logits = np.zeros(len(records), np.float32)
            for start in range(0, len(records), BLOCK):
                block = records["values"][start : start + BLOCK].astype(np.float32)
                logits[start : start + BLOCK] = head.logits(block * np.float32(header.scale))
            places = _without_values(records)
            for begin, end in runs_in(records):
                run = _ScoredRun(places[begin:end], logits[begin:end])
                before = waiting.pop(header, None)
                if before is not None and follows(header, before.records[-1], run.records[0]):
                    run = before.joined(run)
                elif before is not None:
                    yield before.stream(header)
                waiting[header] = run
            if header.recording:
                yield waiting.pop(header).stream(header)
        for header, run in waiting.items():
            yield run.stream(header)

    def spans(self) -> dict[str, list[tuple[float, float]]]:
        """Return the time of which anything is kept, by stream: begins and ends.

        They count microseconds UTC for live sources, seconds from its begin for a recording.
        """
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for file, records in self.records():
            header = file.header
            lengths = records["n_samples"] / header.sample_rate
            if header.recording:
                begins = records["position"] / header.sample_rate
            else:
                timed = records["time_us"] != NO_TIME
                begins, lengths = records["time_us"][timed], lengths[timed] * 1e6
            if len(begins):
                span = float(begins.min()), float((begins + lengths).max())
                spans[header.recording or header.source].append(span)
        return spans

    def records(self) -> Iterator[tuple[FeatureFile, npt.NDArray[np.void]]]:
        """Open the files, with the records of that time, which are at least one."""
        for file in self._store.files(None, self._since_us, self._until_us, self._digest):
            names = {file.header.source, file.header.recording}
            if self._streams is not None and not names & set(self._streams):
                continue
            records = file.within(self._since_us, self._until_us)
            if len(records):
                yield file, records


def _count_held(positions: npt.NDArray[np.int64], header: FeatureHeader) -> npt.NDArray[np.int64]:
    """Return for each window the number of half seconds for which it stands, at least one.

    One that does not reach the next one has a gap behind it, unless the hop is that wide.
    """
    cells = positions // round(header.every_s * header.sample_rate)  # one window is kept of each
    held, steps = np.append(np.diff(cells), 1), np.append(np.diff(positions), 1)
    ahead = steps[:-1][steps[:-1] > 0]
    usual = float(np.median(ahead)) if ahead.size else 0.0
    return np.where(steps <= max(header.window, 1.5 * usual), np.maximum(held, 1), 1)


@dataclass(frozen=True, eq=False)
class Held:
    """Windows that are held until the next one was kept, so that all have the same distance.

    Attributes:
        places: ``(windows,)``, the record that each is of.
        times_us: ``(windows,)``, begin of each in microseconds UTC, or `NO_TIME`.
        positions: ``(windows,)``, first sample of each.
        lengths: ``(windows,)``, samples of each.
    """

    places: npt.NDArray[np.int64]
    times_us: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.uint32]


def hold(header: FeatureHeader, records: npt.NDArray[np.void]) -> Held:
    """Hold the windows of one run until the next one was kept."""
    held = _count_held(records["position"], header)
    number = np.arange(held.sum()) - np.repeat(np.cumsum(held) - held, held)
    later = np.rint(number * header.every_s * header.sample_rate).astype(np.int64)
    later_us = np.rint(number * header.every_s * 1e6).astype(np.int64)
    times_us = np.repeat(records["time_us"], held)
    lengths = np.repeat(records["n_samples"], held).astype(np.int64) - later  # the same ends
    return Held(
        np.repeat(np.arange(len(records)), held),
        np.where(times_us == NO_TIME, NO_TIME, times_us + later_us),
        np.repeat(records["position"], held) + later,
        np.maximum(lengths, 1).astype(np.uint32),
    )


_PLACE = np.dtype([("time_us", "<i8"), ("position", "<i8"), ("n_samples", "<u4")])


def _without_values(records: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Copy when and where windows are, without what they hold."""
    places = np.empty(len(records), _PLACE)
    for name in _PLACE.names or ():
        places[name] = records[name]
    return places


@dataclass(frozen=True, eq=False)
class _ScoredRun:
    """Windows that follow on each other.

    Attributes:
        records: ``(windows,)`` of `_PLACE`.
        logits: ``(windows,)`` float32.
    """

    records: npt.NDArray[np.void]
    logits: npt.NDArray[np.float32]

    def joined(self, later: _ScoredRun) -> _ScoredRun:
        return _ScoredRun(
            np.concatenate([self.records, later.records]),
            np.concatenate([self.logits, later.logits]),
        )

    def stream(self, header: FeatureHeader) -> PastStream:
        held = hold(header, self.records)
        return PastStream(
            header.recording or header.source,
            header.sample_rate,
            held.times_us,
            held.positions,
            held.lengths,
            self.logits[held.places],
            header.every_s,
            bool(header.recording),
        )


def runs_in(records: npt.NDArray[np.void]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each run in a file: a source that began anew counts from 0 again."""
    begins = np.flatnonzero(np.diff(records["position"]) <= 0) + 1
    yield from pairwise([0, *begins.tolist(), len(records)])


def begin_us(stream: PastStream, index: int, position: int) -> int | None:
    """Return when a position sounded, by the time of a window near it; None where unknown."""
    time_us = known_time(int(stream.times_us[index]))
    if time_us is None:
        return None
    return time_us + round((position - int(stream.positions[index])) / stream.sample_rate * 1e6)
