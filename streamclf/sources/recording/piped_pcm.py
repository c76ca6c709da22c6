"""WAV, AIFF, CAF and W64 through a pipe, read beyond the size that their header states.

FFmpeg reads no further than the stated size. So its header is changed to one of unlimited size,
and the bytes after the stated samples are examined as in a file on disk
(`streamclf.sources.containers.pcm_parts`): chunks and tags end the audio, another file of the same
coding continues it, and any other bytes are audio.
"""

from __future__ import annotations

import io
import struct
from typing import Protocol

from streamclf.core.errors import SourceError
from streamclf.sources.containers.chunks import read_trailer
from streamclf.sources.containers.padded_samples import PlainReader, is_padded, read_padding
from streamclf.sources.containers.part import NEGLIGIBLE_S
from streamclf.sources.containers.pcm_headers import Layout, read_layout
from streamclf.sources.containers.pcm_parts import PLACEHOLDER_BYTES, describe_extra

_ENDLESS = {
    b"RIFF": ("<I", 0),
    b"RF64": ("<I", 0),
    b"BW64": ("<I", 0),
    b"FORM": (">I", 0x7F00_0008),
    b"caff": (">q", -1),
    b"riff": ("<q", 1 << 60),
}
"""Format and value of an unlimited size, by the first bytes of the file."""
_LONG = (b"RF64", b"BW64")
"""First bytes of WAV with sizes of 64 bits, which become those of WAV: FFmpeg skips the sizes."""
_LOOKAHEAD_BYTES = 65_536
"""Number of bytes that are examined of a header, and after the samples."""


_RIFX = b"RIFX"


def is_pcm(begins: bytes) -> bool:
    """Whether a file with these first bytes has a header that `PipedPcm` corrects."""
    return begins[:4] in (*_ENDLESS, _RIFX) and begins[8:12] != b"AVI "


class LeftOutError(SourceError):
    """Audio after the first file in a pipe cannot be decoded, and is left out."""


class ForwardReader(Protocol):
    """A file that is read forward only."""

    def read(self, size: int) -> bytes | None:
        """Return at least one and at most ``size`` bytes; none at the end."""


class PipedPcm:
    """Bytes of a pipe for FFmpeg, with an unlimited size in the header, and plain samples.

    Args:
        file: The pipe.

    Attributes:
        fault: Reason why part of the bytes was left out; empty if all were delivered.
        refusal: Reason why nothing is delivered; empty where something is.
    """

    def __init__(self, file: ForwardReader) -> None:
        self.fault = self.refusal = ""
        self._file = file
        self._buffer = b""
        self._layout: Layout | None = None
        self._plain: PlainReader | None = None
        self._n_left: int | None = None
        self._misalignment = 0
        self._has_begun = self._has_ended = self._is_past_header = False
        self._n_extra = 0
        self._remarks: list[str] = []

    def read(self, size: int) -> bytes:
        """Return at least one and at most ``size`` bytes; none at the end."""
        if not self._has_begun:
            self._has_begun = True
            self._begin(size)
        return self._read_on(size) if self._plain is None else self._plain.read(size)

    def _read_on(self, size: int) -> bytes:
        """Read on as the samples are."""
        while self._n_left == 0 and not self._has_ended and self._layout is not None:
            self._n_left = None
            self._examine_trailer(self._layout)
        if self._has_ended:
            return b""
        if not self._buffer:
            self._buffer = self._file.read(size) or b""
        data = self._buffer[: size if self._n_left is None else min(size, self._n_left)]
        self._buffer = self._buffer[len(data) :]
        if self._n_left is not None:
            self._n_left -= len(data)
        self._n_extra += len(data) if self._is_past_header else 0
        return data

    def remarks(self) -> list[str]:
        """Return the oddities that were found, one line each; complete only at the end."""
        remarks = [*self._remarks, self._plain.remark if self._plain else ""]
        if self._layout is not None and self._n_extra:
            remarks.append(describe_extra(self._layout, self._n_extra))
        return [remark for remark in remarks if remark]

    def _begin(self, size: int) -> None:
        self._buffer = self._file.read(size) or b""
        form, value = _ENDLESS.get(self._buffer[:4], ("", 0))
        layout = self._find_layout() if form or self._buffer.startswith(_RIFX) else None
        if layout is None:
            return
        self.refusal = _refuse(self._buffer, layout)
        if self.refusal:
            self._has_ended = True
            return
        layout = self._make_plain(layout)
        if layout.claimed is None:
            return
        if layout.unit_samples != 1 and layout.kind != "WAV":
            return  # tables of packets follow the data, so it must end where the header says
        if self._buffer[:4] in _LONG:
            at = layout.data - 4
            self._change(0, "4s", b"RIFF")
        else:
            (at,) = (at for at, _, what, _ in layout.sizes if what == "data")
        self._change(at, form, value)
        self._layout = layout
        self._set_range(0, layout.data + layout.claimed)

    def _change(self, at: int, form: str, value: int | bytes) -> None:
        """Change a field of the header."""
        head = bytearray(self._buffer)
        struct.pack_into(form, head, at, value)
        self._buffer = bytes(head)

    def _make_plain(self, layout: Layout) -> Layout:
        """Make plain samples of padded ones: by the first of them that are not 0."""
        if not is_padded(layout):
            return layout
        while self._fetch():
            pass
        reading = read_padding(io.BytesIO(self._buffer), layout, len(self._buffer))
        for change in reading.layout.changes:
            self._change(*change)
        self._plain = PlainReader(self._read_on, layout, reading)
        return reading.layout

    def _find_layout(self) -> Layout | None:
        while True:
            layout = read_layout(io.BytesIO(self._buffer), 0)
            if layout is not None or not self._fetch():
                return layout

    def _fetch(self) -> bool:
        """Read more bytes to examine; returns False at the end, or when there are enough."""
        if len(self._buffer) >= _LOOKAHEAD_BYTES:
            return False
        data = self._file.read(_LOOKAHEAD_BYTES - len(self._buffer)) or b""
        self._buffer += data
        return bool(data)

    def _examine_trailer(self, layout: Layout) -> None:
        """Decide how to continue after the stated samples: stop, or read more of the bytes."""
        while self._fetch():
            pass
        is_all = len(self._buffer) < _LOOKAHEAD_BYTES
        # The copy must have the same offset from the alignment of chunks as the file.
        misalignment, trailer = self._misalignment, None
        file = io.BytesIO(bytes(misalignment) + self._buffer)
        if layout.chunk_format is not None:
            start = misalignment + -misalignment % layout.chunk_format.align
            name, n_bytes = layout.chunk_format.read_head(file, start) or (b"", 0)
            if name == b"data" and n_bytes > 0:
                self._set_range(start + layout.chunk_format.head_bytes - misalignment, n_bytes)
                return
            trailer = read_trailer(
                file, layout.chunk_format, misalignment, misalignment + len(self._buffer)
            )
        if trailer is not None and trailer.next_start is not None:
            self._read_joined(layout, trailer.next_start - misalignment)
        elif trailer is not None and trailer.more:
            start, end = trailer.more[0]
            self._set_range(start - misalignment, end - start)
        elif trailer is not None or (is_all and layout.claimed and self._is_not_audio(layout)):
            self._has_ended = True
        else:
            self._is_past_header = True

    def _set_range(self, start: int, n_bytes: int | None) -> None:
        """Deliver the next ``n_bytes`` from byte ``start`` of the buffer on; None for no limit."""
        self._buffer, self._n_left = self._buffer[start:], n_bytes
        if self._layout is not None and self._layout.chunk_format is not None:
            self._misalignment = (n_bytes or 0) % self._layout.chunk_format.align

    def _read_joined(self, layout: Layout, start: int) -> None:
        """Continue with a file joined to this one, if its samples have the same coding."""
        self._set_range(start, None)
        joined = self._find_layout()
        if joined is not None and _coding(joined) == _coding(layout):
            self._remarks.append(f"another {layout.kind} is joined to it: both are heard")
            self._set_range(joined.data, joined.claimed)
            return
        self._has_ended = True
        self.fault = (
            f"another {layout.kind} of another coding is joined to it, which is not heard through "
            "a pipe: give the file itself; the results of the first are kept"
        )

    def _is_not_audio(self, layout: Layout) -> bool:
        """Whether the last bytes of the pipe are zeros, or too few to count as audio."""
        n_more = len(self._buffer)
        if (layout.claimed or 0) > PLACEHOLDER_BYTES and not self._buffer.strip(b"\0"):
            if n_more >= layout.unit_bytes:
                self._remarks.append(f"{n_more} zeros behind the samples are left out")
            return True
        if n_more / layout.bytes_per_second >= NEGLIGIBLE_S:
            return False
        if n_more >= layout.unit_bytes:
            self._remarks.append(f"{n_more} bytes behind the samples are no chunk, and left out")
        return True


def _coding(layout: Layout) -> tuple[str, int, int, float]:
    return layout.kind, layout.unit_bytes, layout.unit_samples, layout.bytes_per_second


def _refuse(head: bytes, layout: Layout) -> str:
    """Say what FFmpeg would make noise of, because it does not turn the bytes of these."""
    what = ""
    if head.startswith(_RIFX):
        what = "a WAV with the highest byte first (RIFX)"
    elif layout.kind == "AIFF" and layout.integers is not None:
        integers = layout.integers
        if integers.order == "<" and integers.n_bytes != 2:
            what = f"an AIFF of {8 * integers.n_bytes} bits with the lowest byte first (sowt)"
    return f"is {what}, which cannot be read forward: give the file itself" if what else ""
