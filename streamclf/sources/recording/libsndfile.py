"""A part of a file through libsndfile, read on behind damage."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.base import KEPT
from streamclf.sources.containers.part import NEXT_TO_NOTHING_S, Part, PartFile

BLOCK_SAMPLES = 65_536
"""Of blocks a quarter as long, what each block costs beside its samples is a tenth of all."""
_SEARCH_SAMPLES = 1024
"""Near damage, reads are this short, so that the last good samples are not lost with it."""


class SndfileReader:
    """A part of a file, delivered in blocks of at most `BLOCK_SAMPLES`.

    Args:
        path: The file.
        part: Of it.

    Attributes:
        next_track: None: there is but one.
        comment: In its metadata.
        duration_s: By its header.
        sample_rate: In Hz.
        read_to: Byte that the decoder had reached at the end; 0 where that does not matter.

    Raises:
        soundfile.LibsndfileError: libsndfile does not read it.
        TypeError: The name is that of headerless audio.
    """

    next_track: int | None = None

    def __init__(self, path: Path, part: Part) -> None:
        self._path = path
        self._part = part
        self.read_to = 0
        self._bytes: PartFile | None = None
        self._number = -1
        self._file = self._open()
        self.comment = self._file.comment
        self.format = str(self._file.format)
        self.duration_s = self._file.frames / self._file.samplerate
        self.is_empty = not self._file.frames
        self.sample_rate = int(self._file.samplerate)
        self._begin = 0

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """Yield the part at its own rate; what is missing is a gap.

        Args:
            stopped: Asked before each block; True ends the part.

        Raises:
            SourceError: The data is damaged or cut short, after all that could be read.
        """
        file, rate, position, size = self._file, self.sample_rate, self._begin, BLOCK_SAMPLES
        promised = max(self._part.promised_samples, int(file.frames))
        fault, reason = "", ""
        while not stopped():
            try:
                waveform = _read_block(file, size)
            except soundfile.LibsndfileError as error:
                if size == BLOCK_SAMPLES:
                    reason = tidy(error.error_string)
                    file, size = self._reopen(), _SEARCH_SAMPLES
                    if _can_read(file, position):
                        continue  # good samples come first
                file, resumed = self._search(position, promised, stopped)
                if resumed >= promised:
                    break  # nothing can be read behind it: it is cut short
                fault = fault or f"the data is damaged at {position / rate:.2f} s ({reason})"
                yield Gap(position, resumed - position, rate, "damaged")
                position, size = resumed, BLOCK_SAMPLES
                continue
            if not waveform.shape[1]:
                break
            yield Block(position, waveform, rate)
            position += waveform.shape[1]
        if stopped():
            return
        missing_s = (promised - position) / rate
        if 0 < missing_s < NEXT_TO_NOTHING_S and not fault:
            message = f"the header promises {missing_s * 1000:.1f} ms more than the file holds"
            yield Notice(position, rate, message, "info")
        elif missing_s > 0:
            yield Gap(position, promised - position, rate, "truncated")
            fault = fault or (
                f"is cut short: the header promises {promised / rate:.2f} s, "
                f"the file holds {position / rate:.2f} s"
            )
        if self._part.cut_off and not fault:
            fault = f"is cut short at {position / rate:.2f} s: {self._part.cut_off}"
        if self._part.kind == "FLAC":
            self.read_to = self._part.start + self._tell()
        if fault:
            raise SourceError(f"{fault}{KEPT}")

    def skip(self, seconds: float) -> int:
        """Begin there, or at the beginning where there is nothing to be read; the position."""
        position = round(seconds * self.sample_rate)
        if _can_read(self._file, position):
            self._begin = position
        else:
            self._reopen()
        return self._begin

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._bytes is not None:
            self._bytes.close()

    def _tell(self) -> int:
        """Bytes read so far."""
        if self._bytes is not None:
            return self._bytes.tell()
        return os.lseek(self._number, 0, os.SEEK_CUR)

    def _open(self) -> soundfile.SoundFile:
        self._bytes, self._number = None, -1
        if not self._part.is_whole_file or (self._part.kind == "FLAC" and os.name == "nt"):
            self._bytes = self._part.open(self._path)
            return soundfile.SoundFile(self._bytes)
        if self._part.kind == "FLAC":
            # By its number, so that the byte it was read to can be asked for.
            self._number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return soundfile.SoundFile(self._number)
        # As bytes, for soundfile refuses names that are no UTF-8.
        return soundfile.SoundFile(self._path if os.name == "nt" else os.fsencode(self._path))

    def _reopen(self) -> soundfile.SoundFile:
        """Open anew: libsndfile does not recover from an error."""
        self.close()
        self._file = self._open()
        return self._file

    def _search(
        self, position: int, end: int, stopped: Callable[[], bool]
    ) -> tuple[soundfile.SoundFile, int]:
        """Where behind damage reading can go on, or ``end``: twice as far ahead at each try."""
        ahead, file = _SEARCH_SAMPLES, self._file
        while position + ahead < end and not stopped():
            file = self._reopen()
            if _can_read(file, position + ahead):
                return file, position + ahead
            ahead *= 2
        return file, end


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


def tidy(reason: str) -> str:
    """A reason of libsndfile's, without what begins and ends it."""
    return re.sub(r"^Error (in|:|opening) *:? *", "", reason).strip(". ")
