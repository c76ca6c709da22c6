"""What sounds now, from the threads of the audio to any number of viewers.

Begins, ends, gaps and notices are numbered and kept for a while, so that a viewer who comes back
gets what it missed and nothing twice. Levels and pictures are not numbered: only the newest
counts. Nothing is computed for nobody, and no viewer is known here, so that none can hold up audio
or fill memory.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from streamclf.runs.health import LiveState
from streamclf.sinks.base import Sink
from streamclf.web.json_text import write_json
from streamclf.web.live_sound import LiveSound
from streamclf.web.live_source import Json, LiveSink, LiveSource

KEPT_MESSAGES = 1000
"""Begins, ends, gaps and notices kept for viewers who come back; some 300 kB."""
KEPT_ENDED = 30
KEPT_TROUBLES = 20


@dataclass(frozen=True)
class Message:
    """Something that happened.

    Attributes:
        id: Number of the message, with the run of the hub in front.
        kind: ``began``, ``ended``, ``gap``, ``notice``, ``source`` (one more) or ``gone``.
        data: What happened.
    """

    id: str
    kind: str
    data: Json

    @cached_property
    def event(self) -> bytes:
        """The message as a server-sent event; made once for all viewers."""
        return server_sent(self.kind, self.data, self.id)


class LiveHub:
    """Meeting place of audio and viewers. All methods may be called from any thread.

    Args:
        now: Returns monotonic seconds.

    Attributes:
        state_of: Tells how a source fares, by its name; None where nobody knows.
        may_be_heard: Tells whether anybody may listen to the sound of a source, by its name. Nobody
            may until it is set.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self.state_of: Callable[[str], LiveState | None] = lambda name: None
        self.may_be_heard: Callable[[str], bool] = lambda name: False
        self._now = now
        self._lock = threading.RLock()
        self._run = secrets.token_hex(4)
        self._n_messages = 0
        self._messages: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._ended: deque[Json] = deque(maxlen=KEPT_ENDED)
        self._troubles: deque[Json] = deque(maxlen=KEPT_TROUBLES)
        self._sources: dict[str, LiveSource] = {}
        self._sounds: dict[str, LiveSound] = {}

    def sink(self, name: str) -> Sink:
        """Make a sink that shows a source under its name.

        A source of the same name gives way. A sink that is closed stays as long as its state is
        told: as failed, for example.
        """
        with self._lock:
            sound = self._sounds.get(name)
            if sound is None:  # who listens goes on to do so when a source begins anew
                sound = LiveSound(lambda: self.may_be_heard(name), self._now)
                self._sounds[name] = sound
            source = LiveSource(name, self._publish, self._lock, sound, self._now)
            before = self._sources.get(name)
            if before is not None:
                before.end_events()
            self._sources[name] = source
            self._publish("source", {"source": name})
        return LiveSink(source, self._drop_gone)

    def sound(self, name: str) -> LiveSound | None:
        """The sound of a source for listeners; None where there is no such source."""
        with self._lock:
            return self._sounds.get(name)

    @property
    def newest_id(self) -> str:
        """The id of the newest message."""
        return f"{self._run}-{self._n_messages}"

    def after(self, seen: str) -> list[Message] | None:
        """Return the messages that follow a message.

        Args:
            seen: The message's id.

        Returns:
            The messages, the oldest first; None where it is not known what follows, because the
            message is older than what is kept, or of another run.
        """
        run, _, digits = seen.partition("-")
        if run != self._run or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            return None
        with self._lock:
            n_missed = self._n_messages - int(digits)
            if not 0 <= n_missed <= len(self._messages):
                return None
            newest = list(islice(reversed(self._messages), n_missed))
        return newest[::-1]

    def snapshot(self) -> Json:
        """Describe everything as it is now, with the id of the newest message in it."""
        self._drop_gone()
        for source in self._listed():
            source.draw()  # without the lock, which the audio needs
        with self._lock:
            newest_id, ended, troubles = self.newest_id, list(self._ended), list(self._troubles)
            sources = [(source, source.open_events()) for source in self._listed()]
        return {
            "id": newest_id,
            "now": round(time.time() * 1000),
            "sources": [
                {**self._describe(source, source.describe), "open": open_events}
                for source, open_events in sources
            ],
            "ended": ended[::-1],
            "troubles": troubles[::-1],
        }

    def frames(self) -> list[Json]:
        """Describe levels, sounds and new columns of all sources; for one caller alone."""
        self._drop_gone()
        return [self._describe(source, source.frame) for source in self._listed()]

    def pictures(self) -> dict[str, Json]:
        """The kept columns of all sources, for a viewer who comes anew."""
        return {source.name: source.picture() for source in self._listed()}

    def thresholds(self, label: str) -> dict[str, float]:
        """Threshold of a label at each source that reports it, as it is set now."""
        states = {source.name: self.state_of(source.name) for source in self._listed()}
        return {
            name: threshold
            for name, state in states.items()
            if state is not None and (threshold := state.threshold_of(label)) is not None
        }

    def levels(self) -> dict[str, float]:
        """Level in dBFS of each source that is heard at this moment."""
        levels = {source.name: source.level_db() for source in self._listed()}
        return {name: level for name, level in levels.items() if level is not None}

    def _describe(self, source: LiveSource, describe: Callable[[LiveState | None], Json]) -> Json:
        described = describe(self.state_of(source.name))
        return {**described, "may_be_heard": self.may_be_heard(source.name)}

    def _listed(self) -> list[LiveSource]:
        with self._lock:
            return list(self._sources.values())

    def _drop_gone(self) -> None:
        """Forget sources that are closed, and of whose state nobody tells."""
        for source in self._listed():
            if source.closed and self.state_of(source.name) is None:
                with self._lock:
                    if self._sources.get(source.name) is source:
                        del self._sources[source.name], self._sounds[source.name]
                        self._publish("gone", {"source": source.name})

    def _publish(self, kind: str, data: Json) -> None:
        with self._lock:
            self._n_messages += 1
            self._messages.append(Message(self.newest_id, kind, data))
            if kind == "ended":
                self._ended.append(data)
            elif kind in ("gap", "notice"):
                self._troubles.append({"kind": kind, **data})


def server_sent(kind: str, data: Json | list[Json], id: str = "") -> bytes:
    """Write a server-sent event. Without an id it leaves the viewer's place as it is."""
    text = write_json(data, ascii_only=False)
    # JSON writes line ends inside strings as \\n, so the data is one line.
    place = f"id: {id}\n" if id else ""
    return f"{place}event: {kind}\ndata: {text}\n\n".encode()
