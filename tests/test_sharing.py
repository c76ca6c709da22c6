"""Windows that share a stem get the scores that they get alone."""

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import onnx
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from streamclf.card import METADATA_KEY, Stem, parse_card
from streamclf.classifier import WHOLE_FIRST, Classifier
from streamclf.engine import Engine
from streamclf.model import Model
from streamclf.records import Average, Gap, Notice, SoundEvent, Window
from streamclf.settings import Settings
from streamclf.sharing import SharedStream, count_grids, fit_hop
from streamclf.sources.array import ArraySource
from streamclf.split import SplitModel

WINDOW, STRIDE = toys.PICKY_WINDOW, toys.PICKY_STEM.stride


def bursts(n_samples: int, seed: int = 1) -> np.ndarray:
    """Noise whose level jumps, with silence in it."""
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0.001, 0.03, 0.5], n_samples // 150 + 1)
    waveform = random.uniform(-1, 1, n_samples) * np.repeat(levels, 150)[:n_samples]
    return waveform.astype(np.float32)


@pytest.fixture(scope="module")
def picky(tmp_path_factory):
    return toys.write_picky_network(tmp_path_factory.mktemp("models") / "picky.onnx")


@pytest.fixture(scope="module")
def whole(picky):
    """The same network by a card that names no stem."""
    path = picky.with_name("whole.onnx")
    card = toys.toy_card(window_samples=WINDOW, activation="none", name="whole")
    return Classifier(Model(toys.write_picky_network(path, card), provider="cpu"))


@pytest.fixture(scope="module")
def split(picky):
    """A classifier whose graph is cut already."""
    classifier = Classifier(Model(picky, provider="cpu"))
    assert classifier.split() is not None
    assert classifier.take_notice() == ""
    return classifier


class Live(ArraySource):
    live = True


def hear(classifier, source, **how):
    """Positions and scores of all windows, and everything else."""
    how = {"average_s": 0, **how}
    results = list(Engine(classifier, Settings(**how)).run(source))
    averages = [r for r in results if isinstance(r, Average)]
    values = np.array([a.scores.values for a in averages])
    return [a.position for a in averages], values, results


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
    carry_over = counting.reach - STRIDE
    n_stretches = n_batches + audio.size // (counting.stretch * STRIDE)
    stem = toys.PICKY_STEM
    left_over = WINDOW - (stem.frames - 1) * stem.step * STRIDE - counting.reach
    assert audio.size - left_over <= counting.n_samples <= audio.size + n_stretches * carry_over


@pytest.mark.parametrize("n_rows", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [33, 64, 100])
def test_rows_of_the_stem_give_the_frames_of_one_long_row(split, n_rows, batch_size):
    audio = bursts(WINDOW + 990 * STRIDE)
    windows = [Window(at, audio[at : at + WINDOW], WINDOW) for at in range(0, 990 * STRIDE, 320)]
    logits, counts = {}, {}
    for rows in (1, n_rows):
        counting = Counting(split.split())
        counting.n_rows = rows
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
        assert sum(pending.size for pending in run._pending) < split.split().reach


WRONG = {
    "no such tensor": {"tensor": "nowhere"},
    "no such base": {"base": "nowhere"},
    "a stride too short": {"stride": 20},
    "a stride too long": {"stride": 80},
    "too few frames": {"frames": 6},
    "too many frames": {"frames": 8},
    "a step too short": {"step": 5},
    "a receptive field too short": {"receptive_field": 100},
    "no step": {"step": 1, "base": None},
    "another tensor": {"tensor": "filtered", "base": None, "step": 1},
    "behind what needs whole windows": {"tensor": "flat", "base": None, "step": 1},
}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_stem_is_noticed_and_not_used(tmp_path, whole, wrong, live):
    stem = msgspec.structs.replace(toys.PICKY_STEM, **WRONG[wrong])
    card = toys.toy_card(window_samples=WINDOW, activation="none", stem=stem)
    path = toys.write_picky_network(tmp_path / "m.onnx", card)
    waveform = bursts(40_000)
    classifier = Classifier(Model(path, provider="cpu", live=live))
    hop_s = 480 / toys.RATE  # a multiple of every stride here
    places, scores, results = hear(classifier, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    assert len(places) > WHOLE_FIRST
    (notice,) = [r for r in results if isinstance(r, Notice)]
    assert "windows share no work: " in notice.message
    expected_places, expected, _ = hear(whole, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    assert places == expected_places
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)
    assert classifier.stride == 1


def test_halves_are_shared_too(tmp_path):
    card = toys.toy_card(window_samples=WINDOW, activation="none", stem=toys.PICKY_STEM)
    path = toys.write_picky_network(tmp_path / "m.onnx", card, element=TensorProto.FLOAT16)
    classifier = Classifier(Model(path, provider="cpu"))
    waveforms = np.stack([bursts(WINDOW, seed) for seed in range(3)])
    before = classifier.score(waveforms)
    assert classifier.split() is not None
    np.testing.assert_allclose(classifier.score(waveforms), before, atol=1e-4)


def test_the_weights_are_not_kept_twice(picky):
    model = Model(picky, provider="cpu")
    classifier = Classifier(model)
    assert model.session is not None
    split = classifier.split()
    assert model.session is None
    for session in (split._stem, split._head):
        assert session._model_bytes is None


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


def test_a_short_clip_does_not_wait_for_onnx(picky, write_wav, tmp_path):
    clip = write_wav(bursts(3 * toys.RATE))
    code = (
        "import sys; from streamclf.cli import run; code = run(sys.argv[1:]);"
        "assert 'onnx' not in sys.modules; sys.exit(code)"
    )
    card = toys.toy_card(window_samples=WINDOW, stem=toys.PICKY_STEM)
    model = toys.write_picky_network(tmp_path / "m.onnx", card)
    command = [sys.executable, "-c", code, "file", clip, "--model", model, "--provider", "cpu"]
    subprocess.run([*map(str, command)], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("hop", "more", "words"),
    [
        (0.5, [], []),
        (0.102, [], ["--hop 0.102 s is no multiple of 0.005 s", "it is 0.1 s; --exact-hop keeps"]),
        (0.102, ["--exact-hop"], ["the shared part runs 5 times"]),
        (0.0025, [], ["the shared part runs 2 times"]),
    ],
)
def test_file_tells_of_the_hop_once(streamclf, tmp_path, write_wav, hop, more, words):
    card = toys.toy_card(window_samples=WINDOW, stem=toys.PICKY_STEM)
    model = toys.write_picky_network(tmp_path / "m.onnx", card)
    clips = [write_wav(bursts(6000, seed), f"{seed}.wav") for seed in (1, 2)]
    scores = tmp_path / "scores.csv"
    arguments = ["--model", model, "--hop", hop, "--scores", scores, *more]
    result = streamclf("file", *clips, *arguments)
    assert result.code == 0
    assert result.err.count("no multiple") == (1 if words else 0)
    assert all(word in result.err for word in words)


def test_info_tells_where_windows_share(streamclf, picky, tmp_path):
    told = streamclf("info", picky).out
    assert "up to tensor 'pooled': 7 frames a window, windows every 40 samples (0.005 s)" in told
    card = toys.toy_card(stem_note="Conv 'first' pads")
    told = streamclf("info", toys.write_tone_detector(tmp_path / "m.onnx", card)).out
    assert "none between windows: Conv 'first' pads" in told


def test_card_keeps_its_stem_in_the_file(picky):
    entries = {p.key: p.value for p in onnx.load(picky).metadata_props}
    assert parse_card(entries[METADATA_KEY], "m").stem == toys.PICKY_STEM
    older = '{"name": "x", "labels": ["a"], "sample_rate": 8000, "window_samples": 9, "stem": %s}'
    stem = parse_card(older % '{"tensor": "t", "stride": 4, "frames": 2}', "m").stem
    assert stem == Stem("t", 4, 2)


def test_threads_that_share_a_model_do_not_miss_it_while_it_is_cut(tmp_path, monkeypatch):
    """Several recordings at once: one job cuts the graph, another is in the middle of a batch."""
    card = toys.toy_card(stem=toys.STEM)
    path = toys.write_tone_detector(tmp_path / "tones.onnx", card)
    classifier = Classifier(Model(path, provider="cpu"))
    waveforms = np.stack([toys.tone(440, card.window_s)[: card.window_samples]] * 3)
    expected = classifier.score(waveforms)
    released, go_on = threading.Event(), threading.Event()
    release = classifier.model.release

    def release_slowly() -> None:
        release()
        released.set()
        go_on.wait(10)

    monkeypatch.setattr(classifier.model, "release", release_slowly)
    with ThreadPoolExecutor(2) as pool:
        cut = pool.submit(classifier.split)
        assert released.wait(10)
        scored = pool.submit(classifier.score, waveforms)
        go_on.set()
        np.testing.assert_allclose(scored.result(10), expected, atol=1e-5)
        assert cut.result(10) is not None
