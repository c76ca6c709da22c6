"""Where a recording may be cut so that its pieces give the results of one pass.

A cut may lie at any sample. What must be aligned is where a piece begins to listen, which is before
its first sample:

- The resampler works in blocks. A stream that begins a whole number of *periods* later gives the
  same samples to the bit, once its first blocks are over (`find_period`).
- Windows lie on a grid from the beginning of the recording. A piece owns those that begin in it.
  They are scored in the batches that one pass has, because the last bits of scores depend on these,
  and behind as many windows as share work with them (`Stretch`).
- Levels are measured second by second from the beginning of the recording, and remember what came
  before for a few seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Self

import numpy as np

from streamclf.core.text_format import format_length
from streamclf.pipeline.a_weighting import MAX_SECOND
from streamclf.pipeline.resample import Resampler
from streamclf.sources.recording.recording import Recording

LEVEL_WARM_UP_S = 10
"""Seconds after which nothing is left of what a level meter did not hear: the time weighting F has
forgotten all but e^-80 of it."""
LONGEST_PERIOD_S = 60.0
"""Longest period of a resampler, in seconds: a piece begins to listen up to one period earlier."""
_PROOF_S = 20.0
"""Seconds after which a resampler is compared with one that begins there. If its step were rounded,
the places of its samples would have moved apart by then."""
_N_BLOCKS = 2
"""Blocks of a resampler after whose first samples it is no longer known when it began."""
_MAX_BLOCK = 1 << 19
"""Most samples that are given to a resampler to find its blocks."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What the pieces of a recording are planned by.

    Attributes:
        sample_rate: Sample rate of the recording in Hz.
        n_samples: Samples a channel that its header states.
    """

    sample_rate: int
    n_samples: int


def can_cut(recording: Recording) -> str | Cut:
    """Tell whether a recording may be heard in pieces.

    Its rate may still not suit a model's (`find_period`); that is found when it is heard.

    Args:
        recording: An open recording.

    Returns:
        What its pieces are planned by; or the reason, in a few words, why it is heard whole.
    """
    extent = recording.extent()
    return extent if isinstance(extent, str) else Cut(*extent)


def plan_cuts(cut: Cut, item_seconds: float) -> list[tuple[int, int]]:
    """Cut a recording into pieces of about equal length.

    Args:
        cut: From `can_cut`.
        item_seconds: Length of a piece at most.

    Returns:
        Begin and end of each piece, in samples at the recording's own rate. One of the whole length
        where it is short enough.
    """
    longest = max(1, round(item_seconds * cut.sample_rate))
    n_pieces = max(1, -(-cut.n_samples // longest))
    edges = [cut.n_samples * piece // n_pieces for piece in range(n_pieces + 1)]
    return list(pairwise(edges))


@dataclass(frozen=True, slots=True)
class Period:
    """How a resampler repeats itself.

    Attributes:
        n_samples: Samples of its input after which it is where it was; 0 where none was found.
        n_warm_up: Samples of its input until a stream that begins later gives the same.
        why: Why none was found, in a few words.
    """

    n_samples: int
    n_warm_up: int = 0
    why: str = ""


@lru_cache(maxsize=64)
def find_period(source_rate: int, sample_rate: int) -> Period:
    """Find the period of the resampler between two rates, and prove it on noise.

    Args:
        source_rate: Rate of its input in Hz.
        sample_rate: Rate of its output in Hz.
    """
    if source_rate == sample_rate:
        return Period(1)
    rates = f"resampling from {source_rate} to {sample_rate} Hz"
    block = _find_block(source_rate, sample_rate)
    if not block:
        return Period(0, why=f"{rates} has no even blocks")
    n_samples = math.lcm(block, source_rate // math.gcd(source_rate, sample_rate))
    if n_samples > LONGEST_PERIOD_S * source_rate:
        length = format_length(n_samples / source_rate)
        return Period(0, why=f"{rates} repeats itself only after {length}")
    period = Period(n_samples, _N_BLOCKS * block)
    if not _repeats(period, source_rate, sample_rate):
        return Period(0, why=f"{rates} does not repeat itself")
    return period


def _find_block(source_rate: int, sample_rate: int) -> int:
    """Find the samples that a resampler takes between two outputs; 0 if they are not the same."""
    stream = Resampler(source_rate, sample_rate)
    sample = np.zeros(1, dtype=np.float32)
    places: list[int] = []
    for n_taken in range(1, _MAX_BLOCK):
        if stream.push(sample).size:
            places.append(n_taken)
            if len(places) == 4:
                break
    blocks = {after - before for before, after in pairwise(places)}
    return blocks.pop() if len(places) == 4 and len(blocks) == 1 else 0


def _repeats(period: Period, source_rate: int, sample_rate: int) -> bool:
    """Whether a stream that begins some periods later gives the same samples, and as many."""
    n_periods = max(1, round(_PROOF_S * source_rate / period.n_samples))
    begin = n_periods * period.n_samples
    n_samples = begin + 4 * period.n_warm_up + source_rate // 7
    noise = np.random.default_rng(1).random(n_samples, dtype=np.float32)
    noise -= np.float32(0.5)
    whole, later = (
        np.concatenate([stream.push(part), stream.flush()])
        for stream, part in (
            (Resampler(source_rate, sample_rate), noise),
            (Resampler(source_rate, sample_rate), noise[begin:]),
        )
    )
    first = begin * sample_rate // source_rate
    n_warm_up = -(-period.n_warm_up * sample_rate // source_rate)
    expected = whole[first:]
    return later.size == expected.size > n_warm_up and np.array_equal(
        later[n_warm_up:], expected[n_warm_up:]
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """Windows of an engine, and the rate that they are cut from.

    Attributes:
        source_rate: Sample rate of the recording in Hz.
        sample_rate: Sample rate of the model in Hz.
        window: Length of a window in samples at the model's rate.
        hop: Samples between the starts of two windows.
        batch: Windows in a batch.
        period: Period of the resampler between the rates.
    """

    source_rate: int
    sample_rate: int
    window: int
    hop: int
    batch: int
    period: Period


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is heard for a piece. Windows are counted from the recording's first.

    Attributes:
        audio_begin: First sample of audio that is resampled, at the recording's rate.
        first_scored: First window that is scored.
        n_first: Windows in the first batch, which is shorter than the others; 0 for none such.
        first: First window that belongs to the piece.
        end: Window after the last; None for all that are left.
        end_scored: Window after the last that is scored, which fills its batch; None as above.
        level_begin: First sample of audio that is measured, at the recording's rate.
        first_second: First second whose levels belong to the piece.
        end_second: Second after the last; None for all that are left.
    """

    audio_begin: int
    first_scored: int
    n_first: int
    first: int
    end: int | None
    end_scored: int | None
    level_begin: int
    first_second: int
    end_second: int | None

    @classmethod
    def of(cls, grid: Grid, begin: int, end: int | None) -> Self:
        """Find what is to be heard for the samples ``begin`` to ``end`` of a recording.

        Args:
            grid: The windows.
            begin: First sample, at the recording's own rate.
            end: Sample after the last; None for the end of the recording.
        """
        first, batch = _first_window(grid, begin), grid.batch
        last = None if end is None else _first_window(grid, end)
        # Frames of windows before a batch go into it as far as a window reaches. They are computed
        # with those of their own batch, behind those of windows that reach into that one.
        n_shared = -(-grid.window // grid.hop)
        n_batches = first // batch - -(-n_shared // batch)
        scored = max(0, n_batches * batch - n_shared)
        n_second = min(grid.source_rate, MAX_SECOND)
        first_second = -(-begin // n_second)
        return cls(
            audio_begin=_audio_begin(grid, scored * grid.hop),
            first_scored=scored,
            n_first=-scored % batch,
            first=first,
            end=last,
            end_scored=None if last is None else -(-last // batch) * batch,
            level_begin=max(0, first_second - LEVEL_WARM_UP_S) * n_second,
            first_second=first_second,
            end_second=None if end is None else -(-end // n_second),
        )

    def has_windows(self) -> bool:
        """Whether any window may belong to the piece."""
        return self.end is None or self.end > self.first

    def has_levels(self) -> bool:
        """Whether any second may belong to the piece."""
        return self.end_second is None or self.end_second > self.first_second


def _first_window(grid: Grid, sample: int) -> int:
    """Return the first window that does not begin before a sample of the recording."""
    return -(-sample * grid.sample_rate // (grid.hop * grid.source_rate))


def _audio_begin(grid: Grid, position: int) -> int:
    """Return the sample at which to begin, so that the audio is right from a position on."""
    if not position:
        return 0
    sample = position * grid.source_rate // grid.sample_rate - grid.period.n_warm_up
    return max(0, sample // grid.period.n_samples * grid.period.n_samples)
