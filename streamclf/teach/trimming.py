"""Where the sound of a recording lies: its quiet ends are cut off."""

from __future__ import annotations

import numpy as np

from streamclf.core.records import Waveform

FRAME_S = 0.05
"""Length of the frames whose power is measured."""
QUIET = 1e-3
"""Frames at both ends with less than this part of the loudest frame's power are cut off."""


def trim(waveform: Waveform, sample_rate: int) -> Waveform:
    """Cut the quiet ends off a sound.

    Args:
        waveform: ``(samples,)``, not silent.
        sample_rate: In Hz.
    """
    power = frame_power(waveform, sample_rate)
    loud = np.flatnonzero(power >= QUIET * power.max())
    frame = max(1, round(FRAME_S * sample_rate))
    return waveform[loud[0] * frame : (loud[-1] + 1) * frame]


def frame_power(waveform: Waveform, sample_rate: int) -> Waveform:
    """Return the mean square of each frame, ``(frames,)``; the last may be shorter."""
    frame = max(1, round(FRAME_S * sample_rate))
    starts = np.arange(0, waveform.size, frame)
    squares = np.add.reduceat(waveform.astype(np.float64) ** 2, starts)
    return np.asarray(squares / np.minimum(frame, waveform.size - starts), dtype=np.float32)
