"""Cutting of blocks into windows, one every hop.

The first window starts where the audio begins, at the start of the stream and after each gap; the
next ones follow every hop. No window spans a gap. If audio remains after the last full window, one
more window ends where the audio ends, and overlaps the window before by more than usual. Audio
shorter than a window is extended to one (`streamclf.pipeline.short_audio`). Every sample is
therefore in a window, provided that the hop is not longer than the window, and the windows do not
depend on the sizes of the blocks.
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
        items: Blocks ``(1, samples)``, each beginning where the block before or a gap ended.
        window_samples: Length of a window.
        hop_samples: Distance between the starts of two windows, until a `Change`.
        fill: How shorter audio is extended to a window, from the model's card.

    Yields:
        Windows ``(window_samples,)``; gaps, notices and changes as they came.
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
    """The audio since the last gap, without the samples that no later window needs."""

    def __init__(self, start: int, window_samples: int) -> None:
        self._window_samples = window_samples
        self._next = start  # position of the next window
        self._start = start  # position of the first sample kept
        self._end = start  # position just after the last sample
        self._windows_end = start  # position just after the last window
        self._pieces: deque[Waveform] = deque()

    def push(self, waveform: Waveform) -> None:
        """Append ``(samples,)``; drop whole pieces between windows where the hop exceeds them."""
        self._pieces.append(waveform)
        self._end += waveform.size
        while self._pieces and self._start + self._pieces[0].size <= self._needed:
            self._start += self._pieces.popleft().size

    def full_windows(self, hop_samples: int) -> Iterator[Window]:
        """Yield each window whose samples are complete, and drop the samples no longer needed."""
        size = self._window_samples
        if self._end < self._next + size:
            return
        audio = self._audio()
        while self._next + size <= self._end:
            first = self._next - self._start
            yield Window(self._next, audio[first : first + size], size)
            self._windows_end = self._next + size
            self._next += hop_samples
        # A copy: a view would keep the whole block in memory.
        self._pieces = deque([audio[self._needed - self._start :].copy()])
        self._start = self._needed

    def last_window(self, fill: Fill) -> Iterator[Window]:
        """Yield a window over the samples that no window holds yet.

        It holds the audio before them as well; audio shorter than a window is extended.
        """
        if self._end <= self._windows_end or self._end <= self._next:
            return
        audio, size = self._audio(), self._window_samples
        if audio.size < size:
            yield Window(self._start, fill_window(audio, size, fill), audio.size)
        else:
            yield Window(self._end - size, audio[-size:], size)

    @property
    def _needed(self) -> int:
        """Position of the first sample that the next window, or the last one, needs."""
        return max(self._start, min(self._next, self._end - self._window_samples))

    def _audio(self) -> Waveform:
        audio = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        self._pieces = deque([audio])
        return audio
