"""State of one source as a page shows it: what sounds, what sounded, what is lost or late."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from streamclf.core.labels import name_label
from streamclf.core.records import (
    Average,
    Block,
    EventBegan,
    EventOngoing,
    Gap,
    Notice,
    Result,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.core.unknown import judge
from streamclf.runs.health import LiveState
from streamclf.sinks.base import Sink
from streamclf.web.health_texts import explain_cause
from streamclf.web.live_audio import LiveAudio, NumberedColumn
from streamclf.web.live_sound import LiveSound

Json: TypeAlias = dict[str, Any]
"""Plain values that JSON can hold."""
Publish: TypeAlias = Callable[[str, Json], None]
"""Takes the kind and the data of what happened."""

N_SOUNDS = 3
LEAST_SCORE = 0.02
"""Lowest score of a sound that is shown."""
LONGEST_NOTICE = 500
"""Characters of a notice, so that what is kept of them is bounded."""
LATE_S = 5.0
"""Seconds without audio after which a source counts as late, and its scores as old."""


class LiveSource:
    """State of one source.

    Args:
        name: Name of the source.
        publish: Called with each begin, end, gap and notice.
        lock: Lock of the hub, held for microseconds.
        sound: Its sound for listeners.
        now: Returns monotonic seconds.

    Attributes:
        name: Name of the source.
        closed: Whether nothing follows.
        sound: Its sound for listeners.
    """

    def __init__(
        self,
        name: str,
        publish: Publish,
        lock: threading.RLock,
        sound: LiveSound,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.closed = False
        self._publish = publish
        self._lock = lock
        self._now = now
        self._began_at = now()
        self._audio = LiveAudio()
        self.sound = sound
        self._stream: StreamStarted | None = None
        self._index: dict[str, int] = {}  # of each label among the scores
        self._average: Average | None = None
        self._heard_at: float | None = None
        self._heard_ms: int | None = None
        self._sample_rate = 0
        self._open: dict[str, Json] = {}
        self._framed = -1  # number of the column that the last frame ended with

    # What follows is called in the thread of the audio.

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream whose results follow; events of one before end."""
        with self._lock:
            self.end_events()
            self._stream = stream
            self._index = {label: index for index, label in enumerate(stream.labels)}
            self._average = None

    def hear(self, item: Block | Gap) -> None:
        """Take audio or a gap."""
        self._audio.hear(item)
        self._sample_rate = item.sample_rate
        if isinstance(item, Block):
            self._heard_at = self._now()
            self._heard_ms = round(time.time() * 1000)

    def write(self, result: Result) -> None:
        """Take a result."""
        stream = self._stream
        if stream is None:
            return
        if isinstance(result, Average):
            self._average = result
            self._raise_scores(stream, result)
        elif isinstance(result, EventBegan):
            self._begin_event(stream, result)
        elif isinstance(result, EventOngoing):
            with self._lock:
                if (event := self._open.get(stream.event_id(result.id))) is not None:
                    event.update(_tell_score(stream, result.label, result.score))
        elif isinstance(result, SoundEvent):
            self._end_event(stream, result)
        elif isinstance(result, Gap):
            at, length_s = _ms(stream.moment(result.position)), _length_s(result)
            gap = {"source": self.name, "cause": result.cause, "why": explain_cause(result.cause)}
            self._publish("gap", {**gap, "at": at, "length_s": length_s})
        elif isinstance(result, Notice):
            at, level = _ms(stream.moment(result.position)), result.level
            message = result.message[:LONGEST_NOTICE]
            notice = {"source": self.name, "message": message, "at": at, "level": level}
            self._publish("notice", notice)

    def end_events(self) -> None:
        """End events whose end nobody will tell: where a run fails in the middle of them."""
        with self._lock:
            for event in self._open.values():
                length_s = max(time.time() - (event["onset"] or 0) / 1000, 0.0)
                length = None if event["onset"] is None else round(length_s, 3)
                self._publish("ended", {**event, "length_s": length, "cut": True})
            self._open.clear()

    def _raise_scores(self, stream: StreamStarted, average: Average) -> None:
        """Raise the scores of what sounds to the highest average so far."""
        with self._lock:
            for event in self._open.values():
                label = event["label"]
                index = self._index.get(label)  # sounds that are unknown have none
                score = float(average.values[index]) if index is not None else 0.0
                if score > event["score"]:
                    event.update(_tell_score(stream, label, score))

    def _begin_event(self, stream: StreamStarted, event: EventBegan) -> None:
        began = self._describe(stream, event)
        with self._lock:
            self._open[began["id"]] = began
            self._publish("began", dict(began))  # its score rises

    def _end_event(self, stream: StreamStarted, event: SoundEvent) -> None:
        described = self._describe(stream, event)
        length_s = (event.offset - event.onset) / stream.sample_rate
        with self._lock:
            begun = self._open.pop(described["id"], described)
            # Local time becomes more exact with the audio; what was told stays as it was told.
            ended = {**begun, **_tell_score(stream, event.label, event.score)}
            self._publish("ended", {**ended, "length_s": round(length_s, 3), "cut": False})

    def _describe(self, stream: StreamStarted, event: EventBegan | SoundEvent) -> Json:
        return {
            "id": stream.event_id(event.id),
            "source": self.name,
            "label": event.label,
            "name": name_label(stream.display_name(event.label)),
            "onset": _ms(stream.moment(event.onset)),
            **_tell_score(stream, event.label, event.score),
        }

    # What follows is called by whoever looks.

    def draw(self) -> None:
        """Draw the audio that has come since the last call; it takes a while."""
        self._audio.draw()

    def open_events(self) -> list[Json]:
        """The events that sound now, the oldest first."""
        with self._lock:
            return [dict(event) for event in self._open.values()]

    def level_db(self) -> float | None:
        """Level of the newest audio; None where none has come for a while."""
        heard_at = self._heard_at
        if heard_at is None or self._now() - heard_at > LATE_S:
            return None
        self.draw()
        level = self._audio.level()
        return None if level is None else level.db

    def describe(self, state: LiveState | None) -> Json:
        """Describe level and sounds as they were drawn last, and how the source fares."""
        described = self._describe_state(state)
        heard = described["state"] == "heard"
        level = self._audio.level() if described["state"] in ("heard", "silent") else None
        return {
            "source": self.name,
            **described,
            "rate": self._sample_rate,
            "calibration_db": state.calibration_db if state is not None else None,
            "level": None if level is None else round(level.db, 1),
            "peak": None if level is None else round(level.peak_db, 1),
            "clipped": level is not None and level.clipped,
            "muted": level is not None and (level.muted or described["state"] == "silent"),
            **self._judge(state, old=not heard),
        }

    def frame(self, state: LiveState | None) -> Json:
        """Describe level and sounds, with the columns that have come since the last frame."""
        self.draw()
        columns = self._audio.columns(self._framed)
        if columns:
            self._framed = columns[-1].number
        return {**self.describe(state), **_pack(columns)}

    def picture(self) -> Json:
        """The columns that are kept, for whoever comes anew."""
        return _pack(self._audio.columns())

    def _describe_state(self, state: LiveState | None) -> Json:
        heard_at, now = self._heard_at, self._now()
        # Nothing has come yet: it may still be on its way.
        silent_s = now - (self._began_at if heard_at is None else heard_at)
        told: str = state.state if state is not None else "heard"
        if told == "heard" and heard_at is None:
            told = "waiting"
        if told in ("heard", "silent", "waiting") and silent_s > LATE_S:
            told = "late"
        return {
            "state": told,
            "last_heard": self._heard_ms if told not in ("heard", "silent", "waiting") else None,
            "hop_s": state.hop_s if state is not None else None,
            "overload": state.overload if state is not None else "",
        }

    def _judge(self, state: LiveState | None, *, old: bool) -> Json:
        """The strongest sounds, and whether the model knows what it hears."""
        average, stream = self._average, self._stream
        if average is None or stream is None or old or average.values.size != len(stream.labels):
            return {"sounds": [], "verdict": None, "scored": True}
        values = average.values
        is_score = stream.task != "regression"
        told = {event["label"]: event["sureness"] for event in self.open_events()}
        order = np.argsort(values)[::-1] if is_score else np.arange(values.size)
        # What is told comes first: the scores of two labels say little about each other.
        first = [index for index in order if stream.labels[int(index)] in told]
        others = [index for index in order[:N_SOUNDS] if stream.labels[int(index)] not in told]
        sounds = []
        for index in [*first, *others][:N_SOUNDS]:
            label, score = stream.labels[int(index)], float(values[index])
            threshold = _threshold(stream, state, label) if is_score else np.inf
            if is_score and score < LEAST_SCORE and label not in told:
                continue
            sounds.append(
                {
                    "label": label,
                    "name": name_label(stream.display_name(label)),
                    "score": round(score, 3),
                    # Beside what is told, other labels say the same in other words.
                    "above": label in told if told else score >= threshold,
                    "threshold": round(threshold, 3) if threshold <= 1 else None,
                    "sureness": told.get(label),
                }
            )
        verdict = judge(average, stream.unknown)[0] if stream.unknown else "known"
        return {"sounds": sounds, "verdict": verdict, "scored": is_score}


class LiveSink(Sink):
    """Sink that shows a stream's audio and results to whoever looks.

    Args:
        source: The source that it feeds.
        on_close: Called once, when nothing follows.
    """

    def __init__(self, source: LiveSource, on_close: Callable[[], None]) -> None:
        self._source = source
        self._on_close = on_close

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream."""
        self._source.begin(stream)

    def hear(self, item: Block | Gap) -> None:
        """Keep the newest audio."""
        self._source.hear(item)

    def measure(self, item: Block | Gap) -> None:
        """Hand the audio on to those who listen."""
        self._source.sound.take(item)

    def write(self, result: Result) -> None:
        """Tell of a result."""
        self._source.write(result)

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """End the events of the stream."""
        self._source.end_events()

    def close(self) -> None:
        """End the events, and take the source off the page, unless its state is still told."""
        if not self._source.closed:
            self._source.end_events()
            self._source.closed = True
            self._on_close()


def _pack(columns: list[NumberedColumn]) -> Json:
    """Columns for a page: the number of each, its bands in base64, and which are missing.

    Runs of numbers are written as the first number and how many follow each other.
    """
    runs: list[list[int]] = []
    for each in columns:
        if runs and runs[-1][0] + runs[-1][1] == each.number:
            runs[-1][1] += 1
        else:
            runs.append([each.number, 1])
    bands = b"".join(each.column.bands.tobytes() for each in columns)
    missing = [each.number for each in columns if each.column.missing]
    return {"runs": runs, "bands": base64.b64encode(bands).decode(), "missing": missing}


def _length_s(gap: Gap) -> float:
    return round(gap.n_samples / gap.sample_rate, 3)


def _threshold(stream: StreamStarted, state: LiveState | None, label: str) -> float:
    """The threshold of a label as it is set now; that of the stream's begin where nobody tells."""
    now = None if state is None else state.threshold_of(label)
    return stream.thresholds.get(label, np.inf) if now is None else now


def _tell_score(stream: StreamStarted, label: str, score: float) -> Json:
    """The score of an event, and how sure that is; None where its label has no word."""
    return {"score": round(float(score), 3), "sureness": stream.tell_sureness(label, score)}


def _ms(moment: datetime | None) -> int | None:
    """Milliseconds since 1970, as scripts count; None where the time is unknown."""
    return None if moment is None else round(moment.timestamp() * 1000)
