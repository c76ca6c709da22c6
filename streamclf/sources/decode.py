"""Anything FFmpeg opens -> blocks, through PyAV: files, URLs and encoded standard input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from streamclf.errors import SourceError, StreamError
from streamclf.records import Block, Gap, Notice, Waveform, rescale
from streamclf.sources.array import to_float

JUMP_S = 0.1
"""Time stamps this far ahead of the samples delivered mean that audio is missing."""
END_SLACK_S = 0.5
"""A container's length may be this much above its audio's: encoders round and pad."""
LONGEST_JUMP_S = 24 * 3600.0
"""Beyond it the time stamps are not to be believed (a wrapped or restarted clock)."""


class Decoder:
    """The first audio stream of a container.

    Args:
        source: A path, a URL, or a binary file object to read from.
        options: FFmpeg's, such as ``{"rtsp_transport": "tcp"}``.
        timeout_s: For opening and for each read of a network source.

    Attributes:
        sample_rate: In Hz.
        n_channels: As the container says.

    Raises:
        StreamError: It cannot be opened or holds no audio.
    """

    def __init__(
        self,
        source: Any,
        *,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        import av  # takes longer to import than everything else together

        self._errors = (av.FFmpegError, OSError)
        self._exit_error = av.ExitError
        self._timeout_s = timeout_s
        try:
            self._container = av.open(
                source, mode="r", options=options or {}, timeout=timeout_s, metadata_errors="ignore"
            )
        except av.EOFError as error:
            raise StreamError("ends before any audio came") from error
        except (*self._errors, ValueError) as error:
            raise StreamError(f"is no audio that FFmpeg can open: {self._why(error)}") from error
        if not self._container.streams.audio:
            self._container.close()
            raise StreamError("holds no audio stream")
        self._stream = self._container.streams.audio[0]
        self._stream.thread_type = "AUTO"
        microseconds = self._container.duration
        self._duration_s = microseconds / 1e6 if microseconds and microseconds > 0 else None

    @property
    def duration_s(self) -> float | None:
        """Length in seconds where the container knows it."""
        return self._duration_s

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """Yield decoded blocks; jumps of the time stamps become gaps.

        Args:
            stopped: Asked before each packet; True ends the stream.

        Raises:
            SourceError: Reading failed, or nothing at all could be decoded.
        """
        clock = _Clock()
        n_bad = 0
        try:
            for packet in self._container.demux(self._stream):
                if stopped():
                    return
                try:
                    frames = packet.decode()
                except self._errors:
                    n_bad += 1  # the gap in the time stamps accounts for what it held
                    continue
                for frame in frames:
                    yield from clock.place(frame)
        except self._errors as error:
            at = clock.position / clock.sample_rate
            raise StreamError(f"reading failed at {at:.2f} s: {self._why(error)}") from error
        if clock.position == 0:
            raise SourceError("holds no audio that can be decoded")
        missing_s = self._promised_s() - clock.position / clock.sample_rate
        if missing_s > END_SLACK_S:
            n_samples = round(missing_s * clock.sample_rate)
            yield Gap(clock.position, n_samples, clock.sample_rate, "truncated")
        if n_bad:
            what = "1 damaged packet" if n_bad == 1 else f"{n_bad} damaged packets"
            raise SourceError(f"{what} could not be decoded; the results of the rest are kept")
        if missing_s > END_SLACK_S:
            at = clock.position / clock.sample_rate
            raise SourceError(
                f"is cut short: the header promises {at + missing_s:.2f} s, "
                f"{at:.2f} s are there; the results of the rest are kept"
            )

    def _promised_s(self) -> float:
        """Length that the header tells; 0 where FFmpeg only estimates it."""
        if not _TELLING.intersection(self._container.format.name.split(",")):
            return 0.0
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        # Beside a video, audio may well end sooner.
        alone = len(self._container.streams) == 1
        return self._duration_s or 0.0 if alone else 0.0

    def _why(self, error: BaseException) -> str:
        if isinstance(error, self._exit_error) and self._timeout_s:
            return f"nothing came for {self._timeout_s:g} s"
        return _reason(error)

    def close(self) -> None:
        """Close the container."""
        self._container.close()


_TELLING = frozenset(["matroska", "mov"])
"""Containers whose header tells the length."""


class _Clock:
    """Gives each decoded frame its place, by counting samples and by its time stamp."""

    def __init__(self) -> None:
        self.position = 0
        self.sample_rate = 1
        self._origin_s: float | None = None

    def place(self, frame: Any) -> Iterator[Block | Gap | Notice]:
        """Yield the frame as a block, behind the gap in front of it if there is one."""
        rate = int(frame.sample_rate)
        if rate != self.sample_rate:
            if self.position:
                message = f"sample rate changed from {self.sample_rate} to {rate} Hz"
                yield Notice(self.position, self.sample_rate, message, "info")
            self.position = rescale(self.position, self.sample_rate, rate)
            self.sample_rate = rate
        time_s = frame.time
        if time_s is not None:
            counted_s = self.position / rate
            if self._origin_s is None:
                self._origin_s = time_s
            ahead_s = time_s - self._origin_s - counted_s
            if JUMP_S < ahead_s < LONGEST_JUMP_S:
                n_samples = round(ahead_s * rate)
                yield Gap(self.position, n_samples, rate, "missing in the stream")
                self.position += n_samples
            elif not -JUMP_S < ahead_s < JUMP_S:
                self._origin_s = time_s - counted_s
        waveform = _waveform(frame)
        yield Block(self.position, waveform, rate)
        self.position += waveform.shape[1]


def _waveform(frame: Any) -> Waveform:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    return np.ascontiguousarray(to_float(samples))


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.strip(". ").lower() or type(error).__name__
