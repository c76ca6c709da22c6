# ruff: noqa: E402
"""The loop, on a network that trains in milliseconds."""

from __future__ import annotations

import json
import os
import signal
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.base.devices import make_fabric
from train.base.errors import RunError
from train.base.recipe import Recipe
from train.datasets import open_clips
from train.loop.batches import Batches
from train.loop.budget import Budget
from train.loop.fit import fit
from train.nets.contract import System
from train.nets.inference import run_windows
from train.run_folder.learned_filters import read_filter_history
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


class Spectrum(torch.nn.Module):
    def forward(self, waveform):
        return torch.fft.rfft(waveform).abs()


class Tiny(System):
    """Two layers on the spectrum, with all that has a state: dropout, BatchNorm, averages."""

    name = "tiny"
    title = "a test's network"
    sample_rate = 16000
    window_samples = 1024
    recipe_type = Recipe
    stop_at = -1
    width = 8

    @classmethod
    def default_recipe(cls) -> Recipe:
        return Recipe(
            epochs=6,
            batch_size=4,
            optimiser="adamw",
            learning_rate=0.02,
            weight_decay=0.01,
            schedule="one-cycle",
            warm_up=0.2,
            clip_norm=1.0,
            ema=0.9,
        )

    def build(self, n_classes):
        return torch.nn.Sequential(
            Spectrum(),
            torch.nn.Linear(513, self.width),
            torch.nn.BatchNorm1d(self.width),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(self.width, n_classes),
        )

    def training_data(self, network, clips, device):
        self.n_batches = 0
        return torch.from_numpy(clips.matrix() / 32768.0).float(), clips.targets

    def batch(self, training_data, indices, random):
        self.n_batches += 1
        if self.n_batches == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        sounds, targets = training_data
        starts = random.integers(0, sounds.shape[1] - 1024, len(indices))
        rows = [sounds[i, s : s + 1024] for i, s in zip(indices, starts, strict=True)]
        return torch.stack(rows), torch.eye(3)[targets[indices]]


@pytest.fixture
def clips(make_esc):
    return open_clips(make_esc(folds=3), 16000)


def train(clips, run, *, seed=1, resume=False, recipe=None, stop_at=-1, held_out=True, **more):
    system = Tiny(recipe)
    system.stop_at = stop_at
    if not resume:
        run.path.mkdir()
        run.write_json("config.json", {})
    torch.manual_seed(seed)
    network = system.build(3)
    fabric = make_fabric("cpu", more.pop("precision", "32-true"))
    folds = (clips.of_folds([1, 2]), clips.of_folds([3]) if held_out else None)
    return fit(system, network, *folds, run, fabric, seed=seed, resume=resume, **more)


def weights(network) -> list[np.ndarray]:
    return [value.numpy() for value in network.state_dict().values()]


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_resumed_run_ends_where_an_uninterrupted_one_does(clips, tmp_path, optimiser, capsys):
    fields = {**vars(Tiny.default_recipe()), "optimiser": optimiser}
    recipe = Recipe(**fields)
    whole = train(clips, RunFolder(tmp_path / "whole"), recipe=recipe)
    cut = RunFolder(tmp_path / "cut")
    # Twelve clips in batches of four: the eighth batch is the middle of the third epoch.
    with pytest.raises(KeyboardInterrupt):
        train(clips, cut, recipe=recipe, stop_at=8)
    assert "--resume" in capsys.readouterr().err
    assert not (cut.path / "weights.safetensors").exists()
    resumed = train(clips, cut, recipe=recipe, resume=True)

    assert same(whole, resumed)
    rows = [RunFolder(tmp_path / name).read_json("history.json") for name in ("whole", "cut")]
    for first, second in zip(*rows, strict=True):
        del first["seconds"], second["seconds"]
        assert first == second


def test_resume_of_a_finished_run_changes_nothing(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    assert same(train(clips, run), train(clips, run, resume=True))


def test_seed_decides_everything(clips, tmp_path):
    first = train(clips, RunFolder(tmp_path / "a"))
    torch.rand(17)  # whatever was drawn before must not matter
    assert same(first, train(clips, RunFolder(tmp_path / "b")))
    assert not same(first, train(clips, RunFolder(tmp_path / "c"), seed=2))


def test_history_has_the_loss_of_the_held_out_fold(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    train(clips, run)
    rows = run.read_json("history.json")
    losses = [row["held_out_loss"] for row in rows[:-1]]
    assert len(losses) == 5
    assert all(loss > 0 for loss in losses)


def test_held_out_fold_decides_nothing(clips, tmp_path):
    looked = train(clips, RunFolder(tmp_path / "a"))
    blind = train(clips, RunFolder(tmp_path / "b"), held_out=False)
    assert same(looked, blind)


def test_training_learns(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    train(clips, run, recipe=Tiny.default_recipe().shortened(30))
    losses = [row["loss"] for row in run.read_json("history.json")]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])


def test_without_averaging_the_last_weights_count(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    recipe = Recipe(**{**vars(Tiny.default_recipe()), "ema": 0.0})
    network = train(clips, run, recipe=recipe)
    tensors, _ = run.read_tensors("checkpoints/last.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(tensors[f"weights/{name}"], value)
    assert not any(name.startswith("average/") for name in tensors)


def test_averaged_weights_are_the_result(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    network = train(clips, run)
    tensors, _ = run.read_tensors("checkpoints/last.safetensors")
    kept, _ = run.read_tensors("weights.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(tensors[f"average/{name}"], value)
        assert torch.equal(kept[name], value)
    assert not torch.equal(tensors["weights/1.weight"], tensors["average/1.weight"])


def test_best_epochs_are_chosen_by_the_validation_clips(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    network = train(clips.of_folds([1, 3]), run, validation=clips.of_folds([2]), keep=2)
    history = run.read_json("history.json")
    scores = [row["validation_clips"] for row in history]
    kept = sorted(run.path.glob("checkpoints/best-*.safetensors"))
    ranking = sorted(range(6), key=lambda epoch: (-scores[epoch], epoch))
    assert [path.stem for path in kept] == [f"best-{k + 1:05d}" for k in sorted(ranking[:2])]
    _, note = run.read_tensors("weights.safetensors")
    assert note["epoch"] == str(ranking[0] + 1)
    best, _ = run.read_tensors(f"checkpoints/best-{ranking[0] + 1:05d}.safetensors")
    assert all(torch.equal(best[name], value) for name, value in network.state_dict().items())
    heard = run_windows(network, clips.of_folds([2]), 1024)
    assert heard.clip_accuracy() == scores[ranking[0]]


def test_resumed_run_remembers_its_best_epochs(clips, tmp_path):
    sets = {"validation": clips.of_folds([2]), "keep": 2}
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    first = train(clips, whole, **sets)
    with pytest.raises(KeyboardInterrupt):
        train(clips, cut, stop_at=11, **sets)
    assert same(first, train(clips, cut, resume=True, **sets))
    names = [sorted(p.name for p in run.path.glob("checkpoints/*")) for run in (whole, cut)]
    assert names[0] == names[1]


def test_half_precision_trains(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    train(clips, run, recipe=Tiny.default_recipe().shortened(20), precision="bf16-mixed")
    losses = [row["loss"] for row in run.read_json("history.json")]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])


def test_first_runs_checkpoints_are_still_read(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    first = train(clips, run)
    (run.path / "checkpoints" / "last.safetensors").rename(run.path / "checkpoint.safetensors")
    assert same(first, train(clips, run, resume=True))


def test_full_disk_ends_the_run_in_one_line_and_leaves_no_part(clips, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")

    def fail(tensors, path, metadata=None):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("train.run_folder.run.save_file", fail)
    with pytest.raises(RunError, match="No space left on device; make room"):
        train(clips, run)
    names = {path.name for path in run.path.rglob("*") if path.is_file()}
    assert names == {"config.json", "history.json"}


def test_film_of_the_filters_has_a_frame_an_epoch(clips, tmp_path, monkeypatch):
    class Bank(torch.nn.Module):
        def forward(self, waveform):
            return waveform[:, None].repeat(1, 5, 1)

    monkeypatch.setattr(Tiny, "front_end", lambda self, network: Bank())
    run = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(clips, run, stop_at=8)
    train(clips, run, resume=True)
    epochs, frames, frequencies = read_filter_history(run)
    assert frequencies[-1] < 8000
    assert epochs.tolist() == list(range(7))
    assert frames.shape == (7, 5, 96)


def test_checkpoint_of_another_network_is_refused(clips, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    train(clips, run)
    monkeypatch.setattr(Tiny, "width", 9)
    with pytest.raises(RunError, match="of another network"):
        train(clips, run, resume=True)


def test_loss_that_is_not_finite_ends_the_run(clips, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr(Tiny, "loss", lambda self, logits, labels: logits.sum() * float("nan"))
    with pytest.raises(RunError, match="loss is nan by step 3; lower the learning rate"):
        train(clips, run)
    assert not (run.path / "weights.safetensors").exists()


def without_averaging(epochs=6):
    return Recipe(**{**vars(Tiny.default_recipe()), "ema": 0.0, "epochs": epochs})


def test_shortened_schedule_ends_with_statistics_of_its_last_weights(clips, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    recipe = without_averaging()
    network = train(clips, run, recipe=recipe, full_epochs=60)
    assert "measured again over 8 training batches: after 6 of 60" in capsys.readouterr().err
    assert run.read_json("config.json")["statistics_batches"] == 8
    system = Tiny(recipe)
    batches = Batches(system, network, clips.of_folds([1, 2]), make_fabric("cpu", "32-true"), 1)
    with torch.no_grad():
        heard = [network[1](network[0](batches.cut(18 + k)[0])) for k in range(8)]
    means = torch.stack([batch.mean(dim=0) for batch in heard]).mean(dim=0)
    variances = torch.stack([batch.var(dim=0) for batch in heard]).mean(dim=0)
    torch.testing.assert_close(network[2].running_mean, means, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network[2].running_var, variances, rtol=1e-4, atol=1e-4)
    assert network[2].momentum == 0.1
    assert same(network, train(clips, run, recipe=recipe, full_epochs=60, resume=True))


@pytest.mark.parametrize("why", ["full", "averaged", "chosen"])
def test_statistics_stay_where_the_recipe_has_them_right(clips, tmp_path, why):
    run = RunFolder(tmp_path / "run")
    recipe = Tiny.default_recipe() if why == "averaged" else without_averaging()
    sets = {"validation": clips.of_folds([3])} if why == "chosen" else {}
    train(clips, run, recipe=recipe, full_epochs=6 if why == "full" else 60, **sets)
    assert "statistics_batches" not in run.read_json("config.json")


class Clock:
    """Moves by what each batch takes."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def train_by_clock(clips, run, monkeypatch, pace, seconds, *, epochs=30, **more):
    """Train on a machine whose batch number ``k`` takes ``pace(k)`` seconds."""
    clock, cut = Clock(), Tiny.batch

    def batch(self, *arguments):
        clock.now += pace(self.n_batches)
        return cut(self, *arguments)

    monkeypatch.setattr(Tiny, "batch", batch)
    budget = Budget(seconds, 0.0, 30, began=0.0, clock=clock)
    recipe = Tiny.default_recipe().shortened(epochs)
    network = train(clips, run, recipe=recipe, budget=budget, **more)
    monkeypatch.setattr(Tiny, "batch", cut)
    return network, clock.now


@pytest.mark.parametrize(
    "pace",
    [lambda k: 5.0, lambda k: 2.0 if k < 20 else 8.0, lambda k: 8.0 if k < 20 else 2.0],
    ids=["slower", "slower half way", "faster half way"],
)
def test_budget_is_kept_on_a_machine_of_another_pace(clips, tmp_path, monkeypatch, pace):
    run = RunFolder(tmp_path / "run")
    # Three batches an epoch: at 1.1 s a batch 30 epochs would have fitted.
    _, took = train_by_clock(clips, run, monkeypatch, pace, 100.0)
    rows = run.read_json("history.json")
    assert took == pytest.approx(100, abs=3 * 8)
    recipe = Recipe.from_json(run.read_json("config.json")["recipe"])
    assert len(rows) == recipe.epochs < 30
    # The schedule comes to its end all the same, without a leap.
    done = [recipe.progress_at(step, 3) for step in range(recipe.epochs * 3 + 1)]
    assert done[-1] == pytest.approx(1)
    assert all(later - earlier > 0 for earlier, later in pairwise(done))
    assert rows[-1]["learning_rate"] < 0.1 * Tiny.default_recipe().learning_rate


def test_budgeted_run_is_made_again_by_its_plan_alone(clips, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    pace = [2.0] * 20 + [8.0] * 200
    first, _ = train_by_clock(clips, run, monkeypatch, lambda k: pace[k], 100.0)
    recipe = Recipe.from_json(run.read_json("config.json")["recipe"])
    assert recipe.plan[0] == (0, 30)
    assert same(first, train(clips, RunFolder(tmp_path / "again"), recipe=recipe))


def test_resumed_run_counts_what_it_had_taken(clips, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_by_clock(clips, run, monkeypatch, lambda k: 5.0, 100.0, stop_at=10)
    recipe = Recipe.from_json(run.read_json("config.json")["recipe"])
    clock = Clock()
    budget = Budget(100.0, 0.0, 30, began=0.0, clock=clock)
    # The first session had taken so long by its own clock.
    tensors, note = run.read_tensors("checkpoints/last.safetensors")
    progress = json.loads(note["progress"]) | {"elapsed": 90.0}
    run.write_tensors("checkpoints/last.safetensors", tensors, {"progress": json.dumps(progress)})
    cut = Tiny.batch

    def batch(self, *arguments):
        clock.now += 5.0
        return cut(self, *arguments)

    monkeypatch.setattr(Tiny, "batch", batch)
    train(clips, run, recipe=recipe, resume=True, budget=budget)
    assert len(run.read_json("history.json")) == 5


def test_looks_do_not_eat_a_budget(clips, tmp_path):
    run = RunFolder(tmp_path / "run")
    budget = Budget(1e9, 1e8, 6, began=0.0, clock=Clock())
    train(clips, run, budget=budget)
    assert not any("held_out_clips" in row for row in run.read_json("history.json"))


def test_loss_is_the_divergence_from_the_labels():
    labels = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    scores = torch.tensor([[0.5, 0.5], [0.8, 0.2]])
    expected = (0.25 * np.log(0.5) + 0.75 * np.log(1.5) + np.log(1 / 0.8)) / 2
    assert Tiny().loss(scores.log() + 3, labels).item() == pytest.approx(expected, abs=1e-6)
