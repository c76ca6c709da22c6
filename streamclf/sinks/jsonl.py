"""JSON Lines: one object a line, ``type`` says of which kind."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np

from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Result, SoundEvent
from streamclf.core.stats import Statistics
from streamclf.core.unknown import judge
from streamclf.sinks.base import StreamInfo
from streamclf.sinks.lines import Lines, LineSink

_ENCODER = msgspec.json.Encoder()
N_BEST = 5


class JsonLinesSink(LineSink):
    """Writes events and gaps; a regression's values; on request begins, and the top scores.

    What was found in audio shorter than the model's window has ``"short": true``.

    Args:
        file: Where the lines go.
        begins: Also a line ``begin`` for each event as soon as it is known, and ``ongoing`` where
            events tell that they go on; the line of its end has the same id.
        top: With a number, a line ``update`` with so many top averages follows each window.
        marks: Which lines about recordings are written: ``heard``, ``unfinished``.
        n_best: Classes in the answer for a whole recording.
    """

    def __init__(
        self,
        file: Lines,
        *,
        begins: bool = False,
        top: int = 0,
        marks: Collection[str] = (),
        n_best: int = N_BEST,
    ) -> None:
        super().__init__(file, marks=marks)
        self._begins, self._top, self._n_best = begins, top, n_best
        file.describe_loss = self._describe_loss

    def write(self, result: Result) -> None:
        """Write a line, if the result is of a kind that is written."""
        fields = self._fields(result, self._stream) if self._stream else None
        if fields is not None:
            self._file.write(_ENCODER.encode(fields).decode())

    def summarise(self, answer: Average) -> None:
        """Write a line ``summary``."""
        if self._stream is None:
            return
        stream = self._stream
        said = (
            _values(answer, stream)
            if stream.task == "regression"
            else {"labels": top_labels(answer, stream, self._n_best, chosen_only=True)}
        )
        place = _place(stream, answer.position, answer.end)
        mark = _mark(answer.scores.short)
        fields = {"type": "summary", "source": stream.source, **place, **said, **mark}
        self._file.write(_ENCODER.encode(fields).decode())

    def mark(self, kind: str, stream: StreamInfo, statistics: Statistics) -> str:
        """A line about a recording."""
        place = _place(stream, 0, statistics.elapsed_samples)
        fields = {"type": kind, "source": stream.source, **place, "events": statistics.n_events}
        return _ENCODER.encode(fields).decode()

    def _describe_loss(self, n_lines: int) -> str:
        source = self._stream.source if self._stream else None
        return _ENCODER.encode({"type": "loss", "source": source, "lines": n_lines}).decode()

    def _fields(self, result: Result, stream: StreamInfo) -> dict[str, Any] | None:
        if isinstance(result, SoundEvent):
            place = _place(stream, result.onset, result.offset)
            fields = {**_event("event", result, stream), **place}
            return {**fields, "score": round(result.score, 4), **_mark(result.short)}
        if isinstance(result, EventBegan | EventOngoing):
            return self._life(result, stream) if self._begins else None
        if isinstance(result, Gap):
            place = _place(stream, result.position, result.end)
            return {"type": "gap", "source": stream.source, **place, "cause": result.cause}
        if isinstance(result, Average) and (stream.task == "regression" or self._top):
            place = _place(stream, result.position, result.end)
            mark = _mark(result.scores.short)
            if stream.task == "regression":
                kind: dict[str, Any] = {"type": "value", "source": stream.source}
                return {**kind, **place, **_values(result, stream), **mark}
            top = top_labels(result, stream, self._top)
            return {"type": "update", "source": stream.source, **place, "top": top, **mark}
        return None

    def _life(self, result: EventBegan | EventOngoing, stream: StreamInfo) -> dict[str, Any]:
        kind = "begin" if isinstance(result, EventBegan) else "ongoing"
        fields = {
            **_event(kind, result, stream),
            "onset": stream.seconds(result.onset),
            "known": stream.seconds(result.position),
            "score": round(result.score, 4),
        }
        return _with_time(fields, stream, result.onset)


def _values(average: Average, stream: StreamInfo) -> dict[str, Any]:
    """A regression's one value, or its values by label."""
    values = {
        label: round(float(value), 6)
        for label, value in zip(stream.labels, average.values, strict=True)
    }
    return {"value": next(iter(values.values()))} if len(values) == 1 else {"values": values}


def top_labels(
    average: Average, stream: StreamInfo, n_labels: int, *, chosen_only: bool = False
) -> list[dict[str, Any]]:
    """The highest averaged scores, in falling order; unknown sounds and silence go first.

    Args:
        average: The scores.
        stream: What they belong to.
        n_labels: So many.
        chosen_only: Of the labels whose events count.
    """
    order = [
        index
        for index in np.argsort(-average.values, kind="stable")
        if not chosen_only or stream.labels[index] in stream.thresholds
    ]
    rows = [(stream.labels[i], float(average.values[i])) for i in order[:n_labels]]
    if stream.unknown is not None:
        label, score = judge(average, stream.unknown)
        rows = rows if label == "known" else [(label, score), *rows]
    return [{"label": label, "score": round(score, 4)} for label, score in rows]


def _mark(short: bool) -> dict[str, Any]:
    """What a result of audio shorter than the model's window has more than others."""
    return {"short": True} if short else {}


def _event(
    kind: str, result: SoundEvent | EventBegan | EventOngoing, stream: StreamInfo
) -> dict[str, Any]:
    """What the lines of an event have in common."""
    name = stream.event_id(result.id)
    return {"type": kind, "id": name, "source": stream.source, "label": result.label}


def _place(stream: StreamInfo, onset: int, offset: int) -> dict[str, Any]:
    place: dict[str, Any] = {"onset": stream.seconds(onset), "offset": stream.seconds(offset)}
    return _with_time(place, stream, onset)


def _with_time(fields: dict[str, Any], stream: StreamInfo, position: int) -> dict[str, Any]:
    time = stream.time(position)
    return fields if time is None else {**fields, "time": time}
