"""A recording that comes through a pipe: ``-``, ``/dev/stdin``, ``<(...)``, a named pipe, a device.

It is read forward, once, by FFmpeg, in a thread: whoever waits for a writer that never comes is
woken by `Piped.stop`.
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
from streamclf.sources.prefetch import Pump
from streamclf.sources.recording.piped_sizes import LeftOutError, Sizes, names_size
from streamclf.sources.recording.promised_length import (
    promised_samples,
    samples_of_mp3,
    without_padding,
)

STANDARD_INPUT = Path("-")

TELL_AFTER_S = 1.0
"""Of waiting for the first byte."""

_WAKE_S = 0.2
"""How often a thread that waits looks whether it is to end."""

_HEAD_BYTES = 65_536
_KIND_BYTES = 12
"""Of a RIFF file and its kin, as many bytes tell what it is."""
_SLACK_S = 0.05
"""Less than this is not missing: encoders round."""

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")


def is_piped(path: Path) -> bool:
    """Whether a path is read forward alone: a pipe, a socket or a device."""
    if path == STANDARD_INPUT:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def redirected(path: Path) -> Path:
    """The path itself, or for ``-`` the file that standard input is redirected from, if it is one.

    Such a file is read as any other, from its beginning.
    """
    behind = Path("/dev/stdin")
    try:
        given = path == STANDARD_INPUT and sys.stdin is not None
        if given and stat.S_ISREG(os.fstat(0).st_mode) and behind.exists():
            return behind
    except OSError:  # opening it says so
        pass
    return path


def check_can_reread(path: Path, what: str) -> None:
    """Refuse a pipe where audio is read more than once.

    Args:
        path: Of the recording.
        what: What wants to, as the subject of a sentence.

    Raises:
        RecordingError: It can be read once.
    """
    if is_piped(redirected(path)):
        raise RecordingError(
            f"{path}: comes through a pipe, which can be read once; {what} reads more than once: "
            "write it into a file first"
        )


class Piped:
    """Audio that comes through a pipe.

    Args:
        path: ``-`` is standard input.

    Raises:
        RecordingError: Standard input is closed, or a terminal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pump = Pump(self._produce)
        if _descriptor(path) == 0:
            _check_standard_input(path)

    def blocks(self) -> Iterator[Block | Gap | Notice]:
        """Yield blocks as they come; to be iterated once.

        Raises:
            SourceError: Nothing came, what came is no audio, or it ends before its promised end.
        """
        yield from self._pump

    def stop(self) -> None:
        """End, even while waiting; may be called from a signal handler."""
        self._pump.stop()

    def close(self) -> None:
        """End the thread, which closes the pipe."""
        self._pump.stop()
        self._pump.join(2 * _WAKE_S)

    def _produce(self) -> Iterator[Block | Gap | Notice]:
        pipe = _Pipe(self._path, lambda: self._pump.stopped)
        with closing(pipe):
            yield from self._wait(pipe)
            if not self._pump.stopped:
                yield from self._decode(pipe)

    def _wait(self, pipe: _Pipe) -> Iterator[Notice]:
        """Until there is something to read; says so if that takes time."""
        began, said = time.monotonic(), False
        while not (pipe.is_ready() or self._pump.stopped):
            if not said and time.monotonic() - began > TELL_AFTER_S:
                said = True
                yield Notice(0, 1, "nothing has come through this pipe yet, waiting", "info")

    def _decode(self, pipe: _Pipe) -> Iterator[Block | Gap | Notice]:
        position, rate, is_cut = 0, 1, False
        fault: SourceError | None = None
        try:
            items = decode_forward(pipe, lambda: self._pump.stopped, RAW, as_played=True)
            for item in without_padding(items, lambda: samples_of_mp3(pipe.head)):
                yield item
                if not isinstance(item, Notice):
                    position, rate = item.end, item.sample_rate
                is_cut = is_cut or (isinstance(item, Gap) and item.cause == "truncated")
        except SourceError as error:
            fault = error
        if self._pump.stopped:
            return
        promised = promised_samples(pipe.head, rate)
        missing = promised - position
        if missing > _SLACK_S * rate:
            yield Gap(position, missing, rate, "truncated")
            fault = fault or SourceError(
                f"is cut short: the header promises {promised / rate:.2f} s, {position / rate:.2f} "
                "s came through the pipe; the results of the rest are kept"
            )
        # Where all came that was promised, what follows are tags or other bytes.
        is_cut = is_cut or missing > _SLACK_S * rate
        is_lost = is_cut or not promised or isinstance(fault, LeftOutError)
        if fault is not None and is_lost:
            raise fault


class Forward(Protocol):
    """What can be read forward, and keeps how it began.

    Attributes:
        head: The first bytes that came.
    """

    head: bytes

    def read(self, size: int) -> bytes | None:
        """Some bytes; none at the end."""


def decode_forward(
    file: Forward, stopped: Callable[[], bool], raw_hint: str, *, as_played: bool = False
) -> Iterator[Block | Gap | Notice]:
    """Decode what comes through a pipe.

    Args:
        file: Read to its end.
        stopped: Asked before each packet; True ends the stream.
        raw_hint: What to do about headerless samples.
        as_played: Whether positions are a player's, as a recording's are.

    Raises:
        SourceError: Nothing came, it is no audio, or reading failed; says what to do.
    """
    from streamclf.sources.recording.ffmpeg import Decoder

    can_seek = _may_seek(file)
    sizes = Sizes(file)
    heard, position, rate = False, 0, 1
    try:
        with closing(Decoder(file if can_seek else sizes, as_played=as_played)) as decoder:
            for item in decoder.blocks(stopped):
                heard = True
                if not isinstance(item, Notice):
                    position, rate = item.end, item.sample_rate
                yield item
    except SourceError as error:
        if stopped():
            return
        if heard:
            raise
        raise SourceError(_why_no_audio(file.head, error, raw_hint)) from error
    for remark in sizes.remarks():
        yield Notice(position, rate, remark, "info")
    if sizes.fault:
        raise LeftOutError(sizes.fault)


def _may_seek(file: Any) -> bool:
    """Whether FFmpeg may seek: in a file, but where a size might end it too soon."""
    if not getattr(file, "seekable", bool)():
        return False
    place = file.tell()
    begins = file.read(_KIND_BYTES)
    file.seek(place)
    return not names_size(begins or b"")


RAW = (
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
    """What FFmpeg reads from: waits for bytes no longer than it is wanted.

    Attributes:
        head: The first bytes that came.
    """

    def __init__(self, path: Path, stopped: Callable[[], bool]) -> None:
        self.head = b""
        self._stopped = stopped
        number = _descriptor(path)
        try:
            # Opened anew, a socket is refused, and a pipe of another user.
            # A named pipe without a writer would not be opened until it has one.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
            self._fd = os.open(path, flags) if number is None else os.dup(number)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceError(f"cannot be opened: {reason}") from error
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._fd, select.POLLIN)

    def is_ready(self) -> bool:
        """Whether a read will not wait; waits a moment for that. Also at the end of the pipe."""
        return self._poll is None or bool(self._poll.poll(1000 * _WAKE_S))

    def read(self, size: int) -> bytes:
        """At least a byte; none at the end, and when it is to end."""
        while not self._stopped():
            if not self.is_ready():
                continue
            with suppress(BlockingIOError):  # another reader was sooner
                data = os.read(self._fd, size)
                if len(self.head) < _HEAD_BYTES:
                    self.head += data[: _HEAD_BYTES - len(self.head)]
                return data
        return b""

    def close(self) -> None:
        os.close(self._fd)


def _descriptor(path: Path) -> int | None:
    """The number of a file that this process has open, if the path names one."""
    text = path.as_posix()
    if text in (STANDARD_INPUT.as_posix(), "/dev/stdin"):
        return 0
    found = _DESCRIPTOR.fullmatch(text)
    return int(found[1]) if found else None


def _check_standard_input(path: Path) -> None:
    # Where it was closed from the beginning, number 0 may be any file by now.
    if sys.stdin is None:
        raise RecordingError(f"{path}: standard input is closed: pipe a recording in")
    if os.isatty(0):
        raise RecordingError(
            f"{path}: standard input is a terminal: pipe a recording in, as in "
            "cat x.wav | streamclf file -"
        )
