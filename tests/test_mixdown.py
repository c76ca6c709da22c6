import numpy as np
import pytest

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.pipeline.mixdown import mix_down


def block(*channels: list[float], position: int = 0) -> Block:
    return Block(position, np.array(channels, dtype=np.float32), 10)


def test_mix_down_averages_channels():
    (mono,) = mix_down([block([1, 0, 0.5], [0, 0, -0.5])])
    assert mono.waveform.tolist() == [[0.5, 0, 0]]
    assert (mono.position, mono.sample_rate) == (0, 10)


@pytest.mark.parametrize(("channel", "expected"), [(1, [1, 0]), (2, [0, -1])])
def test_mix_down_takes_one_channel(channel, expected):
    (mono,) = mix_down([block([1, 0], [0, -1])], channel)
    assert mono.waveform.tolist() == [expected]


def test_mix_down_refuses_a_channel_that_is_not_there():
    with pytest.raises(SourceError, match="channel 3 was asked for, the audio has 2"):
        list(mix_down([block([1], [0])], 3))


def test_mix_down_replaces_and_counts_samples_that_are_no_numbers():
    bad = block([0.5, float("nan"), float("inf"), -1e20], position=20)
    first, mono, clean, last = mix_down([bad, block([0.25], position=24)])
    assert isinstance(first, Notice)
    assert "samples that are no audio (NaN, Inf or above 2^32) from 2.00 s on" in first.message
    assert mono.waveform.tolist() == [[0.5, 0, 0, 0]]
    assert clean.waveform.tolist() == [[0.25]]
    assert last.message == "samples that are no audio (NaN, Inf or above 2^32): 3 replaced by zeros"


def test_mix_down_counts_bad_samples_of_the_mixed_channels():
    bad = block([float("nan"), 1], [1, 1])
    mono = next(item for item in mix_down([bad]) if isinstance(item, Block))
    assert mono.waveform.tolist() == [[0, 1]]


def test_mix_down_says_once_that_samples_were_never_scaled():
    items = list(mix_down([block([20_000.0]), block([30_000.0], position=1)]))
    notices = [item for item in items if isinstance(item, Notice)]
    assert [n.message.startswith("samples reach 20000 times full scale") for n in notices] == [True]


def test_mix_down_passes_gaps():
    gap = Gap(0, 5, 10, "test")
    assert list(mix_down([gap])) == [gap]


def stereo(left, right, rate: int = 8000, size: int = 4000) -> list[Block]:
    both = np.stack([left, right]).astype(np.float32)
    return [Block(at, both[:, at : at + size], rate) for at in range(0, both.shape[1], size)]


def notices(items) -> list[str]:
    return [item.message for item in mix_down(items) if isinstance(item, Notice)]


NOISE = np.random.default_rng(0).normal(0, 0.1, (3, 8000 * 30))
OPPOSITE = "in opposite phase from {:.2f} s on"


@pytest.mark.parametrize("gain", [1.0, 0.8])
@pytest.mark.parametrize("size", [333, 4000, 70_000])
def test_channels_in_opposite_phase_are_told_once(gain, size):
    (message,) = notices(stereo(NOISE[0], -gain * NOISE[0], size=size))
    assert OPPOSITE.format(0) in message
    assert "--channel 1" in message
    chosen = mix_down(stereo(NOISE[0], -gain * NOISE[0]), channel=1)
    assert not [item for item in chosen if isinstance(item, Notice)]


def test_channels_that_turn_later_are_told_where():
    first = stereo(NOISE[0], NOISE[0])
    long = stereo(np.tile(NOISE[1], 5), np.tile(-NOISE[1], 5))
    shifted = [Block(each.position + first[-1].end, each.waveform, 8000) for each in long]
    (message,) = notices([*first, *shifted])
    begin = float(message.split("phase from ")[1].split(" s")[0])
    assert 20 < begin <= 110  # one block of eight is looked at by then, ten seconds of them


@pytest.mark.parametrize(
    "right",
    [
        NOISE[0], NOISE[1], 0 * NOISE[0],
        0.3 * NOISE[0] + NOISE[1], -0.5 * NOISE[0] + 0.8 * NOISE[1],
        np.roll(NOISE[0], 8),  # a sound from the side, in spaced microphones
    ],
)  # fmt: skip
def test_ordinary_stereo_is_not_warned_of(right):
    assert notices(stereo(NOISE[0], right)) == []


def test_a_block_in_opposite_phase_is_no_stretch():
    right = NOISE[1].copy()
    right[8000:12_000] = -NOISE[0][8000:12_000]
    assert notices(stereo(NOISE[0], right)) == []


@pytest.mark.parametrize(("seconds", "told"), [(0.5, 0), (2, 1)])
def test_a_short_recording_is_judged_by_all_of_it(seconds, told):
    n_samples = int(seconds * 8000)
    assert len(notices(stereo(NOISE[0][:n_samples], -NOISE[0][:n_samples]))) == told


def test_silence_in_two_channels_is_silence():
    assert notices(stereo(0 * NOISE[0], 0 * NOISE[0])) == []


def test_four_channels_that_cancel_each_other_are_told():
    four = np.stack([NOISE[0], -NOISE[0], NOISE[1], -NOISE[1]]).astype(np.float32)
    (message,) = notices([Block(0, four, 8000)])
    assert message.startswith("the 4 channels are in opposite phase")
    assert notices([Block(0, np.concatenate([NOISE, NOISE[:1]]).astype("f"), 8000)]) == []


@pytest.mark.parametrize("shape", [(5,), (2000, 2), (2, 2, 2)])
def test_a_block_that_is_turned_is_one_line(shape):
    with pytest.raises(SourceError, match=r"must be \(channels, samples\)"):
        list(mix_down([Block(0, np.zeros(shape, np.float32), 10)]))


def test_a_block_of_other_numbers_becomes_float32():
    (mono,) = mix_down([Block(0, np.array([[0.5, 0.25]]), np.int64(10))])
    assert mono.waveform.dtype == np.float32
    assert type(mono.sample_rate) is int


@pytest.mark.parametrize("value", [1e25, -3e38, np.inf, np.nan])
def test_channels_full_of_rubbish_are_passed_over_without_a_warning(value):
    """Their squares have no sum; warnings are errors here."""
    waveform = np.full((2, 100_000), value, np.float32)
    items = list(mix_down([Block(0, waveform, 1000)]))
    assert not any("cancel" in item.message for item in items if isinstance(item, Notice))
