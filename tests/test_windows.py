import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap, Notice, Window
from streamclf.pipeline.windows import slide

RATE = 100


def blocks_of(waveform: np.ndarray, cuts: list[int], start: int = 0) -> list[Block]:
    edges = sorted({0, len(waveform), *(cut % (len(waveform) + 1) for cut in cuts)})
    return [Block(start + a, waveform[None, a:b], RATE) for a, b in itertools.pairwise(edges)]


def ramp(n_samples: int, start: int = 0) -> np.ndarray:
    """Each sample holds its own position, so a window's content tells where it is from."""
    return np.arange(start + 1, start + n_samples + 1, dtype=np.float32)


def as_lists(items) -> list:
    return [
        (item.position, item.n_samples, item.waveform.tolist())
        if isinstance(item, Window)
        else item
        for item in items
    ]


@given(
    n_samples=st.integers(0, 300),
    window=st.integers(1, 60),
    hop=st.integers(1, 80),
    cuts=st.lists(st.integers(0, 1000), max_size=12),
)
def test_slide_gives_the_same_windows_for_any_block_sizes(n_samples, window, hop, cuts):
    waveform = ramp(n_samples)
    whole = as_lists(slide(blocks_of(waveform, []), window, hop))
    assert as_lists(slide(blocks_of(waveform, cuts), window, hop)) == whole


@given(n_samples=st.integers(1, 300), window=st.integers(1, 60), hop=st.integers(1, 60))
def test_slide_places_windows_every_hop_and_hears_every_sample(n_samples, window, hop):
    windows = list(slide(blocks_of(ramp(n_samples), [7, 31]), window, hop))
    assert [w.position for w in windows[:-1]] == [i * hop for i in range(len(windows) - 1)]
    assert windows[-1].position in (hop * (len(windows) - 1), n_samples - window)
    assert all(w.waveform.shape == (window,) for w in windows)
    if n_samples < window:
        assert [(w.position, w.n_samples) for w in windows] == [(0, n_samples)]
    else:
        # Every one is full, and of nothing but the recording.
        for w in windows:
            assert w.n_samples == window
            np.testing.assert_array_equal(w.waveform, ramp(window, w.position))
    if hop <= window:
        heard = {p for w in windows for p in range(w.position, w.position + w.n_samples)}
        assert heard == set(range(n_samples))
        # No window but the last is needed to say so: none holds only what was heard before.
        assert len(windows) == 1 or windows[-1].end > windows[-2].end


def test_slide_mirrors_audio_shorter_than_a_window_at_both_ends():
    (window,) = slide(blocks_of(ramp(10), [3]), 40, 20)
    assert (window.position, window.n_samples) == (0, 10)
    # No fade here: the 75th part of this window is less than a sample.
    there, back = [*range(1, 11)], [*range(10, 0, -1)]
    assert window.waveform.tolist() == [*range(6, 11), *back, *there, *back, *range(1, 6)]


def test_slide_puts_zeros_behind_it_for_a_network_that_was_trained_so():
    (window,) = slide(blocks_of(ramp(10), [3]), 40, 20, fill="zeros")
    assert (window.position, window.n_samples) == (0, 10)
    assert window.waveform.tolist() == [*range(1, 11), *[0] * 30]


@pytest.mark.parametrize("fill", ["mirror", "zeros"])
@pytest.mark.parametrize(("n_samples", "last"), [(41, 1), (59, 19), (75, 35)])
def test_slide_moves_the_last_window_back_to_the_end_of_the_audio(n_samples, last, fill):
    *_, before, window = slide(blocks_of(ramp(n_samples), [3, 44]), 40, 20, fill=fill)
    assert (window.position, window.n_samples, window.end) == (last, 40, n_samples)
    np.testing.assert_array_equal(window.waveform, ramp(40, last))
    assert before.position == (n_samples - 41) // 20 * 20


def test_slide_keeps_no_more_audio_than_windows_need():
    """A hop of hours jumps over audio, which is not to fill the memory."""
    alive = []

    def blocks():
        for k in range(300):
            waveform = np.full((1, 100), k, dtype=np.float32)
            alive.append(weakref.ref(waveform))
            yield Block(100 * k, waveform, RATE)

    items = slide(blocks(), 150, 29_000)
    first, last = next(items), next(items)
    assert sum(one() is not None for one in alive) < 10
    assert (first.position, last.position, last.end) == (0, 29_000, 29_150)


@pytest.mark.parametrize("n_samples", [40, 60, 80])
def test_slide_adds_no_window_where_full_ones_reach_the_end(n_samples):
    windows = list(slide(blocks_of(ramp(n_samples), []), 40, 20))
    assert [w.n_samples for w in windows] == [40] * (1 + (n_samples - 40) // 20)


@given(
    first=st.integers(0, 120),
    missing=st.integers(1, 50),
    second=st.integers(0, 120),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
)
def test_slide_never_spans_a_gap_and_starts_anew_behind_it(first, missing, second, cuts):
    gap = Gap(first, missing, RATE, "test")
    behind = first + missing
    items = [
        *blocks_of(ramp(first), cuts),
        gap,
        *blocks_of(ramp(second, behind), cuts, behind),
    ]
    before = as_lists(slide(blocks_of(ramp(first), []), 40, 15))
    after = [
        (position + behind, n, [v + behind for v in values])
        for position, n, values in as_lists(slide(blocks_of(ramp(second), []), 40, 15))
    ]
    assert as_lists(slide(items, 40, 15)) == [*before, gap, *after]


def test_slide_passes_notices_in_their_place():
    notice = Notice(50, RATE, "hello")
    first, second = blocks_of(ramp(80), [50])
    items = list(slide([first, notice, second], 40, 40))
    assert [type(item) for item in items] == [Window, Notice, Window]


def test_slide_windows_stay_true_when_the_source_reuses_its_buffer():
    buffer = np.ones((1, 30), dtype=np.float32)

    def blocks():
        for i in range(4):
            buffer[:] = i
            yield Block(30 * i, buffer.copy(), RATE)

    windows = list(slide(blocks(), 40, 20))
    assert windows[0].waveform.tolist() == [0] * 30 + [1] * 10
