"""Sink that writes the audio of each event as a FLAC file, to listen to or to train with.

``FOLDER/LABEL/RECORDING/TIME_SCORE.flac`` has a folder for each class, with a subfolder for each
recording or day. ``python -m train.pocket --data FOLDER`` reads this form, once wrong clips have
been moved.

Only the last seconds of audio are kept in memory, until the events in them have ended. The clips
of a live run are written by a thread (`BackgroundClips`). With ``--privacy speech`` a clip waits in
memory until the windows around it were judged (`streamclf.sinks.clips.speech`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

import numpy as np

from streamclf.core.records import Average, Block, Gap, Result, SoundEvent, StreamStarted, Waveform
from streamclf.core.stats import Statistics
from streamclf.core.text_format import format_count
from streamclf.core.unknown import SILENCE_LABEL
from streamclf.sinks.base import Sink
from streamclf.sinks.clips.clip_file import (
    Clip,
    audiomoth_comment,
    clip_path,
    encode_clip,
    write_clip,
)
from streamclf.sinks.clips.quota import ClipQuota
from streamclf.sinks.clips.speech import SpeechJudge

MARGIN_S = 0.5
"""Seconds of audio that a clip holds before and after its event, as far as there is audio."""

MAX_CLIP_S = 15.0
"""Longest clip, in seconds without its margins; of a longer event the last seconds are kept."""

KEPT_AUDIO_S = 30.0
"""Seconds of audio kept before the newest window, because an event ends some seconds after its
sound."""

MAX_PENDING_S = 1800.0
"""Most seconds of audio kept while results are pending. In a batch results come late, and a model
whose scores are not finite gives none."""

LIMIT_BYTES = 32_000_000
"""Most bytes of audio that wait to be written by a live run, for half a minute's events."""

CLOSE_S = 0.5
"""Longest wait, in seconds, for clips to be written when the sink closes."""


OnWritten: TypeAlias = Callable[[StreamStarted, SoundEvent, PurePath, int], None]
"""Called when a clip is on the disk: stream, event, path below the folder of the clips, bytes."""


@dataclass(frozen=True, eq=False)
class EventClip:
    """A clip, and the event that it belongs to.

    Attributes:
        clip: The audio, and the file for it.
        stream: Stream of the event.
        event: The event.
        begin: Position of the clip's first sample.
    """

    clip: Clip
    stream: StreamStarted
    event: SoundEvent
    begin: int

    @property
    def end(self) -> int:
        """Position just after the clip's last sample."""
        return self.begin + self.clip.waveform.size


class ClipSink(Sink):
    """Sink that writes the audio of each event, mono, 16 bits, at the model's sample rate.

    Args:
        folder: Folder of the clips; it is created with the first clip.
        speech: Judge of speech; clips that hold speech, or may, are withheld. None writes all.
        on_written: Called when a clip is on the disk, from the thread that wrote it. It must not
            raise, and it must not wait.
        on_withheld: Called for each clip that was withheld, from the thread of the stream.
    """

    def __init__(
        self,
        folder: Path,
        *,
        speech: SpeechJudge | None = None,
        on_written: OnWritten | None = None,
        on_withheld: Callable[[], None] | None = None,
    ) -> None:
        self._folder = folder
        self._stream: StreamStarted | None = None
        self._blocks: deque[Block] = deque()
        self._end = self._rate = 0
        self._speech = speech
        self._waiting: deque[EventClip] = deque()
        self._on_written = on_written
        self._on_withheld = on_withheld

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream; a stream that continues the last one keeps its audio.

        Raises:
            SinkError: A clip of the stream before cannot be written.
        """
        self._decide(final=True)
        continued = stream.position >= self._end and stream.sample_rate == self._rate
        if not continued:
            self._blocks.clear()
        if self._speech is not None:
            self._speech.begin(stream, continued=continued and self._stream is not None)
        self._stream, self._rate = stream, stream.sample_rate

    def hear(self, item: Block | Gap) -> None:
        """Keep audio until its results have come."""
        self._end = item.end
        if isinstance(item, Block):
            self._blocks.append(item)
        self._forget(item.end - round(MAX_PENDING_S * self._rate))

    def write(self, result: Result) -> None:
        """Write the clip of an event; drop audio that no later event needs.

        Raises:
            SinkError: The clip cannot be written.
        """
        if isinstance(result, Average):
            if self._speech is not None:
                self._speech.add(result)
                self._decide()
            self._forget(result.position - round(KEPT_AUDIO_S * self._rate))
        elif isinstance(result, SoundEvent) and result.label != SILENCE_LABEL and self._stream:
            margin = round(MARGIN_S * self._rate)
            end = result.offset + margin
            begin = max(result.onset - margin, end - round((MAX_CLIP_S + MARGIN_S) * self._rate))
            begin, waveform = self._cut(begin, end)
            if waveform.size:
                path = self._folder / clip_path(self._stream, result)
                comment = audiomoth_comment(self._stream, begin)
                clip = Clip(path, waveform, self._rate, result.label, comment)
                self._waiting.append(EventClip(clip, self._stream, result, begin))
                self._decide()

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write the clips that waited for windows after them, as far as these came.

        Raises:
            SinkError: A clip cannot be written.
        """
        self._decide(final=True)

    def close(self) -> None:
        """Release the audio.

        Raises:
            SinkError: A clip that waited cannot be written.
        """
        self._decide(final=True)
        self._blocks.clear()

    def _decide(self, *, final: bool = False) -> None:
        """Write or withhold the clips that can be judged by now.

        Args:
            final: Whether no further window of this stream comes.
        """
        waiting = len(self._waiting)
        for _ in range(waiting):
            clip = self._waiting.popleft()
            if self._speech is None:
                self._save(clip)
            elif not (final or self._speech.has_judged(clip.end)):
                self._waiting.append(clip)  # in turn: all others follow it
            elif self._speech.is_speech_label(
                clip.event.label
            ) or not self._speech.is_free_of_speech(clip.begin, clip.end, self._end):
                if self._on_withheld is not None:
                    self._on_withheld()
            else:
                self._save(clip)

    def _forget(self, oldest: int) -> None:
        """Drop the blocks that end before a position."""
        while self._blocks and self._blocks[0].end <= oldest:
            self._blocks.popleft()
        if self._speech is not None:
            kept = self._blocks[0].position if self._blocks else oldest
            self._speech.forget(min([kept, *(clip.begin for clip in self._waiting)]))

    def _cut(self, begin: int, end: int) -> tuple[int, Waveform]:
        """Cut audio from the kept blocks.

        Returns:
            The position of the first sample, and ``(samples,)`` with zeros in place of gaps. Both
            ends may lie within the requested range, if no more audio is kept.
        """
        parts = [block for block in self._blocks if block.end > begin and block.position < end]
        if not parts:
            return begin, np.zeros(0, np.float32)
        begin, end = max(begin, parts[0].position), min(end, parts[-1].end)
        waveform = np.zeros(end - begin, np.float32)
        for block in parts:
            first, last = max(block.position, begin), min(block.end, end)
            samples = block.waveform[0, first - block.position : last - block.position]
            waveform[first - begin : last - begin] = samples
        return begin, waveform

    def _save(self, event_clip: EventClip) -> None:
        clip = event_clip.clip
        encoded = encode_clip(clip)
        write_clip(clip.path, encoded)
        self._report_written(event_clip, len(encoded))

    def _report_written(self, event_clip: EventClip, n_bytes: int) -> None:
        if self._on_written is not None:
            path = event_clip.clip.path.relative_to(self._folder)
            self._on_written(event_clip.stream, event_clip.event, path, n_bytes)


class BackgroundClips(ClipSink):
    """Clip sink that never waits for the disk; it counts the clips that cannot be written.

    Args:
        folder: Folder of the clips; it is created with the first clip.
        report: Called with one line about each failure and recovery, from the thread.
        quota: Limit for the size of the folder; None for no limit.
        limit_bytes: Most bytes of audio that wait to be written.
        speech: As in `ClipSink`. What was withheld is reported in a line at the end.
        on_written: As in `ClipSink`.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        quota: ClipQuota | None = None,
        *,
        limit_bytes: int = LIMIT_BYTES,
        speech: SpeechJudge | None = None,
        on_written: OnWritten | None = None,
    ) -> None:
        super().__init__(
            folder, speech=speech, on_written=on_written, on_withheld=self._note_withheld
        )
        self._report = report
        self._quota = quota
        self._n_deleted = 0
        self._limit_bytes = limit_bytes
        self._clips: queue.SimpleQueue[EventClip | None] = queue.SimpleQueue()
        # Each counter is changed by one thread only.
        self._n_put = self._n_written = self._n_failed = self._n_dropped = 0
        self._n_withheld = 0
        self._bytes_put = self._bytes_taken = 0
        self._finished = self._closed = False
        self._thread = threading.Thread(target=self._run, name="streamclf-clips", daemon=True)
        self._thread.start()

    @property
    def n_lost(self) -> int:
        """Number of clips that are lost."""
        n_unwritten = self._n_put - self._n_written if self._closed else self._n_failed
        return self._n_dropped + n_unwritten

    @property
    def figures(self) -> Mapping[str, int]:
        """Clips written, lost and withheld."""
        return {
            "clips_written": self._n_written,
            "clips_lost": self.n_lost,
            "clips_withheld": self._n_withheld,
        }

    def finish(self) -> None:
        """Let the thread write the waiting clips and end; do not wait for it."""
        self._decide(final=True)
        if not self._finished:
            self._finished = True
            self._clips.put(None)

    def close(self) -> None:
        """End the thread; report the clips that are not written in time. Safe to call twice."""
        super().close()
        if self._closed:
            return
        self.finish()
        self._thread.join(CLOSE_S)
        self._closed = True
        if self.n_lost:
            self._report(
                f"warning: {self._folder}: lost {format_count(self.n_lost, 'clip')} in all"
            )
        if self._n_withheld:
            self._report(f"{self._folder}: {describe_withheld(self._n_withheld)}")

    def _note_withheld(self) -> None:
        self._n_withheld += 1

    def _save(self, clip: EventClip) -> None:
        n_bytes = clip.clip.waveform.nbytes
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
            except Exception as error:  # any error: the thread must go on
                self._n_failed += 1
                if not failing:
                    self._report(f"warning: {error}; clips are left out until they can be written")
                failing = True
            else:
                self._n_written += 1
                if failing:
                    self._report(f"{self._folder}: clips are written again")
                failing = False
            self._bytes_taken += clip.clip.waveform.nbytes

    def _write(self, event_clip: EventClip) -> None:
        encoded = encode_clip(event_clip.clip)
        if self._quota is not None:
            n_deleted = self._quota.reserve(len(encoded))
            if n_deleted and not self._n_deleted:
                self._report(
                    f"{self._folder}: the clips reach --clips-limit: from now on the oldest of "
                    "the label that takes most are deleted"
                )
            self._n_deleted += n_deleted
        write_clip(event_clip.clip.path, encoded)
        self._report_written(event_clip, len(encoded))


def describe_withheld(n_clips: int) -> str:
    """Say in a few words how many clips were withheld."""
    verb, held = ("was", "it holds") if n_clips == 1 else ("were", "they hold")
    return (
        f"{format_count(n_clips, 'clip')} {verb} not written, for --privacy speech: {held} "
        "speech, or may"
    )
