"""A recording in blocks of random sizes, as a live source may deliver them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.base import Source
from streamclf.sources.recording.recording import Recording

MAX_BLOCK_S = 1.0
"""Length of the longest block in seconds."""


class RandomBlocks(Source):
    """A recording in blocks of one sample to one second, read as fast as possible.

    Args:
        path: The recording.
        seed: Seed of the random sizes; the same seed gives the same blocks.

    Attributes:
        sizes: Number of blocks so far, and the sizes of the smallest and the largest in samples.

    Raises:
        RecordingError: The recording cannot be opened.
    """

    live: ClassVar[bool] = True

    def __init__(self, path: Path, seed: int) -> None:
        self._recording = Recording(path)
        self.name = self._recording.name
        self.sizes = (0, 0, 0)
        self._random = np.random.default_rng(seed)
        self._wanted = 1

    @property
    def duration_s(self) -> float | None:
        """Length in seconds that the header states; None if unknown."""
        return self._recording.duration_s

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording at its own sample rate, with its gaps and notices.

        Raises:
            RecordingError: The data is damaged or truncated; raised after all readable samples.
        """
        held: list[Block] = []
        failure: SourceError | None = None
        try:
            for item in self._recording.blocks(sample_rate):
                if not isinstance(item, Block):
                    yield from self._cut(held, None)
                    yield item
                    continue
                if held and not item.has_format_of(held[-1]):
                    yield from self._cut(held, None)
                held.append(item)
                while sum(block.n_samples for block in held) >= self._wanted:
                    yield from self._cut(held, self._wanted)
                    self._wanted = self._size(item.sample_rate)
        except SourceError as error:
            failure = error  # raised after the audio before it
        yield from self._cut(held, None)
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """End after the current block."""
        self._recording.stop()

    def close(self) -> None:
        """Close the file."""
        self._recording.close()

    def _size(self, sample_rate: int) -> int:
        # Uniform on a logarithmic scale, so that small blocks are as frequent as large ones.
        return int(np.exp(self._random.uniform(0, np.log(MAX_BLOCK_S * sample_rate))))

    def _cut(self, held: list[Block], n_samples: int | None) -> Iterator[Block]:
        """Yield one block of ``n_samples`` from the blocks held; None for all their samples."""
        if not held:
            return
        position, rate = held[0].position, held[0].sample_rate
        parts = [block.waveform for block in held]
        whole: Waveform = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        size = whole.shape[1] if n_samples is None else n_samples
        held.clear()
        if whole.shape[1] > size:
            held.append(Block(position + size, whole[:, size:], rate))
        count, smallest, largest = self.sizes
        self.sizes = (count + 1, min(smallest or size, size), max(largest, size))
        yield Block(position, whole[:, :size], rate)
