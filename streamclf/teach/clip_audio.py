"""Audio of an example, read and brought to the model's rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamclf.core.errors import SourceError, UsageError
from streamclf.core.records import Block, Notice, Waveform
from streamclf.pipeline.mixdown import NO_AUDIO, mix_down
from streamclf.pipeline.resample import resample
from streamclf.sources.base import RESULTS_KEPT
from streamclf.sources.recording.recording import Recording

LONGEST_S = 300.0
"""Longest recording that is taken for an example; a day's recording is none."""
FAINTEST = 1e-4
"""Peak below which a recording is silent, as in `streamclf.core.unknown.SILENCE`."""
SHORTEST_S = 0.02
"""Shortest sound that can be heard as one."""


def read_clip(path: Path, sample_rate: int) -> Waveform:
    """Read a recording of an example.

    Args:
        path: The recording, in any format.
        sample_rate: The model's rate in Hz.

    Returns:
        ``(samples,)`` float32, mono.

    Raises:
        SourceError: It cannot be read, or is damaged.
        UsageError: It is silent, shorter than `SHORTEST_S` or longer than `LONGEST_S`.
    """
    try:
        waveform, has_bad = _read(path, sample_rate)
    except SourceError as error:
        said, kept, _ = str(error).partition(RESULTS_KEPT)
        if not kept:
            raise
        raise SourceError(f"{said}: copy it anew, or leave it out") from error
    if not waveform.size or np.abs(waveform).max() < FAINTEST:
        if has_bad:
            raise UsageError(
                f"{path}: is silent but for {NO_AUDIO}: save the audio in [-1, 1], or leave it out"
            )
        raise UsageError(f"{path}: is silent: an example holds the sound: leave it out")
    if waveform.size < SHORTEST_S * sample_rate:
        raise UsageError(
            f"{path}: is {1000 * waveform.size / sample_rate:.2g} ms long: an example holds a "
            f"sound of {1000 * SHORTEST_S:.0f} ms or more: leave it out"
        )
    return waveform


def _read(path: Path, sample_rate: int) -> tuple[Waveform, bool]:
    """Read a recording, and whether it has samples that are no audio, which are 0 then."""
    parts, n_samples, has_bad = [], 0, False
    with Recording(path) as recording:
        for item in resample(mix_down(recording.blocks(sample_rate)), sample_rate):
            if isinstance(item, Block):
                parts.append(item.waveform[0])
                n_samples += item.n_samples
            elif isinstance(item, Notice) and item.message.startswith(NO_AUDIO):
                has_bad = True
            if n_samples > LONGEST_S * sample_rate:
                raise UsageError(
                    f"{path}: is longer than {LONGEST_S:.0f} s: an example holds one sound and "
                    "little else: cut it out"
                )
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), has_bad
