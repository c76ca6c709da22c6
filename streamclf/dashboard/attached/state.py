"""What the page tells of its sources, as snapshots that the dashboard's widgets draw."""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np

from streamclf.core.card import Card
from streamclf.core.redaction import one_line
from streamclf.core.sureness import read_sureness
from streamclf.dashboard.attached.client import Json
from streamclf.dashboard.history import Entry
from streamclf.dashboard.snapshot import SPECTRUM_COLUMNS, Level, Snapshot
from streamclf.pipeline.audio_columns import COLUMN_S, N_BANDS, Column

MAX_ENTRIES = 500
"""Events, gaps and notices of a source that are kept."""
MOST_LABELS = 1000
SINE_DB = 10 * math.log10(2)
"""The page's level of a full sine is 0 dB, and its root mean square this much lower."""
UNKNOWN_RATE = 16_000
NO_LABEL = "-"
"""Label that stands for all, before the page has told of any."""


@dataclass
class RemoteSource:
    """A source as the page tells of it.

    Attributes:
        name: Its name.
        frame: Its newest level, sounds and state.
        entries: Events by id, gaps and notices by number; in the order in which they came.
        columns: Its newest columns.
        names: Names of the labels that it has told, in the order in which they came.
    """

    name: str
    frame: Json = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    columns: deque[Column] = field(default_factory=lambda: deque(maxlen=SPECTRUM_COLUMNS))
    names: dict[str, str] = field(default_factory=dict)
    newest: int = -1

    @property
    def state(self) -> str:
        """How it fares, in a word: ``heard``, ``waiting``, ``late``, ``lost``, ``failed``, ..."""
        return str(self.frame.get("state", "waiting"))

    def add_columns(self, packed: Json) -> None:
        """Add columns as the page packs them; what is known already is left out."""
        try:
            data = base64.b64decode(packed.get("bands", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            return
        if not data:
            return
        bands = np.frombuffer(data[: len(data) // N_BANDS * N_BANDS], np.uint8).reshape(-1, N_BANDS)
        runs = packed.get("runs", [])
        numbers = [first + n for first, length in runs for n in range(min(length, len(bands)))]
        missing = set(packed.get("missing", []))
        for number, each in zip(numbers, bands, strict=False):
            if number <= self.newest:
                continue
            n_undrawn = number - self.newest - 1 if self.newest >= 0 else 0
            for undrawn in range(number - min(n_undrawn, SPECTRUM_COLUMNS), number):
                self.columns.append(Column(undrawn * COLUMN_S, np.zeros(N_BANDS, np.uint8)))
            self.columns.append(Column(number * COLUMN_S, each, missing=number in missing))
            self.newest = number

    def add_entry(self, key: str, entry: Entry) -> None:
        """Add an entry, or put it in the place of the one before."""
        self.entries[key] = entry
        while len(self.entries) > MAX_ENTRIES:
            del self.entries[next(iter(self.entries))]

    def raise_score(self, sound: Json) -> None:
        """Raise the score of an event that goes on to that of the newest frame."""
        sureness, score = read_sureness(sound.get("sureness")), sound["score"]
        for key, entry in self.entries.items():
            if entry.ongoing and entry.label == one_line(sound["name"]) and sureness is not None:
                score = max(entry.score, score)
                self.entries[key] = replace(entry, score=score, sureness=sureness)


class RemoteState:
    """All that the page has told. Everything happens in the thread of the app.

    Attributes:
        sources: The sources by name, in the page's order.
        now_s: The page's time, in seconds since 1970.
    """

    def __init__(self) -> None:
        self.sources: dict[str, RemoteSource] = {}
        self.now_s = 0.0
        self._n_troubles = 0

    def take(self, kind: str, data: Json) -> None:
        """Take an event of the stream."""
        if kind == "reset":
            self._reset(data)
        elif kind == "frames":
            self._take_frames(data)
        elif kind == "pictures":
            for name, packed in data.items():
                if isinstance(packed, dict):
                    self._source(name).add_columns(packed)
        elif kind in ("began", "ended"):
            self._take_event(data, open_=kind == "began")
        elif kind in ("gap", "notice"):
            self._take_trouble(kind, data)
        elif kind == "source":
            self.sources[data["source"]] = replace(self._source(data["source"]), newest=-1)
        elif kind == "gone":
            self.sources.pop(data["source"], None)

    def take_stored(self, events: list[Json]) -> None:
        """Take events of the store, the newest first, as far as they are not known yet."""
        for each in reversed(events):
            source = self.sources.get(str(each.get("source")))
            key = str(each.get("event"))
            if source is None or key in source.entries or each.get("state") == "open":
                continue
            try:
                moment = datetime.fromisoformat(each["time"])
                length_s = each["offset"] - each["onset"]
            except (KeyError, TypeError, ValueError):
                continue
            onset_s = moment.timestamp()
            name = one_line(str(each["name"]))
            entry = Entry(
                "event", name, onset_s, onset_s + length_s, onset_s, each["score"], moment,
                sureness=read_sureness(each.get("sureness")),
            )  # fmt: skip
            source.entries = {key: entry, **source.entries}

    def snapshot(self, name: str) -> Snapshot:
        """Take the snapshot of a source."""
        source = self._source(name)
        frame = source.frame
        labels = list(source.names) or [NO_LABEL]
        values = np.zeros(len(labels), np.float32)
        on = np.full(len(labels), np.inf, np.float32)  # the page tells no thresholds
        for sound in frame.get("sounds", []):
            at = labels.index(sound["label"])
            values[at] = sound["score"]
            on[at] = 0.0 if sound["above"] else np.inf
        heard = source.state == "heard"
        entries = sorted(
            (self._as_of_now(each) for each in source.entries.values()),
            key=lambda each: each.onset_s,
        )
        counts = Counter(each.label for each in entries if each.kind == "event")
        return Snapshot(
            card=_describe_card(labels, source.names, int(frame.get("rate") or UNKNOWN_RATE)),
            time_s=self.now_s,
            values=values if heard and frame.get("verdict") else None,
            on=on,
            level=_level(frame),
            columns=list(source.columns),
            averages=[],
            entries=entries,
            counts=counts.most_common(),
        )

    def _as_of_now(self, entry: Entry) -> Entry:
        return replace(entry, offset_s=max(self.now_s, entry.onset_s)) if entry.ongoing else entry

    def _source(self, name: str) -> RemoteSource:
        return self.sources.setdefault(name, RemoteSource(name))

    def _reset(self, data: Json) -> None:
        before = self.sources
        self.sources = {}
        self._take_frames(data)
        for name, source in self.sources.items():
            if name in before:
                source.names = before[name].names
        for each in reversed(data.get("ended", [])):
            self._take_event(each, open_=False)
        for each in reversed(data.get("troubles", [])):
            self._take_trouble(each["kind"], each)
        for source in data.get("sources", []):
            for each in source.get("open", []):
                self._take_event(each, open_=True)

    def _take_frames(self, data: Json) -> None:
        self.now_s = data.get("now", 0) / 1000
        for frame in data.get("sources", []):
            source = self._source(frame["source"])
            source.frame = frame
            source.add_columns(frame)
            for sound in frame.get("sounds", []):
                if len(source.names) < MOST_LABELS or sound["label"] in source.names:
                    source.names[sound["label"]] = one_line(sound["name"])
                source.raise_score(sound)
            sounds = frame.get("sounds", [])
            frame["sounds"] = [each for each in sounds if each["label"] in source.names]

    def _take_event(self, data: Json, *, open_: bool) -> None:
        moment, onset_s = _moment(data.get("onset"))
        length_s = data.get("length_s") or 0.0
        entry = Entry(
            "event",
            one_line(data["name"]),
            onset_s,
            onset_s + length_s,
            onset_s,
            data["score"],
            moment,
            math.inf if open_ else 0.0,
            read_sureness(data.get("sureness")),
        )
        if data["source"] in self.sources:
            self.sources[data["source"]].add_entry(data["id"], entry)

    def _take_trouble(self, kind: str, data: Json) -> None:
        moment, at_s = _moment(data.get("at"))
        self._n_troubles += 1
        if kind == "gap":
            text, end_s = one_line(data["cause"]), at_s + data["length_s"]
            entry = Entry("gap", text, at_s, end_s, at_s, moment=moment)
        else:
            level: Literal["warning", "info"] = "info" if data["level"] == "info" else "warning"
            entry = Entry(level, one_line(data["message"]), at_s, at_s, at_s, moment=moment)
        if data["source"] in self.sources:
            self.sources[data["source"]].add_entry(f"trouble {self._n_troubles}", entry)


def _moment(ms: Any) -> tuple[datetime | None, float]:
    """Local time, and seconds since 1970; 0 where the time is unknown."""
    if ms is None:
        return None, 0.0
    return datetime.fromtimestamp(ms / 1000).astimezone(), ms / 1000


def _level(frame: Json) -> Level:
    if frame.get("level") is None:
        return Level()
    return Level(
        peak_db=frame["peak"],
        rms_db=frame["level"] - SINE_DB,
        hold_db=frame["peak"],
        clipped=bool(frame["clipped"]),
        muted=bool(frame["muted"]),
        missing=False,
    )


def _describe_card(labels: list[str], names: dict[str, str], sample_rate: int) -> Card:
    """A card of the labels that were told so far, which the widgets want to know."""
    return Card(
        name="attached",
        labels=labels,
        display_names=dict(names),
        sample_rate=sample_rate,
        window_samples=1,
        task="multi-label",
        activation="sigmoid",
    )
