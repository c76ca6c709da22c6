"""Blocks -> windows every hop.

Windows start where the audio begins, at first and behind every gap, then every hop. None
spans a gap. Where audio is left behind the last full window, one more window holds it: moved back,
so that it ends where the audio ends and is full of it. Audio shorter than a window is filled up to
one (`streamclf.pipeline.short_audio`). So every sample is heard (as long as the hop is not longer
than the window), and no two block sizes give other windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.core.card import Fill
from streamclf.core.records import Block, Change, Gap, Notice, Waveform, Window
from streamclf.pipeline.short_audio import fill_window


def slide(
    items: Iterable[Block | Gap | Notice | Change],
    window_samples: int,
    hop_samples: int,
    *,
    fill: Fill = "mirror",
) -> Iterator[Window | Gap | Notice | Change]:
    """Cut contiguous mono blocks into windows.

    Args:
        items: Blocks ``(1, samples)``, each beginning where the last one ended.
        window_samples: Length of a window.
        hop_samples: Distance between the starts of two windows, until a `Change`.
        fill: Of the model's card: what fills a window where audio is shorter.
    """
    segment: _Segment | None = None
    for item in items:
        if isinstance(item, Block):
            segment = segment or _Segment(item.position, window_samples)
            segment.push(item.waveform[0])
            yield from segment.full_windows(hop_samples)
        elif isinstance(item, Gap):
            if segment is not None:
                yield from segment.last_window(fill)
            yield item
            segment = None
        else:
            if isinstance(item, Change):
                hop_samples = item.hop
            yield item
    if segment is not None:
        yield from segment.last_window(fill)


class _Segment:
    """The audio since the last gap that windows still need."""

    def __init__(self, start: int, window_samples: int) -> None:
        self._window_samples = window_samples
        self._next = start  # position of the next window
        self._start = start  # position of the first sample kept
        self._end = start  # position behind the last sample
        self._heard = start  # position behind the last window
        self._pieces: deque[Waveform] = deque()

    def push(self, waveform: Waveform) -> None:
        """Append ``(samples,)``; forget what no window needs, a hop longer than one jumps over."""
        self._pieces.append(waveform)
        self._end += waveform.size
        while self._pieces and self._start + self._pieces[0].size <= self._needed:
            self._start += self._pieces.popleft().size

    def full_windows(self, hop_samples: int) -> Iterator[Window]:
        """Yield each window whose samples are all here, and forget what none needs any more."""
        size = self._window_samples
        if self._end < self._next + size:
            return
        audio = self._audio()
        while self._next + size <= self._end:
            first = self._next - self._start
            yield Window(self._next, audio[first : first + size], size)
            self._heard = self._next + size
            self._next += hop_samples
        # A copy, so that the windows handed on do not keep the whole block alive, nor it them.
        self._pieces = deque([audio[self._needed - self._start :].copy()])
        self._start = self._needed

    def last_window(self, fill: Fill) -> Iterator[Window]:
        """Yield what no window holds yet, with the audio before it, or filled where none is."""
        if self._end <= self._heard or self._end <= self._next:
            return
        audio, size = self._audio(), self._window_samples
        if audio.size < size:
            yield Window(self._start, fill_window(audio, size, fill), audio.size)
        else:
            yield Window(self._end - size, audio[-size:], size)

    @property
    def _needed(self) -> int:
        """Position from which on samples are needed: by the next window, or by the last."""
        return max(self._start, min(self._next, self._end - self._window_samples))

    def _audio(self) -> Waveform:
        audio = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        self._pieces = deque([audio])
        return audio
