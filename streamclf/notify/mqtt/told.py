"""What a broker is told of one source: what sounds now, and what has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeAlias

from streamclf.core.labels import name_label
from streamclf.notify.happenings import SoundHappened
from streamclf.notify.mqtt.discovery import AnnouncedSource

Json: TypeAlias = dict[str, Any]

LEVEL_STEP_DB = 0.5
"""Smallest change of a level that is worth a message."""
LOST_STEP_S = 1.0
"""Smallest change of the seconds lost that is worth a message."""


@dataclass
class ToldSource:
    """State of a source, as the broker is told it. One thread uses it.

    Attributes:
        announced: How it was announced.
        today: Sounds that began on `day`.
        day: The day that is counted, by the place's own clock.
        connected: Whether its audio arrives.
        silent: Whether there is no signal in its audio.
        paused: Whether somebody paused it.
        thresholds: Averaged score at which an event begins, by label.
        lost_s: Seconds of audio lost.
        level: Newest level in dB; None if unknown.
    """

    announced: AnnouncedSource
    today: int
    day: date
    connected: bool = False
    silent: bool = False
    paused: bool = False
    thresholds: Mapping[str, float] = field(default_factory=dict)
    lost_s: float = 0.0
    level: float | None = None
    _open: dict[str, SoundHappened] = field(default_factory=dict)
    _last: Json | None = None

    @property
    def available(self) -> bool:
        """Whether what it tells of its sounds can be believed now."""
        return self.connected and not (self.silent or self.paused)

    def apply(self, happened: SoundHappened) -> Json | None:
        """Note a begin or an end.

        Returns:
            The message about it; None for what changes nothing, such as the end of an event that
            nobody was told of.
        """
        if happened.phase == "begin":
            self._open[happened.event_id] = happened
            if _day_of(happened) == self.day:
                self.today += 1
        elif happened.phase == "end":
            if self._open.pop(happened.event_id, None) is None:
                return None
        else:
            return None
        told = describe_sound(happened)
        self._last = {key: told[key] for key in told if key not in ("event_type", "phase", "id")}
        self._last["label"] = happened.label
        return told

    def begin_day(self, today: date) -> bool:
        """Count anew if another day has begun; returns whether it has."""
        if today == self.day:
            return False
        self.day, self.today = today, 0
        return True

    def open_events(self) -> list[SoundHappened]:
        """The begins of what sounds now, the oldest first."""
        return list(self._open.values())

    def state(self) -> Json:
        """The whole state, in plain values."""
        sounding = {each.label for each in self._open.values()}
        keys, chosen = self.announced.keys, self.announced.chosen
        heard = {label: sounding.intersection(by) for label, by in chosen.items()}
        return {
            "source": self.announced.name,
            "connected": _on(self.connected),
            "silent": _on(self.silent),
            "paused": _on(self.paused),
            "on": {keys[label]: _on(bool(sounds)) for label, sounds in heard.items()},
            "sounds": {
                keys[label]: sorted(sounds)
                for label, sounds in heard.items()
                if sounds and set(chosen[label]) - {label}
            },
            "sounding": sorted(sounding),
            "last": self._last,
            "today": self.today,
            "level": self.level,
            "lost_s": round(self.lost_s, 1),
            "thresholds": {
                keys[label]: round(self.thresholds[label], 4)
                for label in chosen
                if label in self.thresholds
            },
        }


def differs_at_once(state: Json, before: Json) -> bool:
    """Whether something has happened between two states; another level alone is nothing."""
    known = (state["level"] is None, before["level"] is None)
    slow = {"level": None, "lost_s": None}
    return known[0] is not known[1] or {**state, **slow} != {**before, **slow}


def differs(state: Json, before: Json) -> bool:
    """Whether a state is worth a message beside the one before."""
    if differs_at_once(state, before):
        return True
    if state["level"] is not None and abs(state["level"] - before["level"]) >= LEVEL_STEP_DB:
        return True
    return bool(abs(state["lost_s"] - before["lost_s"]) >= LOST_STEP_S)


def describe_sound(happened: SoundHappened) -> Json:
    """Describe a begin or an end, as it goes to the topic of events."""
    sureness = {} if happened.sureness is None else {"sureness": happened.sureness}
    told = {
        "event_type": happened.label,
        "phase": happened.phase,
        "id": happened.event_id,
        "source": happened.source,
        "name": name_label(happened.name),
        "score": round(happened.score, 3),
        **sureness,
        "onset": _time(happened.onset_us, happened),
    }
    if happened.offset_us is not None:
        told["offset"] = _time(happened.offset_us, happened)
        told["duration_s"] = round((happened.offset_us - happened.onset_us) / 1e6, 3)
    return told


def _zone(happened: SoundHappened) -> timezone:
    return timezone(timedelta(minutes=happened.utc_offset_min))


def _time(us: int, happened: SoundHappened) -> str:
    moment = datetime.fromtimestamp(us / 1e6, _zone(happened))
    return moment.isoformat(timespec="milliseconds")


def _day_of(happened: SoundHappened) -> date:
    return datetime.fromtimestamp(happened.onset_us / 1e6, _zone(happened)).date()


def _on(flag: bool) -> str:
    return "ON" if flag else "OFF"
