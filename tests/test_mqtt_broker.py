"""MQTT at a real broker: mosquitto, with passwords, with TLS, killed, and started again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from brokers import Broker, Subscriber, make_certificates, needs_broker, until
from home_assistant import HomeAssistant
from live_runs import Words

from streamclf.notify.happenings import SoundHappened
from streamclf.notify.mqtt import commands, outgoing, publisher, told_sources
from streamclf.notify.mqtt.facts import SourceFacts
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.mqtt.publisher import MqttPublisher

pytestmark = needs_broker

LABELS = {"dog": "Dog", "smoke_alarm": "Smoke alarm"}
KITCHEN = SourceFacts(
    "kitchen", "rtsp://camera/1", LABELS, dict.fromkeys(LABELS, 0.5), calibration_db=94.0
)
START_US = 1_790_000_000_000_000


class Box:
    """A publisher, and a kitchen that a test lets hear something."""

    def __init__(
        self, folder: Path, options: MqttOptions, *sources: SourceFacts, start: bool = True
    ) -> None:
        self.sources = list(sources or (KITCHEN,))
        self.words = Words()
        self.asked: list[tuple[object, ...]] = []
        self.publisher = MqttPublisher(options, folder / "box-mqtt.json", report=self.words)
        self.publisher.describe_sources = lambda: list(self.sources)
        self.publisher.control = self
        self._sinks = {each.name: self.publisher.sink(each.name) for each in self.sources}
        self.hear()
        if start:
            self.publisher.start()

    @property
    def topic(self) -> str:
        return self.publisher.describe()["topic"]

    def hear(self) -> None:
        """Let audio arrive at all sources."""
        for sink in self._sinks.values():
            sink.heard_at = time.monotonic()

    def begin(self, number: int, label: str = "dog", source: str = "kitchen") -> None:
        self._tell("begin", number, label, source)

    def end(self, number: int, label: str = "dog", source: str = "kitchen") -> None:
        self._tell("end", number, label, source)

    def bark(self, *numbers: int) -> None:
        """Let a dog bark, once for each number."""
        for number in numbers:
            self.begin(number)
            self.end(number)

    def pause(self, source: str, *, paused: bool) -> None:
        self.asked.append((source, paused))
        self.sources = [
            replace(each, state="paused" if paused else "heard", paused=paused)
            if each.name == source
            else each
            for each in self.sources
        ]

    def set_threshold(self, source: str, label: str, value: float) -> None:
        self.asked.append((source, label, value))
        self.sources = [
            replace(each, thresholds={**each.thresholds, label: value}) for each in self.sources
        ]

    def _tell(self, phase: str, number: int, label: str, source: str) -> None:
        onset_us = START_US + number * 10_000_000
        offset_us = onset_us + 1_000_000 if phase == "end" else None
        known_us = time.time_ns() // 1000
        self.hear()
        self.publisher._put(
            SoundHappened(
                phase, f"{label}-{number}@run", source, label, LABELS[label], 0.9, onset_us,
                known_us, offset_us, 60,
            )
        )  # fmt: skip


@pytest.fixture
def close() -> Iterator[Callable[[object], object]]:
    """Has things closed at the end, the last one first."""
    kept: list[object] = []

    def keep(thing: object) -> object:
        kept.append(thing)
        return thing

    yield keep
    for thing in reversed(kept):
        if isinstance(thing, Box):
            thing.publisher.close()
        elif isinstance(thing, Broker):
            thing.kill()
        else:
            thing.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens pauses, which nothing here measures."""
    monkeypatch.setattr(publisher, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(publisher, "FACTS_EVERY_S", 0.05)


@pytest.fixture
def broker(tmp_path: Path, close: Callable) -> Broker:
    return close(Broker(tmp_path).start())


def at(broker: Broker, **more: object) -> MqttOptions:
    return MqttOptions("127.0.0.1", broker.port, labels=("Dog", "smoke alarm"), **more)


def numbers(told: list[dict]) -> list[tuple[str, str]]:
    return [(each["phase"], each["id"].split("@")[0]) for each in told]


def barks(*which: int) -> list[tuple[str, str]]:
    return [(phase, f"dog-{number}") for number in which for phase in ("begin", "end")]


def test_home_assistant_builds_entities_and_follows_them(broker, tmp_path, close) -> None:
    home = close(HomeAssistant(broker))
    box = close(Box(tmp_path, at(broker)))
    home.until(lambda h: h.state("kitchen-sound-dog") == "off")
    assert home.device["dev"]["ids"][0].startswith("streamclf_")
    assert home.entities["kitchen-sound-dog"].config["device_class"] == "sound"
    assert home.entities["kitchen-sound-smoke_alarm"].config["device_class"] == "smoke"
    assert home.state("kitchen-connected") == "on"
    assert home.state("kitchen-last") == "None"
    box.begin(1)
    home.until(lambda h: h.state("kitchen-sound-dog") == "on")
    assert home.state("kitchen-sound-smoke_alarm") == "off"
    box.end(1)
    home.until(lambda h: h.state("kitchen-sound-dog") == "off")
    box.bark(2, 3)
    home.until(lambda h: h.state("kitchen-today") == "0")  # they are not of today
    home.until(lambda h: len(h.entities["kitchen-event"].fired) == 3)
    assert home.entities["kitchen-sound-dog"].states == ["off", *["on", "off"] * 3]
    assert home.state("kitchen-last") == "Dog"
    assert home.entities["kitchen-last"].attributes["duration_s"] == 1.0
    fired = home.entities["kitchen-event"].fired[0]
    assert (fired["event_type"], fired["score"]) == ("dog", 0.9)
    assert fired["onset"] == "2026-09-21T15:13:30.000+01:00"


def test_home_assistant_finds_all_after_its_own_restart(broker, tmp_path, close) -> None:
    first = HomeAssistant(broker)
    box = close(Box(tmp_path, at(broker)))
    first.until(lambda h: h.state("kitchen-sound-dog") == "off")
    box.begin(1)
    first.until(lambda h: h.state("kitchen-sound-dog") == "on")
    first.close()
    late = close(HomeAssistant(broker))  # all is retained but events
    late.until(lambda h: h.state("kitchen-sound-dog") == "on")
    late.until(lambda h: h.state("kitchen-connected") == "on")
    assert not late.entities["kitchen-event"].fired
    watcher = close(Subscriber(broker))
    n_before = len(watcher.of("/config"))
    late.be_born()
    watcher.until(lambda: len(watcher.of("/config")) > n_before)
    watcher.until(lambda: ("online", False) in [(p, r) for t, p, r in watcher.heard
                                                if t.endswith("kitchen/status")])  # fmt: skip


def test_events_are_never_retained_and_states_are(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, at(broker)))
    live = close(Subscriber(broker))
    box.bark(1)
    live.until(lambda: len(live.of("/event")) == 2)
    live.until(lambda: live.json_of("/state")[-1]["last"])
    late = close(Subscriber(broker))
    late.until(lambda: late.of("/state") and late.of("/config") and late.of("kitchen/status"))
    assert not late.of("/event")


def test_what_happened_in_an_outage_arrives_once_and_in_order(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, at(broker)))
    listener = close(Subscriber(broker))
    box.bark(1)
    listener.until(lambda: len(listener.of("/event")) == 2)
    broker.kill()
    box.words.until("the connection is lost")
    assert box.publisher.describe()["state"] == "failing"
    box.bark(2, 3, 4)
    box.begin(5)
    until(lambda: box.publisher.describe()["waiting"] == 7, "they do not wait")
    listener.close()
    # What comes first to the new broker must find its listener: it starts elsewhere.
    other = close(Broker(tmp_path).start())
    heard = close(Subscriber(other))
    box.publisher.take_over(at(other))
    line = box.words.until("connected to")
    assert "7 begins and ends waited" in line
    heard.until(lambda: len(heard.of("/event")) == 7)
    box.end(5)
    heard.until(lambda: len(heard.of("/event")) == 8)
    assert numbers(heard.json_of("/event")) == barks(2, 3, 4, 5)
    assert heard.json_of("/state")[-1]["on"]["dog"] == "OFF"
    until(lambda: not box.publisher.describe()["waiting"], "the last one is not confirmed")
    described = box.publisher.describe()
    assert described.pop("last_sent") is not None
    assert described == {
        "name": "mqtt", "kind": "mqtt", "topic": box.topic,
        "where": f"127.0.0.1:{other.port}, below {box.topic}",
        "state": "fine", "trouble": "", "waiting": 0, "n_sent": 10, "n_failed": 0, "n_lost": 0,
    }  # fmt: skip


def test_a_broker_killed_and_started_again_is_found_again(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, at(broker)))
    home = close(HomeAssistant(broker))
    home.until(lambda h: h.state("kitchen-sound-dog") == "off")
    broker.kill()
    box.words.until("the connection is lost")
    box.begin(1)
    broker.start()
    box.words.until("connected to")
    home.until(lambda h: h.state("kitchen-sound-dog") == "on")


def test_messages_under_way_at_the_kill_are_not_lost(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, at(broker)))
    listener = close(Subscriber(broker, "streamclf/+/+/event"))
    box.words.until("connected to")
    box.bark(*range(50))
    listener.until(lambda: len(listener.of("/event")) >= 10)
    broker.kill()
    box.words.until("the connection is lost")
    n_confirmed = box.publisher.describe()["n_sent"]
    box.bark(50)
    other = close(Broker(tmp_path).start())
    after = close(Subscriber(other, "streamclf/+/+/event"))
    box.publisher.take_over(at(other))
    after.until(lambda: numbers(after.json_of("/event"))[-1:] == barks(50)[1:])
    every = barks(*range(51))
    # What a broker confirms is its own: it may die before it has told anybody.
    assert numbers(after.json_of("/event")) == every[n_confirmed:]
    before = numbers(listener.json_of("/event"))
    assert before == every[: len(before)]


def test_a_mistake_in_a_look_at_the_sources_ends_nothing(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, at(broker), start=False))
    describe, wrong = box.publisher.describe_sources, [True, True, True]

    def describe_wrongly() -> list[SourceFacts]:
        if wrong:
            wrong.pop()
            raise ValueError("no such thing")
        return describe()

    box.publisher.describe_sources = describe_wrongly
    box.publisher.start()
    box.words.until("a mistake in streamclf itself: ValueError: no such thing")
    listener = close(Subscriber(broker))
    listener.until(lambda: any(each["connected"] == "ON" for each in listener.json_of("/state")))
    assert not wrong


def test_the_queue_is_bounded(tmp_path, close, monkeypatch) -> None:
    monkeypatch.setattr(publisher, "LIMIT", 5)
    monkeypatch.setattr(outgoing.Outgoing.__init__, "__defaults__", (4,))
    box = close(Box(tmp_path, at(Broker(tmp_path))))  # which is not there
    box.words.until("nobody answers there")
    for number in range(4):
        box.bark(number)
        until(lambda: not box.publisher._inbox, "nothing is taken")
    box.words.until("the oldest are dropped")
    broker = close(Broker(tmp_path).start())
    listener = close(Subscriber(broker))
    box.publisher.take_over(at(broker))
    listener.until(lambda: len(listener.of("/event")) == 4)
    assert numbers(listener.json_of("/event")) == barks(2, 3)
    assert box.publisher.describe()["n_lost"] == 4


def test_the_last_will_tells_that_the_box_is_gone(broker, tmp_path, close) -> None:
    listener = close(Subscriber(broker))
    box = Box(tmp_path, at(broker))
    listener.until(lambda: "online" in listener.of(f"{box.topic}/status"))
    sock = box.publisher._link._client.socket()
    sock.shutdown(2)  # as if the cable were cut
    listener.until(lambda: "offline" in listener.of(f"{box.topic}/status"))
    box.words.until("the connection is lost")
    listener.until(lambda: listener.of(f"{box.topic}/status")[-1] == "online")
    box.publisher.close()
    listener.until(lambda: listener.of(f"{box.topic}/status")[-1] == "offline")


def test_a_lost_source_is_unavailable_and_others_are_not(broker, tmp_path, close) -> None:
    yard = replace(KITCHEN, name="yard", opens="rtsp://camera/2")
    box = close(Box(tmp_path, at(broker), KITCHEN, yard))
    home = close(HomeAssistant(broker))
    home.until(lambda h: h.state("yard-sound-dog") == h.state("kitchen-sound-dog") == "off")
    box.sources = [replace(KITCHEN, state="lost", lost_s=3.0), yard]
    home.until(lambda h: h.state("kitchen-sound-dog") == "unavailable")
    home.until(lambda h: h.state("kitchen-connected") == "off")
    assert home.state("yard-sound-dog") == "off"
    assert home.state("kitchen-today") == "0"
    box.begin(1, source="yard")
    home.until(lambda h: h.state("yard-sound-dog") == "on")
    assert home.entities["kitchen-sound-dog"].states == ["off"]


def test_a_source_that_goes_is_taken_away_and_after_a_restart_as_well(
    broker, tmp_path, close, monkeypatch
) -> None:
    monkeypatch.setattr(told_sources, "FORGET_S", 0.1)
    yard = replace(KITCHEN, name="yard", opens="rtsp://camera/2")
    home = close(HomeAssistant(broker))
    box = Box(tmp_path, at(broker), KITCHEN, yard)
    home.until(lambda h: h.state("yard-sound-dog") == "off")
    box.sources = [KITCHEN]
    home.until(lambda h: h.state("yard-sound-dog") == "gone")
    late = close(Subscriber(broker))
    late.until(lambda: late.of("/config") and late.of("kitchen/state"))
    assert not late.of("yard/state")
    box.publisher.close()
    again = close(Box(tmp_path, replace(at(broker), labels=("smoke_alarm",))))
    home.until(lambda h: h.state("kitchen-sound-dog") == "gone")
    home.until(lambda h: h.state("kitchen-sound-smoke_alarm") == "off")
    assert home.device["cmps"]["yard-sound-dog"] == {"p": "binary_sensor"}
    again.sources = [replace(KITCHEN, labels={"smoke_alarm": "Smoke alarm"})]
    home.until(lambda h: h.entities["kitchen-event"].config["event_types"] == ["smoke_alarm"])


def test_a_renamed_source_keeps_its_identity(broker, tmp_path, close) -> None:
    home = close(HomeAssistant(broker))
    box = close(Box(tmp_path, at(broker)))
    home.until(lambda h: h.state("kitchen-sound-dog") == "off")
    unique = home.entities["kitchen-sound-dog"].config["unique_id"]
    box.sources = [replace(KITCHEN, name="scullery")]
    home.until(
        lambda h: (
            h.entities["kitchen-sound-dog"].config["name"] == "scullery Dog"
            and h.entities["kitchen-sound-dog"].config["unique_id"] == unique
        )
    )
    assert not [id for id in home.entities if id.startswith("scullery")]


def test_commands_are_followed_where_they_are_allowed(broker, tmp_path, close) -> None:
    home = close(HomeAssistant(broker))
    box = close(Box(tmp_path, at(broker, allow=("pause", "threshold"))))
    home.until(lambda h: h.state("kitchen-pause") == "off")
    home.ask("kitchen-pause", "ON")
    home.until(lambda h: h.state("kitchen-pause") == "on")
    home.until(lambda h: h.state("kitchen-sound-dog") == "unavailable")
    assert home.state("kitchen-connected") == "on"
    home.ask("kitchen-pause", "OFF")
    home.until(lambda h: h.state("kitchen-sound-dog") == "off")
    home.ask("kitchen-threshold-dog", "0.35")
    home.until(lambda h: h.state("kitchen-threshold-dog") == "0.35")
    home.ask("kitchen-threshold-dog", "7")
    assert "must be a number from 0.01 to 1" in box.words.until("7: must be")
    assert box.asked == [("kitchen", True), ("kitchen", False), ("kitchen", "dog", 0.35)]


def test_commands_are_not_followed_where_nothing_allows_them(broker, tmp_path, close) -> None:
    home = close(HomeAssistant(broker))
    box = close(Box(tmp_path, at(broker, allow=("threshold",))))
    home.until(lambda h: h.state("kitchen-threshold-dog") == "0.5")
    assert "kitchen-pause" not in home.entities
    sender = close(Subscriber(broker))
    # One that is retained is old: whoever sent it did not mean this box as it is now.
    sender.publish(f"{box.topic}/kitchen/threshold/dog/set", "0.9", retain=True)
    box.words.until("begins from 0.9 on")
    sender.publish(f"{box.topic}/kitchen/pause/set", "ON")
    assert "is not allowed" in box.words.until("pause/set")
    assert box.asked == [("kitchen", "dog", 0.9)]
    box.publisher.close()
    again = close(Box(tmp_path, at(broker, allow=("threshold",))))
    home.until(lambda h: h.state("kitchen-threshold-dog") == "0.5")
    home.ask("kitchen-threshold-dog", "0.4")
    again.words.until("begins from 0.4 on")
    assert again.asked == [("kitchen", "dog", 0.4)]


def test_commands_in_masses_do_not_fill_the_log(broker, tmp_path, close, monkeypatch) -> None:
    box = close(Box(tmp_path, at(broker, allow=("pause",))))
    box.words.until("connected")
    sender = close(Subscriber(broker))
    monkeypatch.setattr(commands, "LINES_S", 3600.0)
    for number in range(60):
        sender.client.publish(f"{box.topic}/kitchen/pause/set", f"rubbish {number} " + "x" * 999)
    sender.publish(f"{box.topic}/kitchen/pause/set", "ON", retain=False)
    until(lambda: box.asked == [("kitchen", True)], "the command is not followed")
    monkeypatch.setattr(commands, "LINES_S", 0.0)
    more = box.words.until("came within")
    # The last is followed before it is counted, so it may have a line of its own.
    assert any(f"mqtt: {n} more commands came" in more for n in (40, 41))
    assert sum("must be ON or OFF" in line for line in box.words.told) == commands.MOST_LINES


def test_nothing_is_said_while_nothing_changes(broker, tmp_path, close, monkeypatch) -> None:
    monkeypatch.setattr(publisher, "LEVEL_EVERY_S", 0.05)
    box = close(Box(tmp_path, at(broker)))
    listener = close(Subscriber(broker, "streamclf/#"))
    listener.until(lambda: any(each["connected"] == "ON" for each in listener.json_of("/state")))
    n_before = len(listener.heard)
    looks = _count_looks(box)
    until(lambda: looks() > 10, "nobody looks at the sources")
    assert len(listener.heard) == n_before
    box.sources = [replace(KITCHEN, lost_s=0.4)]  # less than is worth a message
    seen = looks()
    until(lambda: looks() > seen + 5, "nobody looks at the sources")
    assert len(listener.heard) == n_before
    box.sources = [replace(KITCHEN, lost_s=2.0)]
    listener.until(lambda: listener.json_of("/state")[-1]["lost_s"] == 2.0)


def _count_looks(box: Box) -> Callable[[], int]:
    n_looks = [0]

    def describe() -> list[SourceFacts]:
        n_looks[0] += 1
        box.hear()
        return list(box.sources)

    box.publisher.describe_sources = describe
    return lambda: n_looks[0]


def test_what_is_known_is_said_again_before_it_expires(
    broker, tmp_path, close, monkeypatch
) -> None:
    monkeypatch.setattr(publisher, "REFRESH_S", 0.2)
    close(Box(tmp_path, at(broker)))
    listener = close(Subscriber(broker, "streamclf/#"))
    listener.until(lambda: len(listener.of("/state")) > 4)


class TestPasswords:
    @pytest.fixture
    def guarded(self, tmp_path: Path, close: Callable) -> Broker:
        passwords = tmp_path / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "box", "right"], check=True)
        passwords.chmod(0o644)
        return close(
            Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}").start()
        )

    def test_the_right_one_lets_in(self, guarded, tmp_path, close) -> None:
        file = tmp_path / "secret"
        file.write_text("right\n")
        box = close(Box(tmp_path, at(guarded, user="box", password_file=file)))
        box.words.until(f"connected to box@127.0.0.1:{guarded.port}")

    def test_a_wrong_one_is_told_in_one_line_once(
        self, guarded, tmp_path, close, monkeypatch
    ) -> None:
        monkeypatch.setenv("BOX_PASSWORD", "wrong-secret")
        options = at(guarded, user="box", password_env="BOX_PASSWORD")
        box = close(Box(tmp_path, options))
        box.words.until("refuses the user box, or the password")
        monkeypatch.setenv("BOX_PASSWORD", "right")  # it is read at each try
        box.words.until("connected to")
        warned = [line for line in box.words.told if line.startswith("warning")]
        assert len(warned) == 1
        assert not [line for line in box.words.told if "secret" in line]
        assert "right" not in str(box.publisher.describe())

    def test_a_missing_name_is_told(self, guarded, tmp_path, close) -> None:
        box = close(Box(tmp_path, at(guarded)))
        assert "set user and password-file in [mqtt]" in box.words.until("warning")


class TestTls:
    @pytest.fixture
    def encrypted(self, tmp_path: Path, close: Callable) -> Broker:
        make_certificates(tmp_path)
        return close(
            Broker(
                tmp_path, "allow_anonymous true", f"cafile {tmp_path / 'ca.pem'}",
                f"certfile {tmp_path / 'broker.pem'}", f"keyfile {tmp_path / 'broker-key.pem'}",
            ).start()
        )  # fmt: skip

    def test_a_broker_whose_signer_is_named_is_believed(self, encrypted, tmp_path, close) -> None:
        authority = str(tmp_path / "ca.pem")
        home = close(HomeAssistant(encrypted, prepare=lambda client: client.tls_set(authority)))
        box = close(Box(tmp_path, at(encrypted, ca_file=tmp_path / "ca.pem")))
        box.words.until("connected to")
        box.bark(*range(20))
        home.until(lambda h: h.state("kitchen-sound-dog") == "off")
        home.until(lambda h: len(h.entities["kitchen-event"].fired) == 20)

    def test_another_one_is_not(self, encrypted, tmp_path, close) -> None:
        box = close(Box(tmp_path, at(encrypted, tls=True)))
        assert "name by ca-file who signed it" in box.words.until("its certificate is not accepted")

    def test_a_plain_connection_to_it_is_explained(self, encrypted, tmp_path, close) -> None:
        box = close(Box(tmp_path, at(encrypted)))
        box.words.until("it may want TLS (tls = true)")

    def test_a_broker_without_it_is_explained(self, broker, tmp_path, close) -> None:
        box = close(Box(tmp_path, at(broker, tls=True)))
        assert "is port the one for TLS?" in box.words.until("the encrypted connection fails")


def test_an_unknown_host_and_an_empty_port_are_explained(tmp_path, close) -> None:
    unknown = MqttOptions("no-such-machine.invalid", 1883)
    box = close(Box(tmp_path, unknown))
    assert "check host" in box.words.until("no machine of this name is known")


def test_events_that_a_kill_cut_are_ended_by_the_next_process(broker, tmp_path, close) -> None:
    listener = close(Subscriber(broker, "streamclf/+/+/event"))
    box = close(Box(tmp_path, at(broker), start=False))
    onset_us = START_US
    cut = SoundHappened(
        "end", "dog-7@before", "kitchen", "dog", "Dog", 0.9, onset_us, onset_us,
        onset_us + 1_000_000,
    )  # fmt: skip
    box.publisher.start([cut, replace(cut, source="attic")])
    box.bark(8)
    listener.until(lambda: len(listener.of("/event")) == 3)
    assert numbers(listener.json_of("/event")) == [("end", "dog-7"), *barks(8)]


def test_a_label_that_no_source_has_is_told_with_a_guess(broker, tmp_path, close) -> None:
    box = close(Box(tmp_path, replace(at(broker), labels=("dogg",))))
    assert "did you mean dog?" in box.words.until("no source has such a label")
