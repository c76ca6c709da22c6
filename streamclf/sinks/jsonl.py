"""JSON Lines: one object a line, ``type`` says of which kind."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from streamclf.records import Average, Gap, Result, SoundEvent
from streamclf.sinks.base import StreamInfo
from streamclf.sinks.lines import Lines, LineSink
from streamclf.unknown import judge

_ENCODER = msgspec.json.Encoder()


class JsonLinesSink(LineSink):
    """Writes events and gaps; a regression's values; on request the top scores of each hop.

    What was found in audio shorter than the model's window has ``"short": true``.

    Args:
        file: Where the lines go.
        top: With a number, a line ``update`` with so many top averages follows each window.
    """

    def __init__(self, file: Lines, *, top: int = 0) -> None:
        super().__init__(file)
        self._top = top
        file.describe_loss = self._describe_loss

    def write(self, result: Result) -> None:
        """Write a line, if the result is of a kind that is written."""
        fields = self._fields(result, self._stream) if self._stream else None
        if fields is not None:
            self._file.write(_ENCODER.encode(fields).decode())

    def _describe_loss(self, n_lines: int) -> str:
        source = self._stream.source if self._stream else None
        return _ENCODER.encode({"type": "loss", "source": source, "lines": n_lines}).decode()

    def _fields(self, result: Result, stream: StreamInfo) -> dict[str, Any] | None:
        if isinstance(result, SoundEvent):
            place = _place(stream, result.onset, result.offset)
            fields = {"type": "event", "source": stream.source, "label": result.label, **place}
            return {**fields, "score": round(result.score, 4), **_mark(result.short)}
        if isinstance(result, Gap):
            place = _place(stream, result.position, result.end)
            return {"type": "gap", "source": stream.source, **place, "cause": result.cause}
        if isinstance(result, Average) and (stream.task == "regression" or self._top):
            place = _place(stream, result.position, result.end)
            mark = _mark(result.scores.short)
            if stream.task == "regression":
                values = {
                    label: round(float(value), 6)
                    for label, value in zip(stream.labels, result.values, strict=True)
                }
                kind: dict[str, Any] = {"type": "value", "source": stream.source}
                if len(values) == 1:
                    return {**kind, **place, "value": next(iter(values.values())), **mark}
                return {**kind, **place, "values": values, **mark}
            top = top_labels(result, stream, self._top)
            return {"type": "update", "source": stream.source, **place, "top": top, **mark}
        return None


def top_labels(average: Average, stream: StreamInfo, n_labels: int) -> list[dict[str, Any]]:
    """The highest averaged scores, in falling order; unknown sounds and silence go first."""
    order = np.argsort(-average.values, kind="stable")[:n_labels]
    rows = [(stream.labels[i], float(average.values[i])) for i in order]
    if stream.unknown is not None:
        label, score = judge(average, stream.unknown)
        rows = rows if label == "known" else [(label, score), *rows]
    return [{"label": label, "score": round(score, 4)} for label, score in rows]


def _mark(short: bool) -> dict[str, Any]:
    """What a result of audio shorter than the model's window has more than others."""
    return {"short": True} if short else {}


def _place(stream: StreamInfo, onset: int, offset: int) -> dict[str, Any]:
    place: dict[str, Any] = {"onset": stream.seconds(onset), "offset": stream.seconds(offset)}
    time = stream.time(onset)
    return place if time is None else {**place, "time": time}
