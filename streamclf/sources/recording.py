"""Recordings on disk, streamed in blocks: libsndfile for what it reads, FFmpeg for the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamclf.errors import RecordingError, SourceError
from streamclf.records import Block, Gap, Notice, Waveform
from streamclf.sources.base import Source
from streamclf.sources.header import lacks_end, promised_frames
from streamclf.sources.piped import Piped, is_piped, redirected
from streamclf.sources.playlists import FILE_PLAYLIST, is_playlist
from streamclf.sources.recorded_at import recorded_at

BLOCK_SAMPLES = 65_536
"""Of blocks a quarter as long, what each block costs beside its samples is a tenth of all."""
_SEARCH_SAMPLES = 1024
"""Near damage, reads are this short, so that the last good samples are not lost with it."""


class Recording(Source):
    """One audio file, delivered in blocks of at most `BLOCK_SAMPLES`, never loaded whole.

    Args:
        path: WAV of every width, FLAC, Ogg, Opus, MP3, AIFF, ... through libsndfile; webm, m4a,
            mp4, mkv, wma, ... through FFmpeg (PyAV). ``-`` is standard input; that, pipes and
            devices are read forward by FFmpeg (`streamclf.sources.piped`).

    Raises:
        RecordingError: It is missing, unreadable, empty or no audio. What is wrong further on
            is raised by `blocks` after the last good block.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = redirected(Path(path))
        # A name that is no UTF-8 must not break what writes it.
        self.name = os.fsencode(path).decode("utf-8", "backslashreplace")
        self._stopped = False
        self._duration_s: float | None = None
        self._comment = ""
        self._file: soundfile.SoundFile | None = None
        self._decoder: Any = None
        self._piped = Piped(self.path) if is_piped(self.path) else None
        if self._piped is not None:
            return
        _check_readable(self.path)
        self._file = _open_soundfile(self.path)
        self._comment = self._file.comment if self._file else ""
        self._decoder = None if self._file else _open_decoder(self.path)
        if self._file is not None:
            self._duration_s = self._file.frames / self._file.samplerate
        else:
            self._duration_s = self._decoder.duration_s if self._decoder else None

    @property
    def is_piped(self) -> bool:
        """Whether it is read forward, once, as it comes."""
        return self._piped is not None

    @property
    def duration_s(self) -> float | None:
        """Length in seconds as the header tells it."""
        return self._duration_s

    @property
    def started(self) -> datetime | None:
        """When it began, as the recorder wrote it down (see `recorded_at`)."""
        return None if self._piped else recorded_at(self.path, self._comment)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording at its own rate; a missing end is reported as a gap.

        Raises:
            RecordingError: The data is damaged or cut short, after all that could be read.
        """
        try:
            if self._file is not None:
                yield from self._read(self._file)
            elif self._piped is not None:
                yield from self._piped.blocks()
            elif self._decoder is not None:
                yield from self._decoder.blocks(lambda: self._stopped)
        except SourceError as error:
            message = str(error)
            prefix = "" if message.startswith(self.name) else f"{self.name}: "
            raise RecordingError(f"{prefix}{message}") from error

    def stop(self) -> None:
        """End after the current block; a pipe at once."""
        self._stopped = True
        if self._piped is not None:
            self._piped.stop()

    def close(self) -> None:
        """Close the file."""
        if self._piped is not None:
            self._piped.close()
        if self._file is not None:
            self._file.close()
        if self._decoder is not None:
            self._decoder.close()

    def _read(self, file: soundfile.SoundFile) -> Iterator[Block | Gap | Notice]:
        rate, position, size = int(file.samplerate), 0, BLOCK_SAMPLES
        promised = promised_frames(file)
        end = max(promised, int(file.frames))
        fault, reason = "", ""
        while not self._stopped:
            try:
                waveform = _read_block(file, size)
            except soundfile.LibsndfileError as error:
                if size == BLOCK_SAMPLES:
                    reason = _tidy(error.error_string)
                    file, size = self._reopen(), _SEARCH_SAMPLES
                    if _can_read(file, position):
                        continue  # good samples come first
                fault = fault or f"the data is damaged at {position / rate:.2f} s ({reason})"
                file, resumed = self._search(file, position, end)
                if resumed >= end:
                    break
                yield Gap(position, resumed - position, rate, "damaged")
                position, size = resumed, BLOCK_SAMPLES
                continue
            if not waveform.shape[1]:
                break
            yield Block(position, waveform, rate)
            position += waveform.shape[1]
        if self._stopped:
            return
        if position < promised:
            yield Gap(position, promised - position, rate, "truncated")
            fault = fault or (
                f"is cut short: the header promises {promised / rate:.2f} s, "
                f"the file holds {position / rate:.2f} s"
            )
        elif lacks_end(file):
            at = f"{position / rate:.2f} s"
            fault = fault or f"is cut short at {at}: its last page is missing or damaged"
        if fault:
            raise RecordingError(f"{self.name}: {fault}; the results of the rest are kept")

    def _search(
        self, file: soundfile.SoundFile, position: int, end: int
    ) -> tuple[soundfile.SoundFile, int]:
        """Where behind damage reading can go on, or ``end``: twice as far ahead at each try."""
        ahead = _SEARCH_SAMPLES
        while position + ahead < end and not self._stopped:
            file = self._reopen()
            if _can_read(file, position + ahead):
                return file, position + ahead
            ahead *= 2
        return file, end

    def _reopen(self) -> soundfile.SoundFile:
        """Open anew: libsndfile does not recover from an error."""
        if self._file is not None:
            self._file.close()
        self._file = _sound_file(self.path)
        return self._file


def _read_block(file: soundfile.SoundFile, size: int) -> Waveform:
    """``(channels, samples)``."""
    if file.subtype == "PCM_16":
        # The same values, at less than half of libsndfile's cost.
        samples = file.read(size, dtype="int16", always_2d=True).T
        waveform: Waveform = np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
        return waveform
    return np.asarray(file.read(size, dtype="float32", always_2d=True).T, dtype=np.float32)


def _can_read(file: soundfile.SoundFile, position: int) -> bool:
    """Whether there are samples at a position; the next read begins there."""
    try:
        file.seek(position)
        found = len(file.read(1, always_2d=True)) == 1
        file.seek(position)
    except soundfile.LibsndfileError:
        return False
    return found


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise RecordingError(f"{path}: is a folder, not a recording: name a file in it")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise RecordingError(f"{path}: the file is empty (0 bytes): was it copied whole?")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RecordingError(f"{path}: cannot be opened: {reason}") from error


def _sound_file(path: Path) -> soundfile.SoundFile:
    # As bytes, for soundfile refuses names that are no UTF-8.
    return soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """Open with libsndfile, or None where FFmpeg should try."""
    try:
        file = _sound_file(path)
    except (soundfile.LibsndfileError, TypeError):
        # TypeError: soundfile takes .raw for headerless audio and asks for its parameters.
        return None
    if file.frames:
        return file
    file.close()  # FFmpeg finds the audio behind a header that was never completed
    return None


def _open_decoder(path: Path) -> Any:
    from streamclf.sources.decode import Decoder

    try:
        return Decoder(str(path))
    except SourceError as error:
        raise RecordingError(f"{path}: {_why_not_audio(path, error)}") from error


def _why_not_audio(path: Path, error: SourceError) -> str:
    """Say the likeliest thing about a file that neither library opens."""
    with path.open("rb") as file:
        head = file.read(512)
    if is_playlist(path, head):
        return FILE_PLAYLIST
    if not head.translate(None, bytes(range(0x20, 0x7F)) + b"\t\r\n"):
        return "holds text, not audio"
    try:
        _sound_file(path).close()
    except soundfile.LibsndfileError as sndfile_error:
        if sndfile_error.code != 1:  # 1: format not recognised
            reason = _tidy(sndfile_error.error_string)
            # Of an MP3 cut short libsndfile says that it does not exist.
            told = "" if "does not exist" in reason else f" ({reason})"
            return f"the header is damaged or cut short{told}"
    except TypeError:
        return "headerless audio: pipe it in with --source - --raw FORMAT:RATE:CHANNELS"
    return f"{error}; it may be damaged or cut short"


def _tidy(reason: str) -> str:
    return re.sub(r"^Error (in|:|opening) *:? *", "", reason).strip(". ")
