# ruff: noqa: E402
"""The options that single networks have, as one types them."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from train import wavemsnet
from train.cli.network_command import main
from train.run_folder.reproduce import list_commands
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Hidden layers of 64 instead of 4,096, and statistics of a single batch."""
    monkeypatch.setattr(wavemsnet, "N_HIDDEN", 64)
    monkeypatch.setattr("train.loop.fit.N_BATCHES", 1)


@pytest.fixture
def train(make_esc, tmp_path):
    """Train a network on a few tones, with the least work."""
    data = make_esc(folds=2, per_class=1, seconds=0.5)

    def run(network, save, *options):
        arguments = ["--data", data, "--save", tmp_path / save, "--accelerator", "cpu"]
        return main(network, [str(a) for a in (*arguments, "--epochs", 1, *options)])

    return run


def recipe_of(folder) -> dict:
    return json.loads((folder / "config.json").read_text())["recipe"]


def test_wavemsnet_phase_2_keeps_the_branches_of_phase_1(train, tmp_path, capsys):
    assert train("wavemsnet", "first", "--front-end", "fixed") == 0
    assert train("wavemsnet", "second", "--phase", 2, "--from", tmp_path / "first") == 0
    first, second = (
        RunFolder(tmp_path / name).read_tensors("weights.safetensors")[0]
        for name in ("first", "second")
    )
    assert first.keys() == second.keys()
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed
    assert not any(name.startswith("branches") for name in changed)
    recipe = recipe_of(tmp_path / "second")
    assert (recipe["phase"], recipe["filters"]) == (2, "fixed")
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["first_run"] == "first"
    commands = list_commands(config)
    assert "--phase 1" in commands[0]
    assert "--phase 2 --from first" in commands[1]
    again = ["--phase", 2, "--from", tmp_path / "first", "--test-fold", 1]
    assert train("wavemsnet", "third", *again) == 2
    assert "both phases take the same, not [2] of esc50" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_wavemsnet_phase_2_needs_a_first_run_of_its_kind(train, tmp_path, capsys):
    assert train("wavemsnet", "second", "--phase", 2) == 2
    assert "--phase 2 needs --from" in capsys.readouterr().err
    assert train("wavemsnet", "second", "--from", tmp_path) == 2
    assert "--phase 1 has no --from" in capsys.readouterr().err
    assert train("digits", "digits", "--max-clips", 3) == 0
    capsys.readouterr()
    assert train("wavemsnet", "second", "--phase", 2, "--from", tmp_path / "digits") == 2
    assert "a run of digits" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()


def test_depth_is_kept_in_the_run(train, tmp_path):
    assert train("wavemxnet", "run", "--depth", 5) == 0
    assert recipe_of(tmp_path / "run")["depth"] == 5
    weights, _ = RunFolder(tmp_path / "run").read_tensors("weights.safetensors")
    assert weights["stem.0.weight"].shape == (128, 1, 80)


def test_best_digits_net_has_its_own_recipe(train, tmp_path):
    assert train("digits", "run", "--net", "best") == 0
    recipe = recipe_of(tmp_path / "run")
    assert (recipe["net"], recipe["optimiser"]) == ("best", "adamw")


def test_melcnn_trains_in_stereo_on_a_random_split(train, tmp_path):
    assert train("melcnn", "run", "--random-split", "--test-fold", 5) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["random_split"]
    assert config["data"]["test_fold"] == 5
