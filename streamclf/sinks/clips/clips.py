"""The audio of each event as a FLAC file: to hear what was found, and to learn from it.

``FOLDER/LABEL/RECORDING/TIME_SCORE.flac`` is a folder a class, a subfolder for each recording or
day, as ``python -m train.pocket --data FOLDER`` takes it, once what is wrong has been moved.

Only the last seconds of audio are kept until the event they belong to has ended. A live run's
files are written by a thread of their own (`BackgroundClips`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamclf.core.records import Average, Block, Gap, Result, SoundEvent, Waveform
from streamclf.core.stats import count
from streamclf.core.unknown import SILENCE_LABEL
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.sinks.clips.clip_file import Clip, encode_clip, name_clip, tell_time, write_clip
from streamclf.sinks.clips.quota import ClipRoom

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
        write_clip(clip.path, encode_clip(clip))


class BackgroundClips(ClipSink):
    """The same without ever waiting for the disk; clips that cannot be written are counted.

    Args:
        folder: Created with the first clip.
        tell: Told what goes wrong, and that it goes on, in a line; from the thread.
        room: Keeps the folder to a size; None: it may grow.
        limit_bytes: Of audio that waits to be written.
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str], None],
        room: ClipRoom | None = None,
        *,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        super().__init__(folder)
        self._tell = tell
        self._room = room
        self._n_gone = 0
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
                self._write(clip)
            except Exception as error:  # of whatever kind: the thread goes on
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

    def _write(self, clip: Clip) -> None:
        encoded = encode_clip(clip)
        if self._room is not None:
            n_gone = self._room.make(len(encoded))
            if n_gone and not self._n_gone:
                self._tell(
                    f"{self._folder}: the clips reach --clips-limit: from now on the oldest of "
                    "the label that takes most are deleted"
                )
            self._n_gone += n_gone
        write_clip(clip.path, encoded)
