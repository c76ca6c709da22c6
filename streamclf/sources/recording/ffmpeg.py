"""Decoding by FFmpeg through PyAV: files, URLs and encoded standard input."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamclf.core.errors import SourceError, StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import RESULTS_KEPT
from streamclf.sources.containers.part import NEGLIGIBLE_S, Part
from streamclf.sources.recording.damage import Damage
from streamclf.sources.recording.frame_timeline import FrameTimeline, waveform_of
from streamclf.sources.recording.guarded_reader import GuardedReader


class Decoder(GuardedReader):
    """Decoder of the first usable audio stream of a container.

    Args:
        source: A path, a URL, or a binary file object to read from.
        options: Options of FFmpeg, such as ``{"rtsp_transport": "tcp"}``.
        timeout_s: Timeout in seconds for opening and for each read of a network source.
        part: The part of a recording to decode; None for other sources.
        first_track: Number of the first audio stream to consider, from 0.
        block_samples: Number of samples that are joined into a block; 0 for blocks as decoded.
        as_played: Whether positions count from where a player begins: audio that begins later than
            its video then has a gap before it. This always holds for a ``part``.

    Attributes:
        next_track: Number of the next audio stream; None if there is none.
        comment: Empty, because comments have no common form in FFmpeg.
        read_to: 0, because FFmpeg reads to the end of the file.

    Raises:
        StreamError: The source cannot be opened, or holds no audio.
    """

    comment = ""
    read_to = 0

    def __init__(
        self,
        source: Any,
        *,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
        part: Part | None = None,
        first_track: int = 0,
        block_samples: int = 0,
        as_played: bool = False,
    ) -> None:
        import av  # takes longer to import than everything else together

        super().__init__()
        self._errors = (av.FFmpegError, OSError)
        self._exit_error = av.ExitError
        self._timeout_s = timeout_s
        self._is_recording = part is not None
        self._is_as_played = as_played or self._is_recording
        self._part = part or Part()
        self._block_samples = block_samples
        self._file = source if self._is_recording and not isinstance(source, str) else None
        self._path = source if self._is_recording and isinstance(source, str) else ""
        try:
            self._container = av.open(
                source, mode="r", options=options or {}, timeout=timeout_s, metadata_errors="ignore"
            )
        except av.EOFError as error:
            raise StreamError("ends before any audio came") from error
        except (*self._errors, ValueError) as error:
            told, advice = _tell_refusal(error) if _is_url(source) else (_NO_AUDIO, "")
            raise StreamError(f"{told}: {self._why(error)}{advice}") from error
        self._remark = ""
        self._remark_level: Literal["info", "warning"] = "warning"
        self._stream = self._choose(first_track)
        self._stream.thread_type = "AUTO"
        if self._is_as_played and self._stream.codec_context.name in _WITH_CHECKSUMS:
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
        microseconds = self._container.duration
        self._duration_s = microseconds / 1e6 if microseconds and microseconds > 0 else None

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that the header states; 0 where it states none."""
        return int(self._stream.codec_context.sample_rate or 0)

    @property
    def n_channels(self) -> int:
        """Number of channels that the header states; 0 where it states none."""
        return int(self._stream.codec_context.channels or 0)

    @property
    def duration_s(self) -> float | None:
        """Length in seconds that the container states or FFmpeg estimates; None if unknown."""
        return self._part.promised_s or self._duration_s

    def _read(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        if self._remark:
            yield Notice(0, 1, self._remark, self._remark_level)
        timeline = FrameTimeline(self._begin_s() if self._is_as_played else None)
        if self._part.begins_damaged:
            timeline.lose(0.0, 0.0)
        damage = Damage(self._container.format.name, self._path)
        items = self._items(timeline, damage, stopped)
        yield from join_blocks(items, self._block_samples) if self._block_samples else items
        if damage.is_stopped:
            return
        yield from self._report_missing(timeline, damage)

    def _close(self) -> None:
        self._container.close()
        if self._file is not None:
            self._file.close()

    def _items(
        self, timeline: FrameTimeline, damage: Damage, stopped: Callable[[], bool]
    ) -> Iterator[Block | Gap | Notice]:
        """Decode to the end, or until reading fails."""
        try:
            for demuxed in demux(self._container, self._stream):
                if stopped():
                    damage.is_stopped = True
                    return
                packet = damage.without_tag(demuxed)
                if packet is None:
                    timeline.pass_over(float((demuxed.duration or 0) * demuxed.time_base))
                    continue
                try:
                    frames = packet.decode()
                except self._errors:
                    # The jump of the time stamps after it becomes the gap.
                    time_s = None if packet.pts is None else float(packet.pts * packet.time_base)
                    more_s = damage.add(packet)
                    if self._is_as_played:
                        timeline.lose(time_s, more_s)
                    timeline.is_damaged = True
                    continue
                if frames and (passed_s := damage.add_good(packet)) and self._is_as_played:
                    timeline.lose(None, passed_s)
                for frame in frames:
                    yield from timeline.place(frame)
        except self._errors as error:
            damage.end = self._why(error)
            # The threads of the decoder still hold frames read before the error.
            with suppress(*self._errors, EOFError):
                for frame in self._stream.codec_context.decode(None):
                    yield from timeline.place(frame)

    def _report_missing(self, timeline: FrameTimeline, damage: Damage) -> Iterator[Gap | Notice]:
        """Report missing audio: as a notice where it is negligible, else as an error."""
        if timeline.position == 0:
            if damage.end:
                raise StreamError(f"reading failed at 0.00 s: {damage.end}")
            raise SourceError("holds no audio that can be decoded")
        rate, decoded_s = timeline.sample_rate, timeline.position / timeline.sample_rate
        promised_s = self._promised_s(timeline)
        missing_s = promised_s - decoded_s
        faults = []
        if self._is_as_played and timeline.missing_s >= self._limit_s():
            faults.append(_tell_missing(timeline, damage))
        elif damage.is_audible:
            faults.append(f"{damage} could not be decoded")
        if missing_s >= self._slack_s():
            yield Gap(timeline.position, round(missing_s * rate), rate, "truncated")
            faults.append(
                f"is cut short: the header promises {promised_s:.2f} s, {decoded_s:.2f} s are there"
            )
        elif damage.end and not promised_s:
            raise StreamError(f"reading failed at {decoded_s:.2f} s: {damage.end}")
        elif damage.end:
            message = f"what follows its audio at {decoded_s:.2f} s is none: {damage.end}"
            yield Notice(timeline.position, rate, message)
        elif self._part.cut_off and not promised_s:
            faults.append(f"is cut short at {decoded_s:.2f} s: {self._part.cut_off}")
        elif self._part.cut_off and not faults:
            yield Notice(timeline.position, rate, f"{self._part.cut_off} behind its audio")
        elif damage.n_packets and not faults:
            lost_ms = 1000 * (damage.seconds or 0.0)
            yield Notice(
                timeline.position, rate, f"{damage} ({lost_ms:.0f} ms) could not be decoded"
            )
        if faults:
            raise SourceError("; ".join(faults) + RESULTS_KEPT)

    def _limit_s(self) -> float:
        """Return the seconds of audio between frames from which on they are missed."""
        # Frames of FLAC are numbered, so missing frames were in the file before.
        return 1e-9 if self._part.kind == "FLAC" else NEGLIGIBLE_S

    def _choose(self, first_track: int) -> Any:
        """Choose the first audio stream whose coding FFmpeg knows."""
        tracks = list(self._container.streams.audio)
        for number in range(first_track, len(tracks)):
            if tracks[number].codec_context is not None:
                if number > first_track:
                    self._remark = (
                        f"its audio track {first_track + 1} is in a coding that FFmpeg does not "
                        f"know: track {number + 1} is heard"
                    )
                elif len(tracks) > 1 and not first_track and self._is_as_played:
                    self._remark_level = "info"
                    self._remark = (
                        f"it has {len(tracks)} audio tracks, of which the first is heard (ffmpeg "
                        "-i FILE -map 0:a:1 OUT.wav takes out the second)"
                    )
                self.next_track = number + 1 if number + 1 < len(tracks) else None
                return tracks[number]
        self._container.close()
        known = "audio in a coding that FFmpeg does not know" if tracks else "no audio stream"
        raise StreamError(f"holds {known}")

    def _begin_s(self) -> float | None:
        """Return the time stamp at which a player begins; None for a container with one stream."""
        others = [*self._container.streams.video, *self._container.streams.audio]
        others = [stream for stream in others if not _is_picture(stream)]
        times = [
            float(stream.start_time * stream.time_base)
            for stream in others
            if stream.start_time is not None and stream.time_base
        ]
        return min(times) if len(others) > 1 and times else None

    def _promised_s(self, timeline: FrameTimeline) -> float:
        """Return the length that the header states, in seconds; 0 where FFmpeg only estimates it.

        It counts from the position at which a player begins.
        """
        if self._part.promised_s:
            return self._part.promised_s
        if self._part.promised_samples:
            return self._part.promised_samples / timeline.sample_rate
        container = self._length_format()
        if container is None or (self._part.cut_off and container in _BY_BYTES):
            return 0.0
        if self._stream.duration and self._stream.time_base:
            stated_s = float(self._stream.duration * self._stream.time_base) + timeline.late_s
        # The length of the container may be that of its video, and audio may end sooner.
        elif len(self._container.streams) > 1:
            return 0.0
        else:
            stated_s = self._duration_s or 0.0
        # Some containers count the length from 0, others from the first time stamp.
        begun_s = max(timeline.begin_s, 0.0) if container in _FROM_ZERO else 0.0
        # A damaged header may state months: no coding has less than a byte a second.
        return max(stated_s - begun_s, 0.0) if stated_s <= self._container.size else 0.0

    def _length_format(self) -> str | None:
        """Return the name of the container if its header states a length, else None."""
        names = self._container.format.name.split(",")
        if self._part.is_single and len(self._container.streams) == 1:
            return "ogg"
        return next((name for name in names if name in _SLACK_S and name != "ogg"), None)

    def _slack_s(self) -> float:
        part = self._part
        if part.promised_s or part.promised_samples or part.cut_off:
            return NEGLIGIBLE_S
        return _SLACK_S.get(self._length_format() or "", NEGLIGIBLE_S)

    def _why(self, error: BaseException) -> str:
        if isinstance(error, self._exit_error) and self._timeout_s:
            return f"nothing came for {self._timeout_s:g} s"
        return _reason(error)


_WITH_CHECKSUMS = frozenset(["flac", "tta", "wavpack", "ac3", "eac3"])
"""Codings with a checksum in each frame: FFmpeg passes over a wrong one, and delivers noise."""
_UNREACHABLE = (errno.EIO, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH)
"""What FFmpeg says of a host that has no address, or that does not answer."""
_NO_AUDIO = "is no audio that FFmpeg can open"
_SLACK_S = {
    "matroska": 0.5,
    "mov": 0.5,
    "asf": 0.5,
    "flv": 0.1,
    "ogg": 0.1,
    "avi": 0.5,
    "flac": NEGLIGIBLE_S,
    "wv": NEGLIGIBLE_S,
    "tta": NEGLIGIBLE_S,
    "ape": NEGLIGIBLE_S,
}
"""Containers whose header states the length, with the seconds by which that may exceed the audio's
own."""
_FROM_ZERO = ("matroska", "flac", "ogg")
"""Containers whose length counts from 0, wherever the first time stamp lies."""


def demux(container: Any, stream: Any) -> Iterator[Any]:
    """Yield a stream's packets, and at their end the one that makes its decoder give all it holds.

    In damaged files streams come up that were not there when the file was opened. PyAV may fail at
    them, behind all packets of the stream.
    """
    with suppress(IndexError):
        yield from container.demux(stream)


def count_decoded_seconds(path: Path) -> float | None:
    """Count the seconds of audio that FFmpeg decodes from a file; None if there is none.

    The header's length plays no part in it.
    """
    import av

    seconds = 0.0
    errors = (av.FFmpegError, OSError, ValueError)
    with suppress(*errors), av.open(str(path), metadata_errors="ignore") as container:
        tracks = [track for track in container.streams.audio if track.codec_context is not None]
        for packet in demux(container, tracks[0]) if tracks else ():
            with suppress(*errors):
                seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
    return seconds or None


def decode_from(path: Path, seconds: float) -> Iterator[Block]:
    """Decode a file from shortly before a place on, which is found by time stamps.

    This is fast for any place, and is meant for playback, not for results: missing audio is not
    reported, and decoding ends without an error where reading fails.

    Args:
        path: The file.
        seconds: The place.
    """
    import av

    with (
        suppress(av.FFmpegError, OSError, ValueError),
        av.open(str(path), metadata_errors="ignore") as container,
    ):
        track = next(t for t in container.streams.audio if t.codec_context is not None)
        begin_s = float((track.start_time or 0) * (track.time_base or 0))
        container.seek(round((seconds + begin_s) * av.time_base))
        position: int | None = None
        for frame in (frame for packet in demux(container, track) for frame in packet.decode()):
            waveform = waveform_of(frame)
            if position is None and frame.time is not None:
                position = max(round((frame.time - begin_s) * frame.sample_rate), 0)
            if position is not None:
                yield Block(position, waveform, frame.sample_rate)
                position += waveform.shape[1]


def _tell_missing(timeline: FrameTimeline, damage: Damage) -> str:
    """Say how much audio is missing between frames, and where."""
    places = f"at {timeline.missing_at_s:.2f} s"
    if timeline.n_missing > 1:
        places = f"in {timeline.n_missing} places, the first {places}"
    why = f" ({damage})" if damage.n_packets else ""
    return f"lacks audio before its end: {timeline.missing_s:.2f} s {places}{why}"


_BY_BYTES = ("asf", "avi", "ogg")
"""Containers whose length FFmpeg takes from the size of the file, or from its last page."""


def _is_picture(stream: Any) -> bool:
    """Whether a video stream is a still cover picture."""
    disposition = getattr(stream, "disposition", None)
    return bool(disposition is not None and int(disposition) & _ATTACHED_PICTURE)


_ATTACHED_PICTURE = 0x400


def join_blocks(
    items: Iterable[Block | Gap | Notice], n_samples: int
) -> Iterator[Block | Gap | Notice]:
    """Join short blocks into blocks of at most ``n_samples``, because each block has a cost."""
    held: list[Block] = []
    n_held = 0
    for item in items:
        if held and not (isinstance(item, Block) and item.has_format_of(held[0])):
            yield _concatenate(held)
            held, n_held = [], 0
        if not isinstance(item, Block):
            yield item
            continue
        held.append(item)
        n_held += item.n_samples
        while n_held >= n_samples:
            whole = _concatenate(held)
            rest = Block(
                whole.position + n_samples, whole.waveform[:, n_samples:], whole.sample_rate
            )
            yield Block(whole.position, whole.waveform[:, :n_samples], whole.sample_rate)
            held, n_held = ([rest] if rest.n_samples else []), rest.n_samples
    if held:
        yield _concatenate(held)


def _concatenate(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    waveform = np.concatenate([block.waveform for block in blocks], axis=1)
    return Block(blocks[0].position, waveform, blocks[0].sample_rate)


def _is_url(source: object) -> bool:
    return isinstance(source, str) and "://" in source


def _tell_refusal(error: BaseException) -> tuple[str, str]:
    """What a stream does that cannot be opened, and what somebody may do about it."""
    import av

    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "refuses", "; give the user and the password as USER:PASSWORD@HOST"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "has no stream there", "; check the path"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "cannot be reached", "; rtsp://, http:// and https:// are usual"
    if isinstance(error, ConnectionRefusedError):
        return "cannot be reached", "; is it switched on, and the port right?"
    if getattr(error, "errno", None) in _UNREACHABLE:
        return "cannot be reached", "; check the host's name, and the network"
    return _NO_AUDIO, ""


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.strip(". ").lower() or type(error).__name__
