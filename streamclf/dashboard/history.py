"""History of a session: written by the listening thread, read by the app.

Times are seconds from the session's start, derived from positions in samples. They continue through
changes of microphone and model.
"""

from __future__ import annotations

import math
import struct
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from streamclf.core.arrival import EarliestArrival
from streamclf.core.records import (
    Average,
    Block,
    Change,
    EventBegan,
    EventOngoing,
    Gap,
    Notice,
    Result,
    SoundEvent,
    StreamStarted,
    Waveform,
)
from streamclf.core.sureness import Sureness
from streamclf.core.unknown import Verdict, judge
from streamclf.dashboard.recent_audio import RecentAudio, join_pieces
from streamclf.dashboard.time_series import DiskTimeSeries, TimeSeries
from streamclf.pipeline.audio_columns import Column, ColumnMaker
from streamclf.sinks.base import Sink

KEPT_S = 600.0
"""Seconds of a live stream that are kept to look back upon."""
AUDIO_KEPT_S = 300.0
"""Seconds of audio that are kept: as many as the timeline shows. 13 MB at 22.05 kHz."""
MAX_ENTRIES = 2000

_NUMBERS = struct.Struct("<dddB")
_VERDICTS = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the event list. All times are in seconds from the session's start.

    Attributes:
        kind: Whether the line is an event, a gap or a notice.
        label: Display name of the sound, cause of the gap, or text of the notice.
        onset_s: Start of the event.
        offset_s: End of the event.
        known_s: End of the audio at the time the line was added.
        score: Score of an event; 0 for others.
        moment: Local time of the onset; None for recordings.
        ended_s: End of the audio at the time the event ended; infinite while it is ongoing.
        sureness: How sure that score is; None where the model has no word for it.
    """

    kind: Literal["event", "gap", "warning", "info"]
    label: str
    onset_s: float
    offset_s: float
    known_s: float
    score: float = 0.0
    moment: datetime | None = None
    ended_s: float = 0.0
    sureness: Sureness | None = None

    @property
    def ongoing(self) -> bool:
        """Whether the event has not ended yet."""
        return self.ended_s == math.inf

    def at(self, known_s: float, heard_s: float) -> Entry:
        """Entry as it was shown at an earlier moment: an event that ended later is ongoing.

        Args:
            known_s: The earlier moment.
            heard_s: End of the audio, up to which an ongoing event extends.
        """
        if self.ended_s <= known_s and not self.ongoing:
            return self
        return replace(self, ended_s=math.inf, offset_s=max(self.onset_s, min(known_s, heard_s)))

    @property
    def time(self) -> str:
        """Local time of the onset; for recordings, the onset in minutes and seconds."""
        if self.moment is not None:
            return f"{self.moment:%H:%M:%S}"
        minutes, seconds = divmod(self.onset_s, 60)
        return f"{int(minutes):d}:{seconds:04.1f}"


@dataclass(frozen=True, slots=True, eq=False)
class AveragePoint:
    """Averaged scores at a moment.

    Attributes:
        time_s: End of the newest window, in seconds from the session's start.
        values: ``(classes,)`` float32.
        arrived_at: Monotonic time in seconds at which the last sample arrived; 0 if unknown,
            or if a gap cut the window short.
        verdict: Whether the sound is known, unknown or silence, and the score of that verdict.
    """

    time_s: float
    values: npt.NDArray[np.float32]
    arrived_at: float = 0.0
    verdict: tuple[Verdict, float] = ("known", 1.0)

    def pack(self) -> bytes:
        """The point as bytes, of the same length for all points of one model."""
        name, certainty = self.verdict
        numbers = _NUMBERS.pack(self.time_s, self.arrived_at, certainty, _VERDICTS.index(name))
        return numbers + self.values.tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> AveragePoint:
        """Make a point from the bytes of `pack`."""
        time_s, arrived_at, certainty, name = _NUMBERS.unpack_from(data)
        values = np.frombuffer(data, dtype=np.float32, offset=_NUMBERS.size)
        return cls(time_s, values, arrived_at, (_VERDICTS[name], certainty))


class History(Sink):
    """Store of a session's audio and results, which gives the state at any moment it still holds.

    Args:
        live: Whether to keep only the newest minutes. The history of a recording is kept whole, in
            temporary files.

    Attributes:
        lock: Lock to hold while reading several attributes that belong together.
        columns: Columns of 0.1 s of audio.
        averages: Averaged scores.
        entries: Lines of the event list, in the order in which they were added.
        results: Events and gaps with their streams, for export.
        stream: The current stream; None before the first audio.
        end_s: End of the audio so far, in seconds from the session's start.
        arrival: Estimate of when live samples sounded, in monotonic seconds.
        lag_s: Delay of the newest live block behind the block that came soonest, in seconds.
    """

    def __init__(self, *, live: bool = True) -> None:
        self.lock = threading.RLock()
        self.live = live
        self.columns: TimeSeries[Column] | DiskTimeSeries[Column]
        self.averages: TimeSeries[AveragePoint] | DiskTimeSeries[AveragePoint]
        if live:
            self.columns, self.averages = TimeSeries(KEPT_S), TimeSeries(KEPT_S)
        else:
            self.columns = DiskTimeSeries(Column.pack, Column.unpack)
            self.averages = DiskTimeSeries(AveragePoint.pack, AveragePoint.unpack)
        self.entries: deque[Entry] = deque()
        self._forgotten: Counter[str] = Counter()
        self._open: dict[str, tuple[str, Entry]] = {}  # by event id: label and entry
        self.results: deque[tuple[StreamStarted, Result]] = deque(maxlen=10 * MAX_ENTRIES)
        self.stream: StreamStarted | None = None
        self.end_s = 0.0
        self.arrival = EarliestArrival(max_slow_rate=1e-4)
        self.lag_s = 0.0
        self._arrived_at: float | None = None
        self._gap_s = -math.inf  # where the newest gap begins
        self._audio = RecentAudio(AUDIO_KEPT_S)
        self._column_maker: ColumnMaker | None = None
        self._rate = 0
        self._drawn_until = 0

    def begin(self, stream: StreamStarted) -> None:
        """Begin a stream. Scores with other labels are dropped, as they are not comparable."""
        with self.lock:
            if self.stream is not None and self.stream.labels != stream.labels:
                self.averages.clear()
            self.stream = stream
            self._gap_s = -math.inf

    def forget_results(self) -> None:
        """Delete all results of a recording, before new settings judge it again; keep its audio."""
        with self.lock:
            self.averages.clear()
            self.entries.clear()
            self._open.clear()
            self.results.clear()

    def take_audio(self, item: Block | Gap, now: float) -> None:
        """Add audio that arrived at ``now``, in monotonic seconds."""
        rate = item.sample_rate
        end_s = item.end / rate
        made = self._make_columns(item)
        with self.lock:
            for column in made:
                self.columns.add(column.time_s, column)
            # A second pass over a recording does not shorten its known length.
            self.end_s = end_s if self.live else max(end_s, self.end_s)
            self._audio.use_rate(rate)
            if isinstance(item, Gap):
                self._gap_s = item.position / rate
            elif self.live:
                offset_s = self.arrival.add(end_s, now, item.n_samples / rate)
                self.lag_s, self._arrived_at = now - end_s - offset_s, now
                self._audio.add(item.position / rate, item.waveform[0])

    def _make_columns(self, item: Block | Gap) -> list[Column]:
        rate = item.sample_rate
        if self._column_maker is None or self._rate != rate:
            self._column_maker, self._rate, self._drawn_until = ColumnMaker(rate), rate, 0
            if not self.live:
                # A model of another sample rate has another frequency scale.
                self.columns.clear()
        n_known = 0 if self.live else min(max(self._drawn_until - item.position, 0), item.n_samples)
        self._drawn_until = max(item.end, self._drawn_until)
        if n_known == item.n_samples:
            return []
        if isinstance(item, Block):
            return list(self._column_maker.push(item.waveform[0, n_known:], item.end / rate))
        return list(self._column_maker.skip(item.n_samples - n_known, item.end / rate))

    def silent_s(self, now: float) -> float:
        """Seconds for which no audio came, once some had come; 0 while the last is 1 s old."""
        since_s = 0.0 if self._arrived_at is None else now - self._arrived_at
        return since_s if since_s > 1.0 else 0.0

    def audio(self, from_s: float, to_s: float) -> tuple[float, Waveform, int]:
        """Read an interval of the live audio.

        Returns:
            Start of the audio in seconds, ``(samples,)`` with zeros for gaps, and its sample rate.
        """
        with self.lock:
            rate = self._audio.sample_rate
            pieces = self._audio.pieces(from_s, to_s)
        return *join_pieces(pieces, rate, from_s, to_s), rate

    def write(self, result: Result) -> None:
        """Add a result."""
        if self.stream is None:
            return
        rate = self.stream.sample_rate
        with self.lock:
            if isinstance(result, Average):
                end_s = result.end / rate
                arrived_at = self._arrival_of(end_s, rate)
                unknown = self.stream.unknown
                verdict = judge(result, unknown) if unknown else ("known", 1.0)
                self.averages.add(end_s, AveragePoint(end_s, result.values, arrived_at, verdict))
                self._raise_scores(result.values, self.stream)
            elif isinstance(result, EventBegan | EventOngoing | SoundEvent):
                self._update_event(result, rate)
            elif not isinstance(result, Change):
                self._append(self._entry(result, rate))
            if isinstance(result, SoundEvent | Gap):
                self.results.append((self.stream, result))

    def _arrival_of(self, end_s: float, rate: int) -> float:
        """Return when the last sample of a window arrived; 0 if unknown, or if a gap cut it.

        The window before a gap is known only once the gap is over, which says nothing of speed.
        """
        offset_s = self.arrival.offset
        if offset_s is None or end_s <= self._gap_s + 1 / rate:
            return 0.0
        return offset_s + end_s

    def _update_event(self, result: EventBegan | EventOngoing | SoundEvent, rate: int) -> None:
        """Add the entry of an event, or update it in place."""
        stream = self.stream
        assert stream is not None
        _, begun = self._open.pop(result.id, ("", None))
        if isinstance(result, SoundEvent):
            offset_s, ended_s = result.offset / rate, self.end_s
        else:
            offset_s, ended_s = result.position / rate, math.inf
        sureness = stream.tell_sureness(result.label, result.score)
        if begun is None:
            place = (result.onset / rate, offset_s, self.end_s, result.score)
            moment = self._moment(result.onset)
            name = stream.display_name(result.label)
            entry = Entry("event", name, *place, moment, ended_s, sureness)
            self._append(entry)
        else:
            entry = replace(
                begun, offset_s=offset_s, score=result.score, ended_s=ended_s, sureness=sureness
            )
            self._amend(begun, entry)
        if entry.ongoing:
            self._open[result.id] = result.label, entry

    def _raise_scores(self, values: npt.NDArray[np.float32], stream: StreamStarted) -> None:
        """Raise the scores of ongoing events to the highest average so far, as at their end."""
        labels = stream.labels
        for name, (label, entry) in list(self._open.items()):
            score = float(values[labels.index(label)]) if label in labels else 0.0
            if score > entry.score:
                higher = replace(entry, score=score, sureness=stream.tell_sureness(label, score))
                self._open[name] = label, higher
                self._amend(entry, higher)

    def _amend(self, before: Entry, after: Entry) -> None:
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index] is before:
                self.entries[index] = after
                break

    def add_notice(self, kind: Literal["warning", "info"], message: str) -> None:
        """Add a message of the dashboard itself to the event list."""
        with self.lock:
            at = self.end_s
            stream = self.stream
            moment = self._moment(round(at * stream.sample_rate)) if stream else None
            self._append(Entry(kind, message, at, at, at, moment=moment))

    def _append(self, entry: Entry) -> None:
        """Add an entry. A full list of a live stream drops the oldest, which is still counted."""
        self.entries.append(entry)
        if self.live and len(self.entries) > MAX_ENTRIES:
            oldest = self.entries.popleft()
            self._forgotten[oldest.label] += oldest.kind == "event"

    def counts(self, entries: Iterable[Entry]) -> list[tuple[str, int]]:
        """Number of events by label, dropped ones included; the most frequent first."""
        with self.lock:
            counts = self._forgotten.copy()
        counts.update(entry.label for entry in entries if entry.kind == "event")
        kept = [(label, number) for label, number in counts.items() if number]
        return sorted(kept, key=lambda pair: (-pair[1], pair[0]))

    def _entry(self, result: Gap | Notice, rate: int) -> Entry:
        moment = self._moment(result.position)
        if isinstance(result, Gap):
            place = (result.position / rate, result.end / rate, self.end_s)
            return Entry("gap", result.cause, *place, moment=moment)
        at = result.position / rate
        return Entry(result.level, result.message, at, at, self.end_s, moment=moment)

    def _moment(self, position: int) -> datetime | None:
        """Local time of a position in a live stream; None for recordings."""
        return self.stream.moment(position) if self.stream and self.live else None

    def clock(self, time_s: float) -> str:
        """Time of day at a moment of a recording; empty if its start time is unknown."""
        if self.stream is None or self.live or self.stream.started is None:
            return ""
        return f"{self.stream.started + timedelta(seconds=time_s):%H:%M:%S}"

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
