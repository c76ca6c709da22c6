import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.errors import SourceError
from streamclf.records import Block, Gap
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
