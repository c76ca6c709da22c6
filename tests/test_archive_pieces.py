"""Pieces of a recording, cut anywhere: joined, they are what one pass hears, to the bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import archives
import numpy as np
import pytest
import soundfile
import toys
from archives import ALL, assert_same, hear, hear_pieces, join_stored
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamclf.archive import cuts
from streamclf.archive.piece import hear_piece
from streamclf.archive.whole import Heard, Keep
from streamclf.core.card import Features, Thresholds, Unknown
from streamclf.core.errors import StoreError
from streamclf.core.records import Gap
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording

SECONDS = 40
CASES = {
    "as it is": (8000, "PCM_16", "wav"),
    "three to one, in stereo": (24_000, "PCM_24", "flac"),
    "odd": (11_025, "FLOAT", "aiff"),
}


@dataclass
class Case:
    """A recording that was heard whole."""

    engine: Engine
    path: Path
    n_samples: int
    whole: Heard


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The tone detector, whose windows share work, and which knows silence."""
    card = toys.toy_card(stem=toys.STEM, unknown=Unknown(0.55), features=Features("tones", 3, 0.1))
    return toys.write_tone_detector(tmp_path_factory.mktemp("archive") / "tones.onnx", card)


@pytest.fixture(scope="module", params=CASES)
def case(request, model, tmp_path_factory) -> Case:
    rate, subtype, ending = CASES[request.param]
    sound = archives.tones(SECONDS + 0.123, rate)
    if "stereo" in request.param:
        sound = np.stack([sound, 0.9 * sound], axis=1)
    path = tmp_path_factory.mktemp("cut") / f"20260701_043050.{ending}"
    soundfile.write(path, sound, rate, subtype=subtype)
    engine = archives.engine_of(model)
    whole = hear(engine, path)
    assert len(whole.events) >= 5
    return Case(engine, path, len(sound), whole)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
@example([0.0, 1.0])
@example([0.997, 0.9999])
def test_any_cut_gives_what_one_pass_hears(case, places):
    cut = [1 + int(place * (case.n_samples - 2)) for place in places]
    pieces, heard = hear_pieces(case.engine, case.path, cut)
    assert not any(piece.why for piece in pieces)
    assert_same(heard, case.whole)


SETTINGS = {
    "no average": {"average_s": 0},
    "exponential": {"average_kind": "exponential"},
    "gaps between windows": {"hop_s": 2.0},
    "off the stride, in short batches": {"hop_s": 0.213, "exact_hop": True, "batch_size": 3},
    "windows longer than a batch": {"hop_s": 0.1, "batch_size": 4},
    "unknown sounds": {"name_unknown": True, "max_duration_s": 3.0, "begin": "eager"},
    "one channel": {"channel": 2, "thresholds": Thresholds(0.2, 0.1), "labels": {"low", "high"}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_pieces_are_heard_with_any_settings(model, tmp_path, name):
    sound = archives.tones(25, toys.RATE, seed=3)
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([sound, sound[::-1]], axis=1), toys.RATE)
    keep = replace(ALL, features=True)
    engine = archives.engine_of(model, features=True, **SETTINGS[name])
    whole = hear(engine, path, keep)
    assert whole.events
    pieces, heard = hear_pieces(engine, path, [31_111, 77_777, 120_001, 190_000], keep)
    assert not any(piece.why for piece in pieces)
    assert_same(heard, whole)


def test_silent_windows_have_no_features_in_pieces_as_in_one_pass(model, tmp_path):
    path = tmp_path / "x.wav"
    sound = np.concatenate([toys.tone(440, 6), toys.silence(9), toys.tone(1000, 5)])
    soundfile.write(path, sound, toys.RATE)
    keep = Keep(levels=False, features=True)
    engine = archives.engine_of(model, features=True)
    whole = hear(engine, path, keep)
    n_silent = np.isnan(whole.windows.features).all(axis=1).sum()
    assert 0 < n_silent < len(whole.windows.features)
    assert_same(hear_pieces(engine, path, [50_000, 100_000], keep)[1], whole)


def test_a_regression_is_heard_in_pieces(tmp_path):
    engine = archives.engine_of(toys.write_loudness_meter(tmp_path / "m.onnx"))
    path = tmp_path / "x.wav"
    soundfile.write(path, archives.tones(20, toys.RATE), toys.RATE)
    whole = hear(engine, path)
    assert not whole.events
    assert_same(hear_pieces(engine, path, [9000, 70_000])[1], whole)


def test_a_network_that_knows_each_sample_hears_the_same_windows(tmp_path):
    engine = archives.engine_of(toys.write_picky_network(tmp_path / "m.onnx"), average_s=0)
    path = tmp_path / "x.wav"
    soundfile.write(path, archives.tones(12, 12_000), 12_000)
    whole = hear(engine, path)
    assert_same(hear_pieces(engine, path, [11, 40_123, 90_001])[1], whole)


@pytest.mark.parametrize("n_samples", [1, 5000, toys.WINDOW, toys.WINDOW + 1, 3 * toys.WINDOW])
def test_short_recordings_are_cut_as_well(model, tmp_path, n_samples):
    """Shorter than a window, as long, a sample longer; with pieces in which no window begins."""
    path = tmp_path / "x.wav"
    soundfile.write(path, toys.tone(440, 5)[:n_samples], toys.RATE)
    engine = archives.engine_of(model)
    whole = hear(engine, path)
    cut = [place for place in (1, 2, n_samples // 2, n_samples - 1) if 0 < place < n_samples]
    assert_same(hear_pieces(engine, path, cut)[1], whole)


def test_samples_that_are_no_audio_are_counted_over_all_pieces(model, tmp_path):
    sound = archives.tones(30, toys.RATE)
    sound[[30_000, 99_999, 100_000, 100_001, 170_000]] = np.nan
    path = tmp_path / "x.wav"
    soundfile.write(path, sound, toys.RATE, subtype="FLOAT")
    engine = archives.engine_of(model)
    whole = hear(engine, path)
    assert [notice.message.split(":")[-1] for notice in whole.notices] == [
        " replaced by zeros", " 5 replaced by zeros",
    ]  # fmt: skip
    assert_same(hear_pieces(engine, path, [100_000, 150_000])[1], whole)


class Overflowing:
    """A network that overflows on tones of 440 Hz."""

    def __init__(self, scorer):
        self._scorer, self.card = scorer, scorer.card

    def score(self, waveforms):
        scores = self._scorer.score(waveforms)
        scores[scores[:, 1] > 0.6] = np.inf
        return scores


def test_windows_without_scores_are_left_out_of_all_pieces(model, tmp_path):
    path = tmp_path / "x.wav"
    sound = [toys.tone(hz, 5) for hz in (1000, 440, 2500, 440)]
    soundfile.write(path, np.concatenate(sound), toys.RATE)
    engine = Engine(Overflowing(archives.engine_of(model).scorer))
    whole = hear(engine, path)
    assert 5 < whole.statistics.n_non_finite < whole.statistics.n_windows
    assert [notice.message.split(" for ")[0] for notice in whole.notices] == [
        "the model gives inf instead of scores"
    ]
    assert_same(hear_pieces(engine, path, [60_000, 80_000])[1], whole)


def test_pieces_give_what_a_run_gives_that_shares_no_code_with_them(model, tmp_path):
    """Events to the sample, averages to 1e-5: a run scores its first windows another way."""
    path = tmp_path / "x.wav"
    soundfile.write(path, archives.tones(60, 24_000), 24_000)
    engine = archives.engine_of(model)
    with Recording(path) as recording:
        results = list(engine.run(recording))
    heard = hear_pieces(archives.engine_of(model), path, [300_001, 700_000])[1]
    events = [
        (r.label, r.onset, r.offset, r.id) for r in results if type(r).__name__ == "SoundEvent"
    ]
    assert [(e.label, e.onset, e.offset, e.id) for e in heard.events] == events
    begins = {r.id: r.position for r in results if type(r).__name__ == "EventBegan"}
    assert {e.id: e.began_at for e in heard.events} == begins
    averages = [r for r in results if type(r).__name__ == "Average"]
    assert heard.windows.positions.tolist() == [each.position for each in averages]
    values = np.array([each.values for each in averages])
    np.testing.assert_allclose(heard.windows.averages, values, atol=1e-5)


def _damage_flac(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = b"\x55" * 600
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


@pytest.mark.parametrize(
    ("ending", "damage", "whys"),
    [
        ("flac", _damage_flac, ["damaged at "]),
        ("flac", _cut_short, ["truncated at ", "nothing can be read at "]),
        ("wav", _cut_short, ["it is cut short"]),
    ],
)
def test_a_damaged_recording_is_heard_whole(model, tmp_path, ending, damage, whys):
    path = tmp_path / f"x.{ending}"
    sound = archives.tones(30, toys.RATE)
    sound += np.random.default_rng(1).normal(0, 0.01, sound.size)
    soundfile.write(path, sound, toys.RATE)
    damage(path)
    engine = archives.engine_of(model)
    whole = hear(engine, path)
    assert whole.gaps
    assert whole.fault
    places = [(0, 80_000), (80_000, 170_000), (170_000, 240_000)]
    pieces = []
    for begin, end in places:
        with Recording(path) as recording:
            pieces.append(hear_piece(engine, recording, begin, end, ALL))
    assert all(any(piece.why.startswith(why) for piece in pieces) for why in whys)
    assert_same(join_stored(engine, path, pieces), whole)


@pytest.fixture
def joined(model, tmp_path):
    """An engine, a recording, its pieces, and what one pass hears."""
    path = tmp_path / "x.wav"
    soundfile.write(path, archives.tones(20, toys.RATE), toys.RATE)
    engine = archives.engine_of(model)
    return engine, path, hear_pieces(engine, path, [50_000, 100_000])[0], hear(engine, path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pieces: pieces[1:],
        lambda pieces: pieces[:-1],
        lambda pieces: [pieces[0], pieces[2]],
        lambda pieces: [pieces[0], replace(pieces[1], why="something"), pieces[2]],
        lambda pieces: [replace(each, grid=(8000, 12_000, 2000)) for each in pieces],
        lambda pieces: [replace(each, n_total=170_000) for each in pieces],
        lambda pieces: [*pieces[:2], replace(pieces[2], seconds=None, energies=None)],
        lambda pieces: [
            pieces[0],
            replace(
                pieces[1],
                positions=pieces[1].positions[1:],
                n_samples=pieces[1].n_samples[1:],
                scores=pieces[1].scores[1:],
            ),
            pieces[2],
        ],
    ],
)
def test_pieces_that_do_not_fit_are_not_joined(joined, spoil, monkeypatch):
    engine, path, pieces, whole = joined
    heard_whole = []
    from streamclf.archive import piece as module

    once = module.hear_whole
    monkeypatch.setattr(module, "hear_whole", lambda *given: heard_whole.append(1) or once(*given))
    assert_same(join_stored(engine, path, pieces), whole)
    assert not heard_whole
    assert_same(join_stored(engine, path, spoil(pieces)), whole)
    assert heard_whole


def test_a_recording_that_has_grown_or_shrunk_is_heard_whole(joined, tmp_path):
    engine, path, pieces, _ = joined
    for seconds in (17, 23):
        soundfile.write(path, archives.tones(seconds, toys.RATE), toys.RATE)
        assert_same(join_stored(engine, path, pieces), hear(engine, path))


def test_joined_flacs_are_heard_whole(model, tmp_path):
    """The second begins behind the samples that the first one's header states."""
    path = tmp_path / "x.flac"
    soundfile.write(path, archives.tones(20, toys.RATE), toys.RATE)
    path.write_bytes(path.read_bytes() * 2)
    engine = archives.engine_of(model)
    whole = hear(engine, path)
    assert whole.statistics.delivered_samples == 40 * toys.RATE
    with Recording(path) as recording:
        piece = hear_piece(engine, recording, 80_000, 160_000, ALL)
    assert piece.why
    assert_same(join_stored(engine, path, [piece]), whole)


def test_a_rate_that_never_repeats_is_heard_whole(model, tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, archives.tones(10, 8001), 8001)
    engine = archives.engine_of(model)
    pieces, heard = hear_pieces(engine, path, [30_000])
    assert [bool(piece.why) for piece in pieces] == [False, True]
    assert "from 8001 to 8000 Hz" in pieces[1].why
    assert_same(heard, hear(engine, path))


def test_a_stored_piece_is_the_same_bytes_and_the_same_piece(joined):
    engine, path, pieces, _ = joined
    with Recording(path) as recording:
        again = hear_piece(engine, recording, 50_000, 100_000, ALL)
    data = pieces[1].to_parquet()
    assert again.to_parquet() == data
    assert type(again).from_parquet(data).to_parquet() == data


def test_bytes_that_are_no_piece_are_told(joined):
    piece = joined[2][0]
    data = piece.to_parquet()
    for spoiled in (b"", data[:-9], b"PAR1" * 9, data[:900] + bytes(9) + data[909:]):
        with pytest.raises(StoreError, match=r"a stored piece cannot be read: .*: delete it"):
            type(piece).from_parquet(spoiled)


def test_no_piece_listens_far_beyond_its_ends(model, tmp_path, monkeypatch):
    """It reads what its windows, the resampler and the levels need, and no more."""
    path = tmp_path / "x.wav"
    rate = 24_000
    soundfile.write(path, archives.tones(90, rate), rate)
    engine = archives.engine_of(model)
    read = []
    blocks = Recording.blocks

    def note(self, sample_rate):
        for item in blocks(self, sample_rate):
            assert not isinstance(item, Gap)
            read.append((item.position, item.end))
            yield item

    monkeypatch.setattr(Recording, "blocks", note)
    with Recording(path) as recording:
        hear_piece(engine, recording, 40 * rate, 50 * rate, ALL)
    assert read[0][0] >= (40 - cuts.LEVEL_WARM_UP_S - 1) * rate
    assert read[-1][1] <= 60 * rate
