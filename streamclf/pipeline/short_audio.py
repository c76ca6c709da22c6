"""Audio shorter than a window: how it is extended to one, and how much its scores count.

The audio is mirrored at both ends, repeatedly, until it fills the window. Zeros after the audio
serve only networks that were trained with them. For other networks the step from audio to zeros is
a false click, and the silence after it suggests that a sound has ended. Each copy is crossfaded
with the next, because resampling rings at both ends of a recording that begins or stops within a
sound.

Networks give high scores for so little audio as well, and these are often wrong. The scores are
therefore multiplied by `short_audio_weight`. It is about the share of short pieces that get the
same label as the longer recording they were cut from (research/short-recordings.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from streamclf.core.card import Card, Fill
from streamclf.core.records import Change, Gap, Notice, Scores, Waveform
from streamclf.core.stats import Statistics

_FILL_WORDS = {"mirror": "mirrored to fill it", "zeros": "filled with zeros, as in training"}

CROSSFADE_DIVISOR = 75
"""Length of a window / length of the crossfade between two copies: 20 ms of 1.5 s."""


def fill_window(audio: Waveform, window_samples: int, fill: Fill) -> Waveform:
    """Extend audio to the length of a window.

    Args:
        audio: ``(samples,)``, at least one sample and fewer than ``window_samples``.
        window_samples: Length of the window.
        fill: ``mirror`` puts the audio in the middle and mirrors it, ``zeros`` puts it at the
            beginning and adds zeros.

    Returns:
        ``(window_samples,)`` float32.
    """
    size = audio.size
    if fill == "zeros":
        return np.pad(audio, (0, window_samples - size)).astype(np.float32, copy=False)
    n_fade = min(window_samples // CROSSFADE_DIVISOR, size // 4)
    rise = np.sqrt((np.arange(n_fade) + 0.5) / max(n_fade, 1))  # as much power as both have
    faded = audio * np.concatenate([rise, np.ones(size - 2 * n_fade), rise[::-1]])
    period = 2 * (size - n_fade)
    cycle = np.zeros(period)
    cycle[:size] = faded
    cycle[(np.arange(size) + size - n_fade) % period] += faded[::-1]
    first = (window_samples - size) // 2
    return cycle[(np.arange(window_samples) - first) % period].astype(np.float32)


def short_audio_weight(n_samples: int, window_samples: int, fill: Fill) -> float:
    """Return the factor for the scores of a window that audio does not fill, in 0..1.

    It is the square root of the audio's share of half a window: 1 from half a window on, 0.5 for
    an eighth. It is 1 for ``zeros``, because such a network was trained with short sounds.

    Args:
        n_samples: Samples of audio in the window.
        window_samples: Length of the window.
        fill: How the rest of the window is filled.
    """
    if fill == "zeros":
        return 1.0
    return math.sqrt(min(1.0, 2 * n_samples / window_samples))


def weigh_short(
    items: Iterable[Scores | Gap | Notice | Change], card: Card, statistics: Statistics
) -> Iterator[Scores | Gap | Notice | Change]:
    """Weigh and mark the scores of audio shorter than a window; a notice precedes the first.

    Such a window is alone between two gaps, so its scores are not averaged with others. The values
    of a regression are marked and keep their size.
    """
    for item in items:
        if not isinstance(item, Scores) or item.n_samples >= card.window_samples:
            yield item
            continue
        weight = short_audio_weight(item.n_samples, card.window_samples, card.fill)
        if card.task == "regression":
            weight = 1.0
        if not statistics.n_short:
            message = _describe(item, card, weight)
            yield Notice(item.position, card.sample_rate, message, level="info")
        statistics.n_short += 1
        yield replace(item, values=item.values * np.float32(weight), short=True)


def _describe(scores: Scores, card: Card, weight: float) -> str:
    rate = card.sample_rate
    where = f" at {scores.position / rate:.2f} s" if scores.position else ""
    text = f"{scores.n_samples / rate:.3g} s of audio{where}, shorter than the model's window of "
    text += f"{card.window_s:.3g} s: {_FILL_WORDS[card.fill]}"
    if weight < 1:
        text += f", scores count {weight:.0%}"
    return f"{text}; the same holds for any other such piece" if where else text
