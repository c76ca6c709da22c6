"""Audio from memory, for the library's users and for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from streamclf.errors import SourceError
from streamclf.records import Block, Gap, Notice
from streamclf.sources.base import Source

DEFAULT_BLOCK_SAMPLES = 65_536


class ArraySource(Source):
    """A waveform in memory, delivered in blocks.

    Args:
        waveform: ``(samples,)`` or ``(channels, samples)``, float in [-1, 1] or any integer
            type at its full scale.
        sample_rate: In Hz.
        block_samples: Samples a block, or a sequence of block sizes of which the last repeats.
        gaps: Stretches ``(position, n_samples)`` to leave out and report as gaps.
        name: What results call it.
    """

    def __init__(
        self,
        waveform: npt.ArrayLike,
        sample_rate: int,
        *,
        block_samples: int | Iterable[int] = DEFAULT_BLOCK_SAMPLES,
        gaps: Iterable[tuple[int, int]] = (),
        name: str = "array",
    ) -> None:
        self.name = name
        self._waveform = to_float(np.asarray(waveform))
        if sample_rate <= 0:
            raise SourceError(f"sample_rate is {sample_rate}, must be above 0 Hz")
        self._sample_rate = sample_rate
        sizes = [block_samples] if isinstance(block_samples, int) else list(block_samples)
        if not sizes or min(sizes) < 1:
            raise SourceError(f"block_samples is {block_samples}, must be 1 or more")
        self._sizes = sizes
        self._gaps = sorted(gaps)
        self._stopped = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self._waveform.shape[1] / self._sample_rate)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the array in blocks; gaps where they were asked for."""
        position, n_blocks = 0, 0
        for start, n_missing in [*self._gaps, (self._waveform.shape[1], 0)]:
            while position < start and not self._stopped:
                size = self._sizes[min(n_blocks, len(self._sizes) - 1)]
                end = min(position + size, start)
                yield Block(position, self._waveform[:, position:end], self._sample_rate)
                position, n_blocks = end, n_blocks + 1
            if n_missing and not self._stopped:
                yield Gap(position, n_missing, self._sample_rate, "left out")
                position += n_missing

    def stop(self) -> None:
        """End after the current block."""
        self._stopped = True


def to_float(waveform: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Bring samples to ``(channels, samples)`` float32 with full scale = 1.

    Integers are divided by their full scale (unsigned ones are centred first).

    Raises:
        SourceError: The array has more than two dimensions, or no numbers.
    """
    if waveform.ndim not in (1, 2):
        raise SourceError(
            f"waveform has shape {waveform.shape}, must be (samples,) or (channels, samples)"
        )
    if waveform.dtype.kind in "iu":
        half = 2.0 ** (8 * waveform.dtype.itemsize - 1)
        centred = waveform.astype(np.float64) - (half if waveform.dtype.kind == "u" else 0.0)
        waveform = centred / half
    elif waveform.dtype.kind != "f":
        raise SourceError(f"waveform has type {waveform.dtype}, must be float or integer")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and told as such
        return np.atleast_2d(waveform.astype(np.float32, copy=False))
