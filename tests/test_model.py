import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import toys
from onnx import TensorProto, helper

from streamclf.core.card import Threshold, Thresholds, format_card
from streamclf.core.errors import CardError, ModelError
from streamclf.core.labels import read_labels
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, bundled_models, find_model, portable_model_name
from streamclf.model.options import CardOptions

LOUD = toys.tone(1000, 1.5)


def best_label(path, options=None, **keywords) -> str:
    classifier = Classifier(Model(path, provider="cpu", options=options, **keywords))
    scores = classifier.score(LOUD[None])
    assert scores.shape == (1, 4)
    assert scores.sum() == pytest.approx(1)
    return classifier.card.labels[scores[0].argmax()]


@pytest.mark.parametrize(
    "shape",
    [
        ("batch", toys.WINDOW),
        ("batch", "samples"),
        ("batch", 1, toys.WINDOW),
        ("batch", 1, "samples"),
        (toys.WINDOW,),
        ("samples",),
        (1, toys.WINDOW),
        (4, 1, toys.WINDOW),
    ],
)
def test_model_recognises_the_shape_of_its_input(tmp_path, shape):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(), shape=shape)
    assert best_label(path) == "middle"
    classifier = Classifier(Model(path, provider="cpu"))
    waves = np.stack([toys.tone(hz, 1.5) for hz in [440, 2500, 440, 1000, 2500, 1000, 440]])
    found = [classifier.card.labels[i] for i in classifier.score(waves).argmax(axis=1)]
    assert found == ["low", "high", "low", "middle", "high", "middle", "low"]


def test_model_takes_half_precision(tmp_path):
    path = toys.write_tone_detector(
        tmp_path / "m.onnx", toys.toy_card(), element=TensorProto.FLOAT16
    )
    assert best_label(path) == "middle"


@pytest.mark.parametrize(
    ("shape", "element", "words"),
    [
        (("batch", 2, 100), TensorProto.FLOAT, "has shape ['batch', 2, 100]"),
        (("batch", 1, 1, 100), TensorProto.FLOAT, "a waveform is (batch, samples)"),
        (("batch", 100), TensorProto.INT64, "takes tensor(int64)"),
    ],
)
def test_model_of_the_wrong_shape_is_refused(tmp_path, shape, element, words):
    inputs = [helper.make_tensor_value_info("waveform", element, shape)]
    outputs = [helper.make_tensor_value_info("logits", element, shape)]
    nodes = [helper.make_node("Identity", ["waveform"], ["logits"])]
    graph = helper.make_graph(nodes, "wrong", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        Model(tmp_path / "m.onnx", provider="cpu")
    assert words in str(caught.value)


def test_model_with_two_inputs_is_refused(tmp_path):
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("b", 9)) for n in "xyz"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["z"])], "two", infos[:2], infos[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="has 2 inputs, a streamclf model has one"):
        Model(tmp_path / "m.onnx", provider="cpu")


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x00" * 5000])
def test_model_that_is_no_onnx_is_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"is no ONNX model that runs here|the file is empty") as e:
        Model(path, provider="cpu")
    assert "\n" not in str(e.value)


def test_model_without_a_card_says_what_is_missing(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", shape=("batch", "samples"))
    with pytest.raises(CardError) as caught:
        Model(path, provider="cpu")
    assert "m.json is not beside it" in str(caught.value)
    assert "give --labels --sample-rate --window" in str(caught.value)


def test_model_without_a_card_takes_the_window_from_its_input(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    with pytest.raises(CardError, match=r"give --labels --sample-rate$"):
        Model(path, provider="cpu")


LABELS_TEXT = "\n".join(toys.LABELS)


def labels_file(tmp_path, text=LABELS_TEXT, name="labels.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("final", [None, "Softmax"])
def test_model_without_a_card_runs_with_options(tmp_path, final):
    path = toys.write_tone_detector(
        tmp_path / "m.onnx", shape=("samples",), output="scores", final=final
    )
    options = CardOptions(labels_file(tmp_path), toys.RATE, 1.5)
    assert best_label(path, options) == "middle"
    card = Model(path, provider="cpu", options=options).card
    assert (card.name, card.window_samples) == ("m", toys.WINDOW)
    # Its own softmax is seen in the graph: a second one would flatten the scores.
    assert card.activation == ("none" if final else "softmax")


def test_model_without_a_card_reads_the_sidecar(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    (tmp_path / "m.json").write_text(format_card(toys.toy_card(name="beside")))
    assert Model(path, provider="cpu").card.name == "beside"
    (tmp_path / "m.json").write_text(json.dumps({"name": "beside"}))
    with pytest.raises(CardError, match=r"m\.json: the model card is not valid"):
        Model(path, provider="cpu")


def write_sidecar(tmp_path, **changes):
    card = json.loads(format_card(toys.toy_card(name="beside")))
    del card["activation"]
    (tmp_path / "m.json").write_text(json.dumps({**card, **changes}))


@pytest.mark.parametrize("final", [None, "Softmax"])
def test_sidecar_without_an_activation_follows_the_graph(tmp_path, final):
    """A second softmax would flatten every score: 0.67 becomes 0.37."""
    path = toys.write_tone_detector(tmp_path / "m.onnx", final=final)
    write_sidecar(tmp_path)
    model = Model(path, provider="cpu")
    assert model.card.activation == ("none" if final else "softmax")
    assert ("the graph ends in one" in model.notice) == bool(final)
    scores = Classifier(model).score(LOUD[None])[0]
    assert scores[toys.LABELS.index("middle")] == pytest.approx(2 / 3, abs=0.02)


def test_sidecar_that_names_an_activation_is_believed(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", final="Softmax")
    write_sidecar(tmp_path, activation="none")
    model = Model(path, provider="cpu")
    assert (model.card.activation, model.notice) == ("none", "")


def test_sidecar_of_several_labels_at_once_needs_no_activation(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    write_sidecar(tmp_path, task="multi-label")
    assert Model(path, provider="cpu").card.activation == "sigmoid"


def test_graph_of_two_outputs_is_judged_by_the_one_that_is_read(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    graph = onnx.load(path)
    graph.graph.node.append(helper.make_node("Softmax", ["logits"], ["scores"]))
    info = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 4))
    graph.graph.output.insert(0, info)
    onnx.save(graph, path)
    write_sidecar(tmp_path)
    model = Model(path, provider="cpu")
    assert (model.output_name, model.card.activation) == ("logits", "softmax")


def test_model_options_override_the_card(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card())
    options = CardOptions(labels_file(tmp_path, "leise\ntief\nmittel\nhoch\n"))
    assert best_label(path, options) == "mittel"


def test_model_options_that_contradict_the_graph_are_refused(tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card())
    with pytest.raises(CardError, match="takes windows of 12000 samples, the card says 8000"):
        Model(path, provider="cpu", options=CardOptions(window_s=1.0))
    with pytest.raises(CardError, match="gives 4 scores, the card names 3 labels"):
        Classifier(
            Model(path, provider="cpu", options=CardOptions(labels_file(tmp_path, "a\nb\nc")))
        )


def test_model_options_that_contradict_the_card_are_refused(tmp_path):
    card = toys.toy_card(thresholds=Thresholds(classes={"low": Threshold(0.9, 0.8)}))
    path = toys.write_tone_detector(tmp_path / "m.onnx", card)
    with pytest.raises(CardError, match="what was said of the model does not fit"):
        Model(path, provider="cpu", options=CardOptions(labels_file(tmp_path, "a\nb\nc\nd")))


def test_read_labels_from_text_and_csv(tmp_path):
    assert read_labels(labels_file(tmp_path, "\ufeffa b\r\n\r\nc\r\n")) == ["a b", "c"]
    table = 'index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/05zppz,"Male speech, man speaking"\n'
    assert read_labels(labels_file(tmp_path, table, "map.csv")) == [
        "Speech",
        "Male speech, man speaking",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.csv", b"a,b\n1,2\n", "has the columns a, b"),
        ("labels.csv", b"", "has the columns (none)"),
        ("labels.txt", b"\xff\xfe\xff", "is not UTF-8 text"),
    ],
)
def test_read_labels_says_what_is_wrong(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CardError) as caught:
        read_labels(path)
    assert words in str(caught.value)


def test_read_labels_that_are_missing(tmp_path):
    with pytest.raises(CardError, match="cannot be read: no such file"):
        read_labels(tmp_path / "none.txt")


def test_find_model_takes_files_and_bundled_names(tmp_path, tone_model):
    assert find_model(str(tone_model)) == tone_model
    assert find_model("pocket") == bundled_models()["pocket"]
    with pytest.raises(
        ModelError, match=r"nope\.onnx: no such model file, and no bundled .*pocket"
    ):
        find_model("nope.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("made", [Path.mkdir, Path.touch])
def test_a_bare_name_is_a_bundled_models_whatever_lies_here(
    tmp_path, tone_model, monkeypatch, made
):
    monkeypatch.chdir(tmp_path)
    bundled = bundled_models()
    for name in ("pocket", "esc10", "mine"):
        made(tmp_path / name)
    assert find_model("pocket") == bundled["pocket"]
    with pytest.raises(
        ModelError,
        match=r"^mine: no bundled model of that name \(pocket, wide\); "
        r"a file is named with its folder, as in \./mine, or ends in \.onnx",
    ):
        find_model("mine")
    if made is Path.touch:
        assert find_model("./pocket") == find_model(Path("pocket")) == Path("pocket")
    (tmp_path / "pocket.ONNX").write_bytes(tone_model.read_bytes())
    assert find_model("pocket.ONNX") == Path("pocket.ONNX")


@pytest.mark.parametrize("name", ["esc10", "pocket-esc10"])
def test_a_model_that_is_no_longer_bundled_says_what_to_take(name):
    with pytest.raises(ModelError, match=f"^{name}: is no longer bundled: take wide, which"):
        find_model(name)


def test_a_name_is_kept_so_that_another_folder_gives_no_other_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert portable_model_name("pocket") == "pocket"
    assert portable_model_name("my/x.onnx") == str(tmp_path / "my" / "x.onnx")
    assert portable_model_name("x.onnx") == str(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("node", "output", "words"),
    [
        (None, None, "the graph's output is none, a streamclf model gives numbers"),
        (
            helper.make_node("ArgMax", ["all"], ["best"], axis=1),
            TensorProto.INT64,
            "'best' of type",
        ),
    ],
)
def test_model_without_numbers_to_give_is_refused(tmp_path, node, output, words):
    model = onnx.load(
        toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(), final="Softmax")
    )
    del model.graph.output[:]
    if node is not None:
        model.graph.node.append(node)
        model.graph.output.append(helper.make_tensor_value_info("best", output, None))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        Model(tmp_path / "m.onnx", provider="cpu")
    assert words in str(caught.value)


def test_regression_model_gives_its_value(tmp_path):
    path = toys.write_loudness_meter(tmp_path / "m.onnx")
    classifier = Classifier(Model(path, provider="cpu"))
    (value,) = classifier.score(LOUD[None])
    assert value == pytest.approx(0.3**2 / 2, rel=1e-3)


@pytest.mark.parametrize(("limit", "asked", "expected"), [(10**9, 0, 1), (1, 0, 0), (10**9, 3, 3)])
def test_a_small_model_runs_on_one_thread_unless_told(
    limit, asked, expected, tone_model, monkeypatch
):
    monkeypatch.setattr("streamclf.model.model_file.SMALL_BYTES", limit)
    monkeypatch.setattr("streamclf.model.model_file.count_limited_cores", lambda: 0)
    assert Model(tone_model, provider="cpu", n_threads=asked).n_threads == expected


def test_a_large_model_takes_no_more_threads_than_this_process_may(tone_model, monkeypatch):
    """ONNX Runtime would count the machine's processors, whatever share of them a container has."""
    monkeypatch.setattr("streamclf.model.model_file.SMALL_BYTES", 1)
    monkeypatch.setattr("streamclf.model.model_file.count_limited_cores", lambda: 2)
    assert Model(tone_model, provider="cpu").n_threads == 2
    assert Model(tone_model, provider="cpu", n_threads=3).n_threads == 3


def test_weights_beside_the_file_count(tone_model, tmp_path, monkeypatch):
    loaded = onnx.load(tone_model)
    path = tmp_path / "m.onnx"
    onnx.save_model(
        loaded, path, save_as_external_data=True, location="m.weights", size_threshold=200
    )
    beside = (tmp_path / "m.weights").stat().st_size
    assert beside > path.stat().st_size
    for limit, small in [(beside, False), (beside + 2 * path.stat().st_size, True)]:
        monkeypatch.setattr("streamclf.model.model_file.SMALL_BYTES", limit)
        assert Model(path, provider="cpu").small is small


def test_a_model_is_named_by_a_string_or_a_path(tone_model, tmp_path, monkeypatch):
    assert Model("pocket", provider="cpu").path == bundled_models()["pocket"]
    assert Model(str(tone_model), provider="cpu").path == tone_model
    assert find_model(tone_model) == tone_model
    with pytest.raises(ModelError, match="no bundled model of that name"):
        Model("nope")


def test_labels_are_named_by_a_string_or_a_path(tmp_path):
    path = toys.write_tone_detector(tmp_path / "bare.onnx")
    names = labels_file(tmp_path, "a\nb\nc\nd")
    cards = [
        Model(path, provider="cpu", options=CardOptions(given, toys.RATE, 1.5)).card
        for given in (names, str(names))
    ]
    assert cards[0] == cards[1]
