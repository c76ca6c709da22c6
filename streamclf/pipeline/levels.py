"""Sound levels by IEC 61672-1: A-weighted and unweighted, over time and with time weighting F.

`LevelMeter` measures the mono audio of one stream at the source's own rate, since the model's rate
may be too low for what the ear hears. It gives a `LevelPiece` for each second. `LevelSummary` adds
pieces up to the levels of a minute, or of any other time.

Levels are in dB re full scale (dBFS), by the convention of AES17 and IEC 61606: a sine that reaches
from -1 to 1 has 0 dBFS, so that a level is ``10 log10(2 x mean square)``. A calibration offset
turns them into dB SPL (re 20 µPa): the level that a calibrator makes, less the level that is
measured meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Block, Gap
from streamclf.pipeline.a_weighting import MAX_SECOND, a_weighting

TIME_CONSTANT_S = 0.125
"""Time weighting F: squares are averaged exponentially with this time constant."""
SAMPLES_PER_S = 8
"""Values of the F-weighted level that are kept of each second, for percentiles."""
STEPS_PER_S = 1000
"""Places in each second at which the F-weighted level is known. Between two of them it falls by
less than 0.035 dB, so its maximum is found to that."""
SILENCE_DB = -160.0
"""Lowest level that is told. Digital silence has it; the rounding noise of 24 bits has -146 dBFS. A
level is thus always a finite number, which JSON and a database can hold."""
_SILENT = 10 ** (SILENCE_DB / 10) / 2
_FORGOTTEN = 1e-30
"""Mean square below which what was heard before is forgotten, before it takes denormal numbers."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LevelPiece:
    """Sound of a second, or of less before a gap, another sample rate or the end.

    Energies are mean squares of samples, full scale = 1. `level_db` turns them into levels.

    Attributes:
        position: Index of the first sample, at ``sample_rate``, from the stream's start.
        n_samples: Number of samples measured.
        sample_rate: The source's sample rate in Hz.
        a_energy: Energy, A-weighted.
        z_energy: Energy without weighting, without the piece's mean, which is no sound (many
            microphones have an offset).
        f_energy_max: Highest energy, A-weighted, with time weighting F.
        f_energies: Energy, A-weighted, with time weighting F, at the end of each whole eighth of
            the second.
    """

    position: int
    n_samples: int
    sample_rate: int
    a_energy: float
    z_energy: float
    f_energy_max: float
    f_energies: Array

    @property
    def end(self) -> int:
        """Position just after the last sample."""
        return self.position + self.n_samples

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


class LevelMeter:
    """Measures the levels of one stream.

    The result does not depend on the sizes of the blocks: pieces are counted from the beginning,
    and anew behind each gap and at each change of the sample rate. Nothing is known of the sound
    before such a place. The filter is therefore given the mirrored beginning, turned upside down so
    that the waveform goes on smoothly: neither an offset nor a low tone begins with a click. Time
    weighting F begins at silence; the values for percentiles are those of what has been heard, so
    that they do not rise from silence. None of them is there before an eighth of a second has been
    heard.
    """

    def __init__(self) -> None:
        self._segment: _Segment | None = None

    def add(self, item: Block | Gap) -> list[LevelPiece]:
        """Measure a block of mono audio, or end the measurement at a gap.

        Args:
            item: A block ``(1, samples)`` as `streamclf.pipeline.mixdown.mix_down` yields it, or a
                gap; each begins where the one before ended.

        Returns:
            The pieces that are complete, in order.
        """
        if isinstance(item, Gap):
            return self.end()
        pieces = []
        if self._segment is not None and self._segment.sample_rate != item.sample_rate:
            pieces = self.end()
        if self._segment is None:
            self._segment = _Segment(item.position, item.sample_rate)
        pieces.extend(self._segment.add(item.waveform[0]))
        return pieces

    def end(self) -> list[LevelPiece]:
        """End the measurement, as at a gap.

        Returns:
            The last, shorter piece, if there is any audio that has not been told of.
        """
        segment, self._segment = self._segment, None
        return segment.end() if segment is not None else []


class _Segment:
    """Measurement of the audio between two gaps, at one sample rate."""

    def __init__(self, position: int, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._position = position
        self._filter = a_weighting(sample_rate)
        self._n_history = self._filter.n_history
        self._n_second = min(sample_rate, MAX_SECOND)
        self._buffer = np.empty(self._n_history + self._n_second, dtype=np.float32)
        self._n_filled = 0  # samples of the present second
        self._n_heard = 0  # samples of the seconds before it
        self._f_energy = 0.0
        self._time_weights = _time_weights(self._n_second, sample_rate)

    def add(self, waveform: npt.NDArray[Any]) -> Iterator[LevelPiece]:
        """Take ``(samples,)``, and yield each second that is complete."""
        taken = 0
        while taken < waveform.size:
            n_taken = min(waveform.size - taken, self._n_second - self._n_filled)
            begin = self._n_history + self._n_filled
            self._buffer[begin : begin + n_taken] = waveform[taken : taken + n_taken]
            self._n_filled += n_taken
            taken += n_taken
            if self._n_filled == self._n_second:
                yield self._measure()

    def end(self) -> list[LevelPiece]:
        """Return what remains."""
        return [self._measure()] if self._n_filled else []

    def _measure(self) -> LevelPiece:
        n_samples = self._n_filled
        stretch = self._buffer[: self._n_history + n_samples]
        if not self._n_heard:
            self._mirror()
        samples = stretch[self._n_history :].astype(np.float64)
        mean = float(samples.mean())
        samples *= samples  # no dot product, which would start a thread for each core
        z_energy = float(samples.mean()) - mean * mean
        squares = self._filter.apply(stretch)
        squares *= squares
        a_energy = float(squares.mean())
        ends, f_energies = self._time_weights.apply(squares, self._f_energy)
        marks = self._time_weights.marks
        heard = np.searchsorted(ends, marks[marks <= n_samples])
        # Early values are means over what has been heard, and not over a silence before it.
        share = -np.expm1(-(self._n_heard + ends[heard]) / (TIME_CONSTANT_S * self.sample_rate))
        marked = f_energies[heard] / share
        highest = max(float(f_energies.max()), float(marked.max(initial=0.0)))
        piece = LevelPiece(
            self._position, n_samples, self.sample_rate, a_energy, max(z_energy, 0.0), highest,
            marked,
        )  # fmt: skip
        self._f_energy = float(f_energies[-1]) if f_energies[-1] > _FORGOTTEN else 0.0
        self._position += n_samples
        self._n_heard += n_samples
        self._n_filled = 0
        self._buffer[: self._n_history] = stretch[n_samples:].copy()
        return piece

    def _mirror(self) -> None:
        """Put the beginning before itself, turned about its first sample."""
        n_mirrored = min(self._n_filled - 1, self._n_history)
        first = self._n_history
        before = self._buffer[:first]
        mirrored = self._buffer[first + 1 : first + 1 + n_mirrored][::-1]
        before[first - n_mirrored :] = 2 * self._buffer[first] - mirrored
        before[: first - n_mirrored] = before[-n_mirrored] if n_mirrored else self._buffer[first]


class _TimeWeights:
    """Exponential averaging of squares, known at the ends of `STEPS_PER_S` steps of a second.

    With d the decay a sample, the average after sample i is ``d^(i+1) (before + (1 - d) sum of
    d^-(j+1) square_j)``. That is a sum instead of a recursion; within a second its factors stay
    below e^8.

    Attributes:
        marks: Numbers of samples at the ends of the eighths of a second.
    """

    def __init__(self, n_second: int, sample_rate: int) -> None:
        decay = 1 / (TIME_CONSTANT_S * sample_rate)
        n_steps = min(STEPS_PER_S, n_second)
        steps = np.arange(n_steps + 1) * n_second // n_steps
        self._begins, self._ends = steps[:-1], steps[1:]
        self._growth = np.exp(np.arange(1, n_second + 1) * decay) * -np.expm1(-decay)
        self._decays = np.exp(-self._ends * decay)
        self._decay = decay
        marks = np.unique(np.arange(1, SAMPLES_PER_S + 1) * n_second // SAMPLES_PER_S)
        self.marks = marks[marks > 0]

    def apply(self, squares: Array, before: float) -> tuple[npt.NDArray[np.int64], Array]:
        """Average squares, which are overwritten.

        Args:
            squares: ``(samples,)``, up to a second.
            before: The average before them.

        Returns:
            Numbers of samples, and the average after so many.
        """
        n_samples = squares.size
        squares *= self._growth[:n_samples]
        n_steps = int(np.searchsorted(self._begins, n_samples))
        ends, decays = self._ends[:n_steps], self._decays[:n_steps]
        if ends[-1] > n_samples:
            ends = np.append(ends[:-1], n_samples)
            decays = np.append(decays[:-1], np.exp(-n_samples * self._decay))
        sums = np.add.reduceat(squares, self._begins[:n_steps]).cumsum()
        return ends, decays * (before + sums)


@lru_cache(maxsize=4)
def _time_weights(n_second: int, sample_rate: int) -> _TimeWeights:
    return _TimeWeights(n_second, sample_rate)


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of some time, in dBFS, or in dB SPL with a calibration.

    No level is below `SILENCE_DB` dBFS. Percentiles are None where less than an eighth of a second
    was heard without a break.

    Attributes:
        heard_s: Seconds of audio that were measured.
        laeq: Equivalent continuous level, A-weighted.
        lamax: Highest level, A-weighted, with time weighting F (LAFmax).
        la10: Level, A-weighted, with time weighting F, that was exceeded for 10 % of the time.
        la50: The same for 50 %: the median.
        la90: The same for 90 %: the background.
        zeq: Equivalent continuous level without weighting.
    """

    heard_s: float
    laeq: float
    lamax: float
    la10: float | None
    la50: float | None
    la90: float | None
    zeq: float

    def calibrated(self, offset_db: float) -> Levels:
        """The same with a calibration offset added."""

        def shift(level: float | None) -> float | None:
            return None if level is None else level + offset_db

        return replace(
            self,
            laeq=self.laeq + offset_db,
            lamax=self.lamax + offset_db,
            la10=shift(self.la10),
            la50=shift(self.la50),
            la90=shift(self.la90),
            zeq=self.zeq + offset_db,
        )


class LevelSummary:
    """Sum of pieces, of one stream or of several, that may be asked for its levels at any time.

    Energies are weighted by the length of their pieces. The values for percentiles are kept, which
    takes 64 bytes a second.
    """

    def __init__(self) -> None:
        self.heard_s = 0.0
        self._a_energy_s = self._z_energy_s = 0.0
        self._f_energy_max = 0.0
        self._f_energies: list[Array] = []

    def add(self, piece: LevelPiece) -> None:
        """Add a piece; their order does not matter."""
        duration_s = piece.duration_s
        self.heard_s += duration_s
        self._a_energy_s += piece.a_energy * duration_s
        self._z_energy_s += piece.z_energy * duration_s
        self._f_energy_max = max(self._f_energy_max, piece.f_energy_max)
        self._f_energies.append(piece.f_energies)

    def merge(self, other: LevelSummary) -> None:
        """Add all pieces of another summary, which stays as it is."""
        self.heard_s += other.heard_s
        self._a_energy_s += other._a_energy_s
        self._z_energy_s += other._z_energy_s
        self._f_energy_max = max(self._f_energy_max, other._f_energy_max)
        self._f_energies.extend(other._f_energies)

    def levels(self, calibration_db: float = 0.0) -> Levels | None:
        """Levels of what was added so far; None if that is nothing.

        Args:
            calibration_db: Offset that turns dBFS into dB SPL.
        """
        if not self.heard_s:
            return None
        values = np.concatenate(self._f_energies)
        la10 = la50 = la90 = None
        if values.size:
            la90, la50, la10 = np.percentile(_level_db(values), (10, 50, 90)).tolist()
        levels = Levels(
            self.heard_s,
            level_db(self._a_energy_s / self.heard_s),
            level_db(self._f_energy_max),
            la10,
            la50,
            la90,
            level_db(self._z_energy_s / self.heard_s),
        )
        return levels.calibrated(calibration_db)


def level_db(energy: float) -> float:
    """Level of a mean square in dBFS: 0 for a sine of full scale, at least `SILENCE_DB`."""
    return float(_level_db(energy))


def _level_db(energies: npt.ArrayLike) -> Array:
    return np.asarray(10 * np.log10(2 * np.maximum(energies, _SILENT)))
