"""The scan of all kept features, in blocks: a quick guess for all, the likeness for the best.

Files are mapped, not loaded. The windows with the best guesses are compared in full afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.store.features.feature_store import FeatureFile
from streamclf.teach.search.likeness import Array, Guess, Likeness

PIECE = 2**16
"""Windows that a thread takes at once."""
N_BEST = 10_000
"""Windows with the best guesses, which are compared in full."""
SAMPLE = 8192
"""Windows that the measure of likeness is made from."""


@dataclass(frozen=True, eq=False)
class Part:
    """Records of one file that are searched.

    Attributes:
        file: The file.
        records: Those of its records that lie in the time that is searched.
    """

    file: FeatureFile
    records: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Found:
    """Windows that are alike, the most like first.

    Attributes:
        parts: ``(windows,)``: number of the `Part` of each.
        places: ``(windows,)``: place of each among the records of its part.
        likeness: ``(windows,)`` float32.
    """

    parts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    likeness: Array


def make_likeness(parts: Sequence[Part]) -> Likeness:
    """Make the measure of likeness from windows that lie evenly in all parts."""
    n_windows = sum(len(part.records) for part in parts)
    every = max(1, n_windows // SAMPLE)
    samples = [
        part.records["values"][::every].astype(np.float32) * np.float32(part.file.header.scale)
        for part in parts
    ]
    return Likeness.of(np.concatenate(samples))


def find_like(
    parts: Sequence[Part],
    likeness: Likeness,
    wanted: Array,
    *,
    n_best: int = N_BEST,
    n_threads: int = 1,
) -> Found:
    """Find the windows that are most like others.

    Args:
        parts: What is searched; all of one digest.
        likeness: The measure.
        wanted: What is looked for, from `Likeness.place`.
        n_best: Number of windows that are compared in full and returned.
        n_threads: Threads that scan.
    """
    pieces = [
        (number, start)
        for number, part in enumerate(parts)
        for start in range(0, len(part.records), PIECE)
    ]
    guesses = [likeness.guess(wanted, part.file.header.scale) for part in parts]

    def scan(piece: tuple[int, int]) -> tuple[npt.NDArray[np.int64], Array]:
        number, start = piece
        records = parts[number].records[start : start + PIECE]
        places, rated = _scan_piece(records, guesses[number], n_best)
        return places + start, rated

    if n_threads > 1 and len(pieces) > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            scanned = [*pool.map(scan, pieces)]
    else:
        scanned = [scan(piece) for piece in pieces]
    if not scanned:
        nothing = np.zeros(0, np.int64)
        return Found(nothing, nothing, np.zeros(0, np.float32))
    numbers = np.repeat([number for number, _ in pieces], [len(each) for each, _ in scanned])
    places = np.concatenate([each for each, _ in scanned])
    best = _highest(np.concatenate([rated for _, rated in scanned]), n_best)
    return _compare(parts, likeness, wanted, numbers[best], places[best])


def _scan_piece(
    records: npt.NDArray[Any], guess: Guess, n_best: int
) -> tuple[npt.NDArray[np.int64], Array]:
    """Return the places of the best guesses in a piece, and these guesses."""
    rated = guess.rate(records["values"], records["energy"])
    best = _highest(rated, n_best)
    return best, rated[best]


def _highest(values: Array, n_values: int) -> npt.NDArray[np.int64]:
    """Return the places of the highest values, in no order."""
    if len(values) <= n_values:
        return np.arange(len(values))
    return np.argpartition(values, len(values) - n_values)[len(values) - n_values :]


def _compare(
    parts: Sequence[Part],
    likeness: Likeness,
    wanted: Array,
    numbers: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
) -> Found:
    """Compare the chosen windows in full."""
    full = np.empty(len(places), np.float32)
    for number in np.unique(numbers):
        own = np.flatnonzero(numbers == number)
        part = parts[number]
        scale = np.float32(part.file.header.scale)
        for start in range(0, len(own), PIECE):
            chosen = own[start : start + PIECE]
            values = part.records["values"][places[chosen]].astype(np.float32) * scale
            full[chosen] = likeness.compare(values, wanted)
    order = np.argsort(-full, kind="stable")
    return Found(numbers[order], places[order], full[order])
