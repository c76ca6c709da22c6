"""What tests of the live page share: a hub that a test feeds, and a reader of its event stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import numpy as np
import toys

from streamclf.core.records import (
    Average,
    Block,
    EventBegan,
    Gap,
    Notice,
    Scores,
    SoundEvent,
    StreamStarted,
)
from streamclf.sinks.base import Sink
from streamclf.web.hub import LiveHub

RATE = toys.RATE
BEGUN = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)


def began_at(seconds: float) -> int:
    """Milliseconds since 1970 of a moment in the streams of tests."""
    return round(BEGUN.timestamp() * 1000 + seconds * 1000)


def stream(**changes: Any) -> StreamStarted:
    """A stream of the tone detector."""
    fields = {
        "source": "device", "sample_rate": RATE, "labels": toys.LABELS, "task": "single-label",
        "started": BEGUN, "live": True, "display_names": {"low": "low tone"},
        "thresholds": dict.fromkeys(toys.LABELS, 0.5), "run": "r1", **changes,
    }  # fmt: skip
    return StreamStarted(**fields)


def make_health() -> dict[str, Any]:
    """How a process with one source fares, which a test may change."""
    source = {
        "name": "yard", "state": "heard", "silent_since": None, "model": "tones",
        "model_version": "1", "hop_s": 0.5,
        "requested_hop_s": 0.5, "overload": "", "heard_s": 3600.0, "lost_s": 2.5,
        "lost": {"overflow": 2.0, "source lost": 0.5}, "n_gaps": 3, "n_windows": 7200,
        "n_skipped": 0, "n_events": 1234, "n_unwritten": 0, "drift_ppm": 12.5, "load": 0.012,
    }  # fmt: skip
    return {
        "version": "0.1.0", "started": "2026-11-26T08:00:00+00:00", "uptime_s": 3661.0,
        "cpu_percent": 3.4, "sources": [source],
        "store": {"path": "box.db", "bytes": 2_345_678, "disk_free_bytes": 35_000_000_000,
                  "disk_bytes": 60_000_000_000, "features_bytes": 57_000_000,
                  "features_since": "2026-11-25"},
    }  # fmt: skip


def make_target(name: str, kind: str = "webhook") -> dict[str, Any]:
    """How a target of messages fares that does not answer."""
    return {
        "name": name, "kind": kind, "where": "https://h/***", "state": "failing",
        "trouble": "no answer within 30 s", "waiting": 2, "n_sent": 0, "n_failed": 0, "n_lost": 0,
        "last_sent": None,
    }  # fmt: skip


class Feed:
    """A source of a hub, which a test feeds.

    Attributes:
        position: End of what it was fed.
    """

    def __init__(self, hub: LiveHub, name: str = "yard", **changes: Any) -> None:
        self.name = name
        self.sink: Sink = hub.sink(name)
        self.position = 0
        self.sink.begin(stream(**changes))

    def hear(self, waveform: np.ndarray, block: int = 400) -> None:
        """Feed audio, ``(samples,)``."""
        for start in range(0, len(waveform), block):
            piece = waveform[np.newaxis, start : start + block]
            self.sink.hear(Block(self.position, piece, RATE))
            self.position += piece.shape[1]

    def lose(self, seconds: float, cause: str = "overflow") -> None:
        """Feed a gap."""
        gap = Gap(self.position, round(seconds * RATE), RATE, cause)
        self.position = gap.end
        self.sink.hear(gap)
        self.sink.write(gap)

    def score(self, *values: float) -> None:
        """Feed averaged scores of the classes."""
        array = np.array(values, dtype=np.float32)
        self.sink.write(Average(Scores(self.position, RATE, array), array))

    def begin(self, label: str, at_s: float, score: float = 0.6) -> None:
        """Feed the begin of an event."""
        at = round(at_s * RATE)
        self.sink.write(EventBegan(label, at, score, at + RATE))

    def end(self, label: str, at_s: float, length_s: float = 2.0, score: float = 0.9) -> None:
        """Feed the end of an event."""
        at = round(at_s * RATE)
        self.sink.write(SoundEvent(label, at, at + round(length_s * RATE), score))

    def note(self, message: str) -> None:
        """Feed a notice."""
        self.sink.write(Notice(self.position, RATE, message))


@dataclass
class Sent:
    """A server-sent event.

    Attributes:
        id: Its id; empty for one without.
        kind: Its kind.
        data: Its data.
    """

    id: str
    kind: str
    data: Any


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
    """Read the events of a stream."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield Sent(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            fields = {}


async def until(told: AsyncIterator[Sent], kind: str) -> Sent:
    """The next event of a kind."""
    async for event in told:
        if event.kind == kind:
            return event
    raise AssertionError(f"the stream ended before {kind}")
