"""Ring buffer of limited size between the audio callback and the reader.

The callback runs in a thread of the audio system that must never wait. It copies samples into a
slot allocated beforehand and puts the slot's index on a queue. When the reader is too slow and no
slot is free, samples are dropped and counted. The count is stored with the next block, so that the
gap lies exactly where audio was lost.
"""

from __future__ import annotations

import math
import queue
from dataclasses import dataclass

import numpy as np

from streamclf.core.records import Waveform
from streamclf.sources.clock import Clock

CAPACITY_S = 10.0
"""Seconds of audio kept for a slow reader."""


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """One block as the callback received it.

    Attributes:
        waveform: ``(channels, samples)`` float32, a copy.
        n_dropped: Samples dropped just before it because the ring was full.
        overflowed: Whether the audio system reported a loss before it.
        adc_time: Time of its first sample in seconds of the audio system's clock; 0 if unknown.
        arrived: Time at which the callback received it, in monotonic seconds.
    """

    waveform: Waveform
    n_dropped: int
    overflowed: bool
    adc_time: float
    arrived: float

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.waveform.shape[1])


@dataclass(slots=True)
class _Slot:
    """Memory for one block in the ring; ``frames`` is ``(block_samples, channels)`` float32."""

    frames: Waveform
    n_samples: int = 0
    n_dropped: int = 0
    overflowed: bool = False
    adc_time: float = 0.0
    arrived: float = 0.0


class Ring:
    """Ring buffer of ``capacity_s`` seconds of audio for one writer and one reader.

    Args:
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        block_samples: Samples a slot; a longer block takes several slots.
        clock: Clock for arrival times and for the reader's wait.
        capacity_s: Seconds of audio kept for a slow reader.

    Attributes:
        finished: Whether the audio system ended the stream.
        newest: Arrival of the newest block in monotonic seconds, including dropped blocks; None
            before the first.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        block_samples: int,
        clock: Clock,
        capacity_s: float = CAPACITY_S,
    ) -> None:
        self._sample_rate = sample_rate
        self._block_samples = block_samples
        self._clock = clock
        n_slots = max(2, math.ceil(capacity_s * sample_rate / block_samples))
        self._slots = [
            _Slot(np.zeros((block_samples, channels), np.float32)) for _ in range(n_slots)
        ]
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._filled: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        for index in range(n_slots):
            self._free.put(index)
        self._n_dropped = 0
        self._lost_overflow = False
        self.finished = False
        self.newest: float | None = None

    def write(self, indata: Waveform, overflowed: bool, adc_time: float) -> None:
        """Store a block from the callback; never waits.

        Args:
            indata: ``(samples, channels)`` float32, valid only during the call.
            overflowed: Whether the audio system lost audio before this block.
            adc_time: Time of the first sample in seconds of the audio system's clock.
        """
        arrived = self.newest = self._clock.now()
        for start in range(0, len(indata), self._block_samples):
            frames = indata[start : start + self._block_samples]
            flag = overflowed and start == 0
            try:
                index = self._free.get_nowait()
            except queue.Empty:
                self._n_dropped += len(frames)
                self._lost_overflow |= flag
                continue
            slot = self._slots[index]
            slot.n_samples = len(frames)
            slot.frames[: len(frames)] = frames
            slot.n_dropped, self._n_dropped = self._n_dropped, 0
            slot.overflowed, self._lost_overflow = flag or self._lost_overflow, False
            slot.adc_time = adc_time + start / self._sample_rate if adc_time else 0.0
            slot.arrived = arrived
            self._filled.put(index)

    def read(self, timeout_s: float) -> Captured | None:
        """Wait for the next block, at most ``timeout_s`` seconds.

        Blocks written before `wake` or `finish` are delivered before those take effect.

        Returns:
            The block; None if none came in time, or `wake` or `finish` was called.
        """
        try:
            index = self._clock.wait(self._filled, timeout_s)
        except queue.Empty:
            return None
        if index is None:
            return None
        slot = self._slots[index]
        captured = Captured(
            np.ascontiguousarray(slot.frames[: slot.n_samples].T).copy(),
            slot.n_dropped,
            slot.overflowed,
            slot.adc_time,
            slot.arrived,
        )
        self._free.put(index)
        return captured

    def wake(self) -> None:
        """End the reader's wait; safe to call from any thread and from a signal handler."""
        self._filled.put(None)

    def finish(self) -> None:
        """Mark the end of the audio, when the audio system has ended the stream."""
        self.finished = True
        self.wake()
