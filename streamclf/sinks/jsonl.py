"""JSON Lines: one object a line; ``type`` says of which kind, ``schema`` in which version.

The fields of each kind are in `streamclf.sinks.json_records`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np

from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Result, SoundEvent
from streamclf.core.stats import Statistics
from streamclf.core.unknown import judge
from streamclf.sinks.base import StreamInfo
from streamclf.sinks.json_records import (
    BeginLine,
    EventLine,
    GapLine,
    HeardLine,
    JsonRecord,
    Label,
    LossLine,
    OngoingLine,
    SummaryLine,
    UnfinishedLine,
    UpdateLine,
    ValueLine,
)
from streamclf.sinks.lines import HEARD, Lines, LineSink

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
        line = self._line(result, self._stream) if self._stream else None
        if line is not None:
            self._file.write(_encode(line))

    def summarise(self, answer: Average) -> None:
        """Write a line ``summary``."""
        if self._stream is None:
            return
        stream = self._stream
        said: dict[str, Any] = (
            _values(answer, stream)
            if stream.task == "regression"
            else {"labels": top_labels(answer, stream, self._n_best, chosen_only=True)}
        )
        place = _place(stream, answer.position, answer.end)
        self._file.write(_encode(SummaryLine(**place, **said, **_mark(answer.scores.short))))

    def mark(self, kind: str, stream: StreamInfo, statistics: Statistics) -> str:
        """A line about a recording."""
        place = _place(stream, 0, statistics.elapsed_samples)
        line = HeardLine if kind == HEARD else UnfinishedLine
        return _encode(line(**place, events=statistics.n_events))

    def _describe_loss(self, n_lines: int) -> str:
        source = self._stream.source if self._stream else None
        return _encode(LossLine(source=source, lines=n_lines))

    def _line(self, result: Result, stream: StreamInfo) -> JsonRecord | None:
        if isinstance(result, SoundEvent):
            return EventLine(
                id=stream.event_id(result.id),
                label=result.label,
                score=round(result.score, 4),
                **_place(stream, result.onset, result.offset),
                **_mark(result.short),
            )
        if isinstance(result, EventBegan | EventOngoing):
            return _life(result, stream) if self._begins else None
        if isinstance(result, Gap):
            return GapLine(cause=result.cause, **_place(stream, result.position, result.end))
        if isinstance(result, Average) and (stream.task == "regression" or self._top):
            place = _place(stream, result.position, result.end)
            mark = _mark(result.scores.short)
            if stream.task == "regression":
                return ValueLine(**place, **_values(result, stream), **mark)
            return UpdateLine(**place, top=top_labels(result, stream, self._top), **mark)
        return None


def _encode(line: JsonRecord) -> str:
    return _ENCODER.encode(line).decode()


def _life(result: EventBegan | EventOngoing, stream: StreamInfo) -> BeginLine | OngoingLine:
    line = BeginLine if isinstance(result, EventBegan) else OngoingLine
    return line(
        id=stream.event_id(result.id),
        source=stream.source,
        label=result.label,
        onset=stream.seconds(result.onset),
        known=stream.seconds(result.position),
        score=round(result.score, 4),
        **_time(stream, result.onset),
    )


def _values(average: Average, stream: StreamInfo) -> dict[str, Any]:
    """A regression's one value, or its values by label."""
    values = {
        label: round(float(value), 6)
        for label, value in zip(stream.labels, average.values, strict=True)
    }
    return {"value": next(iter(values.values()))} if len(values) == 1 else {"values": values}


def top_labels(
    average: Average, stream: StreamInfo, n_labels: int, *, chosen_only: bool = False
) -> list[Label]:
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
    return [Label(label=label, score=round(score, 4)) for label, score in rows]


def _mark(short: bool) -> dict[str, Any]:
    """What a result of audio shorter than the model's window has more than others."""
    return {"short": True} if short else {}


def _place(stream: StreamInfo, onset: int, offset: int) -> dict[str, Any]:
    """Source, onset, offset and, where it is known, local time."""
    return {
        "source": stream.source,
        "onset": stream.seconds(onset),
        "offset": stream.seconds(offset),
        **_time(stream, onset),
    }


def _time(stream: StreamInfo, position: int) -> dict[str, Any]:
    time = stream.time(position)
    return {} if time is None else {"time": time}
