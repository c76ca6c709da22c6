"""A recording as a live source delivers it: in blocks of any size, none like the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.base import Source
from streamclf.sources.recording.recording import Recording

LONGEST_S = 1.0


class RandomBlocks(Source):
    """A recording, cut anew: blocks from one sample to a second, at no pace.

    Args:
        path: The recording.
        seed: The same seed cuts alike.

    Attributes:
        sizes: Of the blocks so far: how many, the smallest and the largest, in samples.

    Raises:
        RecordingError: It cannot be opened.
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
        """Length in seconds as the header tells it."""
        return self._recording.duration_s

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording at its own rate; gaps and notices where they are.

        Raises:
            RecordingError: The data is damaged or cut short, after all that could be read.
        """
        held: list[Block] = []
        failure: SourceError | None = None
        try:
            for item in self._recording.blocks(sample_rate):
                if not isinstance(item, Block):
                    yield from self._cut(held, None)
                    yield item
                    continue
                if held and not _alike(held[-1], item):
                    yield from self._cut(held, None)
                held.append(item)
                while sum(block.n_samples for block in held) >= self._wanted:
                    yield from self._cut(held, self._wanted)
                    self._wanted = self._size(item.sample_rate)
        except SourceError as error:
            failure = error  # what came before it stands
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
        # Small ones as often as large ones.
        return int(np.exp(self._random.uniform(0, np.log(LONGEST_S * sample_rate))))

    def _cut(self, held: list[Block], n_samples: int | None) -> Iterator[Block]:
        """Take so many samples, or all, from the blocks held, as one."""
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


def _alike(one: Block, other: Block) -> bool:
    """Whether two blocks can be one."""
    return (one.sample_rate, len(one.waveform)) == (other.sample_rate, len(other.waveform))
