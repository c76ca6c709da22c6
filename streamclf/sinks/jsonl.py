"""JSON Lines: one object per line, with its kind in ``type`` and its version in ``schema``.

`streamclf.sinks.json_records` defines the fields of each kind.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamclf.core.model_hash import hash_model
from streamclf.core.records import (
    Average,
    EventBegan,
    EventOngoing,
    Gap,
    Result,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.core.unknown import judge
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
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
N_BEST = 5
"""Default number of classes in the answer for a whole recording."""


class JsonLinesSink(LineSink):
    """Sink for events and gaps, or the values of a regression, as JSON Lines.

    Results from audio shorter than the model's window have ``"short": true``.

    Args:
        file: Destination of the lines.
        begins: Also write a line ``begin`` when an event is announced, and lines ``ongoing`` while
            it lasts. The line of its end has the same id.
        top: Number of classes in a line ``update`` after each window; 0 for no such lines.
        marks: Kinds of lines about recordings to write: ``heard``, ``unfinished``.
        n_best: Number of classes in the answer for a whole recording.
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
        self._opened_us = time.time_ns() // 1000
        file.describe_loss = self._describe_loss

    def write(self, result: Result) -> None:
        """Write a result as a line, if it is of a requested kind."""
        line = self._line(result, self._stream) if self._stream else None
        if line is not None:
            self._file.write(_encode(line))

    def summarise(self, answer: Average) -> None:
        """Write a line ``summary``."""
        if self._stream is None:
            return
        stream = self._stream
        answer_fields: dict[str, Any] = (
            _values(answer, stream)
            if stream.task == "regression"
            else {"labels": top_labels(answer, stream, self._n_best, chosen_only=True)}
        )
        place = _place(stream, answer.position, answer.end)
        self._file.write(
            _encode(SummaryLine(**place, **answer_fields, **_short_field(answer.scores.short)))
        )

    def mark(self, kind: str, stream: StreamStarted, statistics: Statistics) -> str:
        """Format the line about a recording."""
        place = _place(stream, 0, statistics.elapsed_samples)
        model: dict[str, Any] = {}
        if stream.model is not None:
            model["model"] = stream.model.spoken
            if stream.model.file:
                model["model_sha256"] = hash_model(stream.model)
        fields = {**place, "events": statistics.n_events, **model}
        if kind != HEARD:
            return _encode(UnfinishedLine(**fields))
        return _encode(HeardLine(**fields, **self._describe_file(stream.source)))

    def _describe_file(self, source: str) -> dict[str, Any]:
        """Return size and last change of a recording; nothing where it may have changed since."""
        try:
            status = Path(source).stat()
        except (OSError, ValueError):  # it is gone, or its name cannot be written as text
            return {}
        modified_us = status.st_mtime_ns // 1000
        if modified_us >= self._opened_us:
            return {}
        return {"bytes": status.st_size, **modified_field(modified_us)}

    def _describe_loss(self, n_lines: int) -> str:
        source = self._stream.source if self._stream else None
        return _encode(LossLine(source=source, lines=n_lines))

    def _line(self, result: Result, stream: StreamStarted) -> JsonRecord | None:
        if isinstance(result, SoundEvent):
            return EventLine(
                id=stream.event_id(result.id),
                label=result.label,
                score=round(result.score, 4),
                **_place(stream, result.onset, result.offset),
                **_short_field(result.short),
            )
        if isinstance(result, EventBegan | EventOngoing):
            return _begin_or_ongoing_line(result, stream) if self._begins else None
        if isinstance(result, Gap):
            return GapLine(cause=result.cause, **_place(stream, result.position, result.end))
        if isinstance(result, Average) and (stream.task == "regression" or self._top):
            place = _place(stream, result.position, result.end)
            mark = _short_field(result.scores.short)
            if stream.task == "regression":
                return ValueLine(**place, **_values(result, stream), **mark)
            return UpdateLine(**place, top=top_labels(result, stream, self._top), **mark)
        return None


def modified_field(modified_us: int) -> dict[str, Any]:
    """Return the field of a file's last change; empty for a time that no calendar knows."""
    try:
        moment = _EPOCH + timedelta(microseconds=modified_us)
    except OverflowError:
        return {}
    return {"modified": moment.isoformat(timespec="microseconds")}


def _encode(line: JsonRecord) -> str:
    return _ENCODER.encode(line).decode()


def _begin_or_ongoing_line(
    result: EventBegan | EventOngoing, stream: StreamStarted
) -> BeginLine | OngoingLine:
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


def _values(average: Average, stream: StreamStarted) -> dict[str, Any]:
    """Return a regression's only value, or its values by label."""
    values = {
        label: round(float(value), 6)
        for label, value in zip(stream.labels, average.values, strict=True)
    }
    return {"value": next(iter(values.values()))} if len(values) == 1 else {"values": values}


def top_labels(
    average: Average, stream: StreamStarted, n_labels: int, *, chosen_only: bool = False
) -> list[Label]:
    """List the labels with the highest averaged scores, after an unknown sound or silence.

    Args:
        average: The scores.
        stream: The stream of the scores.
        n_labels: Number of labels.
        chosen_only: Only list labels whose events are requested.

    Returns:
        ``label`` and ``score`` of each, in falling order of scores.
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


def _short_field(short: bool) -> dict[str, Any]:
    """Return the field that marks results of audio shorter than the model's window."""
    return {"short": True} if short else {}


def _place(stream: StreamStarted, onset: int, offset: int) -> dict[str, Any]:
    """Return the fields source, onset, offset and, if it is known, local time."""
    return {
        "source": stream.source,
        "onset": stream.seconds(onset),
        "offset": stream.seconds(offset),
        **_time(stream, onset),
    }


def _time(stream: StreamStarted, position: int) -> dict[str, Any]:
    moment = stream.time(position)
    return {} if moment is None else {"time": moment}
