"""Recordings from a pipe: ``-``, ``/dev/stdin``, ``<(...)``, a named pipe, a device.

FFmpeg reads them forward, once, in a thread. So `PipedRecording.stop` can end a wait for a writer
that never comes.
"""

from __future__ import annotations

import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

from streamclf.core.errors import RecordingError, SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.prefetch import PrefetchThread
from streamclf.sources.recording.frame_timeline import LATE_START
from streamclf.sources.recording.piped_pcm import LeftOutError, PipedPcm, is_pcm
from streamclf.sources.recording.promised_length import (
    mp3_samples,
    promised_samples,
    remove_padding,
)

STANDARD_INPUT = Path("-")

NOTICE_AFTER_S = 1.0
"""Seconds of waiting for the first byte after which a notice is given."""

_WAKE_S = 0.2
"""Seconds between two checks of a waiting thread whether to stop."""

_HEAD_BYTES = 65_536
_KIND_BYTES = 12
"""Number of bytes that identify RIFF and related formats."""
_SLACK_S = 0.05
"""Seconds; less than this does not count as missing, because encoders round lengths."""

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")


def is_piped(path: Path) -> bool:
    """Whether a path can only be read forward: a pipe, a socket or a device."""
    if path == STANDARD_INPUT:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def resolve_redirect(path: Path) -> Path:
    """Return the path, or for ``-`` a path of the file that standard input is redirected from.

    Such a file is read like any other, from its beginning.
    """
    stdin_path = Path("/dev/stdin")
    try:
        is_redirected = path == STANDARD_INPUT and sys.stdin is not None
        if is_redirected and stat.S_ISREG(os.fstat(0).st_mode) and stdin_path.exists():
            return stdin_path
    except OSError:  # opening it reports the error
        pass
    return path


def check_can_reread(path: Path, what: str) -> None:
    """Refuse a pipe for a task that reads audio more than once.

    Args:
        path: Path of the recording.
        what: Name of the task, as the subject of a sentence.

    Raises:
        RecordingError: The recording can be read only once.
    """
    if is_piped(resolve_redirect(path)):
        raise RecordingError(
            f"{path}: comes through a pipe, which can be read once; {what} reads more than once: "
            "write it into a file first"
        )


class PipedRecording:
    """Reader of a recording that comes through a pipe.

    Args:
        path: The pipe; ``-`` is standard input.

    Raises:
        RecordingError: Standard input is closed, or a terminal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = PrefetchThread(self._produce)
        if _descriptor(path) == 0:
            _check_standard_input(path)

    def blocks(self) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they come; may be iterated once.

        Raises:
            SourceError: No bytes came, they are not audio, or the audio is shorter than its header
                states.
        """
        yield from self._thread

    def stop(self) -> None:
        """Stop reading, even while waiting; may be called from a signal handler."""
        self._thread.stop()

    def close(self) -> None:
        """End the thread, which closes the pipe."""
        self._thread.stop()
        self._thread.join(2 * _WAKE_S)

    def _produce(self) -> Iterator[Block | Gap | Notice]:
        pipe = _Pipe(self._path, lambda: self._thread.stopped)
        with closing(pipe):
            yield from self._wait(pipe)
            if not self._thread.stopped:
                yield from self._decode(pipe)

    def _wait(self, pipe: _Pipe) -> Iterator[Notice]:
        """Wait until there is something to read; yields a notice if that takes long."""
        began, said = time.monotonic(), False
        while not (pipe.is_ready() or self._thread.stopped):
            if not said and time.monotonic() - began > NOTICE_AFTER_S:
                said = True
                yield Notice(0, 1, "nothing has come through this pipe yet, waiting", "info")

    def _decode(self, pipe: _Pipe) -> Iterator[Block | Gap | Notice]:
        position, rate, has_gap = 0, 1, False
        fault: SourceError | None = None
        try:
            items = decode_forward(pipe, lambda: self._thread.stopped, RAW_HINT, as_played=True)
            for item in remove_padding(items, lambda: mp3_samples(pipe.head)):
                yield item
                if not isinstance(item, Notice):
                    position, rate = item.end, item.sample_rate
                has_gap = has_gap or (isinstance(item, Gap) and item.cause != LATE_START)
        except SourceError as error:
            fault = error
        if self._thread.stopped:
            return
        promised = promised_samples(pipe.head, rate)
        missing = promised - position
        if missing > _SLACK_S * rate:
            yield Gap(position, missing, rate, "truncated")
            fault = fault or SourceError(
                f"is cut short: the header promises {promised / rate:.2f} s, {position / rate:.2f} "
                "s came through the pipe; the results of the rest are kept"
            )
        # If all stated samples came, an error after them is about tags or other bytes.
        has_gap = has_gap or missing > _SLACK_S * rate
        is_lost = has_gap or not promised or isinstance(fault, LeftOutError)
        if fault is not None and is_lost:
            raise fault


class ForwardFile(Protocol):
    """A file that is read forward only, and keeps its first bytes.

    Attributes:
        head: The first bytes that came.
    """

    head: bytes

    def read(self, size: int) -> bytes | None:
        """Return at least one and at most ``size`` bytes; none at the end."""


def decode_forward(
    file: ForwardFile, stopped: Callable[[], bool], raw_hint: str, *, as_played: bool = False
) -> Iterator[Block | Gap | Notice]:
    """Decode audio from a pipe.

    Args:
        file: The pipe; it is read to its end.
        stopped: Called before each packet; True ends the stream.
        raw_hint: Advice for headerless samples, for the error message.
        as_played: Whether positions count from where a player begins, see `Decoder`.

    Raises:
        SourceError: No bytes came, they are not audio, or reading failed.
    """
    from streamclf.sources.recording.ffmpeg import Decoder

    can_seek = _may_seek(file)
    pcm = PipedPcm(file)
    has_audio, position, rate = False, 0, 1
    try:
        with closing(Decoder(file if can_seek else pcm, as_played=as_played)) as decoder:
            for item in decoder.blocks(stopped):
                has_audio = True
                if not isinstance(item, Notice):
                    position, rate = item.end, item.sample_rate
                yield item
    except SourceError as error:
        if stopped():
            return
        if has_audio:
            raise
        why = pcm.refusal or _why_no_audio(file.head, error, raw_hint)
        raise SourceError(why) from error
    for remark in pcm.remarks():
        yield Notice(position, rate, remark, "info")
    if pcm.fault:
        raise LeftOutError(pcm.fault)


def _may_seek(file: Any) -> bool:
    """Whether FFmpeg may seek: in a file whose header needs no correction."""
    if not getattr(file, "seekable", bool)():
        return False
    place = file.tell()
    begins = file.read(_KIND_BYTES)
    file.seek(place)
    return not is_pcm(begins or b"")


RAW_HINT = (
    "if it is a file, give the file itself; for headerless samples use "
    "streamclf listen --source - --raw s16le:16000:1"
)


def _why_no_audio(head: bytes, error: SourceError, raw_hint: str) -> str:
    if not head:
        return "ended before any audio came"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
        return (
            "is an MP4 (M4A, MOV) with its index behind the audio, which cannot be read forward: "
            "give the file itself, or write it with ffmpeg -movflags +faststart"
        )
    return f"{error}; {raw_hint}"


class _Pipe:
    """Pipe for FFmpeg to read from; waiting for bytes ends when ``stopped`` says so.

    Args:
        path: The pipe.
        stopped: Called while waiting; True ends the wait.

    Attributes:
        head: The first bytes that came.

    Raises:
        SourceError: The pipe cannot be opened.
    """

    def __init__(self, path: Path, stopped: Callable[[], bool]) -> None:
        self.head = b""
        self._stopped = stopped
        number = _descriptor(path)
        try:
            # An open descriptor is duplicated, because opening its path again fails for a socket
            # and for a pipe of another user. O_NONBLOCK: opening a named pipe would otherwise wait
            # for a writer.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
            self._fd = os.open(path, flags) if number is None else os.dup(number)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceError(f"cannot be opened: {reason}") from error
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._fd, select.POLLIN)

    def is_ready(self) -> bool:
        """Wait a moment; whether a read returns at once, with bytes or with the end of the pipe."""
        return self._poll is None or bool(self._poll.poll(1000 * _WAKE_S))

    def read(self, size: int) -> bytes:
        """Return at least one and at most ``size`` bytes; none at the end or when stopped."""
        while not self._stopped():
            if not self.is_ready():
                continue
            with suppress(BlockingIOError):  # another reader of the pipe took the bytes
                data = os.read(self._fd, size)
                if len(self.head) < _HEAD_BYTES:
                    self.head += data[: _HEAD_BYTES - len(self.head)]
                return data
        return b""

    def close(self) -> None:
        os.close(self._fd)


def _descriptor(path: Path) -> int | None:
    """Return the descriptor that a path names, of a file that this process has open; else None."""
    text = path.as_posix()
    if text in (STANDARD_INPUT.as_posix(), "/dev/stdin"):
        return 0
    found = _DESCRIPTOR.fullmatch(text)
    return int(found[1]) if found else None


def _check_standard_input(path: Path) -> None:
    # If standard input was closed from the beginning, descriptor 0 may be any file by now.
    if sys.stdin is None:
        raise RecordingError(f"{path}: standard input is closed: pipe a recording in")
    if os.isatty(0):
        raise RecordingError(
            f"{path}: standard input is a terminal: pipe a recording in, as in "
            "cat x.wav | streamclf file -"
        )
