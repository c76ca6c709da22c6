"""Where recordings may be cut, and where their pieces begin to listen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import toys
from hypothesis import given
from hypothesis import strategies as st

from streamclf.archive.cuts import Cut, Grid, Period, Stretch, can_cut, find_period, plan_cuts
from streamclf.core.records import Block
from streamclf.pipeline.resample import resample
from streamclf.sources.recording.recording import Recording


def resampled(sound: np.ndarray, rates: tuple[int, int], begin: int = 0) -> np.ndarray:
    """Sound through the pipeline's own stage, in blocks of odd sizes."""
    blocks = (
        Block(place, sound[np.newaxis, place : place + 7777], rates[0])
        for place in range(begin, sound.size, 7777)
    )
    return np.concatenate([block.waveform[0] for block in resample(blocks, rates[1])])


@pytest.mark.parametrize(
    "rates", [(48_000, 16_000), (44_100, 16_000), (32_000, 16_000), (192_000, 32_000)]
)
def test_a_stream_that_begins_whole_periods_later_is_the_same_to_the_bit(rates):
    source, target = rates
    period = find_period(*rates)
    assert 0 < period.n_samples <= 5 * source
    sound = np.random.default_rng(2).normal(0, 0.1, 3 * period.n_samples + source)
    whole = resampled(sound.astype(np.float32), rates)
    n_warm_up = period.n_warm_up * target // source + 1
    for begin in (period.n_samples, 3 * period.n_samples):
        later = resampled(sound.astype(np.float32), rates, begin)
        place = begin * target // source
        assert later.size == whole.size - place
        np.testing.assert_array_equal(later[n_warm_up:], whole[place + n_warm_up :])


def test_another_begin_gives_other_bits():
    """Otherwise the alignment would be for nothing."""
    sound = np.random.default_rng(2).normal(0, 0.1, 96_000).astype(np.float32)
    whole = resampled(sound, (48_000, 16_000))
    later = resampled(sound, (48_000, 16_000), 3000)
    assert not np.array_equal(later[5000:], whole[6000:])


def test_equal_rates_need_no_period():
    assert find_period(16_000, 16_000).n_samples == 1


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ((44_099, 16_000), "resampling from 44099 to 16000 Hz repeats itself only after 24 min"),
        ((6000, 32_000), "resampling from 6000 to 32000 Hz does not repeat itself"),
        ((12_345, 8000), "resampling from 12345 to 8000 Hz has no even blocks"),
    ],
)
def test_what_speaks_against_a_cut_is_said(rates, why):
    period = find_period(*rates)
    assert period.n_samples == 0
    assert period.why.startswith(why)


@given(st.integers(1, 10**10), st.floats(0.01, 10**5))
def test_pieces_are_all_of_a_recording_and_no_longer_than_asked(n_samples, item_seconds):
    n_samples = min(n_samples, round(item_seconds * 48_000 * 50) + 1)
    pieces = plan_cuts(Cut(48_000, n_samples), item_seconds)
    assert [pieces[0][0], pieces[-1][1]] == [0, n_samples]
    assert all(end == begin for (_, end), (begin, _) in pairwise(pieces))
    lengths = [end - begin for begin, end in pieces]
    assert max(lengths) <= max(1, round(item_seconds * 48_000))
    assert max(lengths) - min(lengths) <= 1


@given(
    st.integers(1, 20_000), st.integers(1, 30_000), st.integers(1, 128), st.integers(1, 10**9),
    st.sampled_from([(16_000, 1, 0), (48_000, 4404, 2936), (44_100, 218_736, 2976)]),
)  # fmt: skip
def test_a_piece_begins_to_listen_where_all_that_it_needs_is_aligned(
    window, hop, batch, begin, source
):
    rate, n_period, n_warm_up = source
    grid = Grid(rate, 16_000, window, hop, batch, Period(n_period, n_warm_up))
    end = begin + 100 * rate
    piece, following = Stretch.of(grid, begin, end), Stretch.of(grid, end, None)
    assert (piece.end, piece.end_second) == (following.first, following.first_second)
    # No window that begins in it is missing, and none before it is taken.
    assert (piece.first - 1) * hop * rate < begin * 16_000 <= piece.first * hop * rate
    assert piece.first_scored <= piece.first
    assert (piece.first_scored + piece.n_first) % batch == piece.end_scored % batch == 0
    assert piece.n_first < batch
    assert piece.end <= piece.end_scored < piece.end + batch
    shared = (piece.first // batch * batch - piece.first_scored) * hop
    assert piece.first_scored == 0 or shared >= 2 * window
    assert piece.audio_begin % n_period == 0
    first = piece.first_scored * hop * rate
    assert piece.audio_begin == 0 or (piece.audio_begin + n_warm_up) * 16_000 <= first
    assert piece.level_begin % rate == 0
    assert piece.level_begin in (0, (piece.first_second - 10) * rate)


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff", "w64", "rf64", "au", "caf"])
def test_formats_with_exact_places_may_be_cut(write_wav, ending):
    path = write_wav(toys.tone(440, 2), f"x.{ending}")
    with Recording(path) as recording:
        assert can_cut(recording) == Cut(toys.RATE, 2 * toys.RATE)


@pytest.mark.parametrize(
    ("ending", "subtype"), [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("wav", "IMA_ADPCM")]
)
def test_other_formats_are_heard_whole(write_wav, ending, subtype):
    path = write_wav(toys.tone(440, 2), f"x.{ending}", subtype=subtype)
    with Recording(path) as recording:
        assert can_cut(recording) == "its format has no exact places"


def test_joined_and_broken_recordings_are_heard_whole(write_wav):
    path = write_wav(toys.tone(440, 2))
    data = path.read_bytes()
    path.write_bytes(data + data)
    with Recording(path) as recording:
        assert can_cut(recording) == "it has 2 parts"
    path.write_bytes(data[:20_000])
    with Recording(path) as recording:
        assert can_cut(recording) == "it is cut short"


def test_a_place_reached_by_skipping_is_the_place(tmp_path):
    """What pieces rely on, to the sample, of each format."""
    sound = np.random.default_rng(3).normal(0, 0.1, 60_000)
    for ending, subtype in (("flac", "PCM_24"), ("wav", "ALAW"), ("aiff", "PCM_24")):
        path = tmp_path / f"x.{ending}"
        soundfile.write(path, sound, 44_100, subtype=subtype)
        whole, _ = soundfile.read(path, dtype="float32")
        for place in (1, 4095, 4096, 33_333, 59_999):
            with Recording(path) as recording:
                assert recording.skip(place / 44_100)
                block = next(iter(recording.blocks(44_100)))
            assert block.position == place
            np.testing.assert_array_equal(block.waveform[0], whole[place:])
