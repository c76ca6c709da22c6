"""Recordings on disk, streamed in blocks: libsndfile for what it reads, FFmpeg for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamclf.errors import RecordingError, SourceError
from streamclf.records import Block, Gap, Notice
from streamclf.sources.base import Source

BLOCK_SAMPLES = 65_536
_UNKNOWN_LENGTH = 0x7FFF_0000
"""Data sizes from here on are what a program writes that pipes a WAV: not a promise."""


class Recording(Source):
    """One audio file, delivered in blocks of at most `BLOCK_SAMPLES`, never loaded whole.

    Args:
        path: WAV of every width, FLAC, Ogg, Opus, MP3, AIFF, ... through libsndfile; webm, m4a,
            mp4, mkv, wma, ... through FFmpeg (PyAV).

    Raises:
        RecordingError: It is missing, unreadable, empty or no audio. What is wrong further on
            is raised by `blocks` after the last good block.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = str(path)
        self._stopped = False
        _check_readable(self.path)
        self._file: soundfile.SoundFile | None = _open_soundfile(self.path)
        self._decoder = None if self._file else _open_decoder(self.path)

    @property
    def duration_s(self) -> float | None:
        """Length in seconds as the header tells it."""
        if self._file is not None:
            return float(self._file.frames / self._file.samplerate)
        return self._decoder.duration_s if self._decoder else None

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording at its own rate; a missing end is reported as a gap.

        Raises:
            RecordingError: The data is damaged or cut short, after all that could be read.
        """
        try:
            if self._file is not None:
                yield from self._read(self._file)
            elif self._decoder is not None:
                yield from self._decoder.blocks(lambda: self._stopped)
        except SourceError as error:
            message = str(error)
            prefix = "" if message.startswith(self.name) else f"{self.name}: "
            raise RecordingError(f"{prefix}{message}") from error

    def stop(self) -> None:
        """End after the current block."""
        self._stopped = True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        if self._decoder is not None:
            self._decoder.close()

    def _read(self, file: soundfile.SoundFile) -> Iterator[Block | Gap | Notice]:
        rate, position = int(file.samplerate), 0
        damage: str | None = None
        while not self._stopped:
            try:
                waveform = file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True).T
            except soundfile.LibsndfileError as error:
                reason = _tidy(error.error_string)
                damage = f"the data is damaged at {position / rate:.2f} s ({reason})"
                break
            if not waveform.shape[1]:
                break
            yield Block(position, np.ascontiguousarray(waveform), rate)
            position += waveform.shape[1]
        if self._stopped:
            return
        promised = max(int(file.frames), _promised_frames(file))
        if damage is None and position < promised:
            damage = (
                f"is cut short: the header promises {promised / rate:.2f} s, "
                f"the file holds {position / rate:.2f} s"
            )
        if damage is None and position == 0:
            raise RecordingError(f"{self.name}: holds no audio (0 samples)")
        if damage is not None:
            if position < promised:
                yield Gap(position, promised - position, rate, "truncated")
            raise RecordingError(f"{self.name}: {damage}; the results up to there are kept")


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise RecordingError(f"{path}: is a folder, not a recording")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise RecordingError(f"{path}: the file is empty (0 bytes)")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RecordingError(f"{path}: cannot be opened: {reason}") from error


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """Open with libsndfile, or None where FFmpeg should try."""
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError):
        # TypeError: soundfile takes .raw for headerless audio and asks for its parameters.
        return None
    if file.frames or file.format == "WAV":
        return file
    file.close()  # an Ogg without its end has no length for libsndfile; FFmpeg reads it
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
    try:
        soundfile.SoundFile(path).close()
    except soundfile.LibsndfileError as sndfile_error:
        if sndfile_error.code != 1:  # 1: format not recognised
            return f"the header is damaged or cut short ({_tidy(sndfile_error.error_string)})"
    except TypeError:
        return "headerless audio: pipe it in with --source - --raw FORMAT:RATE:CHANNELS"
    text = bytes(range(0x20, 0x7F)) + b"\t\r\n"
    if not head.translate(None, text):
        return "holds text, not audio"
    return str(error)


def _tidy(reason: str) -> str:
    return re.sub(r"^Error (in|:|opening) *:? *", "", reason).strip(". ")


def _promised_frames(file: soundfile.SoundFile) -> int:
    """Frames that a WAV's header promises; libsndfile quietly counts those that are there."""
    found = re.search(r"^data\s*: (\d+) \(should be \d+\)", file.extra_info, re.MULTILINE)
    if found is None or file.format not in ("WAV", "WAVEX"):
        return 0
    n_bytes = int(found.group(1))
    align = re.search(r"Block Align\s*: (\d+)", file.extra_info)
    if n_bytes >= _UNKNOWN_LENGTH or align is None or not file.subtype.startswith(_LINEAR):
        return 0
    return n_bytes // max(int(align.group(1)), 1)


_LINEAR = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Subtypes in which one block of bytes is one frame."""
