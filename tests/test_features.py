"""Features of windows: the same on every way through the network, and nothing without them."""

import numpy as np
import onnx
import pytest
import toys
from onnx import numpy_helper
from picky import bursts, stand_in

from streamclf.core.card import Features, Unknown
from streamclf.core.errors import CardError, ModelError
from streamclf.core.records import Average, StreamStarted
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.features import digest_features, random_signs
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource

FLAT = Features("flat", 8, 0.5, width=35)
TONES = Features("tones", 3, 0.1)


def picky_card(**changes):
    """The card of the picky network, with features."""
    fields = {
        "window_samples": toys.PICKY_WINDOW, "activation": "none", "stem": toys.PICKY_STEM,
        "name": "picky", "features": FLAT,
    }  # fmt: skip
    return toys.toy_card(**{**fields, **changes})


@pytest.fixture(scope="module")
def picky_file(tmp_path_factory):
    """The picky network, whose card names features."""
    path = tmp_path_factory.mktemp("features") / "picky.onnx"
    return toys.write_picky_network(path, picky_card())


def hear(classifier, audio, **settings):
    """The averages of some audio."""
    engine = Engine(classifier, Settings(average_s=0, **settings))
    source = ArraySource(audio, toys.RATE, name="array")
    return [item for item in engine.run(source) if isinstance(item, StreamStarted | Average)]


def flat_of(path, windows):
    """The tensor of the picky network, asked for at ONNX Runtime itself."""
    import onnxruntime

    model = onnx.load(path)
    model.graph.output.append(onnx.ValueInfoProto(name="flat"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["flat"], {"waveform": windows})[0]


@pytest.mark.parametrize("way", ["whole", "cut", "one graph"])
def test_features_are_those_of_the_whole_graph_on_every_way(picky_file, monkeypatch, way):
    if way == "one graph":
        stand_in(monkeypatch)
    model = Model(picky_file, provider="cpu", live=way == "cut")
    classifier = Classifier(model, features=True, one_graph=way == "one graph")
    if way == "one graph":
        assert classifier.split()
        assert classifier.one_pass
    assert classifier.take_notice() == ""
    audio = bursts(20_000)
    _, *averages = hear(classifier, audio, hop_s=0.1, batch_size=5)
    plain = hear(Classifier(Model(picky_file, provider="cpu")), audio, hop_s=0.1)[1:]
    windows = np.stack([audio[a.position : a.position + toys.PICKY_WINDOW] for a in averages])
    expected = flat_of(picky_file, windows) @ random_signs(35, 8)
    given = np.stack([average.scores.features for average in averages])
    assert given.shape == (len(plain), 8)
    assert np.allclose(given, expected, atol=1e-4)
    assert np.allclose([a.values for a in averages], [p.values for p in plain], atol=1e-5)
    assert all(p.scores.features is None for p in plain)


def test_the_stream_says_what_form_its_features_have(picky_file):
    started = hear(Classifier(Model(picky_file), features=True), bursts(5000))[0]
    assert (started.features.size, started.features.scale) == (8, 0.5)
    assert started.features.window == toys.PICKY_WINDOW
    assert hear(Classifier(Model(picky_file)), bursts(5000))[0].features is None


def test_silence_has_no_features(tmp_path):
    path = toys.write_tone_detector(
        tmp_path / "m.onnx", toys.toy_card(features=TONES, unknown=Unknown(0.4))
    )
    audio = np.concatenate([toys.tone(440, 3), toys.silence(4), toys.tone(1000, 3)])
    averages = hear(Classifier(Model(path), features=True), audio, hop_s=0.5)[1:]
    quiet = [not average.scores.values.any() for average in averages]
    assert any(quiet)
    assert not all(quiet)
    assert [average.scores.features is None for average in averages] == quiet


def test_a_model_that_gives_features_gives_others_their_scores_alone(picky_file):
    model = Model(picky_file)
    with_features, without = Classifier(model, features=True), None
    without = Classifier(model)
    windows = np.stack([bursts(toys.PICKY_WINDOW)])
    assert without.score(windows).shape == with_features.score(windows).shape == (1, 4)
    assert all(a.scores.features is None for a in hear(without, bursts(6000))[1:])


def test_a_card_without_features_is_told_with_a_way_out(tone_model):
    with pytest.raises(ModelError, match=r"names no features.*export\.restate.*--features"):
        Classifier(Model(tone_model), features=True)


def test_a_tensor_that_is_not_there_is_told(tmp_path):
    path = toys.write_picky_network(
        tmp_path / "m.onnx", picky_card(features=Features("gone", 8, 0.5))
    )
    with pytest.raises(ModelError, match="names the features 'gone', which the graph lacks"):
        Classifier(Model(path), features=True)


def test_a_card_with_another_number_of_features_than_the_graph_is_told(tmp_path):
    path = toys.write_picky_network(
        tmp_path / "x.onnx", picky_card(features=Features("flat", 5, 0.1))
    )
    with pytest.raises(CardError, match=r"gives 35 features .*, its card says 5: correct features"):
        Classifier(Model(path), features=True)


def test_the_digest_is_of_what_the_features_are_computed_by_alone(picky_file):
    def digest(change=None, features=FLAT):
        model = onnx.load(picky_file)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        if change:
            values = numpy_helper.to_array(tensors[change]) + np.float32(1)
            tensors[change].CopyFrom(numpy_helper.from_array(values, change))
        return digest_features(model, features)

    assert digest() == digest()
    assert digest("weights") == digest()  # those of the labels
    assert digest("first") != digest()
    assert digest(features=Features("flat", 8, 0.25, width=35)) != digest()


def test_random_signs_are_the_same_everywhere():
    signs = random_signs(7, 4)
    assert (np.sign(signs) > 0).astype(int).tolist() == SIGNS
    assert np.allclose(np.abs(signs), 0.5)


SIGNS = [
    [0, 0, 1, 1],
    [0, 0, 0, 1],
    [0, 1, 1, 1],
    [0, 1, 1, 1],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [1, 1, 1, 0],
]
