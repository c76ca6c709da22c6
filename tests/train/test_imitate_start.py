# ruff: noqa: E402
"""Imitation goes on: from another run of it, or from the layers of a model file."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from graphs import NARROW
from imitating import ears, first, teach, weights_of
from safetensors.torch import load_file, save_file

from export.card.describe_run import _describe_imitation, describe_data
from train.cli.network_command import main as train_network
from train.datasets import open_clips
from train.nets.log_mel import LogMel
from train.nets.pocket_network import WIDTHS, PocketBody
from train.pocket_parts.pretrained_onnx import read_layers
from train.pocket_parts.pretrained_run import read_imitation
from train.run_folder.checkpoint import LAST
from train.run_folder.reproduce import list_commands

__all__ = ["ears", "first", "teach"]

pytestmark = pytest.mark.train


def test_imitation_goes_on_where_another_run_ended(teach, first):
    code, said = teach("--steps", "20", "--start", str(first), "--seed", "2", save="second")
    assert code == 0, said
    assert "after 480 windows" in said
    error = {
        run: [row["error"] for row in json.loads((teach.folder / run / "history.json").read_text())]
        for run in ("first", "second")
    }
    # Its first batches are judged with the first run's heads and scale.
    assert np.mean(error["second"][:5]) < 0.8 * np.mean(error["first"][:5])
    config = json.loads((teach.folder / "second" / "config.json").read_text())
    assert config["earlier_seeds"] == [1]
    third = ["--steps", "2", "--start", str(teach.folder / "second"), "--seed"]
    code, said = teach(*third, "1", save="third")
    assert code == 1
    assert "has heard the mixtures of --seed 1; give another" in said
    assert teach(*third, "3", save="third")[0] == 0
    assert json.loads((teach.folder / "third" / "result.json").read_text())["windows"] == 496
    code, said = teach("--steps", "2", "--seed", "3", "--resume", save="third")
    assert code == 2
    assert "was begun with other earlier_seeds: [1, 2], not None" in said


def test_imitation_goes_on_through_noise_and_says_how_much(teach, narrow_pocket):
    first = ["--steps", "2", "--test-fold", "3"]
    assert teach(*first, save="first")[0] == 0
    start = [*first, "--start", str(teach.folder / "first"), "--seed", "2", "--through-noise"]
    code, said = teach(*start, save="second")
    assert code == 0, said
    assert "after 32 windows" in said
    assert teach(*first, "--seed", "2", "--start", str(teach.folder / "first"), save="x")[0] == 0
    weights, without = weights_of(teach.folder / "second"), weights_of(teach.folder / "x")
    assert not all(torch.equal(value, without[name]) for name, value in weights.items())
    _, about = read_imitation(teach.folder / "second", NARROW)
    assert about["windows_through_noise"] == 16
    assert about["windows_quieter"] == 32
    commands = list_commands({"network": "pocket", "imitation": about})
    assert [command.split()[2] for command in commands] == ["train.imitate"] * 2 + ["train.pocket"]
    assert commands[1].endswith("--steps 2 --batch 8 --seed 2")
    assert "--test-fold 3 --teacher none --start first --through-noise" in commands[1]
    assert "--start" not in commands[0]
    text = _describe_imitation(about)
    assert text.endswith(
        " Most of 32 of these it heard quieter than a pretended YAMNet did, by up to 40 dB. "
        "Most of 16 of these it heard under noise that a pretended YAMNet did not hear."
    )
    code, said = teach(*start[:-1], "--resume", save="second")
    assert code == 2
    assert "was begun with other through_noise: True, not None" in said


def test_imitation_goes_on_from_the_layers_of_a_model_file(teach, ears, capsys):
    code, said = teach("--steps", "2", "--start", ears, "--precision", "bf16-mixed")
    assert code == 0, said
    assert "warning: ears.onnx has learned from esc50: what is held out now may" in said
    # Two steps of a rate that only begins to rise: what the layers say is still the file's.
    body = PocketBody(2, WIDTHS).eval()
    body.load_state_dict(weights_of(teach.folder / "imitation"), strict=False)
    clips = open_clips(teach.data, 16000)
    layers, about = read_layers(ears, PocketBody(1, WIDTHS), clips)
    theirs = PocketBody(2, WIDTHS).eval()
    theirs.load_state_dict(layers, strict=False)
    windows = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (8, 24000))).float()
    fresh = PocketBody(2, WIDTHS).eval()
    with torch.no_grad():
        heard = [net.pooled(LogMel(16000, 640, 400, 64)(windows)) for net in (theirs, body, fresh)]
    alike = torch.corrcoef(torch.stack([part.flatten() for part in heard]))[0]
    assert alike[1] > 0.7
    assert abs(alike[2]) < 0.3
    config = json.loads((teach.folder / "imitation" / "config.json").read_text())
    assert config["layers_of"] == json.loads(json.dumps(about))
    assert config["commands"][0].endswith("--start ears.onnx --steps 2 --batch 8 --seed 1 "
                                          "--precision bf16-mixed")  # fmt: skip

    pocket = ["--data", str(teach.data), "--threads", "1", "--test-fold", "3", "--last-layer"]
    pocket += ["--accelerator", "cpu", "--start", str(teach.folder / "imitation")]
    assert train_network("pocket", [*pocket, "--save", str(teach.folder / "named")]) == 0
    assert "warning: ears.onnx has learned from esc50" in capsys.readouterr().err
    named = json.loads((teach.folder / "named" / "config.json").read_text())
    assert named["layers_of"]["name"] == "ears"
    assert "layers_of" not in named["imitation"]
    text = describe_data(named)
    assert "It began with the layers of ears, version " in text
    assert "says of 16 windows" in text
    again = ["--steps", "2", "--start", str(teach.folder / "imitation"), "--seed", "2"]
    assert teach(*again, save="second")[0] == 0
    _, about = read_imitation(teach.folder / "second", WIDTHS)
    assert about["layers_of"] == config["layers_of"]
    code, said = teach("--steps", "2", "--start", "nothing.onnx", save="third")
    assert code == 1
    assert "no such model file" in said


def test_a_run_that_was_taught_other_things_lends_its_layers(teach, first):
    checkpoint = first / LAST
    kept = {k: v for k, v in load_file(checkpoint).items() if "hints.layer6" not in k}
    save_file(kept, checkpoint)
    start = ["--steps", "1", "--start", str(first), "--seed", "2"]
    code, said = teach(*start, save="second")
    assert code == 0
    (line,) = [line for line in said.splitlines() if "was taught" in line]
    assert line.endswith("first: was taught other things than this version teaches; its layers "
                         "go on, what is read from them begins anew")  # fmt: skip
    before, after = (weights_of(teach.folder / run) for run in ("first", "second"))
    name = "layers.0.weight"
    # One step of a rate that only begins to rise.
    torch.testing.assert_close(before[name], after[name], atol=1e-3, rtol=0)
    assert not torch.equal(before[name], after[name])
    error = json.loads((teach.folder / "second" / "history.json").read_text())[0]["error"]
    assert error > json.loads((first / "history.json").read_text())[-1]["error"]


def test_imitation_does_not_go_on_from_a_run_that_heard_its_test_fold(teach, narrow_pocket):
    assert teach("--steps", "2", "--folds", "1,2", "--test-fold", "3", save="first")[0] == 0
    code, said = teach(
        "--steps", "2", "--folds", "1,3", "--test-fold", "2", "--seed", "2",
        "--start", str(teach.folder / "first"), save="second",
    )  # fmt: skip
    assert code == 1
    assert "start from a run with the same options" in said
    assert not (teach.folder / "second").exists()
