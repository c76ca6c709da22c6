"""Detection of silence and of sounds that the model does not know.

A window is silent if all its samples are below `SILENCE` of full scale. It does not go through the
network; all its scores are 0. An average counts as silence if its newest window is silent. It
counts as an unknown sound if no class reaches the threshold in the model's card, which the exporter
chose so that most known sounds exceed it.

A model of several labels at once may have no such threshold. Then an average is an unknown sound if
no label reaches its own threshold, and a label of silence or noise is not the nearest to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average, Waveform, Window
from streamclf.core.unknown_rule import OwnThresholds, UnknownRule

SILENCE = 1e-4
"""-80 dB: three steps of 16-bit audio. A microphone in a quiet room records more than this."""


Verdict: TypeAlias = Literal["known", "unknown", "silence"]
UNKNOWN_LABEL: Literal["unknown"] = "unknown"
SILENCE_LABEL: Literal["silence"] = "silence"
Array: TypeAlias = npt.NDArray[np.float32]


def skip_silence(
    score: Callable[[list[Window]], Array], n_labels: int
) -> Callable[[list[Window]], Array]:
    """Wrap a scoring function so that silent windows do not go through the network.

    Args:
        score: Turns windows into scores of shape ``(windows, classes)``.
        n_labels: Number of classes.

    Returns:
        A function like ``score`` that returns scores of 0 for silent windows. If ``score`` returns
        features behind the scores, they are not a number for silent windows.
    """

    def score_sound(windows: list[Window]) -> Array:
        is_sound = [not _is_silent(window.waveform) for window in windows]
        if all(is_sound):
            return score(windows)
        if not any(is_sound):
            return np.zeros((len(windows), n_labels), dtype=np.float32)
        heard = score([window for window, own in zip(windows, is_sound, strict=True) if own])
        scores = np.full((len(windows), heard.shape[1]), np.nan, dtype=np.float32)
        scores[:, :n_labels] = 0
        scores[is_sound] = heard
        return scores

    return score_sound


def _is_silent(waveform: Waveform) -> bool:
    # For nearly every sound, every hundredth sample already shows that the window is not silent.
    return not any(np.abs(part).max() >= SILENCE for part in (waveform[::100], waveform))


def judge(average: Average, unknown: UnknownRule) -> tuple[Verdict, float]:
    """Judge whether an average is a known sound, an unknown one or silence.

    Returns:
        The verdict and its certainty, 0..1: ``known`` with the highest averaged score, ``unknown``
        with 1 minus the highest averaged score, or ``silence`` with 1. By `OwnThresholds` scores
        count in parts of their thresholds, and what is nearest to silence or noise is ``known``.
    """
    if not average.scores.values.any():
        return SILENCE_LABEL, 1.0
    if isinstance(unknown, OwnThresholds):
        parts = np.minimum(average.values / unknown.on, 1)
        nearest = float(parts[unknown.events].max(initial=0))
        is_known = nearest >= 1 or parts[unknown.background].max() >= parts.max()
        return ("known", nearest) if is_known else (UNKNOWN_LABEL, 1 - nearest)
    highest = float(average.values.max())
    return ("known", highest) if highest >= unknown.threshold else (UNKNOWN_LABEL, 1 - highest)
