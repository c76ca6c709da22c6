"""`info`: one screen about a model that a person reads."""

import json
import re

import numpy as np
import pytest
import toys

from streamclf.cli.info_screen import describe_model, list_card, measure_window
from streamclf.core.card import format_card
from streamclf.model.model_file import Model
from streamclf.sources.microphone.devices import advise

FIGURES = {
    "clips": 480,
    "averaged_windows": 0.8917,
    "interval_95": [0.8607, 0.9164],
    "levels": {"averaged_windows": {"0": 0.9, "-20": 0.8917, "-40": 0.8562}},
    "soundscapes": {
        "event_recall": 0.605, "event_precision": 0.7798, "false_alarms_per_hour": 45.0,
    },
    "other": {"deep": {"er": [1, 2]}},
}  # fmt: skip


def screen(tmp_path, **card):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(**card))
    return describe_model(Model(path, provider="cpu"))


@pytest.mark.parametrize("name", ["pocket", "wide"])
def test_a_bundled_model_fits_on_one_screen(streamclf, name):
    lines = streamclf("info", name).out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert not re.search(r"[{}]|'\w+':", text)  # no Python
    assert ("NOT FOR COMMERCIAL USE" in text) == (name == "pocket")
    for word in ("times as fast as needed", "Licence: ", "Accuracy: it names ", "False alarms: "):
        assert word in " ".join(text.split())
    card = Model(name, provider="cpu").card
    labels = card.labels if name == "pocket" else ["Dog", "Siren", "Rain", "Alarm", "Speech"]
    for label in labels:
        shown = re.escape(card.display_name(label))
        assert re.search(rf"  {shown}(  |$)", text, re.MULTILINE)
    assert ("and 472 more" in text) == (name == "wide")
    assert ("several at once; 428 are told as events." in text) == (name == "wide")


def test_three_sentences_say_how_accurate_it_is(tmp_path):
    text = " ".join(" ".join(screen(tmp_path, accuracy=FIGURES)).split())
    assert (
        "Accuracy: it names 89% (95% interval: 86% to 92%) of 480 clips that it was not trained "
        "on. 20 dB quieter it names 89%, 40 dB quieter 86%. Where sounds follow one another "
        "over noise it finds 60% of them, and 78% of its events are right."
    ) in text
    assert "False alarms: 45 an hour where many sounds follow" in text


def test_false_alarms_of_every_kind_of_audio_are_told(tmp_path):
    per_hour = {"speech": {"default": 1.25, "0.95": 0}, "busy scenes": {"default": 45, "0.95": 9.5}}
    accuracy = {**FIGURES, "false_alarms": {"per_hour": per_hour, "protocol": "any"}}
    text = " ".join(" ".join(screen(tmp_path, accuracy=accuracy)).split())
    assert (
        "False alarms: an hour (with --target-precision 0.95): speech 1.2 (0), busy scenes 45 "
        "(9.5)."
    ) in text
    for odd in ({"false_alarms": 3}, {"false_alarms": {"per_hour": {"speech": 1}}}):
        text = " ".join(" ".join(screen(tmp_path, accuracy=odd)).split())
        assert "False alarms: not measured." in text


def test_what_nobody_wrote_down_is_said_so(tmp_path):
    text = " ".join(" ".join(screen(tmp_path, licence="")).split())
    assert "Accuracy: nobody has written down how often it is right." in text
    assert "False alarms: not measured." in text
    assert "Licence: NOT SAID: ask who made it before you pass it on." in text


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("MIT", "Licence: MIT."),
        ("CC BY-NC-ND 4.0", "Licence: NOT FOR COMMERCIAL USE, NOT TO BE CHANGED. CC BY-NC-ND 4.0."),
        ("for non-commercial use", "Licence: NOT FOR COMMERCIAL USE. for non-commercial use."),
        ("research use only", "Licence: FOR RESEARCH ALONE. research use only."),
    ],
)
def test_what_a_licence_forbids_stands_in_capitals(tmp_path, licence, said):
    assert said in screen(tmp_path, licence=licence)


def test_a_thousand_labels_leave_room_for_the_rest(tmp_path):
    labels = [f"class number {n}" for n in range(1000)]
    card = toys.toy_card(labels=labels)
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text(format_card(card))
    lines = describe_model(Model(path, provider="cpu"))
    assert "IT CANNOT BE RUN: " in " ".join(lines)  # the toy has four
    assert len(lines) < 30
    (rest,) = [re.search(r"and (\d+) more", line) for line in lines if " more" in line]
    assert int(rest[1]) == 1000 - 14 * 4 + 1


@pytest.mark.parametrize("length", [1, 2, 4, 200])
def test_labels_of_any_length_are_listed(tmp_path, length):
    """Spoken digits are called "0" to "9"."""
    labels = [digit * length for digit in "0123456789"]
    lines = screen(tmp_path, labels=labels[: len(toys.toy_card().labels)])
    assert max(map(len, lines)) <= 80
    for label in labels[: len(toys.toy_card().labels)]:
        assert any(label[:60] in line for line in lines)


def test_a_regression_gives_values(tmp_path):
    path = toys.write_loudness_meter(tmp_path / "meter.onnx")
    text = " ".join(describe_model(Model(path, provider="cpu")))
    assert "gives power as a number" in text
    assert "False alarms" not in text
    assert "how far it is off" in text


def test_all_and_json_tell_everything_without_dictionaries(streamclf, tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(accuracy=FIGURES))
    text = streamclf("info", path, "--all").out
    assert re.search(r"accuracy: levels, averaged_windows, -40 +0.8562\n", text)
    assert re.search(r"accuracy: other, deep, er +1, 2\n", text)
    assert "{" not in text
    assert json.loads(streamclf("info", path, "--json").out)["accuracy"] == FIGURES
    assert len(list_card(Model(path, provider="cpu"))) > 20


def test_the_speed_is_measured_in_a_moment(tone_model):
    taken_s = measure_window(Model(tone_model, provider="cpu"), 0.5)
    assert np.isfinite(taken_s)
    assert taken_s > 0


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_who_has_no_microphone_is_told_what_to_do(system):
    lines = "\n".join(advise(system)).splitlines()
    assert lines[0] == "no microphone: the system shows 0 devices that can record"
    assert len(lines) >= 5
    assert max(map(len, lines)) <= 90
    assert any("streamclf file day.wav" in line for line in lines)


def test_devices_ends_with_1_where_there_is_none(streamclf, monkeypatch):
    from streamclf.sources.microphone.portaudio import PortAudioBackend

    monkeypatch.setattr(PortAudioBackend, "list_devices", lambda self: [])
    result = streamclf("devices")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("no microphone: ")
    assert streamclf("devices", "--json").lines == [[]]
