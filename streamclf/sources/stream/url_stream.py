"""Network streams, through FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar
from urllib.parse import urlsplit

from streamclf.core.errors import SourceError, StreamError, UsageError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.redaction import mask_url
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, SystemClock
from streamclf.sources.prefetch import Pump
from streamclf.sources.recording.ffmpeg import Decoder
from streamclf.sources.recording.playlists import STREAM_PLAYLIST, names_playlist
from streamclf.sources.stream.reconnect import Redial

NETWORK_TIMEOUT_S = 10.0
PATIENCE_S = 0.5
"""How long the end waits for a thread that reads from the network; it ends by itself later, at the
latest when the read has timed out."""


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
