"""The audio of each event as a FLAC file: to hear what was found, and to learn from it.

``FOLDER/LABEL/RECORDING/TIME_SCORE.flac`` is a folder a class, a subfolder for each recording or
day, as ``python -m train.pocket --data FOLDER`` takes it, once what is wrong has been moved.

Only the last seconds of audio are kept until the event they belong to has ended. A live run's
files are written by a thread of their own (`BackgroundClips`).
"""

from __future__ import annotations

import io
import queue
import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from streamclf.errors import SinkError
from streamclf.records import Average, Block, Gap, Result, SoundEvent, Waveform
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.stats import count
from streamclf.unknown import SILENCE_LABEL

MARGIN_S = 0.5
"""Heard before and behind the event, where there is any."""

LONGEST_S = 15.0
"""Of a longer event its last seconds."""

KEPT_S = 30.0
"""Before the newest window: an event is known some seconds after it ended."""

AHEAD_S = 1800.0
"""Audio that waits for its windows' results at most: of a batch it does, and of a model that gives
no numbers none come."""

LIMIT_BYTES = 32_000_000
"""Of clips that wait to be written by a live run, half a minute of them at once."""

CLOSE_S = 0.5
_LONGEST_NAME = 80


@dataclass(frozen=True, eq=False)
class Clip:
    """What becomes of an event.

    Attributes:
        path: The file.
        waveform: ``(samples,)`` in [-1, 1].
        rate: In Hz.
        label: The event's; the file's title.
        comment: When its first sample sounded, as `recorded_at` reads it; empty if not known.
    """

    path: Path
    waveform: Waveform
    rate: int
    label: str
    comment: str


class ClipSink(Sink):
    """Writes each event's audio; mono, 16 bits, at the model's rate: what the network heard.

    Args:
        folder: Created with the first clip.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream: StreamInfo | None = None
        self._blocks: deque[Block] = deque()
        self._end = self._rate = 0

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream; its first audio may have been heard already."""
        self._stream = stream

    def hear(self, item: Block | Gap) -> None:
        """Keep audio until it is known what is in it."""
        if item.position < self._end or item.sample_rate != self._rate:
            self._blocks.clear()  # another stream
        self._end, self._rate = item.end, item.sample_rate
        if isinstance(item, Block):
            self._blocks.append(item)
        self._forget(item.end - round(AHEAD_S * self._rate))

    def write(self, result: Result) -> None:
        """Write an event's clip; let go of audio that no event will need.

        Raises:
            SinkError: It cannot be written.
        """
        if isinstance(result, Average):
            self._forget(result.position - round(KEPT_S * self._rate))
        elif isinstance(result, SoundEvent) and result.label != SILENCE_LABEL and self._stream:
            margin = round(MARGIN_S * self._rate)
            end = result.offset + margin
            begin = max(result.onset - margin, end - round((LONGEST_S + MARGIN_S) * self._rate))
            begin, waveform = self._cut(begin, end)
            if waveform.size:
                path = self._folder / name_clip(self._stream, result)
                comment = tell_time(self._stream, begin)
                self._save(Clip(path, waveform, self._rate, result.label, comment))

    def close(self) -> None:
        """Let go of the audio."""
        self._blocks.clear()

    def _forget(self, oldest: int) -> None:
        """Let go of the audio before a position."""
        while self._blocks and self._blocks[0].end <= oldest:
            self._blocks.popleft()

    def _cut(self, begin: int, end: int) -> tuple[int, Waveform]:
        """Where what is kept begins, and ``(samples,)`` of it; zeros where some is missing."""
        parts = [block for block in self._blocks if block.end > begin and block.position < end]
        if not parts:
            return begin, np.zeros(0, np.float32)
        begin, end = max(begin, parts[0].position), min(end, parts[-1].end)
        waveform = np.zeros(end - begin, np.float32)
        for block in parts:
            first, last = max(block.position, begin), min(block.end, end)
            heard = block.waveform[0, first - block.position : last - block.position]
            waveform[first - begin : last - begin] = heard
        return begin, waveform

    def _save(self, clip: Clip) -> None:
        write_clip(clip)


class BackgroundClips(ClipSink):
    """The same without ever waiting for the disk; clips that cannot be written are counted.

    Args:
        folder: Created with the first clip.
        tell: Told what goes wrong, and that it goes on, in a line; from the thread.
        limit_bytes: Of audio that waits to be written.
    """

    def __init__(
        self, folder: Path, tell: Callable[[str], None], *, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        super().__init__(folder)
        self._tell = tell
        self._limit_bytes = limit_bytes
        self._clips: queue.SimpleQueue[Clip | None] = queue.SimpleQueue()
        # Each counted by one thread alone.
        self._n_put = self._n_written = self._n_failed = self._n_dropped = 0
        self._bytes_put = self._bytes_taken = 0
        self._finished = self._closed = False
        self._thread = threading.Thread(target=self._run, name="streamclf-clips", daemon=True)
        self._thread.start()

    @property
    def n_lost(self) -> int:
        """Clips that were not written, and will not be."""
        left = self._n_put - self._n_written if self._closed else self._n_failed
        return self._n_dropped + left

    def finish(self) -> None:
        """Write what waits and end; does not wait."""
        if not self._finished:
            self._finished = True
            self._clips.put(None)

    def close(self) -> None:
        """End; what is not written by then is lost, and said. Safe to call twice."""
        super().close()
        if self._closed:
            return
        self.finish()
        self._thread.join(CLOSE_S)
        self._closed = True
        if self.n_lost:
            self._tell(f"warning: {self._folder}: lost {count(self.n_lost, 'clip')} in all")

    def _save(self, clip: Clip) -> None:
        n_bytes = clip.waveform.nbytes
        if self._bytes_put - self._bytes_taken + n_bytes > self._limit_bytes:
            self._n_dropped += 1
            return
        self._n_put += 1
        self._bytes_put += n_bytes
        self._clips.put(clip)

    def _run(self) -> None:
        failing = False
        while (clip := self._clips.get()) is not None:
            try:
                write_clip(clip)
            except SinkError as error:
                self._n_failed += 1
                if not failing:
                    self._tell(f"warning: {error}; clips are left out until they can be written")
                failing = True
            else:
                self._n_written += 1
                if failing:
                    self._tell(f"{self._folder}: clips are written again")
                failing = False
            self._bytes_taken += clip.waveform.nbytes


def name_clip(stream: StreamInfo, event: SoundEvent) -> Path:
    """``LABEL/RECORDING/TIME_SCORE.flac``: by the clock where that is known, else in seconds."""
    when = f"{stream.seconds(event.onset):010.3f}"
    if (text := stream.time(event.onset)) is not None:
        # As recorders name their files, so that a clip tells when it was.
        when = re.sub(r"[-:]", "", text[:19]).replace("T", "_") + f"_{text[20:23]}"
    if stream.live:
        place = f"{stream.source} {text[:10]}" if text else stream.source
    else:
        place = re.sub(r"\.\w{1,5}$", "", stream.source)
    score = f"{round(100 * event.score):02d}"
    return Path(_tidy(event.label)) / _tidy(place) / f"{when}_{score}.flac"


def tell_time(stream: StreamInfo, position: int) -> str:
    """When a sample sounded, in the words of AudioMoth's comment; empty where that is not known."""
    text = stream.time(position)
    if text is None:
        return ""
    date, _, time = text.partition("T")
    zone = time[12:]
    year, month, day = date.split("-")
    told = {"": "", "+00:00": " (UTC)"}.get(zone, f" (UTC{zone})")
    return f"Recorded at {time[:12]} {day}/{month}/{year}{told}"


def write_clip(clip: Clip) -> None:
    """Write a clip, whole or not at all; one of the same name is of the same event, and replaced.

    Raises:
        SinkError: It cannot be written.
    """
    path = clip.path
    partial = path.with_name(f".{path.name}.partial")
    # In memory first: libsndfile refuses names that are no UTF-8, and does not tell a full disk.
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", clip.rate, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        file.title = clip.label
        if clip.comment:  # libsndfile takes no empty one
            file.comment = clip.comment
        file.write(clip.waveform)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(encoded.getbuffer())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"{path}: the clip cannot be written: {reason}") from error


def _tidy(name: str) -> str:
    """Fit for a folder on any system."""
    tidied = re.sub(r"[^\w .+-]+", "_", name).strip(" ._")
    return tidied[-_LONGEST_NAME:].strip(" ._") or "_"
