"""Standard input: audio that is piped in, raw or encoded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import FileIO
from typing import BinaryIO, ClassVar

from streamclf.core.errors import SourceError, StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.standard_streams import is_closed
from streamclf.sources.base import Source
from streamclf.sources.prefetch import Pump
from streamclf.sources.recording.piped import decode_forward
from streamclf.sources.stream.raw_format import RawFormat

RAW_BLOCK_S = 0.05


RAW = "for headerless samples give --raw s16le:16000:1"


_HEAD_BYTES = 512


class StandardInput(Source):
    """Audio piped in: raw if a format is given, otherwise whatever FFmpeg recognises.

    The pipe itself holds the writer back, so nothing is lost when scoring is slower.

    Args:
        raw: The layout of headerless samples, such as ``s16le:16000:1``, or None for an encoded
            format.
        file: Where to read; standard input unless told otherwise.

    Raises:
        StreamError: Standard input is closed.
    """

    live: ClassVar[bool] = True

    def __init__(self, raw: RawFormat | str | None = None, file: BinaryIO | None = None) -> None:
        self.name = "-"
        self._raw = RawFormat.parse(raw) if isinstance(raw, str) else raw
        # Unbuffered: a thread that waits inside a buffered reader cannot be left at exit.
        self._file: BinaryIO | FileIO = file if file is not None else _standard_input()
        self._pump = Pump(self._produce)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they arrive.

        Raises:
            StreamError: Nothing came, or what came is no audio.
        """
        yield from self._pump

    def stop(self) -> None:
        """End, even while waiting for input."""
        self._pump.stop()

    def close(self) -> None:
        """End the thread; where it waits for input, with what comes next."""
        self._pump.stop()

    def _produce(self) -> Iterator[Block | Gap | Notice]:
        if self._raw is not None:
            yield from self._read_raw(self._raw)
            return
        file = _Watched(self._file)
        try:
            yield from decode_forward(file, lambda: self._pump.stopped, RAW)
        except SourceError as error:
            mark = " " if str(error).startswith(("is ", "ended ")) else ": "
            raise StreamError(f"standard input{mark}{error}") from error

    def _read_raw(self, raw: RawFormat) -> Iterator[Block | Gap | Notice]:
        position, rest = 0, b""
        size = max(int(RAW_BLOCK_S * raw.sample_rate), 1) * raw.frame_bytes
        # read1 gives what is there instead of waiting for a full block.
        read = getattr(self._file, "read1", self._file.read)
        while data := read(size):
            data = rest + data
            whole = len(data) - len(data) % raw.frame_bytes
            rest = data[whole:]
            if whole:
                block = Block(position, raw.decode(data[:whole]), raw.sample_rate)
                position = block.end
                yield block
        if not position:
            raise StreamError("standard input ended before one sample came")
        if rest:
            left = "1 byte was" if len(rest) == 1 else f"{len(rest)} bytes were"
            message = f"standard input ended within a sample: {left} left over"
            yield Notice(position, raw.sample_rate, message)


class _Watched:
    """A file that knows how it began; FFmpeg does not tell."""

    def __init__(self, file: BinaryIO | FileIO) -> None:
        self._file = file
        self.head = b""

    def read(self, size: int) -> bytes | None:
        data = self._file.read(size)
        self.head = self.head or (data or b"")[:_HEAD_BYTES]
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)  # seeking, where the file can


def _standard_input() -> FileIO:
    if is_closed(sys.stdin):
        raise StreamError("standard input is closed: --source - listens to what is piped into it")
    return FileIO(sys.stdin.fileno(), "r", closefd=False)
