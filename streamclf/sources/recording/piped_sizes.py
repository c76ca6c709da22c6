"""WAV, AIFF and CAF that come through a pipe: what their size promises does not end them.

FFmpeg reads no farther than a size says. Here it is shown a size without an end, and what follows
the promised samples is looked at as in a file (`streamclf.sources.containers.pcm`): chunks and tags
end the audio, another file of the same coding is heard on, and what is no chunk is audio, too.
"""

from __future__ import annotations

import io
import struct
from typing import Protocol

from streamclf.core.errors import SourceError
from streamclf.sources.containers.chunks import look_behind
from streamclf.sources.containers.layouts import Layout, find_layout
from streamclf.sources.containers.part import NEXT_TO_NOTHING_S
from streamclf.sources.containers.pcm import PLACEHOLDER_BYTES, tell_more

_ENDLESS = {
    b"RIFF": ("<I", 0),
    b"FORM": (">I", 0x7F00_0008),
    b"caff": (">q", -1),
    b"riff": ("<q", 1 << 60),
}
"""What a program writes that does not know the size, by the first bytes of the file."""
_AHEAD_BYTES = 65_536
"""As far a header, or what follows the samples, is looked at."""


def names_size(begins: bytes) -> bool:
    """Whether audio that begins so names a size that `Sizes` sees through."""
    return begins[:4] in _ENDLESS and begins[8:12] != b"AVI "


class LeftOutError(SourceError):
    """Audio came through a pipe that cannot be decoded behind the rest."""


class Readable(Protocol):
    """What can be read forward."""

    def read(self, size: int) -> bytes | None:
        """Some bytes; none at the end."""


class Sizes:
    """Bytes of a pipe for FFmpeg, with a size that does not end too soon.

    Args:
        file: Read forward.

    Attributes:
        fault: What of it could not be handed on; empty if all was.
    """

    def __init__(self, file: Readable) -> None:
        self.fault = ""
        self._file = file
        self._ahead = b""
        self._layout: Layout | None = None
        self._left: int | None = None
        self._n_odd = 0
        self._has_begun = self._has_ended = self._is_beyond = False
        self._n_more = 0
        self._remarks: list[str] = []

    def read(self, size: int) -> bytes:
        """Some bytes; none at the end."""
        if not self._has_begun:
            self._has_begun = True
            self._begin(size)
        while self._left == 0 and not self._has_ended and self._layout is not None:
            self._left = None
            self._look_behind(self._layout)
        if self._has_ended:
            return b""
        if not self._ahead:
            self._ahead = self._file.read(size) or b""
        data = self._ahead[: size if self._left is None else min(size, self._left)]
        self._ahead = self._ahead[len(data) :]
        if self._left is not None:
            self._left -= len(data)
        self._n_more += len(data) if self._is_beyond else 0
        return data

    def remarks(self) -> list[str]:
        """What was done, a line each; to be asked at the end."""
        if self._layout is not None and self._n_more:
            return [*self._remarks, tell_more(self._layout, self._n_more)]
        return self._remarks

    def _begin(self, size: int) -> None:
        self._ahead = self._file.read(size) or b""
        form, value = _ENDLESS.get(self._ahead[:4], ("", 0))
        layout = self._find_layout() if form else None
        if layout is None or layout.claimed is None:
            return
        if layout.unit_samples != 1 and layout.kind != "WAV":
            return  # tables of packets lie behind the data
        (at,) = (at for at, _, what, _ in layout.sizes if what == "data")
        head = bytearray(self._ahead)
        struct.pack_into(form, head, at, value)
        self._ahead = bytes(head)
        self._layout = layout
        self._go_on(0, layout.data + layout.claimed)

    def _find_layout(self) -> Layout | None:
        while True:
            layout = find_layout(io.BytesIO(self._ahead), 0)
            if layout is not None or not self._fetch():
                return layout

    def _fetch(self) -> bool:
        """Read on; False at the end, or where enough was read."""
        if len(self._ahead) >= _AHEAD_BYTES:
            return False
        data = self._file.read(_AHEAD_BYTES - len(self._ahead)) or b""
        self._ahead += data
        return bool(data)

    def _look_behind(self, layout: Layout) -> None:
        while self._fetch():
            pass
        is_all = len(self._ahead) < _AHEAD_BYTES
        # As far from a multiple of the chunks' alignment as in the file.
        odd, behind = self._n_odd, None
        file = io.BytesIO(bytes(odd) + self._ahead)
        if layout.dialect is not None:
            start = odd + -odd % layout.dialect.align
            name, n_bytes = layout.dialect.read_head(file, start) or (b"", 0)
            if name == b"data" and n_bytes > 0:
                self._go_on(start + layout.dialect.head_bytes - odd, n_bytes)
                return
            behind = look_behind(file, layout.dialect, odd, odd + len(self._ahead))
        if behind is not None and behind.next_start is not None:
            self._join(layout, behind.next_start - odd)
        elif behind is not None and behind.more:
            start, end = behind.more[0]
            self._go_on(start - odd, end - start)
        elif behind is not None or (is_all and layout.claimed and self._is_no_sound(layout)):
            self._has_ended = True
        else:
            self._is_beyond = True

    def _go_on(self, start: int, n_bytes: int | None) -> None:
        self._ahead, self._left = self._ahead[start:], n_bytes
        if self._layout is not None and self._layout.dialect is not None:
            self._n_odd = (n_bytes or 0) % self._layout.dialect.align

    def _join(self, layout: Layout, start: int) -> None:
        self._go_on(start, None)
        joined = self._find_layout()
        if joined is not None and _coding(joined) == _coding(layout):
            self._remarks.append(f"another {layout.kind} is joined to it: both are heard")
            self._go_on(joined.data, joined.claimed)
            return
        self._has_ended = True
        self.fault = (
            f"another {layout.kind} of another coding is joined to it, which is not heard through "
            "a pipe: give the file itself; the results of the first are kept"
        )

    def _is_no_sound(self, layout: Layout) -> bool:
        n_more = len(self._ahead)
        if (layout.claimed or 0) > PLACEHOLDER_BYTES and not self._ahead.strip(b"\0"):
            if n_more >= layout.unit_bytes:
                self._remarks.append(f"{n_more} zeros behind the samples are left out")
            return True
        if n_more / layout.bytes_per_second >= NEXT_TO_NOTHING_S:
            return False
        if n_more >= layout.unit_bytes:
            self._remarks.append(f"{n_more} bytes behind the samples are no chunk, and left out")
        return True


def _coding(layout: Layout) -> tuple[str, int, int, float]:
    return layout.kind, layout.unit_bytes, layout.unit_samples, layout.bytes_per_second
