import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.errors import ModelError
from streamclf.core.records import Gap, Notice, Scores, Window
from streamclf.model.classifier import Classifier, activate, classify, stack
from streamclf.model.model_file import Model
from streamclf.model.options import CardOptions


def test_activate_softmax_with_temperature():
    logits = np.array([[1.0, 2.0, 4.0]], dtype=np.float32)
    powers = np.exp(logits / 2)
    np.testing.assert_allclose(activate(logits, "softmax", 2.0), powers / powers.sum(), rtol=1e-6)


def test_activate_does_not_overflow():
    logits = np.array([[1e4, -1e4, 0]], dtype=np.float32)
    np.testing.assert_allclose(activate(logits, "softmax"), [[1, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(activate(logits, "sigmoid"), [[1, 0, 0.5]], atol=1e-7)
    assert activate(logits, "none") is logits


@given(kinds=st.lists(st.sampled_from("wgn"), max_size=20), batch_size=st.integers(1, 6))
def test_classify_keeps_the_order_of_everything(kinds, batch_size):
    items = []
    for i, kind in enumerate(kinds):
        if kind == "w":
            items.append(Window(i, np.full(2, i, dtype=np.float32), 2))
        else:
            items.append(Gap(i, 1, 1, "test") if kind == "g" else Notice(i, 1, "test"))
    sizes = []

    def score(windows):
        sizes.append(len(windows))
        return stack(windows)

    out = list(classify(items, score, batch_size))
    assert [item.position for item in out] == list(range(len(kinds)))
    assert all(
        (type(a) is type(b)) or isinstance(b, Scores) for a, b in zip(items, out, strict=True)
    )
    assert all(s.values[0] == s.position for s in out if isinstance(s, Scores))
    assert max(sizes, default=1) <= batch_size


def test_classify_fills_batches(tone_model):
    items = [Window(i, np.zeros(2, dtype=np.float32), 2) for i in range(10)]
    sizes = []

    def score(windows):
        sizes.append(len(windows))
        return stack(windows)

    list(classify(items, score, 4))
    assert sizes == [4, 4, 2]


def test_classifier_scores_do_not_depend_on_the_batch(tone_model):
    classifier = Classifier(Model(tone_model, provider="cpu"))
    waves = np.random.default_rng(1).uniform(-1, 1, (9, toys.WINDOW)).astype(np.float32)
    alone = np.concatenate([classifier.score(wave[None]) for wave in waves])
    np.testing.assert_allclose(classifier.score(waves), alone, atol=1e-6)


def test_classifier_names_a_graph_that_fails_on_its_own_window(tmp_path):
    path = toys.write_tone_detector(
        tmp_path / "m.onnx", toys.toy_card(window_samples=100), shape=("b", "n")
    )
    with pytest.raises(ModelError, match="the graph fails on a window of 100 samples"):
        Classifier(Model(path, provider="cpu"))


@pytest.mark.data
def test_classifier_runs_yamnet_shaped_label_files(data_dir, tone_model):
    labels = data_dir / "teachers" / "yamnet_class_map.csv"
    from streamclf.core.labels import read_labels

    assert len(read_labels(labels)) == 521
    assert CardOptions(labels).given


def test_last_batch_is_filled_up_where_each_shape_costs(tone_model, monkeypatch):
    classifier = Classifier(Model(tone_model, provider="cpu"))
    waves = np.random.default_rng(1).uniform(-1, 1, (5, toys.WINDOW)).astype(np.float32)
    expected = classifier.score(waves)
    sizes = []
    run = classifier._run_batch
    monkeypatch.setattr(classifier, "_run_batch", lambda s, w: (sizes.append(len(w)), run(s, w))[1])
    classifier.score(waves)
    classifier.model.provider = "cuda"
    for n_windows in (1, 4, 5):
        given = classifier.score(waves[:n_windows])
        np.testing.assert_allclose(given, expected[:n_windows], atol=1e-6)
    assert sizes == [5, 1, 4, 8]
