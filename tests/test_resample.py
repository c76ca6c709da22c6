import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap, Notice, rescale
from streamclf.pipeline.resample import resample

RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).uniform(-1, 1, n_samples).astype(np.float32)


def blocks_of(waveform: np.ndarray, rate: int, sizes: list[int], start: int = 0) -> list[Block]:
    blocks, position = [], 0
    while position < len(waveform):
        size = sizes[len(blocks) % len(sizes)]
        piece = waveform[None, position : position + size]
        blocks.append(Block(start + position, piece, rate))
        position += size
    return blocks


def joined(items: list) -> np.ndarray:
    empty = np.zeros(0, dtype=np.float32)
    return np.concatenate([empty, *(i.waveform[0] for i in items if isinstance(i, Block))])


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    n_samples=st.integers(1, 20_000),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_resample_in_chunks_equals_resampling_the_whole(rate, n_samples, sizes):
    waveform = noise(n_samples)
    items = list(resample(blocks_of(waveform, rate, sizes), 16_000))
    whole = soxr.resample(waveform, rate, 16_000) if rate != 16_000 else waveform
    np.testing.assert_array_equal(joined(items), whole)


def test_resample_keeps_a_tone_at_its_frequency():
    times = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 1000 * times).astype(np.float32)
    heard = joined(list(resample(blocks_of(tone, 48_000, [999]), 16_000)))
    spectrum = np.abs(np.fft.rfft(heard))
    assert len(heard) == 16_000
    assert spectrum.argmax() == 1000


def test_resample_removes_what_the_new_rate_cannot_hold():
    times = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 12_000 * times).astype(np.float32)
    heard = joined(list(resample(blocks_of(tone, 48_000, [4096]), 16_000)))
    assert np.abs(heard[1000:-1000]).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    pieces=st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=5),
)
def test_resample_accounts_for_every_sample_across_gaps(rate, pieces):
    items, position = [], 0
    for n_samples, missing in pieces:
        items += blocks_of(noise(n_samples), rate, [700], position)
        items.append(Gap(position + n_samples, missing, rate, "test"))
        position += n_samples + missing
    expected_end = 0
    out = list(resample(items, 16_000))
    for item in out:
        assert item.position == expected_end
        assert item.sample_rate == 16_000
        expected_end = item.end
    assert sum(isinstance(item, Gap) for item in out) == len(pieces)
    # The clock is set right at each gap: rounding never adds up. Only a gap too short to make up
    # for the rounding before it (half a sample) leaves more, for it lasts a sample at least.
    assert abs(expected_end - position * 16_000 / rate) <= 1.5 * len(pieces)
    if min(missing for _, missing in pieces) > 50:
        assert expected_end == rescale(position, rate, 16_000)


def test_resample_does_not_let_audio_ring_across_a_gap():
    loud = np.ones(4800, dtype=np.float32)
    items = [Block(0, loud[None], 48_000), Gap(4800, 480, 48_000, "test")]
    items.append(Block(5280, np.zeros((1, 4800), dtype=np.float32), 48_000))
    out = list(resample(items, 16_000))
    gap = next(i for i, item in enumerate(out) if isinstance(item, Gap))
    assert not joined(out[gap + 1 :]).any()


def test_resample_gives_no_huge_block_of_a_low_rate():
    out = list(resample([Block(0, noise(20_000)[None], 100)], 32_000))
    assert max(item.n_samples for item in out) < 2**21
    assert out[-1].end == 20_000 * 320


def test_resample_goes_on_when_the_rate_changes():
    items = [Block(0, noise(8000)[None], 8000), Block(48_000, noise(48_000)[None], 48_000)]
    out = list(resample(items, 16_000))
    assert sum(item.n_samples for item in out) == 32_000
    assert out[-1].end == 32_000


def test_resample_counts_from_where_the_first_item_lies():
    items = [
        Block(3000, noise(4800)[None], 48_000),
        Gap(7800, 9600, 48_000, "test"),
        Block(17_400, noise(4800)[None], 48_000),
    ]
    out = list(resample(items, 16_000))
    (gap,) = [item for item in out if isinstance(item, Gap)]
    assert (out[0].position, gap.position, gap.end, out[-1].end) == (1000, 2600, 5800, 7400)


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    cut=st.integers(1, 9000),
    missing=st.integers(100, 3000),
    behind=st.integers(1, 9000),
)
def test_resample_of_what_follows_a_cut_counts_as_if_it_had_not_been_cut(
    rate, cut, missing, behind
):
    first = blocks_of(noise(cut), rate, [700])
    rest = [Gap(cut, missing, rate, "test")]
    rest += blocks_of(noise(behind), rate, [700], cut + missing)
    whole = list(resample([*first, *rest], 16_000))
    pieces = [*resample(first, 16_000), *resample(rest, 16_000)]
    assert [(i.position, i.end) for i in pieces[-1:]] == [(i.position, i.end) for i in whole[-1:]]
    (gap,) = [item for item in pieces if isinstance(item, Gap)]
    assert gap.end == rescale(cut + missing, rate, 16_000)


def test_resample_counts_notices_at_the_new_rate():
    items = [Block(0, noise(4800)[None], 48_000), Notice(4800, 48_000, "hello", "info")]
    (notice,) = [item for item in resample(items, 16_000) if isinstance(item, Notice)]
    assert (notice.message, notice.level, notice.sample_rate) == ("hello", "info", 16_000)


@pytest.mark.parametrize(
    ("position", "from_rate", "to_rate", "expected"),
    [
        (0, 44_100, 16_000, 0),
        (441, 44_100, 16_000, 160),
        (1, 3, 1, 0),
        (2, 3, 1, 1),
        (10**15, 3, 3, 10**15),
    ],
)
def test_rescale_rounds_exactly(position, from_rate, to_rate, expected):
    assert rescale(position, from_rate, to_rate) == expected
