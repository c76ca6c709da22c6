# ruff: noqa: E402
"""`train.imitate` with a teacher that is only pretended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from filelock import FileLock
from safetensors.torch import load_file

from export.graph.prune import prune
from streamclf.core.card import METADATA_KEY
from train.imitate import main
from train.nets.pocket_network import WIDTHS, WINDOW_SAMPLES, PocketNet
from train.nets.yamnet import N_OUTPUTS, N_SCORES


class PretendYamnet:
    """Knows how loud a window is in a few bands, and says so in as many ways as YAMNet does."""

    def __init__(self, path: Path) -> None:
        self.about = {"name": "a pretended YAMNet", "file": path.name, "sha256": "0"}
        ways = np.random.default_rng(7).normal(size=(8, N_OUTPUTS))
        self._ways = ways.astype(np.float32)

    def predict(self, waveforms: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(waveforms)) ** 2
        bands = np.log1p(np.stack([b.sum(axis=1) for b in np.array_split(power, 8, axis=1)], 1))
        said = bands @ self._ways
        said[:, -N_SCORES:] = 1 / (1 + np.exp(-said[:, -N_SCORES:] / 10))
        return said.astype(np.float32)


@pytest.fixture
def ears(make_graph, tmp_path) -> str:
    """A model file of pocket's own layers, which have learned from ESC-50."""
    torch.manual_seed(1)
    network = PocketNet(3, WIDTHS).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)  # a file leaves out what adds nothing
    graph = prune(make_graph(network, WINDOW_SAMPLES, "logits"))
    card = {"name": "ears", "labels": ["a", "b", "c"], "sample_rate": 16000, "version": "9",
            "window_samples": WINDOW_SAMPLES, "training_data": "esc50, fold 1"}  # fmt: skip
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(card)
    (tmp_path / "ears.onnx").write_bytes(graph.SerializeToString())
    return str(tmp_path / "ears.onnx")


@pytest.fixture
def teach(monkeypatch, make_esc, tmp_path, capsys):
    """Run the command with a teacher that is only pretended."""
    monkeypatch.setattr("train.imitate.Yamnet", PretendYamnet)
    monkeypatch.setattr("train.pocket_parts.imitation.Yamnet", PretendYamnet)
    # What a few dozen batches can teach: how loud windows are that differ in that.
    monkeypatch.setattr("train.audio.mixtures.PEAK_DB", (-40.0, 0.0))
    monkeypatch.setattr("train.audio.mixtures.QUIET_SHARE", 0.0)
    # As many as tell that it was measured.
    monkeypatch.setattr("train.imitate.N_TEST_BATCHES", 4)
    labelled = make_esc(folds=3, per_class=1)

    def run(*arguments: str, save: str = "imitation", data: bool = True) -> tuple[int, str]:
        given = ["--data", str(labelled)] if data else []
        given += ["--teacher", "none", "--batch", "8", "--threads", "1"]
        given += ["--accelerator", "cpu", "--save", str(tmp_path / save), *arguments]
        code = main(given)
        return code, "".join(capsys.readouterr())

    run.data, run.folder = labelled, tmp_path
    return run


@pytest.fixture
def first(narrow_pocket, teach, shared_folder):
    """The folder of a run of 40 batches, learned once for all workers of the session."""
    kept, path = shared_folder / "first-imitation", teach.folder / "first"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            assert teach("--steps", "40", save="first")[0] == 0
            shutil.copytree(path, kept)
    shutil.copytree(kept, path, dirs_exist_ok=True)
    return path


def weights_of(run: Path) -> dict:
    return load_file(run / "weights.safetensors")


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
