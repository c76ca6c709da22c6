"""Blocks -> windows every hop.

Windows start where the audio begins, at first and behind every gap, then every hop. None
spans a gap. Where audio is left behind the last full window, one more window holds it,
zero-padded; audio shorter than a window gets one zero-padded window. So every sample is heard
(as long as the hop is not longer than the window), and no two block sizes give other windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.records import Block, Change, Gap, Notice, Waveform, Window


def slide(
    items: Iterable[Block | Gap | Notice | Change],
    window_samples: int,
    hop_samples: int,
) -> Iterator[Window | Gap | Notice | Change]:
    """Cut contiguous mono blocks into windows.

    Args:
        items: Blocks ``(1, samples)``, each beginning where the last one ended.
        window_samples: Length of a window.
        hop_samples: Distance between the starts of two windows, until a `Change`.
    """
    segment: _Segment | None = None
    for item in items:
        if isinstance(item, Block):
            segment = segment or _Segment(item.position)
            segment.push(item.waveform[0])
            yield from segment.full_windows(window_samples, hop_samples)
        elif isinstance(item, Gap):
            if segment is not None:
                yield from segment.last_window(window_samples)
            yield item
            segment = None
        else:
            if isinstance(item, Change):
                hop_samples = item.hop
            yield item
    if segment is not None:
        yield from segment.last_window(window_samples)


class _Segment:
    """The audio since the last gap that windows still need."""

    def __init__(self, start: int) -> None:
        self._next = start  # position of the next window
        self._start = start  # position of the first sample kept
        self._heard = start  # position behind the last window
        self._pieces: list[Waveform] = []
        self._n_samples = 0

    def push(self, waveform: Waveform) -> None:
        """Append ``(samples,)``, less what a hop longer than the window jumps over."""
        skipped = min(self._next - self._start, waveform.size)
        self._start += skipped
        self._pieces.append(waveform[skipped:])
        self._n_samples += waveform.size - skipped

    def full_windows(self, window_samples: int, hop_samples: int) -> Iterator[Window]:
        """Yield each window whose samples are all here, and forget what none needs any more."""
        if self._start + self._n_samples < self._next + window_samples:
            return
        audio = self._audio()
        end = self._start + audio.size
        while self._next + window_samples <= end:
            first = self._next - self._start
            yield Window(self._next, audio[first : first + window_samples], window_samples)
            self._heard = self._next + window_samples
            self._next += hop_samples
        kept_from = min(self._next - self._start, audio.size)
        # A copy, so that the windows handed on do not keep the whole block alive, nor it them.
        self._pieces = [audio[kept_from:].copy()]
        self._start += kept_from
        self._n_samples = self._pieces[0].size

    def last_window(self, window_samples: int) -> Iterator[Window]:
        """Yield what no window holds yet, zero-padded."""
        end = self._start + self._n_samples
        if end <= self._heard or end <= self._next:
            return
        first = self._next - self._start
        audio = self._audio()[first:]
        padded = np.zeros(window_samples, dtype=np.float32)
        padded[: audio.size] = audio
        yield Window(self._next, padded, audio.size)

    def _audio(self) -> Waveform:
        audio = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        self._pieces = [audio]
        return audio
