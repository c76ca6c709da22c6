"""`streamclf serve` and a broker: what is heard arrives there, and what is asked there is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from brokers import Broker, needs_broker
from home_assistant import HomeAssistant
from serving import Serving, rows, runs_of

from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions
from streamclf.notify.mqtt import publisher
from streamclf.notify.mqtt.identity import Identity, identity_file, save_identity
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.options import NotifyPlan
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions

SECOND = toys.RATE


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens pauses, which nothing here measures."""
    monkeypatch.setattr(publisher, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(publisher, "FACTS_EVERY_S", 0.05)
    monkeypatch.setattr(publisher, "LEVEL_EVERY_S", 0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


@pytest.fixture
def home(broker: Broker) -> Iterator[HomeAssistant]:
    home = HomeAssistant(broker)
    yield home
    home.close()


@pytest.fixture
def plan(tone_model: Path, tmp_path: Path, broker: Broker) -> ServePlan:
    stream = StreamPlan(
        ServedOptions(name="yard", calibration_db=100.0), SourceOptions(device="yard"),
        ModelOptions(str(tone_model), provider="cpu"), Settings(), ThresholdOptions(),
        OutputOptions(),
    )  # fmt: skip
    mqtt = MqttOptions(
        "127.0.0.1", broker.port, labels=("middle",), allow=("pause", "threshold"), device="box"
    )
    return ServePlan((stream,), WritingOptions(tmp_path / "box.db"), notify=NotifyPlan(mqtt=mqtt))


@pytest.fixture
def serving(plan: ServePlan) -> Iterator[Serving]:
    serving = Serving(plan)
    yield serving
    if serving.code is None:
        serving.end()


@needs_broker
def test_sounds_levels_and_the_end_arrive(serving, home, tmp_path) -> None:
    yard = serving.source("yard")
    home.until(lambda h: h.state("yard-sound-middle") == "unavailable")  # nothing is heard yet
    yard.feed(toys.silence(2))
    yard.drain()
    home.until(lambda h: h.state("yard-sound-middle") == "off")
    yard.feed(toys.tone(1000, 6))
    home.until(lambda h: h.state("yard-sound-middle") == "on")
    yard.feed(toys.silence(6))
    home.until(lambda h: h.state("yard-sound-middle") == "off")

    def fired() -> list[tuple[str, str]]:
        found = home.entities["yard-event"].fired
        return [(e["phase"], e["source"]) for e in found if e["event_type"] == "middle"]

    home.until(lambda h: fired())  # it has a topic of its own
    assert fired() == [("begin", "yard")]
    level = home.entities["yard-level"].config
    assert (level["device_class"], level["unit_of_measurement"]) == ("sound_pressure", "dBA")
    home.until(lambda h: any(float(each) > 60 for each in h.entities["yard-level"].states
                             if each not in ("None", "unknown")))  # fmt: skip
    (described,) = serving.server.describe_health()["targets"]
    assert (described["name"], described["state"]) == ("mqtt", "fine")
    home.until(lambda h: h.state("yard-today") == str(len(h.entities["yard-event"].fired)))
    assert serving.end() == 0
    home.until(lambda h: h.state("yard-sound-middle") == h.state("yard-connected") == "unavailable")


@needs_broker
def test_a_source_without_a_signal_is_a_problem_and_unavailable(plan, home) -> None:
    (stream,) = plan.streams
    stream = replace(stream, settings=Settings(silent_after_s=3.0))
    serving = Serving(replace(plan, streams=(stream,)))
    try:
        yard = serving.source("yard")
        yard.feed(toys.silence(2))
        home.until(lambda h: h.state("yard-sound-middle") == "off")
        assert home.state("yard-silent") == "off"
        yard.feed(toys.silence(2))
        home.until(lambda h: h.state("yard-silent") == "on")
        home.until(lambda h: h.state("yard-sound-middle") == "unavailable")
        assert home.state("yard-connected") == "on"  # its audio arrives
        yard.feed(toys.tone(1000, 6))
        home.until(lambda h: h.state("yard-sound-middle") == "on")
        assert home.state("yard-silent") == "off"
    finally:
        serving.end()


@needs_broker
def test_a_pause_is_a_gap_and_a_reload_keeps_it(serving, home, plan, tmp_path) -> None:
    yard = serving.source("yard")
    yard.feed(toys.tone(1000, 6))
    home.until(lambda h: h.state("yard-sound-middle") == "on")
    yard.drain()
    home.ask("yard-pause", "ON")
    home.until(lambda h: h.state("yard-pause") == "on")
    serving.words.until("yard is paused")
    yard.feed(toys.tone(1000, 4))
    yard.drain()
    assert serving.server.streams["yard"].state == "paused"
    assert "1 paused (yard)" in serving.server.describe()
    stream = replace(plan.streams[0], source=SourceOptions(device="another"))
    serving.reload(replace(plan, streams=(stream,)))
    again = serving.source("yard", 1)
    again.feed(toys.tone(1000, 3))
    again.drain()
    home.ask("yard-pause", "OFF")
    home.until(lambda h: h.state("yard-pause") == "off")
    again.feed(toys.silence(2))
    again.end()
    assert serving.join() == 0
    first, second = runs_of(tmp_path / "box.db")["yard"]
    assert first == (0, 10 * SECOND, 6 * SECOND, 4 * SECOND)
    assert second == (0, 5 * SECOND, 2 * SECOND, 3 * SECOND)
    assert rows(tmp_path / "box.db", "SELECT DISTINCT cause FROM gaps") == [("paused",)]
    # A pause is meant: it is not lost.
    assert home.entities["yard-lost"].states[-1] == "0.0"


@needs_broker
def test_a_threshold_holds_until_the_settings_are_read(serving, home, plan) -> None:
    yard = serving.source("yard")
    yard.feed(toys.silence(2))
    home.until(lambda h: h.state("yard-threshold-middle").startswith("0."))
    before = home.state("yard-threshold-middle")
    home.ask("yard-threshold-middle", "0.99")
    home.until(lambda h: h.state("yard-threshold-middle") == "0.99")
    thresholds = serving.server.streams["yard"].hearing.engine.thresholds
    assert thresholds.of("middle").on == 0.99
    assert thresholds.of("high").on == float(before)
    serving.reload(plan)
    home.until(lambda h: h.state("yard-threshold-middle") == before)
    yard.feed(np.zeros(100, np.float32))


@needs_broker
def test_other_settings_of_the_broker_hold_after_a_reload(serving, home, plan) -> None:
    serving.source("yard").feed(toys.silence(2))
    home.until(lambda h: h.state("yard-sound-middle") == "off")
    mqtt = replace(plan.notify.mqtt, labels=("high",), allow=(), device="attic")
    serving.reload(replace(plan, notify=NotifyPlan(mqtt=mqtt)))
    home.until(lambda h: h.state("yard-sound-high") == "off")
    assert home.device["dev"]["name"] == "attic"
    assert home.state("yard-sound-middle") == home.state("yard-pause") == "gone"
    serving.plan = replace(plan, notify=NotifyPlan())
    serving.server.reload()
    serving.words.until("whether there is a broker ([mqtt]) changes at the next start alone")


def test_a_missing_broker_holds_nothing_up(plan, tmp_path) -> None:
    word = tmp_path / "password"
    word.write_text("old\n")
    mqtt = replace(plan.notify.mqtt, port=1, user="box", password_file=word)
    plan = replace(plan, notify=NotifyPlan(mqtt=mqtt))
    serving = Serving(plan)
    yard = serving.source("yard")
    serving.words.until("nobody answers there")
    word.write_text("newer\n")
    assert serving.reload(plan).endswith(": password is read anew")
    assert serving.reload(plan).endswith(": nothing changes")
    word.unlink()
    assert "[mqtt] password-file" in serving.reload(plan, refused=True)
    yard.feed(toys.tone(1000, 6))
    yard.end()
    assert serving.join() == 0
    assert runs_of(tmp_path / "box.db")["yard"] == [(0, 6 * SECOND, 6 * SECOND, 0)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["port = 1883"], "box.toml:3: "),
        (['host = "h"', 'allow = ["reboot"]'], "box.toml:5: allow"),
        (['host = "h"', 'password = "x"'], "did you mean password-env?"),
        (
            ['host = "h"', 'user = "u"', 'password-file = "nowhere"'],
            "[mqtt] password-file nowhere: cannot be read",
        ),
        (['host = "h"', 'ca-file = "nowhere"'], "[mqtt] ca-file nowhere: no such file"),
    ],
)
def test_check_tells_what_is_wrong_with_the_broker(
    streamclf, lines, said, tone_model, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "box.toml"
    settings.write_text("\n".join(["port = 0", f'model = "{tone_model}"', "[mqtt]", *lines, ""]))
    result = streamclf(
        "serve", "--check", "--config", settings, "--store", tmp_path / "s.db", "--device", "x"
    )
    assert result.code == 2
    assert said in result.err.splitlines()[-1]
    assert not list(tmp_path.glob("*-mqtt.json"))


def test_check_names_labels_that_no_source_has(streamclf, tone_model, tmp_path) -> None:
    settings = tmp_path / "box.toml"
    settings.write_text(
        f'port = 0\nmodel = "{tone_model}"\n[mqtt]\nhost = "h"\nlabels = ["midle", "low"]\n'
    )
    result = streamclf(
        "serve", "--check", "--config", settings, "--store", tmp_path / "s.db", "--device", "x"
    )
    assert result.code == 0
    (warning,) = [line for line in result.err.splitlines() if "mqtt" in line]
    assert "labels midle: no source has such a label (did you mean middle?)" in warning


def test_the_identity_stands_beside_the_store(tmp_path: Path) -> None:
    file = identity_file(tmp_path / "box.db")
    save_identity(Identity("0123abcd"), file)
    assert json.loads((tmp_path / "box.db-mqtt.json").read_text())["box"] == "0123abcd"
