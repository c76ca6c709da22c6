import numpy as np
import pytest

from streamclf.errors import SourceError
from streamclf.mixdown import mix_down
from streamclf.records import Block, Gap, Notice


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
