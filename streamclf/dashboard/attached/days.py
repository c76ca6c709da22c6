"""The days in the store of a running `serve`, over its page, for the screen of days."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

import numpy as np

from streamclf.core.errors import SinkError
from streamclf.core.records import Waveform
from streamclf.core.redaction import one_line
from streamclf.core.sureness import read_sureness
from streamclf.dashboard.attached.client import Json, PageClient, PageError
from streamclf.dashboard.past.days import (
    LONGEST_PLAYED_S,
    MOST_EVENTS,
    MOST_GROUPS,
    MOST_LIKE,
    Lessons,
    PastDay,
    PastEvents,
    SoundGroup,
    first_events,
    tell_group,
    tell_lesson,
)
from streamclf.store.browse import Entry, StoredClip
from streamclf.store.days import DayTable
from streamclf.store.listing import StoredEvent
from streamclf.store.question import Verdict

_RATE = 1000
"""Positions are told in seconds; here they count milliseconds."""
LOOK_AGAIN_S = 1.0
"""Seconds between two looks whether a sound is learned."""


class RemoteDays:
    """Access to the store of a page, by a question each. Every method may take a while.

    Args:
        client: Client of the page, logged in.
    """

    def __init__(self, client: PageClient) -> None:
        self._client = client

    def day(self, day: date | None) -> PastDay:
        """Describe a day; None for today.

        Raises:
            PageError: The page cannot be asked.
        """
        answer = self._ask("/api/days")
        today = date.fromisoformat(_text(answer, "last"))
        if day is not None and day != today:
            answer = self._ask("/api/days", date=day)
        try:
            table = _read_table(answer)
            names = {one["label"]: one_line(one["name"]) for one in answer["labels"]}
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error
        shown = day or today
        before = None if table.labels else self._day_before(shown)
        return PastDay(shown, today, table, before, names)

    def events(self, day: date, hour: int | None, label: str | None) -> PastEvents:
        """List the events of a day.

        Args:
            day: The day.
            hour: Hour of it; None for all.
            label: Label of the events; None for all.

        Raises:
            PageError: The page cannot be asked.
        """
        asked: dict[str, object] = {"date": day, "limit": MOST_EVENTS}
        asked |= {} if hour is None else {"hour": hour}
        asked |= {} if label is None else {"label": label}
        answer = self._ask("/api/events", **asked)
        try:
            entries = [read_entry(each) for each in answer["events"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error
        return PastEvents(entries, "older" in answer)

    def review(self, row: int, verdict: Verdict | None, said: str | None = None) -> Entry | None:
        """Note what somebody says of an event; None takes back all that was said.

        Raises:
            PageError: The page cannot be asked, or refuses.
        """
        order: Json = {"verdict": verdict} | ({"label": said} if said else {})
        answer = self._client.order(f"/api/events/{row}/review", order)
        try:
            return read_entry(answer["event"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error

    def like(self, row: int) -> PastEvents:
        """List the events that sound most like an event, the most like first.

        Raises:
            PageError: The page cannot be asked, or keeps nothing to compare.
        """
        answer = self._ask(f"/api/events/{row}/like", limit=MOST_LIKE)
        try:
            told = [each["event"] for each in answer["moments"] if "event" in each]
            return PastEvents(first_events([read_entry(each)] for each in told), has_more=False)
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error

    def groups(self) -> list[SoundGroup]:
        """Group the unknown sounds that have no name by likeness, what came most often first.

        Raises:
            PageError: The page cannot be asked.
        """
        answer = self._ask("/api/unknown", limit=MOST_GROUPS)
        try:
            return [
                SoundGroup(
                    read_entry(each["example"]),
                    tuple(int(row) for row in each["events"]),
                    tell_group(int(each["times"]), each.get("usual_hour"), float(each["length"])),
                )
                for each in answer["groups"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error

    def name_group(self, rows: Sequence[int], said: str) -> int:
        """Say of all events of a group what they were; returns of how many.

        Raises:
            PageError: The page cannot be asked, or refuses.
        """
        for row in rows:
            self.review(row, "wrong", said)
        return len(rows)

    def teach(self, name: str) -> Lessons:
        """Learn a sound from the events of which somebody said that they were it.

        Raises:
            PageError: The page cannot be asked, or it cannot be learned.
        """
        answer = self._client.order("/api/teach", {"name": name})
        try:
            while answer["task"]["state"] == "learning":
                time.sleep(LOOK_AGAIN_S)
                answer = self._ask("/api/teach")
            task = answer["task"]
            if task["state"] == "failed":
                raise PageError(f"{self._client.url}: {one_line(str(task['problem']))}")
            rows = [int(each["event"]) for each in task["past"] if "event" in each]
            lines = tell_lesson(
                one_line(str(task["name"])),
                int(task["examples"]),
                (int(task["scenes_found"]), int(task["scenes"])),
                (3600 * float(task["past_hours"]), len(task["past"])),
                one_line(str(answer["model"])),
            )
            entries = [read_entry(self._ask(f"/api/events/{row}")["event"]) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error
        return Lessons(lines, first_events([each] for each in entries))

    def load_audio(self, entry: Entry) -> tuple[Waveform, int]:
        """Fetch the clip of an event.

        Returns:
            ``(samples,)`` and their sample rate in Hz.

        Raises:
            StreamclfError: There is no clip, or it cannot be fetched.
        """
        if entry.clip is None:
            raise SinkError(f"{entry.event.label}: no clip was saved: --clips FOLDER saves them")
        if not entry.clip.is_there:
            raise SinkError(f"{entry.event.label}: its clip was deleted: choose another event")
        data = self._client.fetch(f"/media/clips/{entry.clip.row}")
        import soundfile

        try:
            with soundfile.SoundFile(io.BytesIO(data)) as file:
                rate = int(file.samplerate)
                read = file.read(round(LONGEST_PLAYED_S * rate), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise SinkError(
                f"{entry.event.label}: its clip cannot be played: {one_line(str(error))}"
            ) from error
        return np.asarray(read.mean(axis=1), dtype=np.float32), rate

    def _day_before(self, day: date) -> date | None:
        """The last day before a day that has an event."""
        if day <= date.min + timedelta(days=1):
            return None
        answer = self._ask("/api/events", to=day - timedelta(days=1), limit=1)
        times = [each["time"] for each in answer.get("events", []) if "time" in each]
        return datetime.fromisoformat(times[0]).date() if times else None

    def _ask(self, path: str, **asked: object) -> Json:
        return self._client.ask(f"{path}?{urlencode(asked)}" if asked else path)

    def _strange(self, error: Exception) -> PageError:
        return PageError(
            f"{self._client.url}: is not understood ({type(error).__name__}): is serve of another "
            "version?"
        )


def _text(answer: Json, key: str) -> str:
    return str(answer.get(key, date.today().isoformat()))


def _read_table(answer: Json) -> DayTable:
    counts = [[int(n) for n in each["events"]] for each in answer["labels"]]
    heard_h = [float(each) for each in answer["hours_heard"]]
    return DayTable(
        begins=[datetime.fromisoformat(each) for each in answer["times"]],
        step_h=int(answer["step_hours"]),
        labels=[str(each["label"]) for each in answer["labels"]],
        n_events=counts,
        totals=[sum(column) for column in zip(*counts, strict=True)] or [0] * len(heard_h),
        heard_h=heard_h,
        heard_by_source={},
    )


def read_entry(said: Any) -> Entry:
    """Read an event as the page tells it.

    Raises:
        KeyError, TypeError, ValueError: It is told otherwise.
    """
    time = datetime.fromisoformat(said["time"]) if "time" in said else None
    offset = time.utcoffset() if time is not None else None
    onset_us = None if time is None else round(time.timestamp() * 1e6)
    clip = said.get("clip")
    event = StoredEvent(
        row=int(said["id"]), source=one_line(said["source"]), recording=said.get("recording"),
        model=said["model"], run="", sample_rate=_RATE, label=str(said["label"]),
        onset=round(said["onset"] * _RATE),
        offset=round(said["offset"] * _RATE) if "offset" in said else None,
        onset_us=onset_us, offset_us=None,
        utc_offset_min=None if offset is None else round(offset.total_seconds() / 60),
        score=float(said["score"]), highest_score=float(said["score"]), short=False,
        state=said["state"], elapsed=0, verdict=cast("str | None", said.get("verdict")), clip=None,
        sureness=read_sureness(said.get("sureness")),
    )  # fmt: skip
    return Entry(
        event,
        None
        if clip is None
        else StoredClip(
            row=int(clip["id"]),
            n_bytes=int(clip["bytes"]),
            kept=bool(clip["kept"]),
            gone_us=None if clip["there"] else 0,
            gone_why=clip.get("gone"),
        ),
        one_line(said["said_name"]) if "said_name" in said else None,
    )
