"""Network streams, read by FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar
from urllib.parse import urlsplit

from streamclf.core.errors import SourceError, StreamError, UsageError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.redaction import mask_url
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, SystemClock
from streamclf.sources.prefetch import PrefetchThread
from streamclf.sources.recording.ffmpeg import Decoder
from streamclf.sources.recording.playlists import STREAM_PLAYLIST, names_playlist
from streamclf.sources.stream.reconnect import ReconnectingDecoder

NETWORK_TIMEOUT_S = 10.0
JOIN_TIMEOUT_S = 0.5
"""Longest wait in seconds for the thread that reads from the network. A thread that is left behind
ends by itself, at the latest when its read times out."""


def check_url(url: str) -> None:
    """Check the form of a URL.

    Raises:
        UsageError: The text is not a URL.
    """
    try:
        urlsplit(url)
    except ValueError as error:
        raise UsageError(f"--source {mask_url(url)}: is no URL: {error}") from error


class UrlStream(Source):
    """A network stream: rtsp, http, rtmp, udp or any other protocol that FFmpeg opens.

    A live stream is opened again when its connection is lost, or when it changes to a codec that
    FFmpeg cannot follow.

    Args:
        url: Address of the stream. Passwords in it are masked wherever it is shown.
        timeout_s: Timeout in seconds for connecting and for each read.
        reconnect: Whether to open a live stream again after its connection was lost; otherwise
            `blocks` raises.
        clock: Clock that measures the time without connection; the system's by default.

    Raises:
        UsageError: The text is not a URL.
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
        check_url(url)
        self.name = mask_url(url)
        self._url = url
        self._timeout_s = timeout_s
        self._decoder = ReconnectingDecoder(
            self._open, clock or SystemClock(), reconnects=reconnect, on_waiting=self.tell_waiting
        )
        self._thread = PrefetchThread(self._decoder.items)

    @property
    def pace(self) -> float:
        """Real time: a server drops clients that do not keep up."""
        return 1.0

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._decoder.state

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they arrive, and a gap for the time without a connection.

        Raises:
            StreamError: The stream cannot be opened, or its connection was lost and it is not
                opened again.
        """
        position, rate = 0, 1
        for item in self._thread:
            yield item
            position = item.position if isinstance(item, Notice) else item.end
            rate = item.sample_rate
        gap = self._decoder.missing_since(position, rate)
        if gap is not None:
            yield gap

    def stop(self) -> None:
        """Stop, even while waiting for the network."""
        self._decoder.stop()
        self._thread.stop()

    def close(self) -> None:
        """Close the connection and end the thread."""
        self.stop()
        self._thread.join(JOIN_TIMEOUT_S)

    def _open(self) -> Decoder:
        options = {"rtsp_transport": "tcp"} if self._url.startswith("rtsp") else {}
        return UrlDecoder(self._url, self.name, options, self._timeout_s)


class UrlDecoder(Decoder):
    """Decoder whose errors name the stream, without its password."""

    def __init__(self, url: str, name: str, options: dict[str, str], timeout_s: float) -> None:
        self._url, self._name = url, name
        try:
            super().__init__(url, options=options, timeout_s=timeout_s)
        except SourceError as error:
            raise self._named(_explain(url, error)) from error

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """Yield decoded blocks, as `Decoder.blocks` does.

        Raises:
            StreamError: Reading failed, or nothing could be decoded.
        """
        try:
            yield from super().blocks(stopped)
        except SourceError as error:
            raise self._named(error) from error

    def _named(self, error: SourceError) -> StreamError:
        return StreamError(f"{self._name}: {str(error).replace(self._url, self._name)}")


def _explain(url: str, error: SourceError) -> SourceError:
    """Return a better error for a URL that answers but is a playlist, else the given error."""
    import av

    # FFmpeg takes some text files for subtitles, and reports that there is no audio.
    reached = error.__cause__ is None or isinstance(error.__cause__, av.InvalidDataError)
    return SourceError(STREAM_PLAYLIST) if reached and names_playlist(url) else error
