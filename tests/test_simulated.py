"""A recording played as a microphone, against a clock that jumps ahead where one waits."""

import queue
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S
from test_lying_headers import FADING, NOISE, flac, frames_of, mp3

from streamclf.core.errors import RecordingError, UsageError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.simulated.faults import parse_name
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

RATE = toys.RATE


class JumpingClock:
    """Waits by moving its hand; what comes first is taken."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.n_waits = 0

    def now(self) -> float:
        return self.time

    def wait(self, items: queue.SimpleQueue, timeout_s: float) -> object:
        self.n_waits += 1
        try:
            return items.get_nowait()
        except queue.Empty:
            self.time += timeout_s
            raise


@pytest.fixture
def sound(write_wav):
    return write_wav(np.arange(1000, dtype=np.int16), "ramp.wav")


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_simulated_blocks_come_once_they_have_sounded(sound, speed):
    clock = JumpingClock()
    microphone = SimulatedMicrophone(sound, speed=speed, clock=clock)
    ends = []
    with microphone:
        for block in microphone.blocks(RATE):
            ends.append(block.end)
            assert clock.time == pytest.approx(1000 + block.end / RATE / speed)
    assert ends == [400, 800, 1000]  # 50 ms a block


@pytest.mark.parametrize("speed", [1.0, 0.0])
@pytest.mark.parametrize("lacking_s", [1, 5])
def test_simulated_audio_behind_a_hole_sounds_where_the_recording_has_it(
    tmp_path, speed, lacking_s
):
    """Also where the hole is so long that the microphone counts as lost."""
    path = tmp_path / "x.mka"
    ramp = np.arange(10 * RATE, dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for first in range(0, len(ramp), RATE // 2):
            if 3 <= first / RATE < 3 + lacking_s:
                continue
            piece = np.ascontiguousarray(ramp[np.newaxis, first : first + RATE // 2])
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            container.mux(stream.encode(frame))
    items = []
    with (
        SimulatedMicrophone(path, speed=speed, clock=JumpingClock()) as microphone,
        pytest.raises(
            RecordingError, match=rf"lacks audio before its end: {lacking_s}\.00 s at 3\.00 s"
        ),
    ):
        items.extend(microphone.blocks(RATE))
    blocks = [item for item in items if isinstance(item, Block)]
    (gap,) = [item for item in items if isinstance(item, Gap)]
    assert (gap.position, gap.n_samples) == (3 * RATE, lacking_s * RATE)
    for block in blocks:
        expected = ramp[block.position : block.end] / 32768
        np.testing.assert_allclose(block.waveform[0], expected, rtol=0, atol=1e-6)


def test_simulated_catches_up_after_a_slow_consumer(sound):
    clock = JumpingClock()
    with SimulatedMicrophone(sound, clock=clock) as microphone:
        blocks = microphone.blocks(RATE)
        next(blocks)
        clock.time += 10
        n_waits = clock.n_waits
        assert [b.end for b in blocks] == [800, 1000]
    assert clock.n_waits == n_waits


def test_simulated_recording_begins_when_the_device_is_opened(sound):
    class Creeping(JumpingClock):
        """Whatever is done takes time, 1 ms at each look at the clock."""

        def now(self) -> float:
            self.time += 0.001
            return self.time

    with SimulatedMicrophone(sound, speed=20, clock=Creeping()) as microphone:
        items = list(microphone.blocks(RATE))
    assert all(isinstance(item, Block) for item in items)
    samples = np.concatenate([block.waveform[0] for block in items])
    assert (samples * 32_768).tolist() == list(range(1000))


def test_simulated_at_speed_0_never_waits(sound):
    clock = JumpingClock()
    with SimulatedMicrophone(sound, speed=0, clock=clock) as microphone:
        samples = np.concatenate([b.waveform[0] for b in microphone.blocks(RATE)])
    assert (samples * 32_768).tolist() == list(range(1000))
    assert clock.n_waits == 0


def test_simulated_loops_without_a_seam(sound):
    with SimulatedMicrophone(sound, speed=0, loop=True) as microphone:
        assert microphone.duration_s is None
        position, heard = 0, []
        for block in microphone.blocks(RATE):
            assert block.position == position
            position = block.end
            heard.append(block.waveform[0])
            if position >= 3500:
                microphone.stop()
    assert (np.concatenate(heard)[:3000] * 32_768).tolist() == list(range(1000)) * 3


def test_simulated_loop_keeps_its_pace(sound):
    clock = JumpingClock()
    with SimulatedMicrophone(sound, loop=True, clock=clock) as microphone:
        for block in microphone.blocks(RATE):
            assert clock.time == pytest.approx(1000 + block.end / RATE)
            if block.end >= 3000:
                break


def test_simulated_passes_on_what_is_missing(sound):
    sound.write_bytes(sound.read_bytes()[:-1000])
    items = []
    with (
        SimulatedMicrophone(sound, speed=0) as microphone,
        pytest.raises(RecordingError, match="is cut short"),
    ):
        items.extend(microphone.blocks(RATE))
    assert [(type(i), i.end) for i in items] == [
        (Block, 400),
        (Block, 500),
        (Gap, 1000),
    ]


def test_simulated_stops_while_it_waits(sound):
    """At this speed the first block sounds after 14 hours."""
    microphone = SimulatedMicrophone(sound, speed=1e-6)
    got: list = []
    thread = threading.Thread(target=lambda: got.extend(microphone.blocks(RATE)), daemon=True)
    thread.start()
    microphone.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert got == []
    microphone.close()


def test_simulated_names_and_measures_itself(sound):
    microphone = SimulatedMicrophone(sound)
    assert microphone.live
    assert microphone.name == f"sim:{sound}"
    assert microphone.duration_s == 0.125
    microphone.close()


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_simulated_refuses_a_speed_that_makes_no_sense(sound, speed):
    with pytest.raises(UsageError, match=rf"--speed {speed}: must be 0 .* or above"):
        SimulatedMicrophone(sound, speed=speed)


def test_simulated_needs_its_file(tmp_path):
    with pytest.raises(RecordingError, match=r"none\.wav: cannot be opened: no such file"):
        SimulatedMicrophone(tmp_path / "none.wav")


@pytest.mark.parametrize("query", ["", "?unplug=8,30", "?unplug=28,30"])
def test_simulated_plays_to_the_end_whatever_the_header_says(tmp_path, query):
    """An MP3 whose length is reckoned far too short: the end is where the player meets it."""
    mp3(tmp_path / "x.mp3", FADING, counted=False)
    with open_microphone(f"{tmp_path}/x.mp3{query}") as microphone:
        items = list(microphone.blocks(RATE))
    length_s = sum(i.n_samples / i.sample_rate for i in items if not isinstance(i, Notice))
    assert length_s == pytest.approx(30, abs=0.1)


def test_simulated_plays_a_flac_whose_first_frame_is_not_the_first(tmp_path):
    data = bytearray(flac(tmp_path / "a.flac", NOISE))
    frames = frames_of(bytes(data))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data[: frames[0]] + data[frames[20] :])
    with SimulatedMicrophone(tmp_path / "x.flac", speed=0) as microphone:
        items = list(microphone.blocks(RATE))
    assert {type(item) for item in items} == {Block}
    assert sum(item.n_samples for item in items) == len(NOISE) - 20 * 4096


def open_microphone(name: str) -> SimulatedMicrophone:
    path, faults = parse_name(name)
    return SimulatedMicrophone(path, speed=0, faults=faults)
