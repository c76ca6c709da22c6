"""Audio shorter than a window: how it fills one, and how much its scores count.

Zeros behind it would not do, unless a network was trained so: where the audio stops and they begin
is a click that nobody made, and the silence behind it says that something ended. Mirrored at both
ends, again and again, audio goes on as it was. Each time and the next are faded into one another,
since the ends may ring: a recording that begins or stops in the middle of a sound is resampled so.

What a network says of so little is sure all the same, and often wrong. So scores are multiplied by
`weigh`, about the part of short pieces that say what the same sound says in the longer recording it
was cut from (research/short-recordings.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from streamclf.core.card import Card, Fill
from streamclf.core.records import Change, Gap, Notice, Scores, Waveform
from streamclf.core.stats import Statistics

_FILLED = {"mirror": "mirrored to fill it", "zeros": "filled with zeros, as in training"}


JOINT = 75
"""A fade from one time into the next takes this part of a window: 20 ms of 1.5 s."""


def fill_window(audio: Waveform, window_samples: int, fill: Fill) -> Waveform:
    """Make a window of less than one.

    Args:
        audio: ``(samples,)``, at least one and fewer than a window has.
        window_samples: Length of the window.
        fill: ``mirror`` lays the audio in the middle, ``zeros`` at the beginning.

    Returns:
        ``(window_samples,)`` float32.
    """
    size = audio.size
    if fill == "zeros":
        return np.pad(audio, (0, window_samples - size)).astype(np.float32, copy=False)
    n_fade = min(window_samples // JOINT, size // 4)
    rise = np.sqrt((np.arange(n_fade) + 0.5) / max(n_fade, 1))  # as much power as both have
    there = audio * np.concatenate([rise, np.ones(size - 2 * n_fade), rise[::-1]])
    period = 2 * (size - n_fade)
    cycle = np.zeros(period)
    cycle[:size] = there
    cycle[(np.arange(size) + size - n_fade) % period] += there[::-1]
    first = (window_samples - size) // 2
    return cycle[(np.arange(window_samples) - first) % period].astype(np.float32)


def weigh(n_samples: int, window_samples: int, fill: Fill) -> float:
    """What the scores of a window are multiplied by, in 0..1.

    The square root of how much of half a window was heard: 1 from half a window on, 0.5 for an
    eighth. A network trained with zeros behind short sounds knows them: 1.
    """
    if fill == "zeros":
        return 1.0
    return math.sqrt(min(1.0, 2 * n_samples / window_samples))


def weigh_short(
    items: Iterable[Scores | Gap | Notice | Change], card: Card, statistics: Statistics
) -> Iterator[Scores | Gap | Notice | Change]:
    """Weigh and mark the scores of what was shorter than a window; the first of them is said.

    Such a window is alone between two gaps, so no average mixes it with others. A regression's
    values are marked and left as they are.
    """
    for item in items:
        if not isinstance(item, Scores) or item.n_samples >= card.window_samples:
            yield item
            continue
        weight = weigh(item.n_samples, card.window_samples, card.fill)
        if card.task == "regression":
            weight = 1.0
        if not statistics.n_short:
            message = _describe(item, card, weight)
            yield Notice(item.position, card.sample_rate, message, level="info")
        statistics.n_short += 1
        yield replace(item, values=item.values * np.float32(weight), short=True)


def _describe(scores: Scores, card: Card, weight: float) -> str:
    rate = card.sample_rate
    place = f" at {scores.position / rate:.2f} s" if scores.position else ""
    text = f"{scores.n_samples / rate:.3g} s of audio{place}, shorter than the model's window of "
    text += f"{card.window_s:.3g} s: {_FILLED[card.fill]}"
    if weight < 1:
        text += f", scores count {weight:.0%}"
    return f"{text}; the same holds for any other such piece" if place else text
