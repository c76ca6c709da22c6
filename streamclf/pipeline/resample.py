"""Resampling to the model's rate, as one continuous stream.

The audio between two gaps passes through one streaming resampler (soxr, HQ quality), so the result
does not depend on the sizes of the blocks. After this stage, positions count samples at the
model's rate. They begin at the position of the first item and follow the resampled samples; each
gap sets them to the position that the source's clock gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from streamclf.core.records import Block, Gap, Notice, Waveform, rescale

_MAX_SAMPLES = 1 << 20
"""Largest number of samples that one piece becomes."""


def resample(
    items: Iterable[Block | Gap | Notice], sample_rate: int
) -> Iterator[Block | Gap | Notice]:
    """Resample mono blocks to one sample rate.

    Args:
        items: Blocks ``(1, samples)`` at any rate; the rate may change from block to block.
        sample_rate: Rate of the result, in Hz.

    Yields:
        Contiguous blocks ``(1, samples)``, gaps and notices, all counted at ``sample_rate``.
    """
    position: int | None = None
    segment: Resampler | None = None
    for item in items:
        if position is None:
            position = rescale(item.position, item.sample_rate, sample_rate)
        if isinstance(item, Block):
            if segment is None or segment.input_rate != item.sample_rate:
                if segment is not None:
                    tail = segment.flush()
                    yield from _block(position, tail, sample_rate)
                    position += tail.size
                segment = Resampler(item.sample_rate, sample_rate)
            for piece in _pieces(item, sample_rate):
                waveform = segment.push(piece)
                yield from _block(position, waveform, sample_rate)
                position += waveform.size
        elif isinstance(item, Gap):
            if segment is not None:
                tail = segment.flush()
                yield from _block(position, tail, sample_rate)
                position += tail.size
                segment = None
            end = rescale(item.end, item.sample_rate, sample_rate)
            # Rounding may leave nothing of a very short gap; it still breaks the stream.
            n_samples = max(end - position, 1)
            yield Gap(position, n_samples, sample_rate, item.cause)
            position += n_samples
        else:
            yield Notice(position, sample_rate, item.message, item.level)
    if segment is not None and position is not None:
        yield from _block(position, segment.flush(), sample_rate)


def _pieces(block: Block, sample_rate: int) -> Iterator[Waveform]:
    """Yield a block's samples in pieces that do not become huge, however low its rate is."""
    waveform = block.waveform[0]
    n_samples = max(_MAX_SAMPLES * block.sample_rate // sample_rate, 1)
    for first in range(0, waveform.size, n_samples):
        yield waveform[first : first + n_samples]


def _block(position: int, waveform: Waveform, sample_rate: int) -> Iterator[Block]:
    if waveform.size:
        yield Block(position, waveform[np.newaxis], sample_rate)


class Resampler:
    """Resampler for the audio between two gaps.

    Args:
        input_rate: Rate of the audio in Hz.
        output_rate: Rate of the result in Hz.
    """

    def __init__(self, input_rate: int, output_rate: int) -> None:
        self.input_rate = input_rate
        self._resampler = (
            None
            if input_rate == output_rate
            else soxr.ResampleStream(input_rate, output_rate, 1, dtype="float32")
        )

    def push(self, waveform: Waveform) -> Waveform:
        """Take ``(samples,)``, and return the resampled samples that are ready."""
        if self._resampler is None:
            return waveform
        return np.asarray(self._resampler.resample_chunk(waveform), dtype=np.float32)

    def flush(self) -> Waveform:
        """Return the samples that the filter still holds."""
        empty = np.zeros(0, dtype=np.float32)
        if self._resampler is None:
            return empty
        return np.asarray(self._resampler.resample_chunk(empty, last=True), dtype=np.float32)
