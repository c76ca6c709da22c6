"""Linear samples with fewer bits than the bytes that hold them, such as 24 bits in 4 bytes.

The standards want the bits at the high end of the bytes, with zeros below. Some writers put them at
the low end, where they sound many dB too quiet. Others write floating point under the mark of
integers (Cool Edit, Adobe Audition). Decoders disagree about all of these: of 24 bits in 4 bytes
libsndfile, FFmpeg and SoX make 32 bits, or 24 bits in 3 bytes (which is noise), or floating point,
each in another kind of header. So the samples themselves are looked at, and decoders are shown
plain ones.

Sources: Microsoft's "Multiple channel audio data and WAVE files", Apple's AIFF-C and CAF.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from streamclf.sources.containers.pcm_headers import Integers, Layout

_SPANS, _SPAN_SAMPLES = 16, 16_384
"""Stretches of the samples that are looked at, and the samples in each."""
_MAX_BYTES = 4
_LOUDEST_FLOAT = 2.0**24
"""Limit of floating point that counts from -32768 or -8388608; a chance of 32 bits exceeds it."""
_DB_PER_BIT = 20 * math.log10(2)


class Recoding(NamedTuple):
    """How to make plain samples of padded ones.

    Attributes:
        n_bytes: Bytes of a sample, before and after.
        order: ``<`` for the lowest byte first, else ``>``.
        shift: Number of bits by which integers are moved up.
        scale: Factor of floating point; 0 for integers.
    """

    n_bytes: int
    order: str
    shift: int = 0
    scale: float = 0.0

    def apply(self, data: bytes) -> bytes:
        """Return plain samples of whole padded ones."""
        if self.scale:
            floats = np.frombuffer(data, f"{self.order}f4")
            with np.errstate(invalid="ignore", over="ignore"):
                return (floats * np.float32(self.scale)).astype(f"{self.order}f4").tobytes()
        values = _values(data, self.n_bytes, self.order) << self.shift
        octets = np.ascontiguousarray(values.astype("<u4")).view(np.uint8).reshape(-1, 4)
        octets = octets[:, : self.n_bytes]
        return (octets if self.order == "<" else octets[:, ::-1]).tobytes()


class Reading(NamedTuple):
    """What the samples of a file turned out to be.

    Attributes:
        layout: The layout to decode by.
        recoding: What to do to the samples first; None for nothing.
        remark: What is odd about them, in a line; empty for nothing.
    """

    layout: Layout
    recoding: Recoding | None = None
    remark: str = ""


def is_padded(layout: Layout) -> bool:
    """Whether a header states fewer bits than bytes hold, or a coding that is not what it says."""
    integers = layout.integers
    if integers is None or not 2 <= integers.n_bytes <= _MAX_BYTES:
        return False
    return integers.is_float or integers.n_bits < 8 * integers.n_bytes


def read_padding(file: BinaryIO, layout: Layout, end: int) -> Reading:
    """Look at the samples of a file, if its header says that they are padded.

    Args:
        file: The file.
        layout: Layout that its header states.
        end: Byte after its samples.
    """
    integers = layout.integers
    if integers is None or not is_padded(layout):
        return Reading(layout)
    if integers.is_float:
        return _as_floats(file, layout, integers, end, 16) or Reading(layout)
    evidence = _look(file, layout, integers, end)
    is_wider = integers.n_bytes > integers.packed_bytes
    if not (evidence.may_be_high or evidence.may_be_low) and is_wider:
        if integers.n_bits == 24 and (floats := _as_floats(file, layout, integers, end, 24)):
            return floats
        if integers.n_bits <= 16 or layout.kind == "AIFF":
            # The size of a block is wrong, as in mono with that of stereo.
            return Reading(layout.with_sample_bytes(integers.packed_bytes))
    plain = layout.with_plain_bits(8 * integers.n_bytes)
    what = f"its {integers.n_bits} bits in {integers.n_bytes} bytes"
    if not evidence.may_be_low or evidence.is_nothing:
        return Reading(plain)
    if evidence.may_be_high:
        return Reading(plain, remark=f"{what} fit both ends: read from the high end, as usual")
    pad = 8 * integers.n_bytes - integers.n_bits
    remark = f"{what} stand at the low end, against the standard: read {pad * _DB_PER_BIT:.0f} dB "
    return Reading(plain, Recoding(integers.n_bytes, integers.order, pad), f"{remark}louder")


def _look(file: BinaryIO, layout: Layout, integers: Integers, end: int) -> _Evidence:
    """Look at stretches of the samples, and beyond them where these are silent."""
    evidence = _Evidence(integers.n_bits, 8 * integers.n_bytes - integers.n_bits)
    for data in _spans(file, layout, end):
        evidence.add(_values(data, integers.n_bytes, integers.order))
    for data in _all(file, layout, end) if evidence.is_nothing else ():
        evidence.add(_values(data, integers.n_bytes, integers.order))
        if not evidence.is_nothing:
            break
    return evidence


def _as_floats(
    file: BinaryIO, layout: Layout, integers: Integers, end: int, n_bits: int
) -> Reading | None:
    """Read samples as floating point whose full scale is that of integers; None if they are not."""
    if integers.n_bytes != 4:
        return None
    for data in _spans(file, layout, end):
        with np.errstate(invalid="ignore"):
            floats = np.abs(np.frombuffer(data, f"{integers.order}f4").astype(np.float64))
            if not ((floats == 0) | ((floats > 2.0**-64) & (floats < _LOUDEST_FLOAT))).all():
                return None
    recoding = Recoding(4, integers.order, scale=2.0 ** (1 - n_bits))
    remark = f"its samples are floating point under the mark of integers, of {n_bits} bits: read so"
    return Reading(layout.with_plain_bits(32, is_float=True), recoding, remark)


class PlainReader:
    """Plain samples of padded ones that come through a pipe.

    Samples of 0 are the same at both ends, so the first others decide, wherever they come.

    Args:
        read: Reads at most so many bytes of the file: its corrected header, and its samples.
        layout: Layout that the header states.
        reading: What the first samples are.

    Attributes:
        remark: What is odd about the samples, in a line; empty for nothing.
    """

    def __init__(self, read: Callable[[int], bytes], layout: Layout, reading: Reading) -> None:
        self.remark = reading.remark
        self._read = read
        self._layout = layout
        self._recoding = reading.recoding
        self._is_decided = reading.recoding is not None or bool(reading.remark)
        self._width = layout.unit_bytes
        self._n_head = layout.data
        self._held = b""

    def read(self, size: int) -> bytes:
        """Return at least one and at most ``size`` bytes; none at the end."""
        if self._n_head:
            head = self._read(min(size, self._n_head))
            self._n_head -= len(head)
            return head
        while len(self._held) < self._width and (more := self._read(size)):
            self._held += more
        n_bytes = min(len(self._held), max(size, self._width)) // self._width * self._width
        data, self._held = self._held[:n_bytes], self._held[n_bytes:]
        if not self._is_decided and any(data):
            self._decide(data)
        return data if self._recoding is None else self._recoding.apply(data)

    def _decide(self, data: bytes) -> None:
        samples = self._layout._replace(data=0)
        reading = read_padding(io.BytesIO(data), samples, len(data))
        self._is_decided = True
        if reading.recoding is None or not reading.recoding.scale:
            self._recoding, self.remark = reading.recoding, reading.remark


class _Evidence:
    """At which end of their bytes samples may stand.

    Attributes:
        may_be_high: Whether the lowest bits of all samples are 0.
        may_be_low: Whether the highest bits of all samples are copies of the sign, or 0.
        is_nothing: Whether all samples are 0.
    """

    def __init__(self, n_bits: int, pad: int) -> None:
        self.may_be_high = True
        self.is_nothing = True
        self._n_bits, self._pad = n_bits, pad
        self._is_signed = self._is_unsigned = True

    @property
    def may_be_low(self) -> bool:
        return self._is_signed or self._is_unsigned

    def add(self, values: npt.NDArray[np.int64]) -> None:
        """Look at more samples."""
        n_bits = self._n_bits
        self.is_nothing = self.is_nothing and not values.any()
        self.may_be_high = self.may_be_high and not (values & ((1 << self._pad) - 1)).any()
        above = values >> (n_bits - 1)  # the sign among them
        self._is_signed = self._is_signed and bool(((above == 0) | (above == -1)).all())
        self._is_unsigned = self._is_unsigned and not (values >> n_bits).any()


def _values(data: bytes, n_bytes: int, order: str) -> npt.NDArray[np.int64]:
    """Return whole samples as integers."""
    octets = np.frombuffer(data, np.uint8).reshape(-1, n_bytes)
    octets = octets if order == "<" else octets[:, ::-1]
    wide = np.zeros((len(octets), 4), np.uint8)
    wide[:, 4 - n_bytes :] = octets
    values: npt.NDArray[np.int64] = wide.view("<i4")[:, 0].astype(np.int64) >> 8 * (4 - n_bytes)
    return values


def _spans(file: BinaryIO, layout: Layout, end: int) -> Iterator[bytes]:
    """Yield stretches from all over the samples; of short ones everything."""
    unit = layout.unit_bytes
    n_units = max(end - layout.data, 0) // unit
    wanted = max(_SPAN_SAMPLES // max(unit // 2, 1), 1)
    if n_units <= _SPANS * wanted:
        yield from _all(file, layout, end)
        return
    for i in range(_SPANS):
        file.seek(layout.data + (n_units - wanted) * i // (_SPANS - 1) * unit)
        data = file.read(wanted * unit)
        yield data[: len(data) // unit * unit]


def _all(file: BinaryIO, layout: Layout, end: int) -> Iterator[bytes]:
    """Yield all samples."""
    unit, at = layout.unit_bytes, layout.data
    while at < end:
        file.seek(at)
        data = file.read(min(max((1 << 20) // unit, 1) * unit, end - at))
        whole = len(data) // unit * unit
        if not whole:
            return
        yield data[:whole]
        at += whole
