"""Headers of WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU and CAF, which tell where samples lie.

Sources: Microsoft's RIFF, EBU Tech 3306 (RF64), Sony's W64, Apple's AIFF-C and CAF, Sun's AU.
"""

from __future__ import annotations

import math
import struct
from typing import BinaryIO, Literal, NamedTuple

from streamclf.sources.containers.chunks import ChunkFormat

MAX_HEADER_BYTES = 16 << 20
"""Bytes; a longer header is not read."""
_PLACEHOLDERS = (0x7F00_0000, 2**31, 2**32)
_PLACEHOLDER_TOLERANCE = 0x1_0000
"""Sizes near these are placeholders written by programs that pipe a file (the first by SoX for
AIFF)."""
_MAX_DATA_BYTES = 2**48
GUESSED_BYTE_RATE = 16_000
"""Bytes a second assumed for codings of variable rate that state none: 128 kbit/s."""
_RIFF = ChunkFormat(4, "<I", 2, begins=(b"RIFF", b"RF64", b"BW64"))
_RIFX = ChunkFormat(4, ">I", 2, begins=(b"RIFX",))
_W64 = ChunkFormat(16, "<q", 8, counts_itself=True)
_IFF = ChunkFormat(4, ">I", 2, begins=(b"FORM",))
_CAF = ChunkFormat(4, ">q", 1)

Field = Literal["file", "data", "samples"]


class Integers(NamedTuple):
    """Linear samples, as a header states them.

    Attributes:
        n_channels: Number of channels.
        n_bits: Bits of a sample.
        n_bytes: Bytes that hold a sample, by the size of a block where a header has one.
        order: ``<`` for the lowest byte first, else ``>``.
        bits_at: Fields that state the bits: byte from the start, and format for `struct`.
        coding_at: Byte and format of the field that says that these are integers; None for none.
        is_float: Whether the header has the mark of floating point that counts like integers of 16
            bits.
    """

    n_channels: int
    n_bits: int
    n_bytes: int
    order: str
    bits_at: tuple[tuple[int, str], ...]
    coding_at: tuple[int, str] | None = None
    is_float: bool = False

    @property
    def packed_bytes(self) -> int:
        """Bytes that the bits need."""
        return math.ceil(self.n_bits / 8)


class Layout(NamedTuple):
    """Place and coding of the samples of a file, as its header states them.

    Attributes:
        kind: Short name of the format.
        start: First byte of the file; above 0 in a joined file.
        data: First byte of the samples.
        claimed: Bytes of samples that the header states; None where it holds a placeholder.
        unit_bytes: Size of the smallest whole unit: one sample of all channels, or one block.
        unit_samples: Samples a channel in one unit; 0 where they vary.
        bytes_per_second: Bytes of samples a second.
        promised_samples: Samples a channel that another field states; 0 for no such field.
        by_libsndfile: Whether libsndfile can decode this coding.
        sizes: Size fields of the header: byte from ``start``, format for `struct`, the quantity,
            and the number of header bytes that the count includes.
        chunk_format: Layout of its chunks; None if the format has no chunks.
        integers: Its samples, where they are linear; else None.
        changes: Further fields of the header to correct: byte from ``start``, format and value.
    """

    kind: str
    start: int
    data: int
    claimed: int | None
    unit_bytes: int
    unit_samples: int
    bytes_per_second: float
    promised_samples: int
    by_libsndfile: bool
    sizes: tuple[tuple[int, str, Field, int], ...]
    chunk_format: ChunkFormat | None
    integers: Integers | None = None
    changes: tuple[tuple[int, str, int], ...] = ()

    def with_sample_bytes(self, n_bytes: int) -> Layout:
        """Return the layout with samples of another number of bytes, which are linear."""
        if self.integers is None:
            return self
        unit = self.integers.n_channels * n_bytes
        per_second = self.bytes_per_second * unit / self.unit_bytes
        return self._replace(unit_bytes=unit, bytes_per_second=per_second)

    def with_plain_bits(self, n_bits: int, *, is_float: bool = False) -> Layout:
        """Return the layout with a header that states samples of another number of bits."""
        if self.integers is None:
            return self
        changes = tuple((at, form, n_bits) for at, form in self.integers.bits_at)
        if is_float and self.integers.coding_at is not None:
            changes += ((*self.integers.coding_at, _FLOAT),)
        return self._replace(changes=changes)

    def n_samples(self, n_bytes: int) -> int:
        """Return the number of samples a channel in a number of bytes."""
        return n_bytes // self.unit_bytes * self.unit_samples

    def header(self, file: BinaryIO, n_bytes: int) -> bytes:
        """Return a correct header for ``n_bytes`` of samples."""
        file.seek(self.start)
        head = bytearray(file.read(self.data - self.start))
        for at, form, value in self.changes:
            struct.pack_into(form, head, at, value)
        if head[:4] == b"RIFF" and n_bytes + len(head) >= 2**32:
            sizes = struct.pack("<4sIQQQI", b"ds64", 28, n_bytes + len(head), n_bytes, 0, 0)
            head[:8], head[-4:] = b"RF64\xff\xff\xff\xff", b"\xff\xff\xff\xff"
            return bytes(head[:12]) + sizes + bytes(head[12:])
        for at, form, what, extra in self.sizes:
            counts = {"file": n_bytes + len(head), "data": n_bytes, "samples": 0}
            counts["samples"] = self.n_samples(n_bytes)
            limit = 256 ** struct.calcsize(form) // (2 if form.islower() else 1)
            struct.pack_into(form, head, at, min(counts[what] + extra, limit - 1))
        return bytes(head)


def read_layout(file: BinaryIO, start: int) -> Layout | None:
    """Read a header.

    Args:
        file: The file.
        start: First byte of the header.

    Returns:
        The layout; None for a file of another kind, or without a valid chunk of samples.
    """
    try:
        layout = _find(file, start)
    except (struct.error, ValueError, ZeroDivisionError, OverflowError):
        return None  # a truncated or invalid header: the decoders report it
    if layout is None or layout.unit_bytes <= 0 or layout.bytes_per_second <= 0:
        return None
    return layout


def _find(file: BinaryIO, start: int) -> Layout | None:
    file.seek(start)
    head = file.read(40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _find_wav(file, start, _RIFX if head[:4] == b"RIFX" else _RIFF)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _find_w64(file, start)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _find_aiff(file, start)
    if head[:4] in (b".snd", b"dns."):
        return _find_au(head, start)
    if head[:4] == b"caff":
        return _find_caf(file, start)
    return None


def stated_size(n_bytes: int) -> int | None:
    """Return the size that a header states, in bytes; None for a placeholder."""
    if any(abs(n_bytes - size) < _PLACEHOLDER_TOLERANCE for size in _PLACEHOLDERS):
        return None
    return n_bytes if 0 <= n_bytes < _MAX_DATA_BYTES else None


def _find_wav(file: BinaryIO, start: int, chunk_format: ChunkFormat) -> Layout | None:
    coding, integers, has_long, long_size = None, None, False, 0
    for name, at, size in chunk_format.walk(file, start + 12):
        file.seek(at)
        if name == b"ds64":
            has_long = True
            _, long_size = struct.unpack("<QQ", file.read(16))
        elif name == b"fmt ":
            order = chunk_format.size_format[0]
            coding, integers = _wav_coding(file.read(min(size, 64)), order, at - start)
        elif name == b"data" and coding is not None and at - start < MAX_HEADER_BYTES:
            is_long = size == 0xFFFFFFFF and has_long and long_size
            sizes: list[tuple[int, str, Field, int]] = [
                (4, chunk_format.size_format, "file", -8),
                (at - start - 4, chunk_format.size_format, "data", 0),
            ]
            if has_long:
                sizes = [(20, "<Q", "file", -8), (28, "<Q", "data", 0)]
            # A size near 2 or 4 GiB in a field of 64 bits is no placeholder.
            claimed = long_size if is_long else stated_size(size)
            if claimed is not None and claimed >= _MAX_DATA_BYTES:
                claimed = None
            return Layout("WAV", start, at, claimed, *coding, tuple(sizes), chunk_format, integers)
    return None


def _find_w64(file: BinaryIO, start: int) -> Layout | None:
    coding = integers = None
    for name, at, size in _W64.walk(file, start + 40):
        file.seek(at)
        if name[:4] == b"fmt ":
            coding, integers = _wav_coding(file.read(min(max(size, 0), 64)), "<", at - start)
        elif name[:4] == b"data" and coding is not None and at - start < MAX_HEADER_BYTES:
            sizes: tuple[tuple[int, str, Field, int], ...]
            sizes = ((16, "<q", "file", 0), (at - start - 8, "<q", "data", 24))
            claimed = stated_size(size) if size > 0 else None
            return Layout("W64", start, at, claimed, *coding, sizes, _W64, integers)
    return None


_INTEGERS, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_LINEAR = {_INTEGERS, _FLOAT, 6, 7}
_BLOCKS = {2, 0x11, 0x31}
_READ_BY_LIBSNDFILE = _LINEAR | _BLOCKS | {0x14, 0x38, 0x40, 0x45, 0x64, 0x65}
"""Codings that libsndfile reads: PCM, float, A-law, u-law; ADPCM of Microsoft, IMA, NMS and
the ITU; GSM."""


def _wav_coding(
    fmt: bytes, order: str, at: int
) -> tuple[tuple[int, int, float, int, bool], Integers | None]:
    """Read a ``fmt`` chunk, which begins at byte ``at`` of the header.

    Returns:
        The fields of `Layout` from ``unit_bytes`` to ``by_libsndfile``, and its ``integers``.
    """
    tag, channels, rate, byte_rate, align, bits = struct.unpack(f"{order}HHIIHH", fmt[:16])
    integers = None
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        (tag,) = struct.unpack(f"{order}H", fmt[24:26])
        integers = _wav_integers(fmt, order, at) if tag == _INTEGERS else None
    elif tag == _INTEGERS:
        integers = _wav_integers(fmt, order, at)
    if integers is not None:
        unit, samples = channels * integers.n_bytes, 1
    elif tag in _LINEAR:
        unit, samples = channels * math.ceil(bits / 8), 1
    elif tag in _BLOCKS and len(fmt) >= 20:
        unit, samples = align, struct.unpack(f"{order}H", fmt[18:20])[0]
    else:
        unit, samples = max(align, 1), 0
    per_second = unit * rate / samples if samples else float(byte_rate or GUESSED_BYTE_RATE)
    return (unit, samples, per_second, 0, tag in _READ_BY_LIBSNDFILE), integers


def _wav_integers(fmt: bytes, order: str, at: int) -> Integers | None:
    """Read the bits of linear samples, and the bytes that hold them; None for no bits."""
    tag, channels, _, _, align, bits = struct.unpack(f"{order}HHIIHH", fmt[:16])
    if not channels or not bits:
        return None
    n_bytes = math.ceil(bits / 8)
    by_block, rest = divmod(align, channels)
    if not rest and n_bytes < by_block <= 4:
        n_bytes = by_block
    half = f"{order}H"
    bits_at: tuple[tuple[int, str], ...] = ((at + 14, half),)
    coding_at = (at, half)
    if tag == _EXTENSIBLE:
        (valid,) = struct.unpack(half, fmt[18:20])
        bits = valid if 0 < valid < bits else bits
        bits_at, coding_at = ((at + 14, half), (at + 18, half)), (at + 24, half)
    # Adobe Audition's mark of "16.8 float": 2 more bytes with a 1.
    is_float = (tag, bits, n_bytes) == (_INTEGERS, 32, 4) and fmt[16:] == struct.pack(
        f"{order}HH", 2, 1
    )
    return Integers(channels, bits, n_bytes, order, bits_at, coding_at, is_float)


_AIFF_BYTES = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8, b"in24": 3, b"42ni": 3}
_AIFF_ORDERS = {b"NONE": ">", b"twos": ">", b"sowt": "<"}
_AIFF_BYTES |= {b"in32": 4, b"23ni": 4, b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1}


def _find_aiff(file: BinaryIO, start: int) -> Layout | None:
    coding, comm, integers = None, 0, None
    for name, at, size in _IFF.walk(file, start + 12):
        file.seek(at)
        if name == b"COMM":
            comm = at - start
            channels, n_samples, bits, exponent, mantissa = struct.unpack(">HIHHQ", file.read(18))
            rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63)
            kind = file.read(4) if size >= 22 else b"NONE"
            unit = channels * _AIFF_BYTES.get(kind, math.ceil(bits / 8))
            if kind not in _AIFF_BYTES and kind not in (b"NONE", b"sowt", b"twos", b"raw "):
                return None
            coding = unit, unit * rate, n_samples
            if channels and bits and kind in _AIFF_ORDERS:
                bits_at = ((comm + 6, ">H"),)
                integers = Integers(
                    channels, bits, math.ceil(bits / 8), _AIFF_ORDERS[kind], bits_at
                )
        elif name == b"SSND" and coding is not None and at - start < MAX_HEADER_BYTES:
            offset, _ = struct.unpack(">II", file.read(8))
            data = at + 8 + offset
            sizes: tuple[tuple[int, str, Field, int], ...] = (
                (4, ">I", "file", -8),
                (comm + 2, ">I", "samples", 0),
                (at - start - 4, ">I", "data", 8 + offset),
            )
            claimed = stated_size(size - 8 - offset) if size > 8 + offset else 0
            unit, rate_bytes, n_samples = coding
            if integers and claimed and n_samples:
                # It has no field for the bytes of a sample, but counts both samples and bytes.
                n_bytes, rest = divmod(claimed, n_samples * integers.n_channels)
                if not rest and integers.n_bytes < n_bytes <= 4:
                    integers = integers._replace(n_bytes=n_bytes)
                    rate_bytes *= n_bytes * integers.n_channels / unit
                    unit = n_bytes * integers.n_channels
            if not n_samples:
                claimed = claimed or None
            if claimed is None:  # the sample count was computed from the placeholder
                n_samples = 0
            return Layout(
                "AIFF", start, data, claimed, unit, 1, rate_bytes, n_samples, True, sizes, _IFF,
                integers,
            )  # fmt: skip
    return None


_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def _find_au(head: bytes, start: int) -> Layout | None:
    order = ">" if head[:4] == b".snd" else "<"
    offset, size, coding, rate, channels = struct.unpack(f"{order}IIIII", head[4:24])
    if coding not in _AU_BYTES or not 24 <= offset < MAX_HEADER_BYTES:
        return None
    unit = channels * _AU_BYTES[coding]
    sizes: tuple[tuple[int, str, Field, int], ...] = ((8, f"{order}I", "data", 0),)
    claimed = stated_size(size) if size else None
    return Layout("AU", start, start + offset, claimed, unit, 1, unit * rate, 0, True, sizes, None)


def _find_caf(file: BinaryIO, start: int) -> Layout | None:
    coding = integers = None
    for name, at, size in _CAF.walk(file, start + 8):
        file.seek(at)
        if name == b"desc":
            rate, kind, flags, unit, samples, channels, bits = struct.unpack(
                ">d4sIIIII", file.read(32)
            )
            if kind not in (b"lpcm", b"ulaw", b"alaw") or not unit:
                return None
            coding = unit, samples, unit * rate / samples, 0, True
            if kind == b"lpcm" and not flags & 1 and channels and bits and samples == 1:
                order, bits_at = "<" if flags & 2 else ">", ((at - start + 28, ">I"),)
                integers = Integers(channels, bits, unit // channels, order, bits_at)
        elif name == b"data" and coding is not None and at - start < MAX_HEADER_BYTES:
            sizes: tuple[tuple[int, str, Field, int], ...] = ((at - start - 8, ">q", "data", 4),)
            claimed = stated_size(size - 4) if size > 4 else None
            return Layout("CAF", start, at + 4, claimed, *coding, sizes, _CAF, integers)
    return None
