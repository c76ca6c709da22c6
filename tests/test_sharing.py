"""Windows that share a stem get the scores that they get alone."""

import itertools

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from picky import STRIDE, WINDOW, Live, bursts, hear

from streamclf.core.errors import ModelError
from streamclf.core.records import Average, Gap, Notice, SoundEvent, Window
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.stem.shared_frames import SharedStream, count_grids, fit_hop
from streamclf.model.stem.split_model import SplitModel
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource


@settings(max_examples=40, deadline=None)
@given(
    n_samples=st.integers(1, 20_000),
    hop=st.integers(20, 3000),
    sizes=st.lists(st.integers(1, 6000), min_size=1, max_size=5),
    batch_size=st.integers(1, 40),
    gap=st.one_of(st.none(), st.tuples(st.integers(0, 15_000), st.integers(1, 3000))),
    live=st.booleans(),
    exact=st.booleans(),
)
def test_shared_windows_score_as_they_do_alone(
    split, whole, n_samples, hop, sizes, batch_size, gap, live, exact
):
    waveform = bursts(n_samples)
    gaps = [gap] if gap and sum(gap) <= n_samples else []
    how = {"exact_hop": exact, "batch_size": batch_size}
    real = fit_hop(hop, STRIDE, exact=exact)
    kind = Live if live else ArraySource
    source = kind(waveform, toys.RATE, block_samples=[*sizes, 1000], gaps=gaps)
    places, shared, _ = hear(split, source, hop_s=hop / toys.RATE, **how)
    source = ArraySource(waveform, toys.RATE, gaps=gaps)
    expected_places, alone, _ = hear(whole, source, hop_s=real / toys.RATE)
    assert places == expected_places
    np.testing.assert_allclose(shared, alone, atol=1e-5, rtol=1e-5)


@given(hop=st.integers(1, 100_000), stride=st.integers(1, 2000))
def test_fit_hop_gives_a_near_multiple_or_the_hop_itself(hop, stride):
    assert fit_hop(hop, stride, exact=True) == hop
    fitted = fit_hop(hop, stride)
    assert fitted > 0
    if fitted != hop:
        assert fitted % stride == 0
        assert abs(fitted - hop) <= min(0.05 * hop, stride / 2)
    else:
        # Some place is hit again after so many hops, and none before.
        n_grids = count_grids(hop, stride)
        assert [k * hop % stride == 0 for k in range(1, n_grids + 1)] == [
            *[False] * (n_grids - 1), True,
        ]  # fmt: skip


def test_a_change_of_hop_keeps_the_scores(split, whole):
    waveform = bursts(30_000, 2)

    def run(classifier):
        engine = Engine(classifier, Settings(hop_s=0.05, average_s=0, exact_hop=True))
        found = []
        hops = itertools.cycle([0.1, 0.03, 0.3])
        for result in engine.run(Live(waveform, toys.RATE, block_samples=700)):
            if isinstance(result, Average):
                found.append((result.position, result.scores.values))
                if len(found) % 9 == 0:
                    engine.change(Settings(hop_s=next(hops), average_s=0, exact_hop=True))
        return found

    shared, alone = run(split), run(whole)
    assert [position for position, _ in shared] == [position for position, _ in alone]
    for (_, ours), (_, theirs) in zip(shared, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


class Counting:
    """A split model that counts the samples that its stem hears."""

    def __init__(self, split: SplitModel) -> None:
        self._split, self.n_samples, self.most_rows = split, 0, 0

    def __getattr__(self, name):
        return getattr(self._split, name)

    def frames(self, waveforms):
        self.n_samples += waveforms.size
        self.most_rows = max(self.most_rows, len(waveforms))
        return self._split.frames(waveforms)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("hop", [STRIDE, 10 * STRIDE])
def test_the_stem_hears_new_audio_and_its_carry_over_alone(split, batch_size, hop):
    counting = Counting(split.split())
    stream = SharedStream(counting, WINDOW)
    audio = bursts(WINDOW + 99 * hop)
    windows = [Window(k * hop, audio[k * hop : k * hop + WINDOW], WINDOW) for k in range(100)]
    n_batches = 0
    for start in range(0, 100, batch_size):
        stream.logits(windows[start : start + batch_size])
        n_batches += 1
    carry_over = counting.receptive_field - STRIDE
    n_chunks = n_batches + audio.size // (counting.max_chunk_frames * STRIDE)
    stem = toys.PICKY_STEM
    left_over = WINDOW - (stem.frames - 1) * stem.step * STRIDE - counting.receptive_field
    assert audio.size - left_over <= counting.n_samples <= audio.size + n_chunks * carry_over


@pytest.mark.parametrize("n_rows", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [33, 64, 100])
def test_rows_of_the_stem_give_the_frames_of_one_long_row(split, n_rows, batch_size):
    audio = bursts(WINDOW + 990 * STRIDE)
    windows = [Window(at, audio[at : at + WINDOW], WINDOW) for at in range(0, 990 * STRIDE, 320)]
    logits, counts = {}, {}
    for rows in (1, n_rows):
        counting = Counting(split.split())
        counting.max_rows = rows
        stream = SharedStream(counting, WINDOW)
        starts = range(0, len(windows), batch_size)
        parts = [stream.logits(windows[start : start + batch_size]) for start in starts]
        logits[rows], counts[rows] = np.concatenate(parts), counting.most_rows
    np.testing.assert_allclose(logits[n_rows], logits[1], atol=1e-6, rtol=1e-6)
    assert counts[1] == 1
    assert 1 < counts[n_rows] <= n_rows


def test_a_stream_keeps_no_more_than_a_window(split):
    stream = SharedStream(split.split(), WINDOW)
    audio = bursts(50_000)
    for start in range(0, 40_000, 8 * STRIDE):
        stream.logits([Window(start, audio[start : start + WINDOW], WINDOW)])
        (run,) = stream._runs.values()
        kept = sum(frames.nbytes for frames in run._frames)
        assert kept <= 5 * 4 * (WINDOW // STRIDE)
        assert sum(pending.size for pending in run._pending) < split.split().receptive_field


@pytest.mark.parametrize(
    ("limit", "hop", "expected"),
    [(10**9, 10 * STRIDE, 40), (10**9, STRIDE, 128), (10**9, 1000 * STRIDE, 1), (1, STRIDE, 128)],
)
def test_a_small_model_takes_no_more_windows_than_a_chunk_of_its_stem_has(
    tmp_path, monkeypatch, limit, hop, expected
):
    monkeypatch.setattr("streamclf.model.model_file.SMALL_BYTES", limit)
    monkeypatch.setattr("streamclf.model.stem.split_model.CHUNK_S", 400 * STRIDE / toys.RATE)
    monkeypatch.setattr("streamclf.model.stem.split_model.CHUNK_FIELDS", 1)
    path = toys.write_picky_network(tmp_path / "m.onnx")
    assert Classifier(Model(path, provider="cpu")).batch_size(hop) == expected


@pytest.mark.parametrize("live", [True, False])
def test_a_cut_that_fails_for_whatever_reason_leaves_the_whole_graph(
    tmp_path, whole, monkeypatch, live
):
    """Not a classifier that fails at each later window."""

    def fail(*arguments):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("streamclf.model.stem.cut_graph.cut_stem", fail)
    path = toys.write_picky_network(tmp_path / "picky.onnx")
    classifier = Classifier(Model(path, provider="cpu", live=live))
    source = ArraySource(bursts(40_000), toys.RATE)
    places, scores, items = hear(classifier, source, hop_s=0.02)
    expected_places, expected, _ = hear(whole, ArraySource(bursts(40_000), toys.RATE), hop_s=0.02)
    assert places == expected_places
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)
    assert [item.message for item in items if isinstance(item, Notice)] == [
        f"{path}: windows share no work: ZeroDivisionError: a mistake: export it anew"
    ]


def test_a_model_file_that_vanishes_while_it_is_cut_is_one_line_until_it_is_back(tmp_path, whole):
    path = toys.write_picky_network(tmp_path / "picky.onnx")
    classifier = Classifier(Model(path, provider="cpu"))
    path.rename(tmp_path / "away.onnx")
    for _ in range(2):
        with pytest.raises(ModelError, match=r"picky\.onnx"):
            hear(classifier, ArraySource(bursts(40_000), toys.RATE), hop_s=0.02)
    (tmp_path / "away.onnx").rename(path)
    _, scores, _ = hear(classifier, ArraySource(bursts(40_000), toys.RATE), hop_s=0.02)
    _, expected, _ = hear(whole, ArraySource(bursts(40_000), toys.RATE), hop_s=0.02)
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)


def test_events_are_the_same_as_without_sharing(tmp_path):
    scene = np.concatenate([toys.silence(3), toys.tone(1000, 4), bursts(30_000), toys.tone(440, 3)])
    found = []
    for stem in (None, toys.STEM):
        path = toys.write_tone_detector(tmp_path / f"{stem is None}.onnx", toys.toy_card(stem=stem))
        classifier = Classifier(Model(path, provider="cpu"))
        classifier.split()
        gaps = [(60_000, 500)]
        engine = Engine(classifier, Settings(hop_s=0.1))
        results = list(engine.run(ArraySource(scene, toys.RATE, gaps=gaps)))
        found.append([r for r in results if isinstance(r, SoundEvent | Gap)])
    bare, shared = ([(r.label, r.onset, r.offset) for r in f if isinstance(r, SoundEvent)]
                    for f in found)  # fmt: skip
    assert bare == shared
    assert len(bare) > 3
