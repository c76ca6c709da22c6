# ruff: noqa: E402
"""What every network must do, found by itself: a new file in ``train/`` is in here at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime
from cases import CASES, SYSTEMS, make_clips
from filelock import FileLock

from export.__main__ import main as export_main
from streamclf.cli.main import run as streamclf
from streamclf.core.card import METADATA_KEY, parse_card
from streamclf.core.records import Window
from streamclf.model.classifier import Classifier, stack
from streamclf.model.model_file import Model
from streamclf.model.stem.one_pass import OnePass
from streamclf.model.stem.shared_frames import SharedStream
from train import envnet, envnetv2, wavemsnet
from train.datasets.prepared import REGRESSION
from train.evaluation.plots import draw_run
from train.nets.contract import find_system
from train.nets.inference import run_windows
from train.run_folder.learned_filters import FilterHistory
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


class Made:
    """A network of one case, with a batch to learn."""

    def __init__(self, case: str) -> None:
        self.case = case
        system_type, recipe = CASES[case]
        self.system = system_type(recipe)
        self.clips = make_clips(self.system)
        torch.manual_seed(1)
        self.network = self.system.build(len(self.clips.labels))

    def batch(self, n_batch=2):
        training_data = self.system.training_data(self.network, self.clips, torch.device("cpu"))
        return self.system.batch(training_data, np.arange(n_batch), np.random.default_rng(1))

    def write_run(self, folder: Path) -> None:
        """As training leaves it, without the training."""
        folder.mkdir()
        run = RunFolder(folder)
        config = {
            "format": 1,
            "network": self.system.name,
            "title": self.system.title,
            "task": self.system.task,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "labels": list(self.clips.labels),
            "sample_rate": self.system.sample_rate,
            "window_samples": self.system.window_samples,
            "recipe": self.system.recipe.as_json(),
            "seed": 1,
            "data": {
                "name": "tones",
                "licence": "CC0 1.0",
                "citation": "nobody",
                "folds": [1, 2],
                "test_fold": 0,
                "clips": 4,
            },
        }
        run.write_json("config.json", config)
        run.write_tensors("weights.safetensors", self.network.state_dict())


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Hidden layers of 64: as published they make files of up to 400 MB, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (envnet, envnetv2, wavemsnet):
            patch.setattr(module, "N_HIDDEN", 64)
        yield


@pytest.fixture(scope="module", params=CASES)
def made(request):
    return Made(request.param)


@pytest.fixture(scope="module")
def model(made, shared_folder):
    """The case's model file, which one worker exports, and those use that share the case."""
    folder = shared_folder / "contract" / made.case.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    made.network.eval()
    with FileLock(folder / "lock"):
        if not path.exists():
            made.write_run(folder / "run")
            assert export_main([str(folder / "run"), "-o", str(path)]) == 0
            (folder / "run" / "weights.safetensors").unlink()
    return path


def test_every_network_is_under_contract():
    names = {system.name for system in SYSTEMS}
    assert names >= set("envnet envnetv2 wavemsnet wavemxnet melcnn digits cough pocket".split())
    for system in SYSTEMS:
        assert find_system(system.name) is system
        assert system.__module__ == f"train.{system.name}"
        assert system.default_recipe() in system.variants().values()


def test_network_gives_an_output_a_window(made):
    network = made.network.eval()
    random = torch.Generator().manual_seed(1)
    waveform = torch.rand(3, made.system.window_samples, generator=random) - 0.5
    with torch.inference_mode():
        together = network(torch.cat([waveform, 0 * waveform[:1]]))
        alone = network(waveform[1:2])
    assert together.shape == (4, len(made.clips.labels))
    assert torch.isfinite(together).all()
    torch.testing.assert_close(alone, together[1:2], atol=1e-4, rtol=0)
    if made.system.task == REGRESSION:
        assert ((together >= 0) & (together <= 1)).all()


def test_recipe_survives_json(made):
    fields = json.loads(json.dumps(made.system.recipe.as_json()))
    assert made.system.recipe_type.from_json(fields) == made.system.recipe


def test_batch_is_what_its_seed_says(made):
    inputs, labels = made.batch(4)
    again, same_labels = made.batch(4)
    assert torch.equal(inputs, again)
    assert torch.equal(labels, same_labels)
    assert inputs.dtype == labels.dtype == torch.float32
    assert labels.shape == (4, len(made.clips.labels))
    if made.system.task == REGRESSION:
        torch.testing.assert_close(labels[:, 0], torch.tensor([0, 0.9, 0, 0.9]))
    else:
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(4))


def test_whole_network_hears_clips_of_any_length(made):
    heard = run_windows(made.network, made.clips.take([0, 2]), made.system.window_samples)
    assert set(heard.clip) == {0, 1}
    assert np.isfinite(heard.logits).all()


def test_crops_are_windows(made):
    for n_samples in (1, made.system.window_samples // 3, made.system.window_samples * 3):
        crops = made.system.crops(np.ones(n_samples, dtype=np.float32))
        assert {crop.shape for crop in crops} == {(made.system.window_samples,)}
        assert any(crop.any() for crop in crops)


def test_a_network_trained_on_whole_short_clips_is_given_zeros_when_it_listens(made, model):
    """One crop a clip, zeros beside a short one: that is what it learned short sounds as."""
    short = np.ones(made.system.window_samples // 3, dtype=np.float32)
    crops = made.system.crops(short)
    whole_clips = len(crops) == 1 and np.count_nonzero(crops[0]) == len(short)
    assert made.system.fill == ("zeros" if whole_clips else "mirror")
    assert Model(model).card.fill == made.system.fill


def test_exported_graph_says_what_the_network_says(made, model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(2)
    for n_batch, level in ((1, 0.5), (3, 0.01)):
        waveform = random.uniform(-level, level, (n_batch, made.system.window_samples))
        waveform = waveform.astype(np.float32)
        (given,) = session.run(None, {"waveform": waveform})
        with torch.inference_mode():
            expected = made.network.eval()(torch.from_numpy(waveform)).numpy()
        np.testing.assert_allclose(given, expected, atol=1e-4, rtol=0)


def test_card_says_what_the_network_is(made, model):
    entries = {p.key: p.value for p in onnx.load(model).metadata_props}
    card = parse_card(entries[METADATA_KEY], model.name)
    system = made.system
    assert (card.sample_rate, card.window_samples) == (system.sample_rate, system.window_samples)
    assert card.labels == list(made.clips.labels)
    assert card.task == system.task
    assert card.activation == ("none" if system.task == REGRESSION else "softmax")
    assert system.name in card.description
    assert system.card_note() in card.description
    assert "tones" in card.training_data


SHARE = {"digits", "envnet", "envnetv2", "pocket"}
"""Networks whose first layers do not pad; the others must say why their windows share nothing."""


def test_windows_share_their_stem_exactly_or_the_card_says_why_not(made, model):
    entries = {p.key: p.value for p in onnx.load(model).metadata_props}
    card = parse_card(entries[METADATA_KEY], model.name)
    assert card.stem_note
    assert (card.stem is not None) == (made.system.name in SHARE)
    if card.stem is None:
        assert "pads: its frames know" in card.stem_note or "takes the whole" in card.stem_note
        return
    rate, window, stride = card.sample_rate, card.window_samples, card.stem.stride
    random = np.random.default_rng(3)
    levels = np.repeat(10 ** random.uniform(-4, -0.3, 30), window // 15)
    waveform = (random.uniform(-1, 1, levels.size) * levels).astype(np.float32)
    classifier = Classifier(Model(model, provider="cpu"))
    hop = max(1, round(0.05 * rate / stride)) * stride
    starts = range(0, waveform.size - window + 1, hop)
    windows = [Window(k, waveform[k : k + window], window) for k in starts]
    whole = classifier._run(stack(windows))
    split = classifier.split()
    assert classifier.take_notice() == ""
    stream = SharedStream(split, window)
    shared = np.concatenate([stream.logits(windows[:5]), stream.logits(windows[5:])])
    np.testing.assert_allclose(shared, whole, atol=1e-5, rtol=1e-5)
    # As on a GPU: audio in, in one graph.
    one_pass = OnePass(split, classifier.model, recorded=False)
    np.testing.assert_allclose(one_pass.logits(windows), whole, atol=1e-5, rtol=1e-5)


def test_streamclf_runs_the_exported_model(made, model, tmp_path):
    rate = made.system.sample_rate
    time = np.arange(7 * rate) / rate
    soundfile.write(tmp_path / "sound.wav", 0.3 * np.sin(2 * np.pi * 440 * time), rate)
    scores = tmp_path / "scores.csv"
    arguments = ["file", tmp_path / "sound.wav", "--model", model, "--scores", scores]
    output = ["--output", tmp_path / "events.jsonl", "--threshold", "0", "--hop", "1"]
    assert streamclf([str(argument) for argument in arguments + output]) == 0
    seconds = made.system.window_samples / rate
    assert len(scores.read_text().splitlines()) - 1 == np.ceil(7 - seconds) + 1
    assert (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize("system_type", SYSTEMS, ids=lambda system_type: system_type.name)
def test_pictures_of_its_runs_are_drawn(system_type, tmp_path):
    system, run = system_type(), RunFolder(tmp_path)
    is_regression = system.task == REGRESSION
    network = system.build(1 if is_regression else 2)
    run.write_json("config.json", {})
    FilterHistory(system, run, 1, resume=False).record(network, 0)
    row = {"epoch": 1, "loss": 1.0, "held_out_loss": 2.0}
    run.write_json("history.json", [row | {"error" if is_regression else "accuracy": 0.5}])
    draw_run(run, system, network)
    expected = {"losses.png", "errors.png" if is_regression else "accuracies.png", "kernels.png"}
    if system.front_end(network) is not None:
        expected |= {"filters.png", "filters.gif"}
    assert {path.name for path in tmp_path.iterdir() if path.suffix in (".png", ".gif")} == expected


def test_step_lowers_the_loss(made):
    """Last, for it changes the network. A hundredth of the rate: a step, not a leap."""
    system = made.system
    recipe = replace(system.recipe, learning_rate=system.recipe.learning_rate / 100)
    inputs, labels = made.batch()
    trainable = system.trainable(made.network.train())
    optimiser = recipe.optimiser_for(trainable)

    def loss():
        torch.manual_seed(1)  # the same dropout
        return system.loss(trainable(inputs), labels)

    before = loss()
    before.backward()
    optimiser.step()
    with torch.no_grad():
        after = loss()
    assert after < before
