"""Graphs cut in memory: wrong stems are noticed, weights held once, and what is told of it."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import onnx
import pytest
import toys
from live_runs import PATIENCE_S
from onnx import TensorProto
from picky import WINDOW, bursts, hear

from streamclf.core.card import METADATA_KEY, Stem, parse_card
from streamclf.core.records import Notice
from streamclf.model.classifier import WHOLE_FIRST, Classifier
from streamclf.model.model_file import Model
from streamclf.model.stem import cut_graph
from streamclf.sources.array import ArraySource

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


def test_a_graph_is_cut_without_the_library_onnx(picky, write_wav):
    clip = write_wav(bursts(6 * toys.RATE))
    code = (
        "import sys; from streamclf.cli.main import run; code = run(sys.argv[1:]);"
        "assert 'streamclf.model.stem.cut_graph' in sys.modules;"
        "assert 'onnx' not in sys.modules;"
        "from streamclf.model.onnx_messages import load_messages; own = load_messages();"
        "import onnx; assert onnx.ModelProto is own.ModelProto;"
        "assert onnx.load(sys.argv[4]).graph.node[0].__class__ is own.NodeProto; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "file", clip, "--model", picky, "--hop", "0.1"]
    subprocess.run([*map(str, command)], check=True, capture_output=True)


def test_weights_beside_the_file_come_along(picky, tmp_path):
    expected = Classifier(Model(picky, provider="cpu"))
    path = tmp_path / "outside" / "m.onnx"
    path.parent.mkdir()
    onnx.save_model(
        onnx.load(picky), path, save_as_external_data=True, location="weights", size_threshold=200
    )
    classifier = Classifier(Model(path, provider="cpu"))
    waveforms = np.stack([bursts(WINDOW, seed) for seed in range(3)])
    assert classifier.split() is not None
    np.testing.assert_allclose(classifier.score(waveforms), expected.score(waveforms), atol=1e-5)


def test_the_first_part_holds_what_its_tensor_needs_and_nothing_else(picky):
    graph = cut_graph.load_graph(picky)
    weights = {tensor.name for tensor in graph.graph.initializer}
    part = cut_graph.cut_stem(graph, Stem("filtered", 40, 1)).graph
    assert [node.op_type for node in part.node][-2:] == ["Conv", "Relu"]
    held = {tensor.name for tensor in part.initializer}
    assert held == weights - {"second", "weights", "row"}
    assert [value.name for value in (*part.input, *part.output)] == ["waveform", "filtered"]


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
    told = streamclf("info", "--all", picky).out
    assert "up to tensor 'pooled': 7 frames a window, windows every 40 samples (0.005 s)" in told
    card = toys.toy_card(stem_note="Conv 'first' pads")
    told = streamclf("info", "--all", toys.write_tone_detector(tmp_path / "m.onnx", card)).out
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
        go_on.wait(PATIENCE_S)

    monkeypatch.setattr(classifier.model, "release", release_slowly)
    with ThreadPoolExecutor(2) as pool:
        cut = pool.submit(classifier.split)
        assert released.wait(PATIENCE_S)
        scored = pool.submit(classifier.score, waveforms)
        go_on.set()
        np.testing.assert_allclose(scored.result(PATIENCE_S), expected, atol=1e-5)
        assert cut.result(PATIENCE_S) is not None
