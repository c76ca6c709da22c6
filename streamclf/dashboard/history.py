"""What was heard so far: written by the listening thread, read by the app.

Times are seconds from the session's start, derived from positions; they go on through changes of
microphone and model.
"""

from __future__ import annotations

import bisect
import math
import struct
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar, get_args

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
from streamclf.core.unknown import Verdict, judge
from streamclf.dashboard.audio_columns import Column, ColumnMaker
from streamclf.dashboard.disk_list import FiledCourse
from streamclf.dashboard.recent_audio import RecentAudio, join
from streamclf.sinks.base import Sink

KEPT_S = 600.0
"""Of a live stream, so much can be looked back upon."""
AUDIO_KEPT_S = 300.0
"""As long as the timeline: what is seen there can be heard. 13 MB at 22.05 kHz."""
MAX_ENTRIES = 2000

_NUMBERS = struct.Struct("<dddB")
_VERDICTS = get_args(Verdict)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the event list.

    Attributes:
        kind: What it tells of.
        label: The sound's, the gap's cause, or the notice.
        onset_s: Where it begins.
        offset_s: Where it ends.
        known_s: How much had been heard when it became known.
        score: Of an event.
        moment: Local time of the onset, of live streams.
        ended_s: How much had been heard when its end was known; infinite while it goes on.
    """

    kind: Literal["event", "gap", "warning", "info"]
    label: str
    onset_s: float
    offset_s: float
    known_s: float
    score: float = 0.0
    moment: datetime | None = None
    ended_s: float = 0.0

    @property
    def sounding(self) -> bool:
        """Whether it goes on."""
        return self.ended_s == math.inf

    def at(self, known_s: float, heard_s: float) -> Entry:
        """As it was shown when so much was known: an event that had not ended yet goes on.

        Args:
            known_s: What became known until then is shown.
            heard_s: How far an event that goes on has come.
        """
        if self.ended_s <= known_s and not self.sounding:
            return self
        return replace(self, ended_s=math.inf, offset_s=max(self.onset_s, min(known_s, heard_s)))

    @property
    def time(self) -> str:
        """Local time of the onset; of recordings, the place."""
        if self.moment is not None:
            return f"{self.moment:%H:%M:%S}"
        minutes, seconds = divmod(self.onset_s, 60)
        return f"{int(minutes):d}:{seconds:04.1f}"


class Course(Generic[T]):
    """Values by rising time; only the newest ``kept_s`` seconds."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._times: list[float] = []
        self._values: list[T] = []

    def add(self, time_s: float, value: T) -> None:
        """Append a value."""
        self._times.append(time_s)
        self._values.append(value)
        if time_s - self._times[0] > 2 * self._kept_s:
            first = bisect.bisect_left(self._times, time_s - self._kept_s)
            del self._times[:first], self._values[:first]

    def between(self, from_s: float, to_s: float) -> list[T]:
        """The values later than ``from_s`` and no later than ``to_s``."""
        first = bisect.bisect_right(self._times, from_s)
        return self._values[first : bisect.bisect_right(self._times, to_s)]

    def at(self, time_s: float) -> T | None:
        """The newest value no later than a time."""
        index = bisect.bisect_right(self._times, time_s)
        return self._values[index - 1] if index else None

    def clear(self) -> None:
        """Forget everything."""
        self._times.clear()
        self._values.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """Averaged scores at a moment.

    Attributes:
        time_s: End of the newest window.
        values: ``(classes,)`` float32.
        heard_at: Monotonic seconds at which its last sample had arrived; 0 if that is unknown.
        verdict: Whether it is of a known sound, and how sure that is.
    """

    time_s: float
    values: npt.NDArray[np.float32]
    heard_at: float = 0.0
    verdict: tuple[Verdict, float] = ("known", 1.0)

    def pack(self) -> bytes:
        """The mean as bytes, as many for each of one model."""
        name, certainty = self.verdict
        numbers = _NUMBERS.pack(self.time_s, self.heard_at, certainty, _VERDICTS.index(name))
        return numbers + self.values.tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> Mean:
        """The mean of `pack`."""
        time_s, heard_at, certainty, name = _NUMBERS.unpack_from(data)
        values = np.frombuffer(data, dtype=np.float32, offset=_NUMBERS.size)
        return cls(time_s, values, heard_at, (_VERDICTS[name], certainty))


class History(Sink):
    """Takes audio and results, gives the state at any moment it still holds.

    Args:
        live: Keep only the newest; a recording's history is kept whole, in temporary files.

    Attributes:
        soonest: When live samples sounded, in monotonic seconds.
    """

    def __init__(self, *, live: bool = True) -> None:
        self.lock = threading.RLock()
        self.live = live
        self.columns: Course[Column] | FiledCourse[Column]
        self.means: Course[Mean] | FiledCourse[Mean]
        if live:
            self.columns, self.means = Course(KEPT_S), Course(KEPT_S)
        else:
            self.columns = FiledCourse(Column.pack, Column.unpack)
            self.means = FiledCourse(Mean.pack, Mean.unpack)
        self.entries: deque[Entry] = deque()
        self._forgotten: Counter[str] = Counter()
        self._open: dict[str, tuple[str, Entry]] = {}  # by id: the label, and what is listed
        self.results: deque[tuple[StreamStarted, Result]] = deque(maxlen=10 * MAX_ENTRIES)
        self.stream: StreamStarted | None = None
        self.end_s = 0.0
        self.soonest = EarliestArrival(max_slow_rate=1e-4)
        self.lag_s = 0.0
        self._heard_at: float | None = None
        self._audio = RecentAudio(AUDIO_KEPT_S)
        self._maker: ColumnMaker | None = None
        self._rate = 0
        self._drawn_until = 0

    def begin(self, stream: StreamStarted) -> None:
        """Take note of the stream; another model's scores are not comparable."""
        with self.lock:
            if self.stream is not None and self.stream.labels != stream.labels:
                self.means.clear()
            self.stream = stream

    def forget_results(self) -> None:
        """Forget what was found in a recording, as it is judged anew; its audio stays."""
        with self.lock:
            self.means.clear()
            self.entries.clear()
            self._open.clear()
            self.results.clear()

    def take_audio(self, item: Block | Gap, now: float) -> None:
        """Take audio that arrived at ``now``, monotonic seconds."""
        rate = item.sample_rate
        end_s = item.end / rate
        made = self._make_columns(item)
        with self.lock:
            for column in made:
                self.columns.add(column.time_s, column)
            # A recording heard again stays as long as it is known to be.
            self.end_s = end_s if self.live else max(end_s, self.end_s)
            self._audio.use_rate(rate)
            if isinstance(item, Block) and self.live:
                soonest = self.soonest.add(end_s, now, item.n_samples / rate)
                self.lag_s, self._heard_at = now - end_s - soonest, now
                self._audio.add(item.position / rate, item.waveform[0])

    def _make_columns(self, item: Block | Gap) -> list[Column]:
        rate = item.sample_rate
        if self._maker is None or self._rate != rate:
            self._maker, self._rate, self._drawn_until = ColumnMaker(rate), rate, 0
            if not self.live:
                # Heard again by a model of another rate: its scale of frequencies is another.
                self.columns.clear()
        n_known = 0 if self.live else min(max(self._drawn_until - item.position, 0), item.n_samples)
        self._drawn_until = max(item.end, self._drawn_until)
        if n_known == item.n_samples:
            return []
        if isinstance(item, Block):
            return list(self._maker.push(item.waveform[0, n_known:], item.end / rate))
        return list(self._maker.skip(item.n_samples - n_known, item.end / rate))

    def stalled(self, now: float) -> bool:
        """Whether audio that came before has not come for a second."""
        return self._heard_at is not None and now - self._heard_at > 1.0

    def audio(self, from_s: float, to_s: float) -> tuple[float, Waveform, int]:
        """Live audio of a stretch: where it begins, ``(samples,)`` with gaps as zeros, its rate."""
        with self.lock:
            rate = self._audio.sample_rate
            pieces = self._audio.pieces(from_s, to_s)
        return *join(pieces, rate, from_s, to_s), rate

    def write(self, result: Result) -> None:
        """Take a result."""
        if self.stream is None:
            return
        rate = self.stream.sample_rate
        with self.lock:
            if isinstance(result, Average):
                end_s = result.end / rate
                offset_s = self.soonest.offset
                heard_at = 0.0 if offset_s is None else offset_s + end_s
                unknown = self.stream.unknown
                verdict = judge(result, unknown) if unknown else ("known", 1.0)
                self.means.add(end_s, Mean(end_s, result.values, heard_at, verdict))
                self._raise_scores(result.values, self.stream.labels)
            elif isinstance(result, EventBegan | EventOngoing | SoundEvent):
                self._live_on(result, rate)
            elif not isinstance(result, Change):
                self._append(self._entry(result, rate))
            if isinstance(result, SoundEvent | Gap):
                self.results.append((self.stream, result))

    def _live_on(self, result: EventBegan | EventOngoing | SoundEvent, rate: int) -> None:
        """Begin an event's line, or change it in its place."""
        _, begun = self._open.pop(result.id, ("", None))
        if isinstance(result, SoundEvent):
            offset_s, ended_s = result.offset / rate, self.end_s
        else:
            offset_s, ended_s = result.position / rate, math.inf
        if begun is None:
            place = (result.onset / rate, offset_s, self.end_s, result.score)
            moment = self._moment(result.onset)
            name = self.stream.display_name(result.label) if self.stream else result.label
            entry = Entry("event", name, *place, moment, ended_s)
            self._append(entry)
        else:
            entry = replace(begun, offset_s=offset_s, score=result.score, ended_s=ended_s)
            self._amend(begun, entry)
        if entry.sounding:
            self._open[result.id] = result.label, entry

    def _raise_scores(self, values: npt.NDArray[np.float32], labels: list[str]) -> None:
        """Let events that go on show the highest average so far, as their ends will."""
        for name, (label, entry) in list(self._open.items()):
            score = float(values[labels.index(label)]) if label in labels else 0.0
            if score > entry.score:
                higher = replace(entry, score=score)
                self._open[name] = label, higher
                self._amend(entry, higher)

    def _amend(self, before: Entry, after: Entry) -> None:
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index] is before:
                self.entries[index] = after
                break

    def tell(self, kind: Literal["warning", "info"], message: str) -> None:
        """Add a line of the dashboard's own to the events."""
        with self.lock:
            at = self.end_s
            stream = self.stream
            moment = self._moment(round(at * stream.sample_rate)) if stream else None
            self._append(Entry(kind, message, at, at, at, moment=moment))

    def _append(self, entry: Entry) -> None:
        """Add a line; of a live stream the oldest is forgotten, but counts."""
        self.entries.append(entry)
        if self.live and len(self.entries) > MAX_ENTRIES:
            oldest = self.entries.popleft()
            self._forgotten[oldest.label] += oldest.kind == "event"

    def counts(self, entries: Iterable[Entry]) -> list[tuple[str, int]]:
        """How many events of each name these are, with those forgotten; the most frequent first."""
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
        """For an entry, which tells the time of a live stream and the place in a recording."""
        return self.stream.moment(position) if self.stream and self.live else None

    def clock(self, time_s: float) -> str:
        """What the clock said at a moment of a recording that tells it; else empty."""
        if self.stream is None or self.live or self.stream.started is None:
            return ""
        return f"{self.stream.started + timedelta(seconds=time_s):%H:%M:%S}"

    def close(self) -> None:
        """Nothing to release."""
