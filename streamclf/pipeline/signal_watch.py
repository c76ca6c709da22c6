"""Watch over whether the audio of a live source moves at all, or is that of a dead ear.

A microphone that is muted, or whose cable is out, delivers digital silence: one value again and
again. A live room never does so for minutes; its noise moves the lowest bits at least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np

from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.core.text_format import format_length

STEP = 2.0**-24
"""Largest change of samples, full scale = 1, that is no signal: half a step of 24-bit audio."""


class SignalWatch:
    """Whether a live source has a signal. One thread feeds it, any thread may read it.

    A source is silent once its samples have not moved for so many seconds of audio; gaps do not
    count. The first sample that moves ends it. Engines that hear one source one after another may
    share a watch, so that another model begins nothing anew.

    Args:
        now: Returns monotonic seconds.

    Attributes:
        is_silent: Whether the source has no signal.
        still_since_s: Since when the samples have not moved, in monotonic seconds; None while they
            move.
        signal_at_s: When the newest audio came that counts as a signal, in monotonic seconds; None
            if none has. Where digital silence counts as none of a dead ear, that is all audio.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.is_silent = False
        self.still_since_s: float | None = None
        self.signal_at_s: float | None = None
        self._now = now
        self._value: np.float32 | None = None  # of the samples since they moved last
        self._still_s = 0.0

    def watch(
        self, items: Iterable[Block | Gap | Notice], limit_s: Callable[[], float]
    ) -> Iterator[Block | Gap | Notice]:
        """Yield a stream as it came, with a notice where its signal is lost or there again.

        Args:
            items: Blocks ``(1, samples)``, gaps and notices.
            limit_s: Tells after how many seconds without a signal a source is silent; 0 for never.
        """
        for item in items:
            text = self._hear(item, limit_s()) if isinstance(item, Block) else ""
            if text:
                level: Literal["warning", "info"] = "warning" if self.is_silent else "info"
                yield Notice(item.position, item.sample_rate, text, level)
            yield item

    def _hear(self, block: Block, limit_s: float) -> str:
        """Look at a block; returns the notice that is due, or an empty text."""
        waveform = block.waveform[0]
        if not waveform.size:
            return ""
        if not limit_s or self._moves(waveform):
            return self._note_signal(waveform[-1])
        if self.still_since_s is None:
            self.still_since_s = self._now() - waveform.size / block.sample_rate
        self._still_s += waveform.size / block.sample_rate
        if self.is_silent or self._still_s < limit_s:
            return ""
        self.is_silent = True
        return (
            f"no signal for {format_length(self._still_s)}, only digital silence: "
            "is it muted, or unplugged?"
        )

    def _moves(self, waveform: Waveform) -> bool:
        if self._value is None:
            self._value = waveform[0]
        # The two ends mostly tell, and cost nothing.
        ends = abs(waveform[0] - self._value), abs(waveform[-1] - self._value)
        return max(ends) > STEP or bool(np.abs(waveform - self._value).max() > STEP)

    def _note_signal(self, value: np.float32) -> str:
        text = f"a signal again after {format_length(self._still_s)}" if self.is_silent else ""
        self.is_silent, self.still_since_s, self._still_s = False, None, 0.0
        self.signal_at_s, self._value = self._now(), value
        return text
