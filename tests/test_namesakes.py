"""Microphones of one name: the one that was lost is waited for, its twin is not taken for it."""

from __future__ import annotations

import pytest
from test_microphone import RATE, end_of, gaps, messages, record

from streamclf.core.records import Notice
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.simulated.fake_backend import FakeBackend

PULSE = InputDevice(5, "pulse", "ALSA", 32, 44_100.0)


def usb(card: int, index: int = 0, rate: float = 16_000.0) -> InputDevice:
    """As ALSA names it."""
    return InputDevice(index, f"USB PnP Sound Device: Audio (hw:{card},0)", "ALSA", 1, rate)


def same(index: int) -> InputDevice:
    """As systems name it that number nothing."""
    return InputDevice(index, "Microphone (USB Audio)", "Windows WASAPI", 1, 16_000.0)


def test_a_device_is_found_by_name_not_by_index() -> None:
    moved = InputDevice(0, PULSE.name, "ALSA", 32, 44_100.0)
    impostor = InputDevice(5, "other", "ALSA", 1, 44_100.0)
    assert DeviceIdentity(PULSE).find([impostor, moved]) == moved
    assert DeviceIdentity(PULSE).find([impostor]) is None


def test_an_alsa_card_is_found_whose_number_changed() -> None:
    assert DeviceIdentity(usb(1)).find([PULSE, usb(4, 1)]) == usb(4, 1)


def test_a_device_is_looked_for_at_its_host_api() -> None:
    elsewhere = InputDevice(1, PULSE.name, "OSS", 1, 44_100.0)
    assert DeviceIdentity(PULSE).find([elsewhere]) is None


@pytest.mark.parametrize(
    ("there", "lost", "now", "found", "doubt"),
    [
        ([usb(1), usb(2, 1)], 0, [usb(2)], None, False),
        ([usb(1), usb(2, 1)], 0, [usb(2), usb(1, 1)], 1, False),
        ([usb(1), usb(2, 1)], 0, [usb(2), usb(3, 1)], 1, True),
        ([usb(1), usb(2, 1), usb(3, 2)], 1, [usb(1), usb(3, 1)], None, False),
        ([same(3), same(4)], 0, [same(3)], None, False),
        ([same(3), same(4)], 1, [same(3), same(4)], 1, True),
        ([same(3), same(4)], 0, [same(3), same(4)], 0, True),
    ],
)
def test_twins_that_were_there_are_left_out(there, lost, now, found, doubt) -> None:
    device = DeviceIdentity.among(there, there[lost])
    assert device.find(now) == (None if found is None else now[found])
    if found is not None:
        assert device.may_be_another(now[found]) is doubt


def test_a_twin_that_has_gone_is_not_left_out_for_ever() -> None:
    device = DeviceIdentity.among([same(3), same(4)], same(3))
    assert device.updated(ProbeResult(present=False, names=None)) == device
    alone = device.updated(ProbeResult(present=False, names=()))
    assert alone.find([same(3)]) == same(3)
    assert alone.may_be_another(same(3))


@pytest.mark.parametrize("make", [usb, same])
def test_the_twin_of_a_lost_microphone_is_not_recorded_in_its_name(make) -> None:
    mine, twin = make(1, 0) if make is usb else make(0), make(2, 1) if make is usb else make(1)
    audio = FakeBackend([mine, twin])
    audio.clock.at(3.05, lambda: audio.unplug(mine))
    audio.clock.at(100.0, lambda: audio.devices.insert(0, mine))
    records = record(audio, 140.0, audio.microphone(0))
    assert [stream.device for stream in audio.streams] == [mine, mine]
    (gap,) = gaps(records)
    assert gap.position == 3 * RATE
    assert gap.end / RATE >= 100
    assert abs(end_of(records) - 140 * RATE) <= 1_601
    back = messages(records)[1]
    assert "back after" in back
    assert ("cannot be told apart" in back) is (make is same)


def test_twins_that_were_both_away_are_said_to_look_alike() -> None:
    audio = FakeBackend([usb(1), usb(2, 1)])
    audio.clock.at(3.05, audio.unplug)
    audio.clock.at(20.0, audio.plug)
    records = record(audio, 40.0, audio.microphone(0))
    assert audio.streams[-1].device == usb(1)
    back = [r for r in records if isinstance(r, Notice)][1]
    assert back.level == "warning"
    assert "another of the same make was there, and they cannot be told apart" in back.message
