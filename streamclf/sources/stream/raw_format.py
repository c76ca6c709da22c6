"""Format of headerless samples, as ``--raw`` states it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from streamclf.core.errors import UsageError
from streamclf.core.records import Waveform
from streamclf.sources.array import to_float

_NUMBER = re.compile(r"[0-9]{1,7}")
_RAW = re.compile(r"(?P<kind>[usf])(?P<bits>8|16|24|32|64)(?P<order>le|be)?")


@dataclass(frozen=True)
class RawFormat:
    """Format of headerless samples.

    Attributes:
        kind: ``u`` unsigned, ``s`` signed, ``f`` float.
        n_bytes: Bytes a sample.
        order: ``<`` little endian, ``>`` big endian.
        sample_rate: Sample rate in Hz.
        n_channels: Number of interleaved channels.
    """

    kind: str
    n_bytes: int
    order: str
    sample_rate: int
    n_channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.n_bytes * self.n_channels

    @classmethod
    def parse(cls, text: str) -> RawFormat:
        """Read a format such as ``s16le:16000:1``.

        The samples are u8, s8, s16, s24, s32, f32 or f64, each with le or be; little endian and
        one channel are the defaults.

        Raises:
            UsageError: The text is not of the form ``FORMAT:RATE:CHANNELS``.
        """
        name, _, rest = text.lower().partition(":")
        rate, _, channels = rest.partition(":")
        found = _RAW.fullmatch(name)
        kind, bits = (found["kind"], int(found["bits"])) if found else ("", 0)
        if (kind, bits) not in _KINDS or not _NUMBER.fullmatch(rate) or not int(rate):
            raise UsageError(
                f"--raw {text}: must be FORMAT:RATE:CHANNELS, for example s16le:16000:1; "
                "FORMAT is u8, s8, s16, s24, s32, f32 or f64 with le or be"
            )
        n_channels = int(channels or 1) if _NUMBER.fullmatch(channels or "1") else 0
        if not 1 <= n_channels <= 64:
            raise UsageError(f"--raw {text}: has {channels} channels, must be 1 to 64")
        order = ">" if found and found["order"] == "be" else "<"
        return cls(kind, bits // 8, order, int(rate), n_channels)

    def decode(self, data: bytes) -> Waveform:
        """Convert samples of all channels to ``(channels, samples)`` float32, full scale = 1."""
        if self.n_bytes == 3:
            samples = self._widen(data)
        else:
            samples = np.frombuffer(data, dtype=f"{self.order}{_NUMPY[self.kind]}{self.n_bytes}")
        frames = samples.reshape(-1, self.n_channels).T
        return np.ascontiguousarray(to_float(frames))

    def _widen(self, data: bytes) -> np.ndarray:
        """Convert 24-bit samples to 32-bit ones, with a low byte of zero."""
        triples = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        wide = np.zeros((len(triples), 4), dtype=np.uint8)
        wide[:, 1:] = triples if self.order == "<" else triples[:, ::-1]
        return wide.view("<i4")[:, 0]


_KINDS = {("u", 8), ("s", 8), ("s", 16), ("s", 24), ("s", 32), ("f", 32), ("f", 64)}
_NUMPY = {"u": "u", "s": "i", "f": "f"}
