"""The microphone over a pretended audio system, in pretended time: every fault, to the sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.clock import StopSignal
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.microphone import Microphone
from streamclf.sources.simulated.fake_backend import FAKE_DEVICE, FakeBackend

RATE = 16_000
OTHER = InputDevice(1, "other microphone", "Fake", 4, 48_000.0)


def record(
    audio: FakeBackend, until: float, microphone: Microphone | None = None
) -> list[Block | Gap | Notice]:
    """Listen until ``until`` seconds of pretended time."""
    microphone = microphone or audio.microphone()
    audio.clock.at(until, microphone.stop)
    return list(microphone.blocks(RATE))


def blocks(records: list[Block | Gap | Notice]) -> list[Block]:
    return [r for r in records if isinstance(r, Block)]


def gaps(records: list[Block | Gap | Notice]) -> list[Gap]:
    return [r for r in records if isinstance(r, Gap)]


def messages(records: list[Block | Gap | Notice]) -> list[str]:
    return [r.message for r in records if isinstance(r, Notice)]


def end_of(records: list[Block | Gap | Notice]) -> int:
    """Check that the records are gapless at one rate; the position behind the last."""
    position = 0
    for r in records:
        if not isinstance(r, Notice):
            assert r.position == position
            position = r.end
    return position


def assert_heard(audio: FakeBackend, records: list[Block | Gap | Notice]) -> None:
    """Every block holds the sound of the moment that its position says (a sample's slack)."""
    for block in blocks(records):
        times = (block.position + np.arange(block.n_samples)) / RATE
        off = np.abs(block.waveform[0] - audio.sound(times)).max()
        assert off < 0.1 * 2 * np.pi * 440 / RATE * 1.01


def test_microphone_yields_gapless_blocks_at_the_wanted_rate() -> None:
    audio = FakeBackend()
    records = record(audio, 2.05)
    assert [type(r) for r in records] == [Block] * 20
    assert {r.sample_rate for r in records} == {RATE}
    assert blocks(records)[0].waveform.shape == (1, 1_600)
    assert blocks(records)[0].waveform.dtype == np.float32
    assert end_of(records) == 2 * RATE
    assert_heard(audio, records)
    assert audio.streams[0].closed


def test_microphone_is_live_and_takes_the_name_of_its_device() -> None:
    audio = FakeBackend([FAKE_DEVICE, OTHER])
    microphone = audio.microphone("OTHER")
    assert microphone.live
    assert microphone.name == "OTHER"
    record(audio, 1, microphone)
    assert microphone.name == "other microphone"


@pytest.mark.parametrize(("asked", "got"), [(None, 2), (1, 1), (4, 4)])
def test_microphone_channels(asked: int | None, got: int) -> None:
    audio = FakeBackend([OTHER])
    records = record(audio, 0.5, audio.microphone(channels=asked))
    assert blocks(records)[0].waveform.shape == (got, 1_600)


def test_microphone_refuses_channels_it_does_not_have() -> None:
    audio = FakeBackend([OTHER])
    with pytest.raises(DeviceError, match="5 channels wanted, microphone other microphone has 4"):
        record(audio, 1, audio.microphone(channels=5))
    with pytest.raises(DeviceError, match="channels is 0"):
        audio.microphone(channels=0)


def test_microphone_takes_the_devices_rate_where_it_refuses_the_wanted_one() -> None:
    audio = FakeBackend([OTHER], refused_rates=[RATE])
    records = record(audio, 1.05)
    notice = records[0]
    assert isinstance(notice, Notice)
    assert notice.level == "info"
    assert "refuses 16000 Hz (Invalid sample rate), recording at 48000 Hz" in notice.message
    assert {block.sample_rate for block in blocks(records)} == {48_000}
    assert end_of(records) == 48_000


def test_microphone_that_cannot_be_opened_says_why() -> None:
    for refused in ([RATE], [RATE, 48_000]):
        device = FAKE_DEVICE if len(refused) == 1 else OTHER
        audio = FakeBackend([device], refused_rates=refused)
        with pytest.raises(DeviceError, match=f"{device.name} cannot be opened: Invalid sample"):
            record(audio, 1)


def test_microphone_without_any_device_says_so() -> None:
    with pytest.raises(DeviceError, match="no input device"):
        record(FakeBackend([]), 1)


def test_microphone_whose_sound_server_hangs_at_first_says_so() -> None:
    audio = FakeBackend()
    audio.hangs = True
    with pytest.raises(DeviceError, match="did not open within 10 s"):
        record(audio, 1)


def test_microphone_overflow_becomes_a_gap_as_long_as_the_adc_clock_says() -> None:
    audio = FakeBackend()
    audio.clock.at(1.05, lambda: audio.overflow(1_234))
    records = record(audio, 3)
    (gap,) = gaps(records)
    assert (gap.position, gap.n_samples, gap.cause) == (RATE, 1_234, "overflow")
    end_of(records)
    assert_heard(audio, records)


def test_microphone_reader_that_is_slow_gets_a_gap_of_what_the_ring_dropped() -> None:
    audio = FakeBackend()
    microphone = audio.microphone()
    audio.clock.at(40.05, microphone.stop)
    records = []
    for r in microphone.blocks(RATE):
        records.append(r)
        if r.position == RATE:
            audio.clock.at(audio.clock.now() + 15, lambda: None)
            StopSignal(audio.clock).sleep(15)
    (gap,) = gaps(records)
    # 15 s without reading: 10 s fit into the ring.
    assert (gap.position, gap.n_samples, gap.cause) == (11 * RATE + 1_600, 5 * RATE, "overload")
    assert end_of(records) == 40 * RATE
    assert_heard(audio, records)


def test_microphone_closes_the_device_when_the_consumer_leaves() -> None:
    audio = FakeBackend()
    with audio.microphone() as microphone:
        stream = microphone.blocks(RATE)
        next(stream)
        stream.close()
    assert audio.streams[0].closed
    assert not audio.abandoned


def test_microphone_closes_what_opened_after_its_deadline() -> None:
    audio = FakeBackend()
    audio.clock.at(1.0, audio.unplug)
    audio.clock.at(1.2, audio.plug)
    microphone = audio.microphone()
    call = microphone._calls.call
    late = iter([False, False, True])

    def call_late(function: Callable[[], object], timeout_s: float) -> object:
        result = call(function, timeout_s)
        if next(late, False):
            raise TimeoutError
        return result

    microphone._calls.call = call_late  # type: ignore[method-assign]
    record(audio, 10.0, microphone)
    assert len(audio.streams) == 3
    assert all(stream.closed for stream in audio.streams)


def test_microphone_states_follow_the_age_of_the_newest_block() -> None:
    audio = FakeBackend()
    microphone = audio.microphone()
    seen: list[tuple[float, str]] = []

    def look() -> None:
        state = microphone.state
        if not seen or seen[-1][1] != state:
            seen.append((audio.clock.now(), state))
        audio.clock.at(audio.clock.now() + 0.1, look)

    audio.clock.at(0.05, look)
    audio.clock.at(3.0, lambda: setattr(audio.streams[-1], "silent", True))
    audio.clock.at(3.0, audio.unplug_quietly)
    # While it is tried again, the sound server takes its time.
    list_devices = audio.list_devices

    def list_slowly() -> list[InputDevice]:
        if audio.n_resets:
            look()
        return list_devices()

    audio.list_devices = list_slowly  # type: ignore[method-assign]
    audio.clock.at(9.0, audio.plug)
    record(audio, 20.0, microphone)
    assert [state for _, state in seen] == [
        "listening", "stalled", "lost", "reconnecting", "listening"
    ]  # fmt: skip
    assert [time for time, _ in seen[:3]] == pytest.approx([0.05, 4.0, 5.0], abs=0.1)


def test_microphone_that_loses_audio_without_a_word_is_found_out() -> None:
    """Less than what counts as lost; as the ADC clock says, to the sample."""
    audio = FakeBackend()

    def lose() -> None:
        audio.overflow(24_000)
        audio.streams[-1]._overflowed = False

    audio.clock.at(5.05, lose)
    records = record(audio, 20.0)
    (gap,) = gaps(records)
    assert (gap.position, gap.n_samples, gap.cause) == (5 * RATE, 24_000, "stalled")
    assert_heard(audio, records)
    assert not messages(records)


def test_microphone_stopped_before_it_opened_opens_nothing() -> None:
    audio = FakeBackend()
    microphone = Microphone(backend=audio)  # in real time, with its thread
    microphone.stop()
    assert list(microphone.blocks(RATE)) == []
    assert audio.streams == []
