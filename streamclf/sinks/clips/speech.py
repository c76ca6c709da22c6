"""Where somebody speaks, so that no clip holds it.

The model itself judges, by its labels of speech (`streamclf.core.speech_labels`), on each window
alone: an average over seconds would hide a word. A clip holds no speech if every sample of it, and
of a margin around it, lies in a window that was judged, and none of these windows scores as much
for speech as `find_speech_scores` says. What was not judged counts as speech: gaps, skipped audio,
windows without numbers, and audio shorter than a window. benchmarks/speech_in_clips.py measures
what this misses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import ge

from streamclf.core.records import Average, StreamStarted
from streamclf.core.speech_labels import SPEECH_SCORE, find_speech_labels

MARGIN_S = 5.0
"""Seconds before and after a clip that must be free of speech, too. A bark may cover a word that is
said under it, but people say more than a word: of clips with speech 12 dB below the barks 4.2 %
were missed with 1 s, 0.9 % with 5 s. For a single sentence it helps little: 12.5 and 9.6 %."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A window that was judged: its place in samples, and whether somebody speaks in it."""

    position: int
    end: int
    speech: bool


class SpeechJudge:
    """Judge of whether somebody speaks in a piece of a stream.

    Args:
        factor: Factor of the scores from which windows hold speech; below 1 more hold it.
        margin_s: Seconds around a piece that must be free of speech, too.
    """

    def __init__(self, factor: float = 1.0, margin_s: float = MARGIN_S) -> None:
        self._factor = factor
        self._margin_s = margin_s
        self._windows: deque[_Judged] = deque()
        self._stream: StreamStarted | None = None
        self._speech: list[int] = []
        self._scores: list[float] = []
        self._start = self._margin = 0

    def begin(self, stream: StreamStarted, *, continued: bool = False) -> None:
        """Begin a stream.

        Args:
            stream: The stream.
            continued: Whether its audio continues that of the last one, whose windows still count.
        """
        if not continued:
            self._windows.clear()
            self._start = stream.position
        self._stream = stream
        self._margin = round(self._margin_s * stream.sample_rate)
        self._speech = find_speech_labels(stream.labels, stream.display_names)
        scores = [stream.speech_scores.get(stream.labels[k], SPEECH_SCORE) for k in self._speech]
        self._scores = [self._factor * score for score in scores]

    def add(self, average: Average) -> None:
        """Judge the newest window of an average."""
        scores = average.scores
        if self._stream is None or not self._speech:
            return
        values = [float(scores.values[index]) for index in self._speech]
        # Scores of one label at a time share a sum of 1, so that two kinds of speech add up.
        if self._stream.task == "single-label":
            values = [sum(values)] * len(values)
        speech = scores.short or any(map(ge, values, self._scores))
        self._windows.append(_Judged(scores.position, scores.end, speech))

    def is_speech_label(self, label: str) -> bool:
        """Whether a label of the stream means speech."""
        return self._stream is not None and label in {
            self._stream.labels[index] for index in self._speech
        }

    def forget(self, oldest: int) -> None:
        """Drop the windows that no piece from a position on needs."""
        while self._windows and self._windows[0].end <= oldest - self._margin:
            self._windows.popleft()

    def has_judged(self, end: int) -> bool:
        """Whether all windows that can tell of a piece with this end were judged."""
        return bool(self._windows) and self._windows[-1].position >= end + self._margin

    def is_free_of_speech(self, begin: int, end: int, heard_until: int) -> bool:
        """Whether nobody speaks in a piece and in the margin around it.

        Args:
            begin: Position of the first sample of the piece.
            end: Position after its last sample.
            heard_until: End of the audio that has arrived; there is no margin beyond it.
        """
        judged_until = first = max(begin - self._margin, self._start)
        last = min(end + self._margin, heard_until)
        for window in self._windows:
            if window.end <= first:
                continue
            if window.position >= last:
                break
            if window.speech or window.position > judged_until:
                return False
            judged_until = max(judged_until, window.end)
        return judged_until >= last
