"""Sound as MP3, which all browsers play while it still arrives.

Opus would be smaller, but Safari on phones plays it neither in Ogg nor in WebM before version 18.4.
Each frame stands for itself (no bit reservoir), so that a listener may begin with any of them.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from streamclf.core.records import Waveform

RATE = 48_000
"""Rate of the sound, in Hz, whatever the source's is."""
FRAME = 1152
"""Samples of a frame."""
FRAME_S = FRAME / RATE
BIT_RATE = 192_000
"""More than the sound needs. Chromium plays nothing before it has read 32 KiB, which are 1.4 s of
sound at this rate, and twice as much at half of it."""


class Mp3Encoder:
    """Makes MP3 frames of mono audio. PyAV is imported when the first one is made."""

    def __init__(self) -> None:
        import av

        context = av.CodecContext.create("libmp3lame", "w")
        context.sample_rate = RATE
        context.format = "fltp"
        context.layout = "mono"
        context.bit_rate = BIT_RATE
        context.time_base = Fraction(1, RATE)
        context.options = {"reservoir": "0", "compression_level": "7"}
        self._context = context
        self._make_frame = av.AudioFrame.from_ndarray
        self._left = np.zeros(0, dtype=np.float32)
        self._position = 0

    def encode(self, waveform: Waveform) -> list[bytes]:
        """Take ``(samples,)`` at `RATE`, and return the frames that are ready."""
        audio = np.concatenate([self._left, np.clip(waveform, -1.0, 1.0)])
        n_whole = audio.size - audio.size % FRAME
        self._left = audio[n_whole:]
        frames: list[bytes] = []
        for start in range(0, n_whole, FRAME):
            piece = np.ascontiguousarray(audio[np.newaxis, start : start + FRAME], np.float32)
            frame = self._make_frame(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, self._position
            self._position += FRAME
            frames += [bytes(packet) for packet in self._context.encode(frame)]
        return frames
