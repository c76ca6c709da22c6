"""Source of audio in memory, for users of the library and for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import Source

DEFAULT_BLOCK_SAMPLES = 65_536

MAX_CHANNELS = 256
"""An array with more channels is transposed by mistake, or is not audio."""

Layout = Literal["channels first", "channels last"]


class ArraySource(Source):
    """A waveform in memory, delivered in blocks.

    Args:
        waveform: ``(samples,)`` or ``(channels, samples)``, an array or a list: float in [-1, 1],
            or integers of 8, 16 or 32 bits at their full scale.
        sample_rate: Sample rate in Hz.
        layout: ``channels last`` takes ``(samples, channels)``, as soundfile reads it.
        block_samples: Samples a block, or a sequence of block sizes of which the last repeats.
        gaps: Gaps ``(position, n_samples)`` to insert: audio that is reported as missing.
        name: Name of the source in results.

    Raises:
        SourceError: The array is not a waveform, it has more channels than samples or than
            `MAX_CHANNELS`, or the sample rate or block size is not a whole number above 0.
    """

    def __init__(
        self,
        waveform: npt.ArrayLike,
        sample_rate: int,
        *,
        layout: Layout = "channels first",
        block_samples: int | Iterable[int] = DEFAULT_BLOCK_SAMPLES,
        gaps: Iterable[tuple[int, int]] = (),
        name: str = "array",
    ) -> None:
        self.name = name
        array = _as_array(waveform)
        if layout not in get_args(Layout):
            raise SourceError(f"layout is {layout!r}, must be 'channels first' or 'channels last'")
        if layout == "channels last" and array.ndim == 2:
            array = array.T
        self._waveform = to_float(array)
        _check_channels(self._waveform.shape, layout)
        self._is_unscaled_input = _is_unscaled(array)
        self._sample_rate = whole_number(sample_rate, "sample_rate", " Hz")
        sizes = block_samples if isinstance(block_samples, Iterable) else [block_samples]
        self._sizes = [whole_number(size, "block_samples") for size in sizes]
        if not self._sizes:
            raise SourceError(f"block_samples is {block_samples}, must be 1 or more")
        self._gaps = sorted((int(position), int(n_samples)) for position, n_samples in gaps)
        self._stopped = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self._waveform.shape[1] / self._sample_rate)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the array in blocks, and the gaps that were asked for."""
        if self._is_unscaled_input:
            yield Notice(0, self._sample_rate, _UNSCALED_NOTICE)
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


_UNSCALED_NOTICE = (
    "32-bit integers within the range of 16 bits are 96 dB below full scale, which is nearly "
    "silence: if they are 16-bit samples, give them as int16"
)


def whole_number(value: object, name: str, unit: str = "") -> int:
    """Convert a value to a whole number above 0; a float without a fraction is accepted.

    Args:
        value: The value: a number of Python or NumPy.
        name: Name of the value, for the error message.
        unit: Unit of the value with a blank before it, for the error message.

    Raises:
        SourceError: The value is not a whole number above 0.
    """
    number = float(value) if isinstance(value, Real) else 0.0
    whole = int(number) if number.is_integer() else 0
    if whole < 1 or isinstance(value, bool):
        least = f"above 0{unit}" if unit else "1 or more"
        raise SourceError(f"{name} is {value!s}, must be {least}")
    return whole


def _as_array(waveform: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        array = np.asarray(waveform)
    except (ValueError, TypeError, RuntimeError) as error:
        raise SourceError(
            f"waveform is no array of (samples,) or (channels, samples): {error}"
        ) from error
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        raise SourceError(
            f"waveform has type {array.dtype}, the full scale of which no audio has: give samples "
            "of 16 bits as int16 (waveform.astype('int16')), or floats in [-1, 1]"
        )
    return array


def _check_channels(shape: tuple[int, ...], layout: Layout) -> None:
    n_channels, n_samples = shape
    if n_channels > MAX_CHANNELS or n_channels > n_samples > 0:
        way = (
            "transpose it (waveform.T), or open it by ArraySource with layout='channels last'"
            if layout == "channels first"
            else "leave out layout"
        )
        raise SourceError(
            f"waveform is read as {n_channels} channels of {n_samples} samples, must be (channels, "
            f"samples) with no more channels than samples, and up to {MAX_CHANNELS}: {way}"
        )


def _is_unscaled(array: npt.NDArray[np.generic]) -> bool:
    """Whether 32-bit integers hold 16-bit samples, as arrays made from a list or a sum do."""
    if array.dtype != np.int32 or not array.size:
        return False
    return 0 < max(-int(array.min()), int(array.max())) <= 2**15


def to_float(waveform: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Convert samples to ``(channels, samples)`` float32 with full scale = 1.

    Integers are divided by their full scale; unsigned ones are centred first.

    Raises:
        SourceError: The array has no or more than two dimensions, or does not hold numbers.
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
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, reported later
        return np.atleast_2d(waveform.astype(np.float32, copy=False))
