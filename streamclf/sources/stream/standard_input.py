"""Live audio from standard input, raw or encoded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import FileIO
from typing import BinaryIO, ClassVar

from streamclf.core.errors import SourceError, StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.standard_streams import is_closed
from streamclf.sources.base import Source
from streamclf.sources.prefetch import PrefetchThread
from streamclf.sources.recording.piped import decode_forward
from streamclf.sources.stream.raw_format import RawFormat

RAW_BLOCK_S = 0.05
"""Length of a block of raw samples in seconds."""
RAW_HINT = "for headerless samples give --raw s16le:16000:1"
_HEAD_BYTES = 512


class StandardInput(Source):
    """Audio from standard input: raw samples of a given format, or any format FFmpeg recognises.

    The writer of the pipe waits while scoring is slower than the audio, so nothing is lost.

    Args:
        raw: Format of headerless samples, such as ``s16le:16000:1``; None for an encoded format.
        file: File to read; standard input by default.

    Raises:
        StreamError: Standard input is closed.
    """

    live: ClassVar[bool] = True

    def __init__(self, raw: RawFormat | str | None = None, file: BinaryIO | None = None) -> None:
        self.name = "-"
        self._raw = RawFormat.parse(raw) if isinstance(raw, str) else raw
        # Unbuffered, because a thread that waits in a buffered reader blocks the program's exit.
        self._file: BinaryIO | FileIO = file if file is not None else _standard_input()
        self._thread = PrefetchThread(self._produce)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they arrive.

        Raises:
            StreamError: No bytes came, or they are not audio.
        """
        yield from self._thread

    def stop(self) -> None:
        """Stop, even while waiting for input."""
        self._thread.stop()

    def close(self) -> None:
        """Stop the thread; if it waits for input, it ends when the next bytes come."""
        self._thread.stop()

    def _produce(self) -> Iterator[Block | Gap | Notice]:
        if self._raw is not None:
            yield from self._read_raw(self._raw)
            return
        file = _HeadKeepingFile(self._file)
        try:
            yield from decode_forward(file, lambda: self._thread.stopped, RAW_HINT)
        except SourceError as error:
            mark = " " if str(error).startswith(("is ", "ended ")) else ": "
            raise StreamError(f"standard input{mark}{error}") from error

    def _read_raw(self, raw: RawFormat) -> Iterator[Block | Gap | Notice]:
        position, rest = 0, b""
        size = max(int(RAW_BLOCK_S * raw.sample_rate), 1) * raw.frame_bytes
        # read1 returns the bytes that are there instead of waiting for a full block.
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


class _HeadKeepingFile:
    """File that keeps its first bytes, for error messages; FFmpeg does not keep them."""

    def __init__(self, file: BinaryIO | FileIO) -> None:
        self._file = file
        self.head = b""

    def read(self, size: int) -> bytes | None:
        data = self._file.read(size)
        self.head = self.head or (data or b"")[:_HEAD_BYTES]
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)  # the methods for seeking, if the file has them


def _standard_input() -> FileIO:
    if is_closed(sys.stdin):
        raise StreamError("standard input is closed: --source - listens to what is piped into it")
    return FileIO(sys.stdin.fileno(), "r", closefd=False)
