"""Blocks of any channels -> mono blocks of finite samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.pipeline.phase import Phase

LOUDEST_PLAUSIBLE = 16.0
"""Float files may pass full scale; beyond this they hold integers that nobody scaled."""
LARGEST_SAMPLE = 2.0**32
"""No integers reach further: beyond it are bytes of something else, and networks overflow."""


MOST_CHANNELS = 1024
"""libsndfile's limit."""

_NO_AUDIO = "samples that are no audio (NaN, Inf or above 2^32)"
_HALVES = np.full(2, 0.5, dtype=np.float32)


def mix_down(
    items: Iterable[Block | Gap | Notice], channel: int | None = None
) -> Iterator[Block | Gap | Notice]:
    """Average the channels, or take one; replace what is no audio by zeros and say so.

    Args:
        items: Blocks ``(channels, samples)``.
        channel: Number of the channel to take, from 1; None averages all.

    Yields:
        Blocks ``(1, samples)``; gaps and notices as they came, and a notice where channels cancel
        each other.

    Raises:
        SourceError: The audio has fewer channels than the one asked for, or a block is turned.
    """
    n_bad, said_loud = 0, False
    phase = Phase() if channel is None else None
    position, sample_rate = 0, 1
    for item in items:
        if not isinstance(item, Block):
            yield item
            continue
        waveform = _take(_checked(item.waveform), channel)
        position, sample_rate = item.end, int(item.sample_rate)
        if phase is not None and (words := phase.hear(item, waveform)):
            yield Notice(item.position, sample_rate, words)
        # One pass serves both checks: NaN survives max().
        peak = float(np.abs(waveform).max(initial=0.0))
        if not peak <= LARGEST_SAMPLE:
            waveform, n_new = _replace(waveform)
            if not n_bad:
                at = item.position / sample_rate
                message = f"{_NO_AUDIO} from {at:.2f} s on: replaced by zeros"
                yield Notice(item.position, sample_rate, message)
            n_bad += n_new
        elif peak > LOUDEST_PLAUSIBLE and not said_loud:
            said_loud = True
            message = (
                f"samples reach {peak:.0f} times full scale: scores will mean little, "
                "scale the audio to [-1, 1]"
            )
            yield Notice(item.position, sample_rate, message)
        yield Block(item.position, waveform, sample_rate)
    if phase is not None and (words := phase.end()):
        yield Notice(position, sample_rate, words)
    if n_bad:
        message = f"{_NO_AUDIO}: {n_bad} replaced by zeros"
        yield Notice(position, sample_rate, message)


def _checked(waveform: Waveform) -> Waveform:
    """A source's own waveform, once it is seen to be one.

    Raises:
        SourceError: It is turned, or has no channels.
    """
    if waveform.ndim != 2 or waveform.shape[0] > MOST_CHANNELS:
        raise SourceError(
            f"a block's waveform has shape {waveform.shape}, must be (channels, samples) with up "
            f"to {MOST_CHANNELS} channels: transpose it (waveform.T), or give one channel as "
            "waveform[np.newaxis]"
        )
    return waveform if waveform.dtype == np.float32 else waveform.astype(np.float32)


def _take(waveform: Waveform, channel: int | None) -> Waveform:
    n_channels = waveform.shape[0]
    if channel is not None:
        if not 1 <= channel <= n_channels:
            raise SourceError(
                f"channel {channel} was asked for, the audio has {n_channels}: "
                f"--channel takes 1 to {n_channels}"
            )
        return np.ascontiguousarray(waveform[channel - 1 : channel])
    if n_channels == 1:
        return waveform
    if n_channels == 2:
        # The mean to the last bit, as halving is exact, ten times as fast.
        return (_HALVES @ waveform)[np.newaxis]
    return np.asarray(waveform.mean(axis=0, keepdims=True), dtype=np.float32)


def _replace(waveform: Waveform) -> tuple[Waveform, int]:
    good = np.abs(waveform) <= LARGEST_SAMPLE
    return np.where(good, waveform, np.float32(0)), int(good.size - good.sum())
