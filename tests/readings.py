"""Recordings read to their end, and what must hold of every record that comes of them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import toys

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.recording.recording import BLOCK_SAMPLES, Recording


def read(path: Path) -> tuple[list[Block | Gap | Notice], str]:
    """All records, and the message of the error at the end ("" for none)."""
    items: list[Block | Gap | Notice] = []
    with Recording(path) as recording:
        try:
            items.extend(recording.blocks(toys.RATE))
        except RecordingError as error:
            return items, str(error)
    return items, ""


def check_contiguous(items: list) -> None:
    """Each begins where the one before ended, and no block is empty or larger than it may be."""
    position = 0
    for item in items:
        assert item.position == position
        if isinstance(item, Notice):
            continue
        position = item.end
        if isinstance(item, Block):
            assert 0 < item.n_samples <= BLOCK_SAMPLES


def write_planes(path: Path, layout: str) -> np.ndarray:
    """Write noise in a coding that FFmpeg decodes into a plane for each channel, without loss.

    Returns:
        The samples as 16 bits, ``(channels, samples)``.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("wavpack", rate=toys.RATE, layout=layout)
        stream.codec_context.format = "s16p"
        n_channels = stream.layout.nb_channels
        noise = np.random.default_rng(0).integers(-9999, 9999, (3000, n_channels), np.int16)
        frame = av.AudioFrame.from_ndarray(noise.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = toys.RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return noise.T
