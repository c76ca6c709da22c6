"""Positions of decoded frames, and the audio that is missing between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from streamclf.core.records import Block, Gap, Notice, Waveform, rescale
from streamclf.sources.array import to_float

JUMP_S = 0.1
"""Seconds; if a time stamp is further than this ahead of the samples, audio is missing."""
JUMP_AFTER_DAMAGE_S = 0.002
"""The same limit after a packet that could not be decoded; containers round to milliseconds."""
MAX_JUMP_S = 24 * 3600.0
"""Seconds; a larger jump of the time stamps comes from a wrapped or restarted clock."""
LATE_START = "late start"
"""Cause of the gap before audio that begins later than the video beside it."""


class FrameTimeline:
    """Positions of decoded frames, from a count of samples and from time stamps.

    Args:
        begin_s: Time stamp at which a player begins; None for that of the first frame.

    Attributes:
        position: Position just after the last sample, at ``sample_rate``.
        sample_rate: Sample rate of the last frame, in Hz.
        begin_s: Time stamp of the first sample; 0 where there is none.
        late_s: Seconds from where a player begins to the first sample.
        is_damaged: Whether a packet before the next frame could not be decoded.
        missing_s: Seconds of audio that are missing between frames, or before the first.
        missing_at_s: Place of the first missing audio, in seconds.
        n_missing: Number of places where audio is missing.
    """

    def __init__(self, begin_s: float | None = None) -> None:
        self.position = 0
        self.sample_rate = 1
        self.begin_s = 0.0
        self.late_s = 0.0
        self.is_damaged = False
        self.missing_s = 0.0
        self.missing_at_s = 0.0
        self.n_missing = 0
        self._lost_s = 0.0
        self._first_s = begin_s
        self._origin_s: float | None = None

    def place(self, frame: Any) -> Iterator[Block | Gap | Notice]:
        """Yield a frame as a block, after the gap before it if there is one."""
        rate = int(frame.sample_rate)
        if rate != self.sample_rate:
            if self.position:
                message = f"sample rate changed from {self.sample_rate} to {rate} Hz"
                yield Notice(self.position, self.sample_rate, message, "info")
            self.position = rescale(self.position, self.sample_rate, rate)
            self.sample_rate = rate
        if frame.time is not None:
            yield from self._compare_time(frame.time)
        self.is_damaged = False
        waveform = waveform_of(frame)
        if waveform.shape[1]:
            yield Block(self.position, waveform, rate)
            self.position += waveform.shape[1]

    def lose(self, time_s: float | None, more_s: float) -> None:
        """Note a packet that could not be decoded, before the next frame.

        Args:
            time_s: Its time stamp; None for none.
            more_s: Seconds of audio that were lost with it and that time stamps do not count.
        """
        self.is_damaged = True
        self._lost_s += more_s
        if self._origin_s is None and self._first_s is None:
            self._first_s = time_s

    def pass_over(self, seconds: float) -> None:
        """Note a packet that is no audio, and which time stamps count nevertheless."""
        self._lost_s -= seconds

    def _compare_time(self, time_s: float) -> Iterator[Gap]:
        """Compare a frame's time stamp with the sample count; yields the gap between them."""
        rate, cause = self.sample_rate, "damaged" if self.is_damaged else "missing in the stream"
        jump_s = JUMP_AFTER_DAMAGE_S if self.is_damaged else JUMP_S
        if self._origin_s is None:
            self._origin_s = self.begin_s = time_s
            if self._first_s is not None and jump_s < time_s - self._first_s < MAX_JUMP_S:
                self._origin_s = self._first_s
                if not self.is_damaged:
                    cause, self.late_s = LATE_START, time_s - self._first_s
        self._origin_s -= self._lost_s
        self._lost_s = 0.0
        counted_s = self.position / rate
        ahead_s = time_s - self._origin_s - counted_s
        if jump_s < ahead_s < MAX_JUMP_S:
            n_samples = round(ahead_s * rate)
            if cause != LATE_START:
                self.missing_at_s = self.missing_at_s if self.n_missing else counted_s
                self.missing_s += ahead_s
                self.n_missing += 1
            yield Gap(self.position, n_samples, rate, cause)
            self.position += n_samples
        elif not -JUMP_S < ahead_s < MAX_JUMP_S:
            self._origin_s = time_s - counted_s


MOST_PLANES = 7
"""Most planes of a frame that PyAV counts rightly. It counts up to the first pointer that is none,
and behind the eight in a frame something else follows: it then reads from where that points to."""


def waveform_of(frame: Any) -> Waveform:
    """Return the samples of a frame as ``(channels, samples)``."""
    if frame.format.is_planar and len(frame.layout.channels) > MOST_PLANES:
        return np.concatenate([waveform_of(each) for each in _interleave(frame)], axis=1)
    if frame.format.name in ("s64", "s64p"):  # PyAV makes no array of these
        planes = [np.frombuffer(bytes(plane), np.int64) for plane in frame.planes]
        samples = np.stack(planes)[:, : frame.samples * len(frame.layout.channels) // len(planes)]
    else:
        samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    return np.ascontiguousarray(to_float(samples))


def _interleave(frame: Any) -> list[Any]:
    """Return a frame's samples in frames of one plane."""
    import av

    converter = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
    return [*converter.resample(frame), *converter.resample(None)]
