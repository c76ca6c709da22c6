# ruff: noqa: E402
"""Pocket that learns to say under noise what it said without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from export.card.describe_run import describe_data
from train.cli.network_command import main
from train.datasets import open_clips
from train.pocket import Pocket
from train.pocket_parts.networks import make_network
from train.pocket_parts.noise_training import NOISE_TRAINING_RECIPE
from train.pocket_parts.pretrained_run import read_pocket_run
from train.run_folder.reproduce import list_commands
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the first run stays once it is trained."""
    return tmp_path_factory.mktemp("kept") / "plain"


@pytest.fixture
def train(make_esc, tmp_path, capsys, kept, narrow_pocket):
    """Run the command; the first run is ``plain``, trained by labels."""
    data = make_esc(folds=2)

    def run(*arguments: object, save: str) -> tuple[int, str]:
        given = ["--data", data, "--threads", 1, "--accelerator", "cpu", "--test-fold", 2]
        code = main("pocket", [*map(str, [*given, *arguments]), "--save", str(tmp_path / save)])
        return code, capsys.readouterr().err

    if not kept.exists():
        assert run("--epochs", 2, save="plain")[0] == 0
        shutil.copytree(tmp_path / "plain", kept)
    shutil.copytree(kept, tmp_path / "plain", dirs_exist_ok=True)
    run.data, run.folder = data, tmp_path
    return run


def weights_of(run) -> dict:
    return load_file(run / "weights.safetensors")


def test_labels_are_what_it_says_before_noise_is_laid_over(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    plain = {"shift_bands": 0, "colour_db": 0.0, "noise_alone": 0.0, "widest_mels": 0}
    plain |= {"quiet_share": 0.0}
    recipe = replace(Pocket.default_recipe(), **plain, widest_frames=0, noise_share=1.0)
    torch.manual_seed(1)
    network = Pocket(recipe).build(3)
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(8, 24000) - 0.5)  # its running statistics become those of noise
    body = {name: value.clone() for name, value in network.body.state_dict().items()}
    systems = Pocket(recipe), Pocket(replace(recipe, noise_share=0.0))
    for system in systems:
        system.earlier_weights = body
    noisy, clean = (s.training_data(s.build(3), clips, torch.device("cpu")) for s in systems)
    draws = [
        system.batch(training_data, np.arange(6), np.random.default_rng(5))
        for system, training_data in zip(systems, (noisy, clean), strict=True)
    ]
    (heard, said), (without, as_well) = draws
    assert not torch.allclose(heard, without, atol=0.1)
    torch.testing.assert_close(said, as_well)
    network.eval()
    torch.testing.assert_close(said[:, :3], network.body(without).softmax(dim=1))
    torch.testing.assert_close(said[:, 3:], network.body.pooled(without))
    # No label of the clips is left in them.
    assert not torch.isclose(said[:, :3], said[:, :3].round()).any()
    # As it began it says all of it of windows without noise, and less of it through noise.
    hearer = systems[0].trainable(network)
    losses = [systems[0].loss(hearer(features), said).item() for features in (without, heard)]
    assert losses[0] < 1e-5 < 0.01 < losses[1]


def test_noise_alone_has_even_labels_and_asks_nothing_of_channels(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    system = Pocket(replace(Pocket.default_recipe(), noise_alone=1.0))
    network = system.build(3)
    system.earlier_weights = network.body.state_dict()
    training_data = system.training_data(network, clips, torch.device("cpu"))
    features, said = system.batch(training_data, np.arange(6), np.random.default_rng(5))
    torch.testing.assert_close(said[:, :3], torch.full((6, 3), 1 / 3))
    assert said[:, 3:].isnan().all()
    given = system.trainable(network)(features).detach().requires_grad_()
    loss = system.loss(given, said)
    loss.backward()
    assert loss.isfinite()
    assert given.grad[:, :3].abs().max() > 0
    assert given.grad[:, 3:].abs().max() == 0


def test_a_run_goes_on_from_another_and_says_so(train):
    code, said = train("--through-noise", train.folder / "plain", "--epochs", 2, save="noisy")
    assert code == 0, said
    before, after = (weights_of(train.folder / name) for name in ("plain", "noisy"))
    name = "body.output.weight"
    assert not torch.equal(before[name], after[name])
    # It began there: two epochs at a small rate lead less far than to another beginning.
    torch.manual_seed(1)
    fresh = Pocket().build(3).state_dict()
    assert (after[name] - before[name]).norm() < 0.5 * (after[name] - fresh[name]).norm()
    config = json.loads((train.folder / "noisy" / "config.json").read_text())
    assert config["recipe"]["noise_share"] == 0.8
    assert config["through_noise"]["epochs"] == 2
    assert "Then it learned for 2 epochs to say under noise what it said without." in (
        describe_data(config)
    )
    first, second = list_commands(config)
    assert first == "python -m train.pocket --folds 1 --test-fold 2 --epochs 2 --seed 1"
    assert second == first + " --through-noise plain"


def test_the_weights_it_ends_with_are_for_most_those_it_began_with(train):
    arguments = ["--through-noise", train.folder / "plain", "--epochs", 1]
    assert train(*arguments, save="part")[0] == 0
    began, ended = (weights_of(train.folder / name) for name in ("plain", "part"))
    run = RunFolder.open(train.folder / "part")
    config = run.read_json("config.json")
    kept = config["recipe"]["kept_share"]
    assert kept == NOISE_TRAINING_RECIPE["kept_share"] == 0.65
    # The same run with none of them kept; going on with a finished run only ends it anew.
    config["recipe"]["kept_share"] = 0.0
    run.write_json("config.json", config)
    assert train("--resume", save="part")[0] == 0
    whole = weights_of(train.folder / "part")
    name = "body.output.weight"
    assert not torch.equal(whole[name], began[name])
    torch.testing.assert_close(ended[name], whole[name].lerp(began[name], kept))


def test_a_run_of_another_version_is_refused_in_one_line(train):
    shutil.copytree(train.folder / "plain", train.folder / "old")
    weights = weights_of(train.folder / "old")
    weights["body.output.weight"] = weights["body.output.weight"][:, :512].clone()
    save_file(weights, train.folder / "old" / "weights.safetensors")
    code, said = train("--through-noise", train.folder / "old", save="never")
    assert code == 1
    assert "its output.weight is (3, 512), not (3, 1120); train it anew" in said
    assert not (train.folder / "never").exists()


def test_a_run_that_was_interrupted_asks_the_network_it_began_with(train, monkeypatch):
    given = ["--through-noise", train.folder / "plain", "--epochs", 3]
    assert train(*given, save="whole")[0] == 0
    asked = iter([False, True])
    monkeypatch.setattr(
        "train.base.interrupt.Interrupt.was_requested", lambda _: next(asked, False)
    )
    assert train(*given, save="parts")[0] == 130
    assert train("--resume", save="parts")[0] == 0
    whole, parts = (weights_of(train.folder / name) for name in ("whole", "parts"))
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_another_beginning_is_refused_when_a_run_is_resumed(train):
    assert train("--through-noise", train.folder / "plain", "--epochs", 1, save="noisy")[0] == 0
    changed = {name: value * 2 for name, value in weights_of(train.folder / "plain").items()}
    save_file(changed, train.folder / "plain" / "weights.safetensors", {"epoch": "2"})
    code, said = train("--resume", save="noisy")
    assert code == 2
    assert "the run has a teacher, give --through-noise (plain) again" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "x"], "--through-noise learns from its own run: leave --start, --teacher, "),
        (["--teacher", "x"], "leave --start, --teacher, --last-layer out"),
        (["--last-layer"], "leave --start, --teacher, --last-layer out"),
        (["--test-fold", "1"], "plain: has other folds, [1], not [2]; go on with the same ones"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(train, arguments, said):
    code, heard = train("--through-noise", train.folder / "plain", *arguments, save="noisy")
    assert code in (1, 2)
    (line,) = [line for line in heard.splitlines() if line.startswith("error:")]
    assert said in line
    assert not (train.folder / "noisy").exists()


def test_a_run_of_another_network_or_of_other_labels_is_refused(train):
    config = train.folder / "plain" / "config.json"
    content = json.loads(config.read_text())
    for change, expected in (
        ({"network": "envnet"}, "a run of envnet, --through-noise takes one of pocket"),
        ({"labels": ["a", "b", "c"]}, "has other labels, ['a', 'b', 'c'], not ["),
        ({"recipe": {"widths": [1] * 7}}, "has other widths, [1, 1, 1, 1, 1, 1, 1], not [8,"),
    ):
        config.write_text(json.dumps(content | change))
        code, said = train("--through-noise", train.folder / "plain", save="noisy")
        assert code == 1
        assert expected in said


def test_what_named_the_first_clips_is_told_of_the_last(train):
    run = RunFolder.open(train.folder / "plain")
    config = run.read_json("config.json")
    told = {"teacher": {"file": "t.npz", "sha256": "0"}, "last_layer_alone": True}
    run.write_json("config.json", config | told)
    clips = open_clips(train.data, 16000).of_folds([1])
    recipe = Pocket().recipe
    like = make_network(len(clips.labels), recipe).body
    body, about = read_pocket_run(run.path, clips, recipe.widths, like)
    assert {name: about[name] for name in told} == told
    assert about["through_noise"]["epochs"] == 2
    Pocket().build(3).body.load_state_dict(body)
