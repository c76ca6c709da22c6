import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.pipeline.mixdown import mix_down
from streamclf.sources.array import ArraySource, to_float


def items(source: ArraySource) -> list[tuple]:
    return [(type(i).__name__, i.position, i.end) for i in source.blocks(1)]


def test_array_comes_in_blocks_of_the_sizes_asked_for():
    source = ArraySource(np.zeros(10), 8000, block_samples=[1, 2, 3])
    blocks = [(0, 1), (1, 3), (3, 6), (6, 9), (9, 10)]
    assert items(source) == [("Block", *block) for block in blocks]
    assert source.duration_s == 10 / 8000


def test_array_leaves_gaps_out_and_reports_them():
    waveform = np.arange(10) / 16
    source = ArraySource(waveform, 8000, gaps=[(6, 1), (2, 3)])
    assert items(source) == [
        ("Block", 0, 2),
        ("Gap", 2, 5),
        ("Block", 5, 6),
        ("Gap", 6, 7),
        ("Block", 7, 10),
    ]
    heard = [i.waveform[0] for i in source.blocks(1) if isinstance(i, Block)]
    assert np.concatenate(heard).tolist() == [0, 1 / 16, 5 / 16, 7 / 16, 8 / 16, 9 / 16]


@given(
    n_samples=st.integers(0, 60),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    data=st.data(),
)
def test_array_is_whole_for_any_blocks_and_gaps(n_samples, sizes, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, n_samples), max_size=6)))
    gaps = [(a, b - a) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    waveform = np.arange(n_samples, dtype=np.float32)
    position = 0
    for item in ArraySource(waveform, 100, block_samples=sizes, gaps=gaps).blocks(1):
        assert item.position == position
        if isinstance(item, Gap):
            assert (item.position, item.n_samples) in gaps
        else:
            assert item.waveform[0].tolist() == list(range(item.position, item.end))
        position = item.end
    assert position == n_samples


def test_array_stops_after_the_current_block():
    source = ArraySource(np.zeros(10), 8000, block_samples=2, gaps=[(6, 2)])
    blocks = source.blocks(1)
    next(blocks)
    source.stop()
    assert list(blocks) == []


@pytest.mark.parametrize(
    ("dtype", "low", "middle", "high"),
    [
        (np.uint8, 0, 128, 192),
        (np.int8, -128, 0, 64),
        (np.int16, -32768, 0, 16384),
        (np.int32, -(2**31), 0, 2**30),
        (np.float64, -1.0, 0.0, 0.5),
        (np.float32, -1.0, 0.0, 0.5),
    ],
)
def test_to_float_brings_full_scale_to_one(dtype, low, middle, high):
    waveform = to_float(np.array([low, middle, high], dtype=dtype))
    assert waveform.dtype == np.float32
    assert waveform.tolist() == [[-1.0, 0.0, 0.5]]


def test_to_float_keeps_channels_apart():
    assert to_float(np.array([[1.0, 2.0], [3.0, 4.0]])).shape == (2, 2)


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\), must be \(samples,\) or \(channels, samples\)"),
        (np.float32(1), r"shape \(\), must be"),
        (np.array(["a"]), "has type <U1, must be float or integer"),
        (np.array([1j]), "has type complex128"),
    ],
)
def test_to_float_refuses_what_is_no_waveform(waveform, words):
    with pytest.raises(SourceError, match=words):
        to_float(waveform)


@pytest.mark.parametrize(
    ("rate", "sizes", "words"),
    [
        (0, 1, "sample_rate is 0, must be above 0 Hz"),
        (8000, 0, "block_samples is 0, must be 1 or more"),
        (8000, [], r"block_samples is \[\], must be 1 or more"),
        (8000, [5, -1], "block_samples is -1, must be 1 or more"),
    ],
)
def test_array_refuses_what_makes_no_sense(rate, sizes, words):
    with pytest.raises(SourceError, match=words):
        ArraySource(np.zeros(3), rate, block_samples=sizes)


@pytest.mark.parametrize("shape", [(88_200, 2), (300, 300), (300, 0), (3, 2)])
def test_array_refuses_channels_last_and_says_how_to_turn_it(shape):
    with pytest.raises(SourceError) as caught:
        ArraySource(np.zeros(shape), 8000)
    message = str(caught.value)
    assert f"read as {shape[0]} channels of {shape[1]} samples, must be (channels, samples)" in (
        message
    )
    assert "waveform.T" in message
    assert "layout='channels last'" in message


def test_array_takes_what_soundfile_reads(tmp_path):
    path = tmp_path / "x.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2))
    soundfile.write(path, sound, 8000, subtype="FLOAT")
    source = ArraySource(*soundfile.read(path, dtype="float32"), layout="channels last")
    (block,) = source.blocks(1)
    np.testing.assert_array_equal(block.waveform.T, sound.astype(np.float32))
    one = ArraySource(sound[:, 0], 8000, layout="channels last")
    assert next(iter(one.blocks(1))).waveform.shape == (1, 8000)


@pytest.mark.parametrize("shape", [(2, 0), (1, 0), (0,), (2, 2), (256, 256)])
def test_array_takes_few_samples(shape):
    assert ArraySource(np.zeros(shape), 8000).duration_s == shape[-1] / 8000


@pytest.mark.parametrize("rate", [8000, np.int64(8000), np.uint16(8000), 8000.0, np.float32(8000)])
def test_array_takes_rates_of_any_kind(rate):
    source = ArraySource([0.0] * 10, rate, block_samples=np.int64(5), gaps=[np.array([2, 3])])
    found = list(source.blocks(1))
    assert [i.end for i in found] == [2, 5, 10]
    assert {type(number) for i in found for number in (i.position, i.end, i.sample_rate)} == {int}


@pytest.mark.parametrize("rate", ["8000", 8000.5, None, float("nan"), float("inf"), -1, True])
def test_array_refuses_what_is_no_rate(rate):
    with pytest.raises(SourceError, match=f"sample_rate is {rate}, must be above 0 Hz"):
        ArraySource(np.zeros(3), rate)


def test_array_refuses_integers_without_a_full_scale():
    with pytest.raises(SourceError, match="has type int64, the full scale of which no audio has"):
        ArraySource([0, 1000, -1000], 8000)


@pytest.mark.parametrize("waveform", [[[1.0], [1.0, 2.0]], {"a": 1}, None, "sound.wav"])
def test_array_refuses_what_is_no_array_in_one_line(waveform):
    with pytest.raises(SourceError, match=r"^waveform "):
        ArraySource(waveform, 8000)


def test_array_refuses_a_layout_that_is_none():
    with pytest.raises(SourceError, match="layout is 'last', must be 'channels first' or"):
        ArraySource(np.zeros(3), 8000, layout="last")


def messages(source: ArraySource) -> list[str]:
    return [item.message for item in mix_down(source.blocks(1)) if isinstance(item, Notice)]


def test_array_warns_of_floats_at_the_scale_of_integers():
    (message,) = messages(ArraySource(np.array([0.0, 12_000.0, -9000.0]), 8000))
    assert "samples reach 12000 times full scale" in message


@pytest.mark.parametrize(("peak", "told"), [(0, 0), (12_000, 1), (2**15, 1), (2**20, 0)])
def test_array_warns_of_16_bit_samples_in_32(peak, told):
    found = messages(ArraySource(np.array([0, peak, -peak // 2], np.int32), 8000))
    assert len(found) == told
    assert all("give them as int16" in message for message in found)
