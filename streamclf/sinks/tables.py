"""Tables of events: CSV, Audacity labels, Raven selection tables, and text for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar

from streamclf.core.highest_averages import MIN_SHOWN
from streamclf.core.records import Average, EventBegan, Gap, Result, SoundEvent, StreamStarted
from streamclf.core.redaction import one_line
from streamclf.core.stats import Statistics
from streamclf.core.sureness import SURENESS_WIDTH
from streamclf.sinks.csv_cells import csv_line
from streamclf.sinks.jsonl import N_BEST, top_labels
from streamclf.sinks.lines import Lines, LineSink


class TableSink(LineSink):
    """Table with one row for each result, in the format of its subclass.

    Args:
        file: Destination of the lines.
        marks: Kinds of rows about recordings to write: ``heard``, ``unfinished``.
        n_best: Number of classes in the answer for a whole recording.
    """

    header: ClassVar[str | None] = None

    def __init__(self, file: Lines, *, marks: Collection[str] = (), n_best: int = N_BEST) -> None:
        super().__init__(file, marks=marks)
        self._n_best = n_best
        if self.header is not None:
            file.write_header(self.header)

    def write(self, result: Result) -> None:
        """Write a row for each event, gap or value."""
        if self._stream is None:
            return
        for label, onset, offset, score in _rows(result, self._stream):
            self._file.write(self.row(self._stream, label, onset, offset, score))

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row.

        Args:
            stream: The stream of the result.
            label: Label of the event or value; None for a gap.
            onset: Position of the first sample.
            offset: Position just after the last sample.
            score: Score of the event, the value, or the cause of the gap.
        """
        raise NotImplementedError


def _rows(
    result: Result, stream: StreamStarted
) -> Iterator[tuple[str | None, int, int, float | str]]:
    if isinstance(result, SoundEvent):
        yield result.label, result.onset, result.offset, round(result.score, 4)
    elif isinstance(result, Gap):
        yield None, result.position, result.end, result.cause
    elif isinstance(result, Average) and stream.task == "regression":
        for label, value in zip(stream.labels, result.values, strict=True):
            yield label, result.position, result.end, round(float(value), 6)


class CsvSink(TableSink):
    """CSV table with the columns type, source, label, onset, offset, score, time, utc_offset.

    The label of a gap is its cause. ``time`` is local time without an offset, so that all rows have
    one form; the column ``utc_offset`` holds the offset from UTC.
    """

    header = "type,source,label,onset,offset,score,time,utc_offset"

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row."""
        kind = "value" if stream.task == "regression" else "event"
        named = ("gap", score, "") if label is None else (kind, label, score)
        kind, name, number = named
        return self._line(stream, kind, name, onset, offset, number)

    def summarise(self, answer: Average) -> None:
        """Write a row ``summary`` for each of the best labels or each value of a regression."""
        if self._stream is not None:
            for label, score in _answer(answer, self._stream, self._n_best):
                place = (answer.position, answer.end)
                self._file.write(self._line(self._stream, "summary", label, *place, score))

    def mark(self, kind: str, stream: StreamStarted, statistics: Statistics) -> str:
        """Format the row about a recording."""
        return self._line(stream, kind, "", 0, statistics.elapsed_samples, "")

    def _line(
        self,
        stream: StreamStarted,
        kind: str,
        name: object,
        onset: int,
        offset: int,
        number: object,
    ) -> str:
        place = (stream.seconds(onset), stream.seconds(offset))
        return csv_line([kind, stream.source, name, *place, number, *stream.wall_clock(onset)])


class AudacitySink(TableSink):
    """Audacity labels: onset, offset, label, separated by tabs; one recording per file."""

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row."""
        text = f"gap: {score}" if label is None else label
        if stream.task == "regression" and label is not None:
            text = f"{label} {score}"
        return f"{stream.seconds(onset):.6f}\t{stream.seconds(offset):.6f}\t{_tab_safe(text)}"


class RavenSink(TableSink):
    """Raven selection table; times count from the beginning of each recording."""

    header = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\t"
        "High Freq (Hz)\tBegin File\tFile Offset (s)\tLabel\tScore"
    )

    def __init__(self, file: Lines, *, marks: Collection[str] = (), n_best: int = N_BEST) -> None:
        super().__init__(file, marks=marks, n_best=n_best)
        self._n_rows = 0

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row."""
        self._n_rows += 1
        begin, end = f"{stream.seconds(onset):.6f}", f"{stream.seconds(offset):.6f}"
        name = Path(stream.source).name
        text, number = ("gap: " + str(score), "") if label is None else (label, str(score))
        band = ["0", str(stream.sample_rate // 2)]
        cells = [str(self._n_rows), "Spectrogram 1", "1", begin, end, *band, one_line(name), begin]
        return "\t".join([*cells, _tab_safe(text), number])


class TextSink(TableSink):
    """Text table for people, with display names and a line for each recording without events.

    Args:
        file: Destination of the lines.
        begins: Also write a row when an event is announced, without its end.
        n_best: Number of classes in the answer for a whole recording.
    """

    def __init__(self, file: Lines, *, begins: bool = False, n_best: int = N_BEST) -> None:
        super().__init__(file, n_best=n_best)
        self._begins = begins
        self._shown = ""
        self._answered = False

    def summarise(self, answer: Average) -> None:
        """Write the best labels, or the values of a regression, in one line."""
        stream = self._stream
        if stream is None:
            return
        best = _answer(answer, stream, self._n_best)
        if stream.task != "regression":
            best = [pair for pair in best if pair[1] >= MIN_SHOWN] or best[:1]
        parts = [f"{stream.display_name(name)} {number:.2f}" for name, number in best]
        self._file.write(f"{self._title(stream)}  {', '.join(parts)}")
        self._answered = True

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write a line if the recording has no events, with the highest averages."""
        stream = self._stream
        has_content = statistics.n_events or self._answered or not whole
        if stream is not None and not has_content and stream.task != "regression":
            nearest = statistics.highest.describe(
                stream.labels, stream.thresholds, stream.sample_rate, stream.display_name
            )
            nearest = f"; highest: {nearest}" if nearest else ""
            self._file.write(f"{self._title(stream)}  (no events{nearest})")
        super().end(statistics, whole=whole)

    def write(self, result: Result) -> None:
        """Write a row for each event, gap or value, and for each begin if it is requested."""
        if self._begins and isinstance(result, EventBegan) and self._stream is not None:
            stream = self._stream
            number = _write_score(stream, result.label, result.score)
            name = stream.display_name(result.label)
            self._file.write(self._line(stream, result.onset, "...", name, number))
        super().write(result)

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row; the first one of a stream comes below the stream's name."""
        text, number = f"[gap: {score}]", ""
        if label is not None:
            text = stream.display_name(label)
            number = _write_score(stream, label, float(score))
        return self._line(stream, onset, _format_time(stream.seconds(offset)), text, number)

    def _line(self, stream: StreamStarted, onset: int, end: str, text: str, number: str) -> str:
        begin = _format_time(stream.seconds(onset))
        # Names are of any length, so the score stands before them.
        width = SURENESS_WIDTH + 6 if stream.sureness else 5
        return f"{self._title(stream)}  {begin:>10} - {end:>10}  {number:>{width}}  {text}"

    def _title(self, stream: StreamStarted) -> str:
        """Return the line with the stream's name, or an empty text if it has been written."""
        moment = stream.moment(0)  # a live stream's clock knows it better now than at its start
        began = f", from {moment:%Y-%m-%d %H:%M:%S}" if moment else ""
        title = "" if self._shown == stream.source else f"{one_line(stream.source)}{began}\n"
        self._shown = stream.source
        return title


def _answer(answer: Average, stream: StreamStarted, n_best: int) -> list[tuple[str, float]]:
    """Return the answer for a recording: labels and scores, or names and values of a regression."""
    if stream.task == "regression":
        pairs = zip(stream.labels, answer.values, strict=True)
        return [(label, round(float(value), 6)) for label, value in pairs]
    best = top_labels(answer, stream, n_best, chosen_only=True)
    return [(row.label, row.score) for row in best]


def _write_score(stream: StreamStarted, label: str, score: float) -> str:
    """Write a score, after the word for how sure that is where the model has words."""
    if not stream.sureness:
        return f"{score:.2f}"
    return f"{stream.tell_sureness(label, score) or '':<{SURENESS_WIDTH}}  {score:.2f}"


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def _tab_safe(label: str) -> str:
    """Replace all white space in a label by blanks, so that it fits into a cell between tabs."""
    return one_line(" ".join(label.split()))
