"""Recordings on disk, read in blocks by libsndfile or FFmpeg."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from streamclf.core.audio_endings import UNREADABLE
from streamclf.core.errors import RecordingError, SourceError
from streamclf.core.records import Block, Gap, Notice, rescale
from streamclf.sources.base import RESULTS_KEPT, Source
from streamclf.sources.containers.find_parts import find_parts, find_parts_after
from streamclf.sources.containers.part import Part
from streamclf.sources.containers.streamed_file import File, StreamedFile, open_binary, pure_path
from streamclf.sources.recording.libsndfile import BLOCK_SAMPLES, SndfileReader, clean_reason
from streamclf.sources.recording.piped import PipedRecording, is_piped, resolve_redirect
from streamclf.sources.recording.playlists import FILE_PLAYLIST, is_playlist
from streamclf.sources.recording.start_time import recorded_at

if TYPE_CHECKING:
    from streamclf.sources.recording.ffmpeg import Decoder

__all__ = ["BLOCK_SAMPLES", "Recording"]

_BY_FFMPEG = ("MP3", "OGG")
"""Formats left to FFmpeg: libsndfile only estimates the length of an MP3, and reads only one link
of a chained Ogg file."""


LOWEST_RATE = 100
"""Lowest sample rate in Hz; a damaged header states less, and makes weeks of a minute."""


class Recording(Source):
    """One audio file, delivered in blocks of at most `BLOCK_SAMPLES` and never loaded whole.

    A file may hold several recordings one after the other (a chain of Ogg streams, joined WAV
    files); they are read as one. The samples that the decoder delivers are the recording. Further
    samples that the header states are a gap.

    Args:
        path: The file. WAV of every width, FLAC, AIFF, AU, ... are read by libsndfile; MP3, Ogg,
            webm, m4a, mp4, mkv, wma, ... by FFmpeg (PyAV). ``-`` is standard input. Standard
            input, pipes and devices are read forward by FFmpeg
            (`streamclf.sources.recording.piped`). A `StreamedFile` is read in ranges from
            where it lies.
        name: Name of the source in results; by default the path as given.

    Raises:
        RecordingError: The file is missing, unreadable, empty or not audio. A fault further on in
            the file is raised by `blocks`, after the last good block.
        StreamclfError: A range of a streamed file cannot be had. `blocks` raises it as well, and
            what came before it is then no result.
    """

    def __init__(self, path: Path | str | StreamedFile, name: str | None = None) -> None:
        self.path: File
        if isinstance(path, StreamedFile):
            self.path, self.name = path, name or str(path)
        else:
            self.path = resolve_redirect(Path(path))
            # A name that is not UTF-8 is escaped, so that it can be written anywhere.
            self.name = name or os.fsencode(path).decode("utf-8", "backslashreplace")
        self._stopped = False
        self._read_to = 0
        self._begin = (0, 1)
        self._comment = ""
        self._duration_s: float | None = None
        self._parts: deque[Part] = deque()
        self._faults: list[str] = []
        self._reader: SndfileReader | Decoder | None = None
        self._piped = _open_pipe(self.path)
        if self._piped is None:
            try:
                self._open_parts()
            finally:
                self._check_streamed()

    def _open_parts(self) -> None:
        """Find the parts of the file, and open the first."""
        path = self.path
        _check_readable(path)
        try:
            self._parts = deque(find_parts(self.path))
        except OSError as error:
            raise RecordingError(f"{path}: {_why_unreadable(error)}") from error
        self._reader = self._open_first()
        rate = self._reader.sample_rate
        if 0 < rate < LOWEST_RATE:
            self.close()
            raise RecordingError(
                f"{path}: states a sample rate of {rate} Hz, at which there is no sound "
                f"({LOWEST_RATE} Hz at least): its header is damaged"
            )
        self._comment = self._reader.comment
        self._duration_s = self._reader.duration_s
        if self._duration_s is not None and len(self._parts) > 1:
            # Estimated from the bytes, because a chain may have thousands of links.
            self._duration_s *= _size_ratio(self.path, self._parts[0])

    @property
    def is_piped(self) -> bool:
        """Whether the recording comes through a pipe and can be read only once."""
        return self._piped is not None

    @property
    def duration_s(self) -> float | None:
        """Length in seconds that the header states or the bit rate suggests; it may be wrong."""
        return self._duration_s

    @property
    def promised_s(self) -> float | None:
        """Length in seconds that the header promises, which the file may not hold."""
        if isinstance(self._reader, SndfileReader) and len(self._parts) == 1:
            return self._reader.promised / self._reader.sample_rate
        return self._duration_s

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that the header states; 0 for a pipe, and where it states none."""
        return 0 if self._reader is None else self._reader.sample_rate

    @property
    def n_channels(self) -> int:
        """Number of channels that the header states; 0 for a pipe, and where it states none."""
        return 0 if self._reader is None else self._reader.n_channels

    @property
    def started(self) -> datetime | None:
        """Time of the first sample, as the recorder wrote it (see `recorded_at`)."""
        started = None if self._piped else recorded_at(self.path, self._comment)
        self._check_streamed()
        return started

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording at its own sample rate; a missing end is reported as a gap.

        Raises:
            RecordingError: The data is damaged or truncated; raised after all readable samples.
        """
        if self._piped is not None:
            yield from self._piped_blocks(self._piped)
            return
        end = _EndOfAudio(*self._begin)
        while self._parts and not self._stopped:
            part = self._parts.popleft()
            for remark in part.remarks:
                yield Notice(end.position, end.sample_rate, remark, "info")
            self._read_to = 0
            try:
                yield from self._read(part, end)
            except SourceError as error:
                self._check_streamed()
                self._add_fault(error)
            except soundfile.LibsndfileError:  # it cannot even be opened again where bytes lack
                self._check_streamed()
                raise
            if self._read_to and not self._stopped:
                self._parts.extend(find_parts_after(self.path, part, self._read_to))
            self.close()
            self._check_streamed()
        if self._faults:
            kept = RESULTS_KEPT if end.position else ""
            raise RecordingError(f"{self.name}: {'; '.join(self._faults)}{kept}")

    def extent(self) -> tuple[int, int] | str:
        """Return sample rate and length in samples, if it can be read from any sample on.

        Returns:
            Both, as the header states them; otherwise the reason, in a few words.
        """
        reader = self._reader
        if self._piped is not None:
            return "it comes through a pipe"
        if len(self._parts) != 1:
            return f"it has {len(self._parts)} parts"
        if not isinstance(reader, SndfileReader) or not reader.is_exact:
            return "its format has no exact places"
        if self._parts[0].cut_off or reader.promised != reader.n_samples:
            return "it is cut short"
        return reader.sample_rate, reader.n_samples

    def skip(self, seconds: float) -> bool:
        """Make `blocks` begin at a place, if that is possible to the sample.

        Args:
            seconds: The place.

        Returns:
            Whether `blocks` will begin there; otherwise it begins at 0. Blocks have their true
            positions in both cases.
        """
        if not isinstance(self._reader, SndfileReader) or len(self._parts) > 1:
            return False
        self._begin = self._reader.skip(seconds), self._reader.sample_rate
        return self._begin[0] > 0

    def stop(self) -> None:
        """End `blocks` after the current block; reading from a pipe ends at once."""
        self._stopped = True
        if self._piped is not None:
            self._piped.stop()

    def close(self) -> None:
        """Close the file."""
        if self._piped is not None:
            self._piped.close()
        if self._reader is not None:
            self._reader.close()

    def _piped_blocks(self, piped: PipedRecording) -> Iterator[Block | Gap | Notice]:
        """Yield the blocks of a pipe."""
        try:
            yield from piped.blocks()
        except SourceError as error:
            message = str(error)
            prefix = "" if message.startswith(self.name) else f"{self.name}: "
            raise RecordingError(f"{prefix}{message}") from error

    def _read(self, part: Part, end: _EndOfAudio) -> Iterator[Block | Gap | Notice]:
        """Read a part; if its first track cannot be decoded, read the next one."""
        reader = self._reader
        if end.n_parts or reader is None:
            reader = self._reader = _open(self.path, part)
        end.n_parts += 1
        while True:
            before = end.position
            try:
                for item in reader.blocks(lambda: self._stopped):
                    self._check_streamed()
                    yield from end.place(item)
                self._read_to = reader.read_to
                return
            except SourceError:
                self._check_streamed()
                self._read_to = reader.read_to
                following = reader.next_track if end.position == before else None
                if following is None:
                    raise
            reader.close()
            message = f"its audio track {following} cannot be decoded: the next one is heard"
            yield Notice(end.position, end.sample_rate, message)
            reader = self._reader = _open_decoder(self.path, part, following)

    def _check_streamed(self) -> None:
        """Raise the error of a streamed file: a decoder takes it for the file's end."""
        if isinstance(self.path, StreamedFile):
            self.path.check()

    def _open_first(self) -> SndfileReader | Decoder:
        """Open the first part that can be opened; the faults of those before it are kept."""
        while True:
            try:
                return _open(self.path, self._parts[0])
            except RecordingError as error:
                if len(self._parts) == 1:
                    raise
                self._add_fault(error)
                self._parts.popleft()

    def _add_fault(self, error: SourceError) -> None:
        """Keep a fault, to be raised when all is read."""
        self._faults.append(str(error).removeprefix(f"{self.name}: ").removesuffix(RESULTS_KEPT))


class _EndOfAudio:
    """End of the audio read so far, counted over parts that follow one another.

    Attributes:
        position: Position just after the last sample, at ``sample_rate``.
        sample_rate: Sample rate of the last record, in Hz.
        n_parts: Number of parts begun.
    """

    def __init__(self, position: int, sample_rate: int) -> None:
        self.position = position
        self.sample_rate = sample_rate
        self.n_parts = 0

    def place(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Yield a record of a part at its position in the whole recording."""
        rate = item.sample_rate
        if isinstance(item, Notice):
            place = rescale(self.position, self.sample_rate, rate)
            yield Notice(place, rate, item.message, item.level)
            return
        if rate != self.sample_rate:
            if self.position and self.n_parts > 1:
                message = f"sample rate changed from {self.sample_rate} to {rate} Hz"
                yield Notice(self.position, self.sample_rate, message, "info")
            self.position = rescale(self.position, self.sample_rate, rate)
            self.sample_rate = rate
        if isinstance(item, Gap):
            yield Gap(self.position, item.n_samples, rate, item.cause)
        else:
            yield Block(self.position, item.waveform, rate)
        self.position += item.n_samples


def _open_pipe(file: File) -> PipedRecording | None:
    """Open a pipe or a device; None for what can be read at any place."""
    if isinstance(file, StreamedFile) or not is_piped(file):
        return None
    return PipedRecording(file)


def _size_ratio(path: File, part: Part) -> float:
    """Return the size of the whole file divided by that of a part."""
    size = path.size if isinstance(path, StreamedFile) else path.stat().st_size
    return size / max((part.end or size) - part.start, 1)


def _check_readable(path: File) -> None:
    if isinstance(path, Path) and path.is_dir():
        raise RecordingError(f"{path}: is a folder, not a recording: name a file in it")
    try:
        with open_binary(path) as file:
            if not file.read(1):
                raise RecordingError(f"{path}: the file is empty (0 bytes): was it copied whole?")
    except OSError as error:
        raise RecordingError(f"{path}: {_why_unreadable(error)}") from error


def _why_unreadable(error: OSError) -> str:
    return f"cannot be opened: {(error.strerror or str(error)).lower()}"


def _open(path: File, part: Part) -> SndfileReader | Decoder:
    """Open a part with the library that can read it."""
    if part.reader == "ffmpeg" or (part.reader == "any" and _is_mpeg(path, part)):
        try:
            return _open_decoder(path, part)
        except RecordingError:
            instead = _open_instead(path, part)
            if instead is None:
                raise
            return instead
    try:
        reader = SndfileReader(path, part)
    except (soundfile.LibsndfileError, TypeError):
        # TypeError: soundfile takes a name ending in .raw for headerless audio.
        return _open_decoder(path, part)
    if reader.is_empty or (part.reader == "any" and reader.format in _BY_FFMPEG):
        reader.close()  # FFmpeg may find audio after a header that was never completed
        return _open_decoder(path, part)
    return reader


def _open_instead(path: File, part: Part) -> SndfileReader | None:
    """Open a part that FFmpeg refuses by libsndfile; None where that fails as well."""
    if _is_mpeg(path, part):
        return None  # libmpg123 would search it in vain, and write to standard error
    with suppress(soundfile.LibsndfileError, TypeError):
        reader = SndfileReader(path, part)
        if not reader.is_empty:
            return reader
        reader.close()
    return None


def _is_mpeg(path: File, part: Part) -> bool:
    """Whether libsndfile would take a part for MPEG audio, by its frames or its name alone."""
    by_name = not part.kind and pure_path(path).suffix.lower() in (".mp3", ".mp2", ".mp1")
    return part.kind == "MP3" or by_name


def _open_decoder(path: File, part: Part, first_track: int = 0) -> Decoder:
    from streamclf.sources.recording.ffmpeg import Decoder

    by_path = part.is_whole_file and not isinstance(path, StreamedFile)
    source = str(path) if by_path else part.open(path)
    try:
        return Decoder(source, part=part, first_track=first_track, block_samples=BLOCK_SAMPLES)
    except SourceError as error:
        raise RecordingError(f"{path}: {_why_not_audio(path, part, error)}") from error


_MAY_BE = "it may be damaged or cut short"


def _why_not_audio(path: File, part: Part, error: SourceError) -> str:
    """Return the most likely reason why neither library opens a file."""
    with open_binary(path) as file:
        head = file.read(512) or b""
    if is_playlist(pure_path(path), head):
        return FILE_PLAYLIST
    if not head.translate(None, bytes(range(0x20, 0x7F)) + b"\t\r\n"):
        return "holds text, not audio"
    if pure_path(path).suffix.lower() == ".onnx":
        return "is a model, not a recording: --model takes it"
    if not any(head):
        return (
            "begins with zeros where its header should be: its recorder did not finish it, or the "
            "card lost it"
        )
    if maker := UNREADABLE.get(pure_path(path).suffix.lower()):
        return f"is in a coding that only the program of {maker} reads: convert it to WAV with that"
    if part.kind == "OGG" or _is_mpeg(path, part):
        if "stream" in str(error):
            return str(error)
        return f"the header is damaged or cut short ({error})"
    try:
        SndfileReader(path, part).close()
    except soundfile.LibsndfileError as sndfile_error:
        if sndfile_error.code != 1:  # 1: format not recognised
            return (
                f"the header is damaged or cut short ({clean_reason(sndfile_error.error_string)})"
            )
    except TypeError:
        return (
            "headerless audio: streamclf listen --source - --raw FORMAT:RATE:CHANNELS < FILE "
            "hears it"
        )
    # What could be read well enough to know what it holds is whole.
    return str(error) if str(error).startswith("holds ") else f"{error}; {_MAY_BE}"


def open_recording(path: Path) -> Recording:
    """Open a recording.

    Raises:
        RecordingError: The recording cannot be opened; errors of the system are included.
    """
    try:
        return Recording(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RecordingError(f"{path}: cannot be opened: {reason}") from error
