"""The way of windows on a GPU: audio goes in once, in one graph; here on the CPU's memory."""

import numpy as np
import onnxruntime
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from picky import STRIDE, WINDOW, Live, bursts, hear, stand_in

from streamclf.core.errors import ModelError, ProviderError
from streamclf.core.records import Notice, Window
from streamclf.core.settings import Settings
from streamclf.model.classifier import WHOLE_FIRST, Classifier
from streamclf.model.model_file import Model
from streamclf.model.providers import open_part, unavailable_reason
from streamclf.model.scorer import describe_hop
from streamclf.model.stem import bound_session
from streamclf.model.stem.bound_session import BoundSession
from streamclf.model.stem.one_pass import MAX_SHAPES, OnePass, join_and_check, lay_out
from streamclf.model.stem.shared_frames import BATCH, DEVICE_BATCH, fit_hop
from streamclf.model.stem.split_model import SplitModel, probe_windows
from streamclf.sources.array import ArraySource


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, for which the CPU stands in; one graph pays from as many windows on as halves do."""
    stand_in(monkeypatch)
    monkeypatch.setattr("streamclf.model.classifier.WHOLE_FIRST_ON_GPU", WHOLE_FIRST)


@pytest.fixture(scope="module")
def joined(picky):
    """A classifier whose halves are one graph."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        classifier = Classifier(Model(picky, provider="cpu"), one_graph=True)
        classifier.split()
    assert classifier.one_pass is not None
    assert classifier.take_notice() == ""
    return classifier


@settings(max_examples=40, deadline=None)
@given(
    n_samples=st.integers(1, 20_000),
    hop=st.integers(20, 3000),
    batch_size=st.integers(1, 40),
    gap=st.one_of(st.none(), st.tuples(st.integers(0, 15_000), st.integers(1, 3000))),
    live=st.booleans(),
    exact=st.booleans(),
)
def test_windows_of_one_pass_score_as_they_do_alone(
    joined, whole, n_samples, hop, batch_size, gap, live, exact
):
    waveform = bursts(n_samples)
    gaps = [gap] if gap and sum(gap) <= n_samples else []
    real = fit_hop(hop, STRIDE, exact=exact)
    kind = Live if live else ArraySource
    how = {"exact_hop": exact, "batch_size": batch_size}
    source = kind(waveform, toys.RATE, block_samples=700, gaps=gaps)
    places, shared, _ = hear(joined, source, hop_s=hop / toys.RATE, **how)
    source = ArraySource(waveform, toys.RATE, gaps=gaps)
    expected_places, alone, _ = hear(whole, source, hop_s=real / toys.RATE)
    assert places == expected_places
    np.testing.assert_allclose(shared, alone, atol=1e-5, rtol=1e-5)


@given(
    hops=st.lists(st.integers(1, 150), min_size=1, max_size=12),
    stride=st.integers(1, 40),
    n_samples=st.integers(1, 100),
    n_padded=st.integers(0, 99),
)
def test_what_is_laid_out_holds_every_window_at_its_place(hops, stride, n_samples, n_padded):
    positions = np.cumsum([7, *hops])
    audio = np.arange(1, positions[-1] + n_samples + 1, dtype=np.float32)
    windows = [Window(at, audio[at : at + n_samples].copy(), n_samples) for at in positions]
    if n_padded and n_padded < n_samples:
        last = windows[-1]
        last.waveform[n_padded:] = 0
        windows[-1] = Window(last.position, last.waveform, n_padded)
    laid, places = lay_out(windows, stride)
    for window, place in zip(windows, places, strict=True):
        at = place * stride
        np.testing.assert_array_equal(laid[at : at + n_samples], window.waveform)
    # On one grid no sample is there twice, but those of what is padded.
    if stride == 1 and not any(window.n_samples < n_samples for window in windows):
        assert np.unique(laid).size == laid.size


def test_a_batch_shares_what_its_windows_have_in_common(joined):
    audio = bursts(WINDOW + 99 * STRIDE)
    windows = [Window(k * STRIDE, audio[k * STRIDE :][:WINDOW], WINDOW) for k in range(100)]
    laid, places = lay_out(windows, STRIDE)
    assert audio.size <= laid.size < audio.size + STRIDE
    assert places.tolist() == list(range(100))


def test_the_last_batch_goes_into_the_shape_of_the_others(joined):
    joined.one_pass._shapes.clear()
    waveform = bursts(WINDOW + 10 * STRIDE * 105)
    how = {"hop_s": 10 * STRIDE / toys.RATE, "batch_size": 16}
    for _ in range(2):
        places, _, _ = hear(joined, ArraySource(waveform, toys.RATE), **how)
    assert len(places) % 16
    assert len(joined.one_pass._shapes) == 1


def test_few_shapes_are_kept(picky, whole, gpu):
    """Batches that grow all the time, each of another shape."""
    classifier = Classifier(Model(picky, provider="cpu"), one_graph=True)
    classifier.split()
    net = classifier.one_pass
    audio = bursts(100_000)
    for n in range(1, 3 * MAX_SHAPES):
        windows = [Window(k, audio[k : k + WINDOW], WINDOW) for k in range(0, n * 800, 800)]
        expected = whole._run(np.stack([window.waveform for window in windows]))
        np.testing.assert_allclose(net.logits(windows), expected, atol=1e-5, rtol=1e-5)
        assert len(net._shapes) <= MAX_SHAPES
        assert len(net._session._bindings) <= MAX_SHAPES


@pytest.mark.parametrize(("live", "asked"), [(True, True), (False, True), (False, None)])
def test_the_engine_takes_it(picky, whole, gpu, live, asked):
    classifier = Classifier(Model(picky, provider="cpu", live=live), one_graph=asked)
    assert (classifier.one_pass is not None) == live
    waveform = bursts(60_000)
    kind = Live if live else ArraySource
    hop_s = 20 * STRIDE / toys.RATE
    places, scores, results = hear(classifier, kind(waveform, toys.RATE), hop_s=hop_s)
    assert classifier.one_pass is not None
    assert len(places) > WHOLE_FIRST
    assert not [r for r in results if isinstance(r, Notice)]
    _, expected, _ = hear(whole, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)
    assert classifier.batch_size(20 * STRIDE) == DEVICE_BATCH


@pytest.mark.parametrize(
    ("live", "one_graph", "long"), [(True, None, True), (False, False, True), (False, None, False)]
)
def test_a_gpu_scores_whole_windows_live_and_of_what_is_short(
    picky, whole, gpu, monkeypatch, live, one_graph, long
):
    """The graph is not cut, and where windows lie does not depend on what runs it."""
    monkeypatch.setattr(Model, "open_part", lambda *content, **how: pytest.fail("it was cut"))
    if not long:
        monkeypatch.setattr("streamclf.model.classifier.WHOLE_FIRST_ON_GPU", 4096)
    classifier = Classifier(Model(picky, provider="cpu", live=live), one_graph=one_graph)
    sizes = []
    run = classifier._run_batch
    monkeypatch.setattr(classifier, "_run_batch", lambda s, w: (sizes.append(len(w)), run(s, w))[1])
    waveform = bursts(60_000)
    kind = Live if live else ArraySource
    hop_s = 20.4 * STRIDE / toys.RATE  # which becomes 20 strides where windows share work
    places, scores, results = hear(classifier, kind(waveform, toys.RATE), hop_s=hop_s)
    assert len(places) > WHOLE_FIRST
    assert max(sizes) == (1 if live else BATCH)
    assert all(size.bit_count() == 1 for size in sizes)
    assert classifier.one_pass is None
    assert not long or classifier.split() is None
    assert not [r for r in results if isinstance(r, Notice)]
    how = {"hop_s": 20 * STRIDE / toys.RATE}
    expected_places, expected, _ = hear(whole, ArraySource(waveform, toys.RATE), **how)
    assert places == expected_places
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)


def test_a_hop_off_the_grid_is_told_as_it_is_on_a_gpu(picky, gpu):
    classifier = Classifier(Model(picky, provider="cpu"), one_graph=False)
    near, between = 20.4 * STRIDE / toys.RATE, 2.5 * STRIDE / toys.RATE
    rounded = describe_hop(Settings(hop_s=near), classifier)
    assert "at which windows share work on a CPU: it is " in rounded
    assert describe_hop(Settings(hop_s=between), classifier) == ""  # the graph runs once a window


def test_one_graph_without_a_gpu_is_refused(picky):
    with pytest.raises(ProviderError, match=r"^one_graph is for a model that runs on CUDA, this "):
        Classifier(Model(picky, provider="cpu"), one_graph=True)


def test_one_graph_of_a_model_without_a_stem_is_refused(tone_model, gpu):
    with pytest.raises(ModelError, match="one_graph needs a card that names a stem"):
        Classifier(Model(tone_model, provider="cpu"), one_graph=True)


def test_halves_go_through_one_graph_too(tmp_path, gpu):
    card = toys.toy_card(window_samples=WINDOW, activation="none", stem=toys.PICKY_STEM)
    path = toys.write_picky_network(tmp_path / "m.onnx", card, element=TensorProto.FLOAT16)
    classifier = Classifier(Model(path, provider="cpu"), one_graph=True)
    waveforms = np.stack([bursts(WINDOW, seed) for seed in range(3)])
    before = classifier._run(waveforms)
    assert classifier.split() is not None
    windows = [Window(0, waveform, WINDOW) for waveform in waveforms]
    parts = [classifier.one_pass.logits([window]) for window in windows]
    np.testing.assert_allclose(np.concatenate(parts), before, atol=2e-2)


def halves(path):
    """A model cut in two, and what it should say of a probe."""
    model = Model(path, provider="cpu")
    probe = probe_windows(model.card)
    expected = Classifier(model)._run(probe.whole)
    return SplitModel(model), model, probe, expected


def test_what_cannot_be_recorded_runs_without(picky, monkeypatch):
    asked = []

    def opens(self, content, *, recorded=False):
        asked.append(recorded)
        if recorded:
            raise ProviderError("some of it runs on the CPU")
        return open_part(content, self.path, "cpu")

    split, model, probe, expected = halves(picky)
    monkeypatch.setattr(Model, "open_part", opens)
    assert isinstance(join_and_check(split, model, probe, expected), OnePass)
    assert asked == [True, False]


def test_a_recording_that_repeats_old_input_is_noticed(picky, monkeypatch):
    """As one does that was made while other buffers were bound."""
    runs = BoundSession.run

    def stale(self, feeds, shape):
        answers = self.__dict__.setdefault("answers", {})
        fresh = runs(self, feeds, shape)
        past = answers.setdefault(shape, [])
        past.append(fresh)
        return past[1] if self._recorded and len(past) > 2 else fresh

    split, model, probe, expected = halves(picky)
    monkeypatch.setattr(BoundSession, "run", stale)
    assert not join_and_check(split, model, probe, expected)._session._recorded


@pytest.mark.parametrize(
    ("fault", "asked"),
    [("wrong", True), ("broken", True), ("not a number", True), ("broken", None)],
)
def test_where_it_fails_the_whole_graph_goes_on_and_it_is_said(
    picky, whole, gpu, monkeypatch, fault, asked
):
    runs = BoundSession.run

    def faulty(self, feeds, shape):
        if fault == "broken":
            raise RuntimeError("out of memory\non the device")
        return runs(self, feeds, shape) * (np.nan if fault == "not a number" else 1.1)

    monkeypatch.setattr(BoundSession, "run", faulty)
    classifier = Classifier(Model(picky, provider="cpu"), one_graph=asked)
    waveform, hop_s = bursts(60_000), 20 * STRIDE / toys.RATE
    _, scores, results = hear(classifier, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    (notice,) = [r for r in results if isinstance(r, Notice)]
    assert f"{picky}: windows share no work: " in notice.message
    way_out = "leave one_graph out" if asked else "whole windows go to the GPU, which takes longer"
    assert notice.message.endswith(f": {way_out}")
    assert classifier.one_pass is None
    assert "\n" not in notice.message
    assert ("out of memory on the device" in notice.message) == (fault == "broken")
    _, expected, _ = hear(whole, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=1e-5)


def test_a_failure_later_on_is_an_error_in_one_line(joined, monkeypatch):
    def fails(self, feeds, shape):
        raise RuntimeError("the device\nwent away")

    monkeypatch.setattr(BoundSession, "run", fails)
    with pytest.raises(ModelError, match=r"fails on \(\d+, \d+\): the device went away"):
        joined.one_pass.logits([Window(0, bursts(WINDOW), WINDOW)])


def test_a_tensor_of_a_needed_name_is_an_error(picky, monkeypatch):
    monkeypatch.setattr("streamclf.model.stem.join_graph.PLACES", "filtered")
    split, model, _, _ = halves(picky)
    with pytest.raises(ModelError, match="has a tensor 'filtered' already"):
        OnePass(split, model, recorded=False)


class Recorder:
    """Notes what a session is asked for."""

    def __init__(self, session):
        self._session, self.runs = session, []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_with_iobinding(self, binding, options):
        self.runs.append((binding, options.get_run_config_entry(bound_session.GRAPH_ID)))
        self._session.run_with_iobinding(binding, options)


def test_buffers_stay_and_no_recording_serves_two(picky):
    session = Recorder(onnxruntime.InferenceSession(picky, providers=["CPUExecutionProvider"]))
    runner = BoundSession(session, "logits", "cpu", recorded=True)
    name = session.get_inputs()[0].name
    random = np.random.default_rng(1)
    answers, kept = [], []
    for size in (2, 3, 2, 2):
        waveforms = random.uniform(-1, 1, (size, WINDOW)).astype(np.float32)
        answer = runner.run({name: waveforms}, (size, len(toys.LABELS)))
        np.testing.assert_array_equal(answer, session.run(None, {name: waveforms})[0])
        answers.append(answer)
        kept.append(answer.copy())
    bindings, numbers = zip(*session.runs, strict=True)
    assert numbers == ("1", "2", "1", "1")
    assert bindings[0] is bindings[2] is bindings[3]
    # What was given out is nobody's buffer.
    np.testing.assert_array_equal(np.concatenate(answers), np.concatenate(kept))
    runner.forget()
    runner.run({name: waveforms}, (2, len(toys.LABELS)))
    assert session.runs[-1][1] == "3"


@pytest.mark.skipif(bool(unavailable_reason("cuda")), reason=f"CUDA: {unavailable_reason('cuda')}")
@pytest.mark.parametrize("one_graph", [False, True])
def test_cuda_gives_the_scores_of_the_cpu(picky, whole, one_graph):
    classifier = Classifier(Model(picky, provider="cuda"), one_graph=one_graph)
    waveform, hop_s = bursts(60_000), 20 * STRIDE / toys.RATE
    _, scores, results = hear(classifier, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    assert not [r for r in results if isinstance(r, Notice)]
    assert (classifier.one_pass is not None) == one_graph
    assert not one_graph or classifier.one_pass._session._recorded
    _, expected, _ = hear(whole, ArraySource(waveform, toys.RATE), hop_s=hop_s)
    np.testing.assert_allclose(scores, expected, atol=2e-2 * np.abs(expected).max())
