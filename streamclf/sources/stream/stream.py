"""Streams: a URL through FFmpeg, or standard input, raw or encoded."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from typing import BinaryIO, ClassVar
from urllib.parse import urlsplit

import numpy as np

from streamclf.core.errors import SourceError, StreamError, UsageError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.core.redaction import mask_url
from streamclf.core.standard_streams import is_closed
from streamclf.sources.array import to_float
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, SystemClock
from streamclf.sources.prefetch import Pump
from streamclf.sources.recording.ffmpeg import Decoder
from streamclf.sources.recording.piped import decode_forward
from streamclf.sources.recording.playlists import STREAM_PLAYLIST, names_playlist
from streamclf.sources.stream.reconnect import Redial

RAW_BLOCK_S = 0.05
NETWORK_TIMEOUT_S = 10.0
PATIENCE_S = 0.5
"""How long the end waits for a thread that reads from the network; it ends by itself later, at the
latest when the read has timed out."""
RAW = "for headerless samples give --raw s16le:16000:1"
_HEAD_BYTES = 512
_NUMBER = re.compile(r"[0-9]{1,7}")
_RAW = re.compile(r"(?P<kind>[usf])(?P<bits>8|16|24|32|64)(?P<order>le|be)?")


@dataclass(frozen=True)
class RawFormat:
    """The layout of headerless samples, as ``FORMAT:RATE:CHANNELS`` says it.

    Attributes:
        kind: ``u`` unsigned, ``s`` signed, ``f`` float.
        n_bytes: A sample.
        order: ``<`` little endian, ``>`` big endian.
        sample_rate: In Hz.
        n_channels: Interleaved.
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
        """Read ``s16le:16000:1`` (u8, s8, s16, s24, s32, f32, f64, each with le or be).

        Raises:
            UsageError: It is not of that form.
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
        """Turn whole frames into ``(channels, samples)`` float32, full scale = 1."""
        if self.n_bytes == 3:
            samples = self._widen(data)
        else:
            samples = np.frombuffer(data, dtype=f"{self.order}{_NUMPY[self.kind]}{self.n_bytes}")
        frames = samples.reshape(-1, self.n_channels).T
        return np.ascontiguousarray(to_float(frames))

    def _widen(self, data: bytes) -> np.ndarray:
        """24-bit samples as 32-bit ones, the low byte zero."""
        triples = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        wide = np.zeros((len(triples), 4), dtype=np.uint8)
        wide[:, 1:] = triples if self.order == "<" else triples[:, ::-1]
        return wide.view("<i4")[:, 0]


_KINDS = {("u", 8), ("s", 8), ("s", 16), ("s", 24), ("s", 32), ("f", 32), ("f", 64)}
_NUMPY = {"u": "u", "s": "i", "f": "f"}


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


class UrlStream(Source):
    """A network stream: rtsp, http, rtmp, udp or whatever else FFmpeg opens.

    A live one that breaks off, or changes to a codec that FFmpeg cannot follow, is opened anew.

    Args:
        url: Passwords in it are masked wherever it is shown.
        timeout_s: For connecting and for each read.
        reconnect: Whether a live stream that broke off is waited for; else `blocks` raises.
        clock: Measures the time without it; the system's unless given.

    Raises:
        UsageError: It is no URL.
    """

    live: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        timeout_s: float = NETWORK_TIMEOUT_S,
        *,
        reconnect: bool = True,
        clock: Clock | None = None,
    ) -> None:
        try:
            urlsplit(url)
        except ValueError as error:
            raise UsageError(f"--source {mask_url(url)}: is no URL: {error}") from error
        self.name = mask_url(url)
        self._url = url
        self._timeout_s = timeout_s
        self._redial = Redial(
            self._dial, clock or SystemClock(), redials=reconnect, on_waiting=self.tell_waiting
        )
        self._pump = Pump(self._redial.items)

    @property
    def pace(self) -> float:
        """A server sends what sounds, and cuts off who does not keep up."""
        return 1.0

    @property
    def state(self) -> State:
        """Of the connection."""
        return self._redial.state

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they arrive, and a gap for the time without a connection.

        Raises:
            StreamError: The stream cannot be opened, or broke off and is not waited for.
        """
        position, rate = 0, 1
        for item in self._pump:
            yield item
            position = item.position if isinstance(item, Notice) else item.end
            rate = item.sample_rate
        gap = self._redial.missing(position, rate)
        if gap is not None:
            yield gap

    def stop(self) -> None:
        """End, even while waiting for the network."""
        self._redial.stop()
        self._pump.stop()

    def close(self) -> None:
        """Hang up, and end the thread."""
        self.stop()
        self._pump.join(PATIENCE_S)

    def _dial(self) -> Decoder:
        options = {"rtsp_transport": "tcp"} if self._url.startswith("rtsp") else {}
        return UrlDecoder(self._url, self.name, options, self._timeout_s)


class UrlDecoder(Decoder):
    """A decoder whose errors name the stream, without its password."""

    def __init__(self, url: str, name: str, options: dict[str, str], timeout_s: float) -> None:
        self._url, self._name = url, name
        try:
            super().__init__(url, options=options, timeout_s=timeout_s)
        except SourceError as error:
            raise self._named(_explain(url, error)) from error

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """As a decoder's.

        Raises:
            StreamError: Reading failed.
        """
        try:
            yield from super().blocks(stopped)
        except SourceError as error:
            raise self._named(error) from error

    def _named(self, error: SourceError) -> StreamError:
        return StreamError(f"{self._name}: {str(error).replace(self._url, self._name)}")


def _explain(url: str, error: SourceError) -> SourceError:
    """What to do about a URL that was reached and is no audio, where that can be told."""
    import av

    # FFmpeg takes some text for subtitles, and then finds no audio beside them.
    reached = error.__cause__ is None or isinstance(error.__cause__, av.InvalidDataError)
    return SourceError(STREAM_PLAYLIST) if reached and names_playlist(url) else error
