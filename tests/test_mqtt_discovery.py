"""What the broker is told: discovery by the documented keys, identities, states and options."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from streamclf.core.errors import UsageError
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import SoundHappened
from streamclf.notify.mqtt.choose import choose, find_unknown
from streamclf.notify.mqtt.discovery import (
    EXPIRE_S,
    REFRESH_S,
    AnnouncedSource,
    describe_device,
    device_class_of,
    platforms,
)
from streamclf.notify.mqtt.identity import (
    Identity,
    identity_file,
    load_identity,
    save_identity,
)
from streamclf.notify.mqtt.names import keys_of_labels, slug
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.mqtt.outgoing import LIMIT
from streamclf.notify.mqtt.told import ToldSource, differs, differs_at_once
from streamclf.notify.mqtt.topics import Topics

LABELS = {"dog": "Dog", "smoke_alarm": "Smoke alarm", "rain": "rain"}
TOPICS = Topics("0123abcd", "streamclf/0123abcd", "homeassistant")
ALL = ("pause", "threshold")

# What Home Assistant's documentation names, https://www.home-assistant.io/integrations/mqtt and the
# pages of the platforms there. A key that it does not know is a mistake that nobody would see: Home
# Assistant leaves it out without a word. Its own schemas read the message in a job of their own,
# scripts/home_assistant.sh.
OF_ALL = {
    "p", "unique_id", "name", "default_entity_id", "availability", "availability_mode", "icon",
    "entity_category", "qos", "json_attributes_topic", "json_attributes_template",
}  # fmt: skip
READ = {"state_topic", "value_template"}
WRITTEN = {"command_topic", "retain"}
KEYS = {
    "binary_sensor": OF_ALL
    | READ
    | {"device_class", "expire_after", "payload_on", "payload_off", "off_delay"},
    "event": OF_ALL | READ | {"device_class", "event_types"},
    "sensor": OF_ALL
    | READ
    | {
        "device_class", "expire_after", "state_class", "unit_of_measurement",
        "suggested_display_precision",
    },
    "switch": OF_ALL | READ | WRITTEN | {"payload_on", "payload_off"},
    "number": OF_ALL | READ | WRITTEN | {"min", "max", "step", "mode"},
}  # fmt: skip
REQUIRED = {
    "binary_sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "sensor": {"state_topic"},
    "switch": {"command_topic"},
    "number": {"command_topic"},
}
DEVICE_KEYS = {"ids", "cns", "cu", "hw", "mf", "mdl", "mdl_id", "name", "sn", "sw", "sa"}
UNITS = {"sound_pressure": {"dB", "dBA"}, "duration": {"d", "h", "min", "s", "ms"}}
BINARY_CLASSES = {"sound", "smoke", "connectivity", "problem"}


CHOSEN = {"dog": {"dog"}, "smoke_alarm": {"smoke_alarm"}}


def announced(name: str = "kitchen", **changes: object) -> AnnouncedSource:
    source = AnnouncedSource(
        slug(name, "source"), name, LABELS, CHOSEN, keys_of_labels(LABELS), False
    )
    return replace(source, **changes)


def described(*sources: AnnouncedSource, **options: object) -> dict:
    return describe_device(TOPICS, "attic", sources or (announced(),), **{"allow": ALL, **options})


@pytest.mark.parametrize("calibrated", [False, True])
def test_discovery_has_only_documented_keys(calibrated: bool) -> None:
    device = described(announced(calibrated=calibrated), page="https://sounds.example")
    assert {"dev", "o", "cmps"} <= device.keys() <= {
        "dev", "o", "cmps", "availability", "availability_mode", "qos",
    }  # fmt: skip
    assert device["dev"].keys() <= DEVICE_KEYS
    assert device["o"]["name"] == "streamclf"
    for component in device["cmps"].values():
        platform = component["p"]
        assert component.keys() <= KEYS[platform], component
        assert component.keys() >= REQUIRED[platform] | {"unique_id"}
        if platform == "sensor" and "device_class" in component:
            assert component["unit_of_measurement"] in UNITS[component["device_class"]]
        if platform == "binary_sensor":
            assert component["device_class"] in BINARY_CLASSES
        if platform in ("sensor", "binary_sensor", "event"):
            assert component.get("entity_category") in (None, "diagnostic")
        assert component["default_entity_id"].partition(".")[0] == platform
        assert "object_id" not in component


def test_discovery_identifiers_are_unique() -> None:
    device = described(announced(), announced("yard"))
    for key in ("unique_id", "default_entity_id", "name"):
        values = [each[key] for each in device["cmps"].values()]
        assert len(values) == len(set(values))


def test_entities_of_a_source_read_topics_of_their_own_alone() -> None:
    device = described(announced(), announced("yard"))
    for id, component in device["cmps"].items():
        source = id.partition("-")[0]
        topics = [each["topic"] for each in component.get("availability", [])]
        topics += [component["state_topic"], component.get("command_topic", TOPICS.state(source))]
        own = [topic for topic in topics if topic != TOPICS.availability]
        assert all(topic.startswith(f"{TOPICS.root}/{source}/") for topic in own)
        assert component.get("availability_mode", "all") == "all"


def test_what_is_not_heard_is_unavailable_and_the_connection_is_told_all_the_same() -> None:
    components = described()["cmps"]
    for id in ("kitchen-sound-dog", "kitchen-event", "kitchen-level", "kitchen-last"):
        topics = [each["topic"] for each in components[id]["availability"]]
        assert topics == [TOPICS.availability, TOPICS.source_availability("kitchen")]
    for id in ("kitchen-connected", "kitchen-lost", "kitchen-today", "kitchen-pause"):
        assert "availability" not in components[id]  # that of the device holds


def test_states_expire_later_than_they_are_told_again() -> None:
    components = described()["cmps"]
    assert components["kitchen-sound-dog"]["expire_after"] == EXPIRE_S >= 2 * REFRESH_S


def test_levels_are_sound_pressure_only_where_they_are_calibrated() -> None:
    plain = described()["cmps"]["kitchen-level"]
    assert plain["unit_of_measurement"] == "dBFS"
    assert "device_class" not in plain
    loud = described(announced(calibrated=True))["cmps"]["kitchen-level"]
    assert (loud["unit_of_measurement"], loud["device_class"]) == ("dBA", "sound_pressure")


def test_the_last_sound_is_a_text() -> None:
    last = described()["cmps"]["kitchen-last"]
    assert not {"device_class", "state_class", "unit_of_measurement"} & last.keys()


@pytest.mark.parametrize(
    ("label", "name", "expected"),
    [
        ("smoke_alarm", "smoke_alarm", "smoke"),
        ("Smoke detector, smoke alarm", "Smoke detector, smoke alarm", "smoke"),
        ("/m/01y3hg", "Smoke alarm", "smoke"),
        ("clock_alarm", "Alarm clock", "sound"),
        ("smoking", "Smoking", "sound"),
        ("dog", "Dog", "sound"),
    ],
)
def test_device_class_of_smoke_alarms(label: str, name: str, expected: str) -> None:
    assert device_class_of(label, name) == expected


def test_components_that_are_no_more_have_only_their_platform() -> None:
    before = platforms(described())
    now = described(announced(chosen={"dog": {"dog"}}), allow=(), before=before)
    gone = {id for id, each in now["cmps"].items() if each.keys() == {"p"}}
    assert gone == {
        "kitchen-sound-smoke_alarm", "kitchen-pause", "kitchen-threshold-dog",
        "kitchen-threshold-smoke_alarm",
    }  # fmt: skip
    assert platforms(now).keys() == before.keys() - gone


def test_a_model_of_values_has_no_events() -> None:
    device = described(announced(labels={}, chosen={}, keys={}))
    assert set(device["cmps"]) == {
        "kitchen-level", "kitchen-lost", "kitchen-connected", "kitchen-pause",
        "kitchen-silent",
    }  # fmt: skip


def test_keys_do_not_depend_on_the_order_of_labels() -> None:
    labels = ["Rain!", "rain", "Räin", "雨", "9 mm"]
    found = {
        json.dumps(keys_of_labels(each), sort_keys=True) for each in itertools.permutations(labels)
    }
    assert len(found) == 1
    keys = keys_of_labels(labels)
    assert sorted(keys.values()) == ["9_mm", "rain", "rain_2", "rain_3", "sound"]


class TestIdentity:
    PRESENT = (("kitchen", "rtsp://camera/1"), ("yard", "rtsp://camera/2"))

    def test_it_survives_a_restart(self, tmp_path: Path) -> None:
        file = identity_file(tmp_path / "s.db")
        first = load_identity(file, pytest.fail)
        ids = first.assign(self.PRESENT)
        first.note_announced({"kitchen-event": "event"})
        save_identity(first, file)
        again = load_identity(file, pytest.fail)
        assert again == first
        assert again.assign(self.PRESENT) == ids == {"kitchen": "kitchen", "yard": "yard"}

    def test_a_source_stays_itself_under_another_name_or_address(self) -> None:
        identity = Identity("0123abcd")
        identity.assign(self.PRESENT)
        renamed = (("scullery", "rtsp://camera/1"), ("yard", "rtsp://camera/2"))
        assert identity.assign(renamed) == {"scullery": "kitchen", "yard": "yard"}
        moved = (("scullery", "rtsp://camera/9"), ("yard", "rtsp://camera/2"))
        assert identity.assign(moved) == {"scullery": "kitchen", "yard": "yard"}
        new = (("kitchen", "rtsp://camera/3"), *moved)
        assert identity.assign(new)["kitchen"] == "kitchen_2"

    def test_names_that_look_alike_are_told_apart(self) -> None:
        ids = Identity("0123abcd").assign([("Küche", "a"), ("kuche", "b"), ("雨", "c")])
        assert ids == {"Küche": "kuche", "kuche": "kuche_2", "雨": "source"}

    def test_two_sources_of_one_address_keep_apart(self) -> None:
        identity = Identity("0123abcd")
        first = identity.assign([("left", "device x channel 1"), ("right", "device x channel 1")])
        again = identity.assign([("west", "device x channel 1"), ("east", "device x channel 1")])
        assert set(first.values()) == set(again.values()) == {"left", "right"}

    def test_it_holds_no_address(self, tmp_path: Path) -> None:
        identity = Identity("0123abcd")
        identity.assign([("gate", "rtsp://user:***@camera/1?token=***")])
        save_identity(identity, tmp_path / "x")
        assert "camera" not in (tmp_path / "x").read_text()

    @pytest.mark.parametrize(
        "text",
        [
            "", "{", "[]", '{"box": "x"}', '{"box": 3}', "\xff", "[" * 100_000,
            '{"box": "0123abcd", "sources": [], "announced": {}}',
            '{"box": "0123abcd", "sources": {"a": 3}, "announced": {}}',
            '{"box": "0123abcd", "sources": {}, "announced": []}',
            '{"box": "0123abcd", "sources": {"a": {"name": "a"}}, "announced": {}}',
        ],
    )  # fmt: skip
    def test_a_damaged_file_is_told(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "x"
        file.write_text(text, "latin-1")
        told: list[str] = []
        assert load_identity(file, told.append).sources == {}
        assert len(told) == 1
        assert "Home Assistant will show a new device" in told[0]


class TestChoice:
    def test_names_and_identifiers_in_any_spelling(self) -> None:
        assert [*choose(LABELS, ("Smoke-Alarm", "DOG"))] == ["smoke_alarm", "dog"]

    def test_a_star_stands_for_all(self) -> None:
        assert [*choose(LABELS, ("rain", "*"))] == ["rain", "dog", "smoke_alarm"]

    def test_a_broader_label_is_heard_by_its_narrower_ones(self) -> None:
        shown = {**LABELS, "alarm": "Alarm", "siren": "Siren"}
        vocabulary = Vocabulary(shown, {"smoke_alarm": ["alarm"], "siren": ["alarm"]})
        by = {"alarm": {"smoke_alarm"}}
        assert choose(LABELS, ("Alarm",), vocabulary) == by  # which it reports by these alone
        assert find_unknown([(LABELS, vocabulary)], ("alarm",)) == []
        assert len(find_unknown([(LABELS, vocabulary)], ("siren",))) == 1
        heard = {**LABELS, "alarm": "Alarm", "siren": "Siren"}
        assert choose(heard, ("siren", "Alarm"), vocabulary) == {
            "siren": {"siren"}, "alarm": {"alarm", "siren", "smoke_alarm"},
        }  # fmt: skip

    def test_what_no_source_has_is_found(self) -> None:
        sources = [(LABELS, None), ({"cat": "Cat"}, None)]
        assert find_unknown(sources, ("cat", "*", "dogg")) == [
            "warning: mqtt: labels dogg: no source has such a label (did you mean dog?)"
        ]


class TestState:
    TODAY = date(2026, 11, 26)

    def told(self) -> ToldSource:
        return ToldSource(announced(), 3, self.TODAY, connected=True)

    def happened(self, phase: str, label: str = "dog", number: int = 1) -> SoundHappened:
        onset_us = 1_795_734_000_000_000  # 2026-11-26T23:00:00Z
        return SoundHappened(
            phase, f"{label}-{number}", "kitchen", label, LABELS[label], 0.75, onset_us, onset_us,
            onset_us + 2_500_000 if phase == "end" else None, -60,
        )  # fmt: skip

    def test_a_label_is_on_while_any_event_of_it_lasts(self) -> None:
        told = self.told()
        on = []
        for phase, number in [("begin", 1), ("begin", 2), ("end", 1), ("end", 2)]:
            told.apply(self.happened(phase, number=number))
            on.append(told.state()["on"]["dog"])
        assert on == ["ON", "ON", "ON", "OFF"]

    def test_a_broader_label_is_on_while_any_narrower_one_lasts(self) -> None:
        source = announced(
            chosen={"alarm": {"smoke_alarm", "dog"}, "dog": {"dog"}}, names={"alarm": "Alarm"},
            keys={**keys_of_labels(LABELS), "alarm": "alarm"},
        )  # fmt: skip
        told = ToldSource(source, 0, self.TODAY, connected=True)
        seen = []
        for phase, label in [
            ("begin", "smoke_alarm"), ("begin", "dog"), ("end", "smoke_alarm"), ("end", "dog")
        ]:  # fmt: skip
            told.apply(self.happened(phase, label))
            seen.append((told.state()["on"]["alarm"], told.state()["sounds"]))
        assert seen == [
            ("ON", {"alarm": ["smoke_alarm"]}), ("ON", {"alarm": ["dog", "smoke_alarm"]}),
            ("ON", {"alarm": ["dog"]}), ("OFF", {}),
        ]  # fmt: skip
        assert told.today == 2  # events, of which each counts once
        entities = described(source)["cmps"]
        assert entities["kitchen-sound-alarm"]["name"] == "kitchen Alarm"
        assert "kitchen-threshold-alarm" not in entities  # it has no events of its own
        assert ".get('alarm', [])" in entities["kitchen-sound-alarm"]["json_attributes_template"]
        assert "json_attributes_template" not in entities["kitchen-sound-dog"]

    def test_an_end_that_nobody_began_says_nothing(self) -> None:
        assert self.told().apply(self.happened("end")) is None

    def test_labels_that_were_not_chosen_are_told_by_name_alone(self) -> None:
        told = self.told()
        message = told.apply(self.happened("begin", "rain"))
        assert (message["event_type"], message["phase"]) == ("rain", "begin")
        state = told.state()
        assert state["on"] == {"dog": "OFF", "smoke_alarm": "OFF"}
        assert state["sounding"] == ["rain"]

    def test_days_are_the_places_own(self) -> None:
        told = self.told()
        told.apply(self.happened("begin"))  # 22:00 there
        assert told.today == 4
        late = replace(self.happened("begin", number=2), utc_offset_min=120)  # the next day
        told.apply(late)
        assert told.today == 4
        assert told.begin_day(date(2026, 11, 27))
        assert told.today == 0

    def test_times_carry_the_offset_of_the_place(self) -> None:
        told = self.told()
        told.apply(self.happened("begin"))
        message = told.apply(self.happened("end"))
        assert message["onset"] == "2026-11-26T22:00:00.000-01:00"
        assert message["offset"] == "2026-11-26T22:00:02.500-01:00"
        assert message["duration_s"] == 2.5

    def test_a_level_alone_is_worth_a_message_from_half_a_decibel_on(self) -> None:
        told = self.told()
        told.level = -40.0
        before = told.state()
        for level, worth in [(-40.4, False), (-40.5, True), (-39.5, True)]:
            told.level = level
            assert differs(told.state(), before) is worth
            assert not differs_at_once(told.state(), before)
        told.level = None
        assert differs_at_once(told.state(), before)


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"host": ""}, "host (empty): must be the broker's name"),
            ({"host": "mqtt://x"}, "host mqtt://x: must be the broker's name"),
            ({"host": "192.168.1.5:1883"}, "host 192.168.1.5:1883: must be the broker's name or"),
            ({"host": "[::1]"}, "host [::1]: must be"),
            ({"host": "a\nb"}, "host a\\nb: must be"),
            ({"host": "h.."}, "host h..: must be"),
            ({"host": "h" * 64 + ".de"}, "host hhh"),
            ({"user": ""}, "user: is empty: leave it out"),
            ({"user": "a\nb"}, "user a\\nb: must be one line"),
            ({"device": "a\nb"}, "device a\\nb: must be one line"),
            ({"user": "u", "password_env": "SE-CRET"}, "password-env ***: must be the name of an"),
            (
                {"user": "u", "password_file": Path("ab://SE-CRET")},
                "password-file ***: must be the",
            ),
            ({"port": 0}, "port 0: must be from 1 to 65535"),
            ({"password_env": "X"}, "password-env X: belongs to a user"),
            (
                {"user": "u", "password_env": "X", "password_file": Path("x")},
                "password-env: there is a password-file as well",
            ),
            ({"key_file": Path("k")}, "key-file k: belongs to a certificate"),
            ({"topic": ""}, "topic: is empty"),
            ({"topic": "a/#"}, "topic a/#: must be words"),
            ({"topic": "$SYS"}, "topic $SYS: must be words"),
            ({"discovery_prefix": "/a"}, "discovery-prefix /a: must be words"),
            ({"device": " "}, "device: is empty"),
            ({"labels": ("",)}, "labels: one of them is empty"),
            ({"allow": ("reboot",)}, "allow reboot: must be pause or threshold"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, given: dict, said: str) -> None:
        with pytest.raises(UsageError) as caught:
            MqttOptions(**{"host": "broker", **given})
        assert str(caught.value).startswith(said)
        assert len(str(caught.value).splitlines()) == 1
        assert "SE-CRET" not in str(caught.value)

    @pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "h", "h.", "core-mosquitto", "ü.de"])
    def test_names_and_addresses_are_hosts(self, host: str) -> None:
        assert MqttOptions(host).host == host

    def test_the_port_follows_from_tls(self) -> None:
        assert MqttOptions("h").real_port == 1883
        assert MqttOptions("h", tls=True).real_port == 8883
        assert MqttOptions("h", ca_file=Path("x")).real_port == 8883
        assert MqttOptions("h", 1, tls=True).address == "h:1"
        assert MqttOptions("::1", user="u").address == "u@[::1]:1883"

    def test_a_password_is_read_where_it_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "p"
        file.write_text("  secret \nmore\n")
        assert MqttOptions("h", user="u", password_file=file).read_password() == "secret"
        file.write_bytes(b"\xef\xbb\xbfsecret\r\n")  # as Windows' editor writes it
        assert MqttOptions("h", user="u", password_file=file).read_password() == "secret"
        monkeypatch.setenv("P", "other")
        assert MqttOptions("h", user="u", password_env="P").read_password() == "other"
        assert MqttOptions("h", user="u").read_password() is None

    def test_a_password_that_is_not_there_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("P", raising=False)
        with pytest.raises(UsageError, match=r"^password-env P: .* is not set: set it"):
            MqttOptions("h", user="u", password_env="P").read_password()
        with pytest.raises(UsageError, match=r"^password-file .*no such file.*: name a file"):
            MqttOptions("h", user="u", password_file=tmp_path / "x").read_password()
        (tmp_path / "e").write_text("\n")
        with pytest.raises(UsageError, match=r"^password-file .*is empty: put the secret"):
            MqttOptions("h", user="u", password_file=tmp_path / "e").read_password()


def test_the_reference_has_every_field_and_topic() -> None:
    page = (Path(__file__).parents[1] / "docs/reference/mqtt.md").read_text("utf-8")
    state, event = (json.loads(block) for block in re.findall(r"```text\n(.*?)```", page, re.S))
    told = TestState().told()
    told.apply(TestState().happened("begin"))
    ended = told.apply(replace(TestState().happened("end"), sureness="sure"))
    assert list(event) == [*ended, "late_s"]
    assert list(state) == list(told.state())
    described = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {name.strip("` ") for cell in described for name in cell.split(",")}
    assert named >= {*state, *event}
    topics = Topics("{box}", "streamclf/{box}", "homeassistant")
    assert named >= {
        topics.availability, topics.source_availability("{source}"), topics.state("{source}"),
        topics.event("{source}"), topics.pause("{source}"), topics.threshold("{source}", "{key}"),
        topics.discovery, *topics.births,
    }  # fmt: skip
    assert f"older than {EXPIRE_S} seconds" in page
    assert f"up to {LIMIT:,} wait" in page


def test_topics_tell_commands_from_all_else() -> None:
    root = TOPICS.root
    assert TOPICS.read_command(f"{root}/kitchen/pause/set") == ("kitchen", "pause", "")
    asked = TOPICS.read_command(f"{root}/kitchen/threshold/dog/set")
    assert asked == ("kitchen", "threshold", "dog")
    for topic in (f"{root}/kitchen/state", f"{root}/a/b/pause/set", "other/kitchen/pause/set"):
        assert TOPICS.read_command(topic) is None


def test_births_are_awaited_at_the_usual_topic_as_well() -> None:
    assert TOPICS.births == ("homeassistant/status",)
    assert Topics("b", "r", "ha").births == ("ha/status", "homeassistant/status")


def test_paho_is_loaded_only_where_there_is_a_broker() -> None:
    code = "import sys, streamclf.cli.serve; print('paho' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert answer.stdout == "False\n"
