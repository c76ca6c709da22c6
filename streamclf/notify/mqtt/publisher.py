"""The thread that tells a broker what is heard, and keeps what it could not tell yet.

Streams put begins and ends into a bounded queue and go on. The thread applies them to the state of
their source, and sends two things: each begin and end (QoS 1, one at a time, in order, kept while
the broker is away), and the newest state of each source (retained, and only where it has changed).
Nothing is written to disk but the identity of the box: what still waits for the broker when
streamclf ends is in the store alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.text_format import format_length
from streamclf.notify.happenings import SoundHappened
from streamclf.notify.mqtt.commands import READ_BYTES, CommandLines, carry_out
from streamclf.notify.mqtt.discovery import REFRESH_S, describe_device
from streamclf.notify.mqtt.facts import Control, SourceFacts
from streamclf.notify.mqtt.link import Link
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.mqtt.outgoing import LIMIT, Outgoing
from streamclf.notify.mqtt.sink import MqttSink
from streamclf.notify.mqtt.told import ToldSource, describe_sound, differs, differs_at_once
from streamclf.notify.mqtt.told_sources import ToldSources
from streamclf.notify.mqtt.topics import OFFLINE, ONLINE, Topics
from streamclf.sources.backoff import BackOff

Json: TypeAlias = dict[str, Any]
State: TypeAlias = Literal["connecting", "connected", "away"]

LEVEL_EVERY_S = 10.0
"""Shortest time, in seconds, between two messages that only a level is worth."""
FACTS_EVERY_S = 1.0
"""Seconds between two looks at how the sources fare."""
GOODBYE_S = 3.0
"""Longest wait, in seconds, for the broker to take the last messages at the end."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Shortest and longest pause, in seconds, between two tries to connect."""
STEADY_AFTER_S = 10.0
"""Seconds after which a connection counts as steady; pauses between tries then begin anew."""


class MqttPublisher:
    """Client of a broker for all sources of a process.

    Args:
        options: The broker.
        file: File that holds the identity of the box, see `identity_file`.
        report: Called with one line of text.
        page: URL of the page, for links; None if there is none.
        count_today: Tells how many sounds of a source are known of today.
        now: Returns monotonic seconds.

    Attributes:
        describe_sources: Tells how the sources fare; called about once a second, in its thread.
        control: Does what is asked through the broker; None where nobody does.
    """

    def __init__(
        self,
        options: MqttOptions,
        file: Path,
        *,
        report: Callable[[str], None],
        page: str | None = None,
        count_today: Callable[[str], int] = lambda source: 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.describe_sources: Callable[[], Sequence[SourceFacts]] = lambda: ()
        self.control: Control | None = None
        self._options = options
        self._report = report
        self._page = page
        self._now = now
        self._lock = threading.Lock()
        self._inbox: deque[SoundHappened] = deque()
        self._n_unheard = 0
        self._sinks: dict[str, MqttSink] = {}
        self._closing = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="streamclf-mqtt", daemon=True)
        self._state: State = "connecting"
        self._reason = ""
        # What follows belongs to the thread.
        self._sources = ToldSources(file, report, count_today)
        self._outgoing = Outgoing(report)
        self._topics = Topics.of(options, self._sources.box)
        self._cut: list[SoundHappened] = []
        self._link: Link | None = None
        self._facts_due = 0.0
        self._away_at = now()
        self._asked: list[tuple[str, bytes]] = []
        self._command_lines = CommandLines(report, now)
        self._must_announce = self._must_repeat = False
        self._published: dict[str, tuple[float, Json]] = {}
        self._available: dict[str, bool] = {}
        self._measured_at: dict[str, float] = {}

    def sink(self, name: str) -> MqttSink:
        """Make the sink of a source; one of the same name gives way."""
        sink = MqttSink(name, self._put, self._now)
        with self._lock:
            self._sinks[name] = sink
        return sink

    def start(self, cut: Iterable[SoundHappened] = ()) -> None:
        """Begin to connect; it does not wait.

        Args:
            cut: Ends of events which nobody may have told, because the process before was killed.
        """
        self._cut = [*cut]
        self._thread.start()

    def take_over(self, options: MqttOptions) -> None:
        """Take other options; where they differ, the connection is made anew."""
        if options != self._options:
            self._options = options
            self._rouse()

    def close(self) -> None:
        """Tell the rest, say that the box is away, and end, within some `GOODBYE_S`."""
        self._closing.set()
        self._rouse()
        if self._thread.is_alive():
            self._thread.join(2 * GOODBYE_S)
        if not self._thread.is_alive():
            self._wake.close()
            self._woken.close()

    def describe(self) -> Json:
        """Describe how it fares, as any target does; any thread may ask."""
        sent_at = self._outgoing.sent_at
        return {
            "name": "mqtt",
            "kind": "mqtt",
            "where": f"{self._options.address}, below {self._topics.root}",
            "topic": self._topics.root,
            "state": "failing" if self._state == "away" else "fine",
            "trouble": self._reason,
            "waiting": len(self._outgoing) + len(self._inbox),
            "n_sent": self._outgoing.n_sent,
            "n_failed": 0,
            "n_lost": self._outgoing.n_dropped + self._n_unheard,
            "last_sent": sent_at and sent_at.isoformat(timespec="seconds"),
        }

    def _put(self, happened: SoundHappened) -> None:
        """Take what happened from a stream, without waiting."""
        with self._lock:
            if len(self._inbox) >= LIMIT:
                self._inbox.popleft()
                self._n_unheard += 1
            self._inbox.append(happened)
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):  # it is roused already, or has ended
            self._wake.send(b"\0")

    # What follows runs in the thread.

    def _run(self) -> None:
        back_off = BackOff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._closing.is_set():
            options, began = self._options, self._now()
            try:
                self._tell(options)
                back_off.reset()
                continue
            except UsageError as error:  # a secret may come later than the process
                self._note_away(f"[mqtt] {error}")
            except StreamclfError as error:
                self._note_away(str(error))
            except Exception as error:  # what fails here must not end the telling
                self._note_mistake(error)
            if self._now() - began >= STEADY_AFTER_S and self._published:
                back_off.reset()
            pause_s = back_off.next_s()
            try:
                self._rest(pause_s, options)
            except Exception as error:
                self._note_mistake(error)
                self._closing.wait(pause_s)

    def _tell(self, options: MqttOptions) -> None:
        """Connect, and tell until the options change or the end comes.

        Raises:
            BrokerError: There is no connection, or none any more.
            UsageError: The password or a certificate cannot be had.
        """
        self._topics = topics = Topics.of(options, self._sources.box)
        self._outgoing.begin_anew()
        self._published, self._available = {}, {}
        link = Link(
            options,
            topics.device.replace("_", "-"),
            (topics.availability, OFFLINE),
            on_message=self._note_message,
            on_sent=self._note_sent,
            wake=self._woken,
        )
        self._link = link
        politely = False
        try:
            self._begin(link, options)
            while not self._closing.is_set() and options is self._options:
                self._work(link, options)
            self._say_goodbye(link)
            politely = True
        finally:
            self._link = None
            link.close(politely=politely)

    def _begin(self, link: Link, options: MqttOptions) -> None:
        """Say that there is a connection, and ask for what is asked of the box."""
        topics = self._topics
        if topics.prefix:
            link.subscribe(*topics.births)
        if options.allow:
            link.subscribe(topics.pause("+"), topics.threshold("+", "+"))
        self._must_announce = self._must_repeat = True
        self._take(None)  # what happened meanwhile: its state is published as a whole
        after = f" after {format_length(self._now() - self._away_at)}"
        waited = f"; {len(self._outgoing)} begins and ends waited for it"
        self._report(
            f"mqtt: connected to {options.address}{after if self._state == 'away' else ''}"
            f"{waited if self._outgoing else ''}"
        )
        self._state, self._reason = "connected", ""

    def _work(self, link: Link, options: MqttOptions) -> None:
        self._look(options)
        self._take(link)
        self._answer(options)
        if self._sources.by_id:
            self._announce(link, options)
            self._refresh(link)
        self._outgoing.send_next(self._send)
        link.wait(max(self._facts_due - self._now(), 0.0))

    def _rest(self, pause_s: float, options: MqttOptions) -> None:
        """Wait before the next try, and go on noting what happens."""
        until = self._now() + pause_s
        while not self._closing.is_set() and options is self._options:
            self._look(options)
            self._take(None)
            left = until - self._now()
            if left <= 0:
                return
            self._woken.settimeout(min(left, FACTS_EVERY_S))
            with contextlib.suppress(OSError):  # the time is over
                self._woken.recv(4096)

    def _note_away(self, reason: str) -> None:
        if reason != self._reason:  # told once, however often it is tried
            self._report(f"warning: mqtt: {reason}; it is tried again and again")
        if self._state == "connected":
            self._away_at = self._now()
        self._state, self._reason = "away", reason

    def _note_mistake(self, error: Exception) -> None:
        self._note_away(f"a mistake in streamclf itself: {type(error).__name__}: {error}")

    def _look(self, options: MqttOptions) -> None:
        """Look at how the sources fare, if it is time."""
        now = self._now()
        if now < self._facts_due:
            return
        self._facts_due = now + FACTS_EVERY_S
        with self._lock:
            sinks = dict(self._sinks)
        if self._sources.look(self.describe_sources(), sinks, options, now):
            self._must_announce = True
        if self._sources.by_id and self._cut:
            cut, self._cut = self._cut, []
            for happened in cut:
                if (told := self._sources.find(happened.source)) is not None:
                    topic = self._topics.event(told.announced.id)
                    self._outgoing.add(topic, describe_sound(happened), happened.known_us)

    def _take(self, link: Link | None) -> None:
        """Apply what the streams have put in, one after another."""
        while True:
            with self._lock:
                if not self._inbox:
                    return
                happened = self._inbox.popleft()
            told = self._sources.find(happened.source)
            if told is None or not told.available:  # it is heard, and the last look was too early
                self._facts_due = 0.0
                self._look(self._options)
                told = self._sources.find(happened.source)
            if told is None:
                self._n_unheard += 1
                continue
            if (message := told.apply(happened)) is None:
                continue
            self._outgoing.add(self._topics.event(told.announced.id), message, happened.known_us)
            if link is not None and told.announced.id in self._published:
                self._publish_state(link, told)  # at once: a short sound begins and ends

    def _send(self, topic: str, payload: Json) -> int:
        assert self._link is not None
        return self._link.publish(topic, _write(payload), retain=False)

    def _note_sent(self, number: int) -> None:
        if self._outgoing.note_sent(number) and self._link is not None:
            self._outgoing.send_next(self._send)

    def _note_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained:  # an old birth says nothing new, and an old command is none
            return
        if topic in self._topics.births:
            if payload == b"online":
                self._must_announce = self._must_repeat = True
        else:
            self._asked.append((topic, payload[:READ_BYTES]))

    def _answer(self, options: MqttOptions) -> None:
        """Do what was asked."""
        self._command_lines.look()
        asked, self._asked = self._asked, []
        for topic, payload in asked:
            if self.control is None:
                continue
            try:
                line = carry_out(
                    self._topics, topic, payload, self._sources.by_id, options.allow, self.control
                )
            except UsageError as error:
                self._command_lines.tell(f"warning: mqtt: {error}")
                continue
            if line:
                self._command_lines.tell(f"mqtt: {line}")
                self._facts_due = min(self._facts_due, self._now() + FACTS_EVERY_S / 5)

    def _announce(self, link: Link, options: MqttOptions) -> None:
        """Describe the device to Home Assistant, and take back what is no more."""
        if not self._must_announce:
            return
        self._must_announce = False
        for id in self._sources.gone:
            for topic in (self._topics.state(id), self._topics.source_availability(id)):
                link.publish(topic, "", retain=True)
            self._published.pop(id, None)
            self._available.pop(id, None)
        if not self._topics.prefix:
            return
        device = describe_device(
            self._topics,
            options.device or socket.gethostname() or "streamclf",
            [told.announced for told in self._sources.by_id.values()],
            page=self._page,
            allow=options.allow if self.control is not None else (),
            before=self._sources.announced,
        )
        self._sources.note_announced(device)
        link.publish(self._topics.discovery, _write(device), retain=True)

    def _refresh(self, link: Link) -> None:
        """Publish what has changed, and all of it where somebody has come anew."""
        repeat, self._must_repeat = self._must_repeat, False
        if repeat:
            link.publish(self._topics.availability, ONLINE, retain=True)
        now = self._now()
        for id, told in self._sources.by_id.items():
            if repeat:
                self._available.pop(id, None)
            self._publish_availability(link, told)
            at, before = self._published.get(id, (0.0, None))
            slow_due = now - self._measured_at.get(id, -LEVEL_EVERY_S) >= LEVEL_EVERY_S
            if slow_due or not told.available or told.level is None:
                self._measured_at[id] = now
                self._sources.measure(told, self._sinks.get(told.announced.name))
            state = told.state()
            if (
                repeat
                or before is None
                or differs_at_once(state, before)
                or (slow_due and differs(state, before))
                or (told.available and now - at >= REFRESH_S)
            ):
                self._publish_state(link, told)

    def _publish_availability(self, link: Link, told: ToldSource) -> None:
        id = told.announced.id
        if self._available.get(id) != told.available:
            self._available[id] = told.available
            text = ONLINE if told.available else OFFLINE
            link.publish(self._topics.source_availability(id), text, retain=True)

    def _publish_state(self, link: Link, told: ToldSource) -> None:
        self._publish_availability(link, told)
        id, state = told.announced.id, told.state()
        self._published[id] = self._now(), state
        link.publish(self._topics.state(id), _write(state), retain=True)

    def _say_goodbye(self, link: Link) -> None:
        """Tell the rest, and that the box is away."""
        self._take(link)
        self._outgoing.send_next(self._send)
        with contextlib.suppress(StreamclfError):  # it is over in any case
            link.flush(GOODBYE_S / 2, lambda: not self._outgoing)
            last = link.publish(self._topics.availability, OFFLINE, retain=True)
            link.flush(GOODBYE_S / 2, lambda: link.has_sent(last))


def _write(payload: Json) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
