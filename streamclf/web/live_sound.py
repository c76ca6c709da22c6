"""Sound of one source for those who listen to it at this moment, as MP3 frames.

Nothing is kept or encoded while nobody listens. One encoder serves all listeners of a source. What
it makes keeps pace with the clock on the wall: gaps are silence, and so is a source that delivers
nothing. So what is heard stays as late as it was in the beginning.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np
import soxr

from streamclf.core.records import Block, Gap, Waveform
from streamclf.web.mp3 import FRAME_S, RATE, Mp3Encoder

LEAD_S = 0.5
"""Seconds that a listener gets at once, so that a browser begins at once. They are how late the
sound is on this side; those who come first get silence for them."""
SILENT_AFTER_S = 1.0
"""Seconds by which a source may be behind before silence stands in for it."""
MOST_AHEAD_S = 10.0
"""Seconds that a source which delivers in bursts may be ahead; what goes beyond is left out."""
KEPT_S = 10.0
"""Seconds of frames that are kept: 240 kB. A listener who is further behind is let go."""
MOST_WAITING_S, MOST_WAITING = 10.0, 5000
"""Seconds of audio, and number of pieces of it, that wait to be encoded."""


class LiveSound:
    """Sound of one source.

    `take` is called in the thread of the audio, `make` in one thread at a time, all else in any.

    Args:
        may_be_heard: Whether anybody may listen at this moment.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, may_be_heard: Callable[[], bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._may_be_heard = may_be_heard
        self._now = now
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._waiting: deque[Block | Gap] = deque()
        self._waiting_s = 0.0
        self._n_listeners = 0
        self._encoding: _Encoding | None = None
        self._frames: deque[bytes] = deque(maxlen=round(KEPT_S / FRAME_S))
        self._n_frames = 0

    @property
    def n_listeners(self) -> int:
        """Number of listeners."""
        return self._n_listeners

    def take(self, item: Block | Gap) -> None:
        """Take mono audio at the source's own rate, or a gap, if anybody listens and may."""
        if not self._n_listeners or not self._may_be_heard():
            return
        with self._lock:
            self._waiting.append(item)
            self._waiting_s += _audio_s(item)
            while self._waiting_s > MOST_WAITING_S or len(self._waiting) > MOST_WAITING:
                self._waiting_s -= _audio_s(self._waiting.popleft())

    def enter(self) -> None:
        """Count a listener."""
        with self._lock:
            self._n_listeners += 1

    def leave(self) -> None:
        """Forget a listener, and with the last one all sound."""
        with self._lock:
            self._n_listeners -= 1
        if not self._n_listeners:
            self._forget()

    def make(self) -> None:
        """Encode what has come since the last call; forget it all where nobody may listen."""
        if not self._may_be_heard():
            self._forget()
            return
        with self._making:
            with self._lock:
                if not self._n_listeners:
                    return
                items, self._waiting, self._waiting_s = self._waiting, deque(), 0.0
            if self._encoding is None:
                self._encoding = _Encoding(self._now)
            frames = self._encoding.go_on(items)
            with self._lock:
                self._frames.extend(frames)
                self._n_frames += len(frames)

    def place(self) -> int:
        """Number of the frame with which a listener begins who comes now."""
        with self._lock:
            return self._n_frames - min(len(self._frames), round(LEAD_S / FRAME_S))

    def after(self, number: int) -> list[bytes] | None:
        """Return the frames from a number on; None where the first of them is not kept any more."""
        with self._lock:
            n_wanted = self._n_frames - number
            if n_wanted > len(self._frames):
                return None
            return list(islice(self._frames, len(self._frames) - n_wanted, None))

    def _forget(self) -> None:
        with self._making, self._lock:
            self._waiting, self._waiting_s = deque(), 0.0
            self._frames.clear()
            self._encoding = None


class _Encoding:
    """What is made from the first listener's coming to the last one's going."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began_s = now()
        self._made_s = 0.0
        self._stood_in_s = 0.0  # silence for audio that has not come so far
        self._rate = RATE
        self._resampler: soxr.ResampleStream | None = None
        self._encoder = Mp3Encoder()
        self._frames: list[bytes] = []
        self._be_silent(LEAD_S)

    def go_on(self, items: deque[Block | Gap]) -> list[bytes]:
        """Encode audio and gaps, and silence for what is overdue."""
        for item in items:
            self._use_rate(item.sample_rate)
            room_s = MOST_AHEAD_S + self._elapsed_s() - self._made_s
            if isinstance(item, Gap):
                # What stood in for the source while it was away was a part of this gap.
                rest_s = max(_length_s(item) - self._stood_in_s, 0.0)
                self._stood_in_s = max(self._stood_in_s - _length_s(item), 0.0)
                self._be_silent(min(rest_s, max(room_s, 0.0)))
            else:
                self._stood_in_s = 0.0
                if _length_s(item) <= room_s:
                    self._add(item.waveform[0])
        overdue_s = self._elapsed_s() - self._made_s - SILENT_AFTER_S
        if overdue_s > KEPT_S:  # the whole process stood still
            self._began_s += overdue_s - KEPT_S
            overdue_s = KEPT_S
        if overdue_s > 0:
            self._be_silent(overdue_s)
            self._stood_in_s += overdue_s
        frames, self._frames = self._frames, []
        return frames

    def _elapsed_s(self) -> float:
        return self._now() - self._began_s

    def _use_rate(self, rate: int) -> None:
        if rate != self._rate:
            self._rate = rate
            self._resampler = (
                None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, "float32")
            )

    def _be_silent(self, seconds: float) -> None:
        self._add(np.zeros(round(seconds * self._rate), dtype=np.float32))

    def _add(self, waveform: Waveform) -> None:
        self._made_s += waveform.size / self._rate
        if self._resampler is not None:
            waveform = np.asarray(self._resampler.resample_chunk(waveform), dtype=np.float32)
        self._frames += self._encoder.encode(waveform)


def _audio_s(item: Block | Gap) -> float:
    return _length_s(item) if isinstance(item, Block) else 0.0


def _length_s(item: Block | Gap) -> float:
    return (item.end - item.position) / item.sample_rate
