"""What is no known sound: silence, which the network is not asked about, and unknown sounds.

A window is silent if no sample of it reaches `SILENCE` of full scale. Its scores are all nought.
An average is of silence if its newest window is silent, of an unknown sound if no class reaches
the threshold in the model's card, which the exporter set so that most known sounds are above it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Unknown
from streamclf.core.records import (
    Average,
    Waveform,
    Window,
)

SILENCE = 1e-4
"""-80 dB: three steps of 16 bits. What a microphone hears of a quiet room is above it."""


Verdict: TypeAlias = Literal["known", "unknown", "silence"]
UNKNOWN_LABEL: Literal["unknown"] = "unknown"
SILENCE_LABEL: Literal["silence"] = "silence"
Array: TypeAlias = npt.NDArray[np.float32]


def pass_silence(
    score: Callable[[list[Window]], Array], n_labels: int
) -> Callable[[list[Window]], Array]:
    """Keep silent windows from the network.

    Args:
        score: Turns windows into ``(windows, classes)``.
        n_labels: So many classes.

    Returns:
        The same, but for silent windows the scores are 0.
    """

    def score_sound(windows: list[Window]) -> Array:
        heard = [not _is_silent(window.waveform) for window in windows]
        if all(heard):
            return score(windows)
        scores = np.zeros((len(windows), n_labels), dtype=np.float32)
        if any(heard):
            sounding = [window for window, own in zip(windows, heard, strict=True) if own]
            scores[heard] = score(sounding)
        return scores

    return score_sound


def _is_silent(waveform: Waveform) -> bool:
    # Hardly any sound needs more than a look at every hundredth sample.
    return not any(np.abs(part).max() >= SILENCE for part in (waveform[::100], waveform))


def judge(average: Average, unknown: Unknown) -> tuple[Verdict, float]:
    """Whether an average is of a known sound, and how sure that is.

    Returns:
        ``known`` with the highest averaged score, ``unknown`` with what that lacks to 1, or
        ``silence`` with 1.
    """
    if not average.scores.values.any():
        return SILENCE_LABEL, 1.0
    highest = float(average.values.max())
    return ("known", highest) if highest >= unknown.threshold else (UNKNOWN_LABEL, 1 - highest)
