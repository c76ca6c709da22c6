"""A microphone that vanishes, hangs or falls silent, and comes back."""

from __future__ import annotations

import numpy as np
import pytest
from test_microphone import OTHER, RATE, assert_heard, blocks, end_of, gaps, messages, record

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.simulated.fake_backend import FAKE_DEVICE, FakeBackend


@pytest.mark.parametrize("fault", ["unplug", "unplug_quietly", "freeze"])
def test_microphone_that_vanishes_is_found_again(fault: str) -> None:
    audio = FakeBackend([OTHER, FAKE_DEVICE])
    audio.clock.at(3.05, getattr(audio, fault))
    moved = InputDevice(7, FAKE_DEVICE.name, "Fake", 1, 16_000.0)
    # Its old index is another's now.
    other = InputDevice(FAKE_DEVICE.index, OTHER.name, OTHER.host_api, 4, 48_000.0)
    audio.clock.at(20.0, lambda: audio.plug(other, moved))
    records = record(audio, 40.0, audio.microphone("fake"))

    (gap,) = gaps(records)
    assert (gap.position, gap.cause) == (3 * RATE, "device lost")
    assert abs(end_of(records) - 40 * RATE) <= 1_600 + 1
    assert_heard(audio, records)
    lost, back = messages(records)
    reason = "the audio system ended its stream" if fault == "unplug" else "no audio for 2 s"
    assert lost == f"microphone fake microphone lost: {reason}, trying again"
    assert back.startswith("microphone fake microphone back after ")
    # The notice of the loss comes at once, the gap when its length is known.
    kinds = [type(r) for r in records]
    assert kinds.index(Notice) < kinds.index(Gap)
    assert len(audio.streams) == 2
    assert {block.waveform.shape[0] for block in blocks(records)} == {1}  # the other has four


def test_microphone_that_comes_after_the_process_has_begun_is_found() -> None:
    audio = FakeBackend([])
    with pytest.raises(DeviceError, match="no input device"):
        record(audio, 1.0)
    assert audio.n_resets == 0  # each costs memory
    audio.plug(OTHER, FAKE_DEVICE)
    # Whoever tries again opens another microphone, over the same audio system.
    assert_heard(audio, heard := record(audio, 3.0, audio.microphone("fake")))
    assert blocks(heard)
    assert audio.n_resets == 1


def test_microphone_that_has_another_index_by_the_time_it_is_opened_is_found() -> None:
    audio = FakeBackend([FAKE_DEVICE])
    audio.unplug()
    audio.plug(InputDevice(7, FAKE_DEVICE.name, "Fake", 1, 16_000.0))
    assert blocks(record(audio, 2.0))
    assert len(audio.refreshed) == audio.n_resets == 1


def test_microphone_backs_off_up_to_30_s() -> None:
    audio = FakeBackend()
    audio.clock.at(1.0, audio.unplug)
    record(audio, 200.0)
    waits = np.diff([1.0, *audio.probes])
    np.testing.assert_allclose(waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30])


def test_microphone_that_opens_but_delivers_nothing_is_tried_again() -> None:
    audio = FakeBackend()

    def mute() -> None:
        audio.streams[-1].silent = True

    audio.clock.at(0.01, mute)
    records = record(audio, 20.0)
    assert "no audio for 5 s" in messages(records)[0]
    (gap,) = gaps(records)
    assert gap.position == 0
    assert abs(gap.n_samples - 5.5 * RATE) <= 1
    assert_heard(audio, records)


def test_microphone_idle_server_has_time_for_its_first_block() -> None:
    audio = FakeBackend()
    audio.clock.at(0.01, lambda: audio.streams[-1].overflow(3 * RATE))
    records = record(audio, 10.0)
    assert not messages(records)
    assert not gaps(records)  # the stream begins with its first sample


def test_microphone_frozen_process_is_no_lost_device() -> None:
    audio = FakeBackend()

    def oversleep() -> None:
        audio.clock._now += 4.0  # the process slept, and time went on

    audio.clock.at(2.05, oversleep)
    records = record(audio, 10.0)
    assert not messages(records)
    assert end_of(records) >= 9.8 * RATE


def test_microphone_may_come_back_at_another_rate() -> None:
    audio = FakeBackend([InputDevice(0, "fake microphone", "Fake", 1, 44_100.0, True)])
    audio.clock.at(3.05, audio.unplug)
    audio.clock.at(4.0, lambda: audio.refused_rates.add(RATE))
    audio.clock.at(4.0, audio.plug)
    records = record(audio, 10.0)
    (gap,) = gaps(records)
    first = next(block for block in blocks(records) if block.sample_rate == 44_100)
    assert gap.sample_rate == RATE
    assert first.position == round(gap.end * 44_100 / RATE)
    assert "at 44100 Hz instead of 16000 Hz" in messages(records)[1]
    assert "refuses 16000 Hz" in messages(records)[2]
    assert {block.sample_rate for block in blocks(records) if block.position >= first.position} == {
        44_100
    }


def test_microphone_without_reconnect_fails_when_it_is_lost() -> None:
    audio = FakeBackend()
    audio.clock.at(3.05, audio.unplug)
    records: list[Block | Gap | Notice] = []
    with pytest.raises(DeviceError, match="fake microphone lost: the audio system ended"):
        records.extend(audio.microphone(reconnect=False).blocks(RATE))
    assert end_of(records) == 3 * RATE  # what came before it stands
    assert audio.streams[0].closed


def test_microphone_stop_while_lost_leaves_no_time_unaccounted() -> None:
    audio = FakeBackend()
    audio.clock.at(3.0, audio.unplug)
    records = record(audio, 17.0)
    assert isinstance(records[-1], Gap)
    assert end_of(records) == 17 * RATE
    assert audio.clock.now() == 17.0  # in the middle of a back-off sleep


def test_microphone_stop_while_a_returned_device_is_silent() -> None:
    audio = FakeBackend()
    audio.clock.at(1.0, audio.unplug)
    audio.clock.at(1.2, audio.plug)
    audio.clock.at(1.55, lambda: setattr(audio.streams[-1], "silent", True))
    records = record(audio, 3.0)
    assert end_of(records) == 3 * RATE
    assert audio.clock.now() == 3.0


def test_microphone_leaves_a_hanging_device_behind() -> None:
    audio = FakeBackend()
    audio.clock.at(3.05, audio.freeze)
    record(audio, 10.0)
    assert audio.abandoned


def test_microphone_hours_of_retrying_keep_one_ring() -> None:
    audio = FakeBackend()
    audio.clock.at(1.0, audio.unplug)
    audio.clock.at(36_000.0, audio.plug)
    records = record(audio, 36_100.0)
    assert abs(end_of(records) - 36_100 * RATE) <= 1_601
    assert len(audio.streams) == 2
    # Each reset leaks in PortAudio: only a device that was seen is worth one.
    assert audio.n_resets == 1
    assert len(audio.probes) > 1_000
