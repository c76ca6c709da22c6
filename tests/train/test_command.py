# ruff: noqa: E402
"""``python -m train.NAME`` as one types it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import SYSTEMS
from tiny_sets import write

from export.__main__ import main as export_run
from streamclf.model.model_file import Model
from train.base.errors import RunError
from train.cli.network_command import main
from train.nets.contract import find_system
from train.nets.pocket_network import WIDTHS
from train.pocket import Pocket
from train.run_folder.checkpoint import read_progress
from train.run_folder.run import RunFolder
from train.run_folder.run_options import check_options, make_parser, set_recipe

pytestmark = pytest.mark.train


@pytest.fixture
def train(make_esc, tmp_path, narrow_pocket):
    """Train pocket on tones, with these options and the least work."""
    data = make_esc()

    def run(*options, network="pocket", save="run"):
        arguments = ["--data", data, "--save", tmp_path / save, "--accelerator", "cpu", *options]
        return main(network, [str(argument) for argument in arguments])

    return run


@pytest.mark.pictures
def test_training_leaves_a_whole_run_folder(train, tmp_path, capsys):
    assert train("--epochs", 2, "--test-fold", 2, "--seed", 5) == 0
    printed = capsys.readouterr().out
    run = tmp_path / "run"
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == {
        "config.json",
        "history.json",
        "network.txt",
        "result.json",
        "weights.safetensors",
        "checkpoints/last.safetensors",
        "held_out.safetensors",
        "losses.png",
        "accuracies.png",
        "kernels.png",
    }
    config = json.loads((run / "config.json").read_text())
    assert config["network"] == "pocket"
    assert config["labels"] == ["dog", "rain", "water_drops"]
    assert config["seed"] == 5
    assert config["recipe"]["epochs"] == 2
    assert config["full_epochs"] > 2
    assert config["data"]["folds"] == [1, 3]
    assert config["data"]["test_fold"] == 2
    assert config["data"]["licence"] == "CC BY-NC 3.0"
    history = json.loads((run / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert all(row["held_out_loss"] > 0 for row in history)
    result = json.loads((run / "result.json").read_text())
    heard = RunFolder(run).read_held_out()
    assert result["clips"] == len(heard.targets) == 6
    assert result["averaged_windows"] == pytest.approx(heard.clip_accuracy(), abs=1e-4)
    assert "of 6 clips of fold 2" in printed
    assert "95 % interval" in printed


def test_folds_are_split_by_fold(train, tmp_path):
    assert train("--epochs", 1, "--folds", "1", "--test-fold", 3) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["folds"] == [1]
    assert config["data"]["clips"] == 6


def test_nothing_held_out_trains_on_all(train, tmp_path, capsys):
    assert train("--epochs", 1, "--test-fold", 0, "--max-clips", 3) == 0
    assert "nothing held out" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["folds"] == [1]
    assert not (tmp_path / "run" / "held_out.safetensors").exists()


def test_background_is_learned_and_not_to_be_reported(train, tmp_path, capsys):
    assert train("--epochs", 1, "--background", "rain") == 0
    assert "never reported: rain" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["background"] == ["rain"]
    assert "rain" in config["labels"]
    for labels, said in (("thunder", "has no class 'thunder'"),
                         ("dog,rain,water_drops", "leave one that is to be reported")):  # fmt: skip
        assert train("--epochs", 1, "--background", labels, save="other") == 2
        assert said in capsys.readouterr().err


def test_class_called_background_needs_no_option(tmp_path, capsys):
    for label, hertz in (("bell", 500), ("background", 900)):
        for k in range(3):
            write(tmp_path / "mine" / label / f"{label}{k}-a.wav", 1.0, hertz + 10 * k)
    arguments = ["--data", tmp_path / "mine", "--save", tmp_path / "run", "--epochs", 1,
                 "--accelerator", "cpu"]  # fmt: skip
    assert main("pocket", list(map(str, arguments))) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["background"] == ["background"]


def test_run_folder_is_not_replaced_unasked(train, tmp_path, capsys):
    assert train("--epochs", 1, "--max-clips", 4) == 0
    assert train("--epochs", 1, "--max-clips", 4) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert train("--epochs", 2, "--max-clips", 4, "--overwrite") == 0
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 2


@pytest.mark.parametrize("folds", ["1", "all"])
def test_run_folder_is_refused_before_the_data_is_opened(train, tmp_path, capsys, folds):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert train("--folds", folds, "--data", tmp_path / "nowhere") == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert train("--folds", folds, "--data", tmp_path / "nowhere", "--overwrite") == 1
    assert "no such folder" in capsys.readouterr().err
    # Nothing is deleted for a run that cannot be begun.
    assert (tmp_path / "run" / "config.json").read_text() == "{}"


def test_overwrite_deletes_runs_only(train, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    assert train("--epochs", 1, "--overwrite") == 1
    assert "is no run folder" in capsys.readouterr().err
    assert (tmp_path / "run" / "thesis.txt").exists()


def test_interruption_before_the_first_step_begins_anew_by_the_command_it_names(
    train, tmp_path, monkeypatch, capsys
):
    def interrupt(self, network, clips, device):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pocket, "training_data", interrupt)
        assert train("--epochs", 2, "--seed", 5) == 130
    said = capsys.readouterr().err
    assert f"the same command with --resume --save {tmp_path / 'run'} begins anew" in said
    assert train("--resume") == 0
    assert "no step of it was saved, it begins anew" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["seed"], config["recipe"]["epochs"]) == (5, 2)
    weights = (tmp_path / "run" / "weights.safetensors").read_bytes()
    assert train("--epochs", 2, "--seed", 5, save="other") == 0
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() == weights
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize("module", ["train.envnet", "train.compare", "export"])
def test_interruption_while_it_starts_is_one_line(module, tmp_path):
    """Importing torch takes seconds; a Ctrl-C then must not end in a traceback."""
    (tmp_path / "sitecustomize.py").write_text(
        "import _thread, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.stderr == "interrupted\n"
    assert done.returncode == 130


@pytest.mark.parametrize("name", [system.name for system in SYSTEMS])
def test_every_network_takes_rate_batch_and_decay(name):
    system_type = find_system(name)
    parser = make_parser(system_type)
    options = parser.parse_args(
        ["--data", "x", "--lr", "0.125", "--batch-size", "6", "--weight-decay", "0"]
    )
    check_options(options)
    recipe = set_recipe(system_type.default_recipe(), options)
    assert (recipe.learning_rate, recipe.batch_size, recipe.weight_decay) == (0.125, 6, 0)
    plain = parser.parse_args(["--data", "x"])
    assert set_recipe(system_type.default_recipe(), plain) == system_type.default_recipe()


def test_rate_batch_and_decay_are_the_runs(train, tmp_path):
    options = ["--lr", 0.001, "--batch-size", 4, "--weight-decay", 0.25]
    assert train("--epochs", 3, *options) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    recipe, recorded = config["recipe"], config["options"]
    for said in (recipe["learning_rate"], recorded["lr"]):
        assert said == 0.001
    assert (recipe["batch_size"], recipe["weight_decay"]) == (4, 0.25)
    rows = json.loads((tmp_path / "run" / "history.json").read_text())
    assert max(row["learning_rate"] for row in rows) <= 0.001
    # Twelve clips in batches of four: three steps an epoch.
    progress = read_progress(RunFolder(tmp_path / "run"))
    assert progress.step == 9


def test_closing_line_counts_the_whole_time(train, tmp_path, capsys):
    assert train("--epochs", 1) == 0
    said = capsys.readouterr().out.strip()
    length = r"(\d+ min )?[\d.]+ s"
    assert re.search(rf", in {length}, {length} of it in training steps$", said)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["minutes"] >= result["minutes_of_steps"]
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert result["minutes_of_steps"] == round(sum(row["seconds"] for row in history) / 60, 2)


def test_resumed_run_adds_up_what_its_sessions_took(train, tmp_path):
    assert train("--epochs", 1) == 0
    run = RunFolder(tmp_path / "run")
    tensors, note = run.read_tensors("checkpoints/last.safetensors")
    progress = json.loads(note["progress"]) | {"elapsed": 3600.0}
    run.write_tensors("checkpoints/last.safetensors", tensors, {"progress": json.dumps(progress)})
    assert train("--resume") == 0
    assert 60 <= json.loads((tmp_path / "run" / "result.json").read_text())["minutes"] < 65


def test_commands_are_listed():
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "train"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0
    for path in sorted((root / "train").rglob("*.py")):
        is_command = 'if __name__ == "__main__"' in path.read_text()
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        if name != "train.__main__":
            assert (f"python -m {name} " in done.stdout) == is_command, name


def test_budget_shortens_the_schedule(train, tmp_path):
    assert train("--budget-minutes", 0.02) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert config["recipe"]["epochs"] == len(history) < config["full_epochs"]


def test_plan_is_given_by_hand(train, tmp_path, capsys):
    assert train("--epochs", 9, "--replan", "2:4,3:5") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["epochs"] == 5
    assert config["recipe"]["plan"] == [[0, 9], [2, 4], [3, 5]]
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 5


def test_resume_takes_the_runs_own_options(train, tmp_path, capsys):
    assert train("--epochs", 1, "--seed", 3, "--folds", "1", "--test-fold", 2) == 0
    weights = (tmp_path / "run" / "weights.safetensors").read_bytes()
    assert train("--resume", "--seed", 3) == 0
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == weights
    assert train("--resume", network="envnet") == 2
    assert "a run of pocket, not of envnet" in capsys.readouterr().err
    for given, begun in ((["--epochs", 50], "1"), (["--seed", 9], "3"), (["--esc10"], "False")):
        assert train("--resume", *given) == 2
        said = capsys.readouterr().err.splitlines()
        assert f"the run was begun with {begun}: drop the option" in said[-1]
        assert len(said) == 1


def test_run_whose_recipe_is_another_networks_is_refused_in_one_line(train, tmp_path, capsys):
    assert train("--epochs", 1, "--max-clips", 4) == 0
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text().replace('"network": "pocket"', '"network": "envnet"'))
    capsys.readouterr()
    assert train("--resume", network="envnet") == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert (
        "envnet has no colour_db, edge_share, gain_db, kept_share, layers, mixup, noise_alone"
        in said[0]
    )
    assert "train anew" in said[0]


def test_resume_refuses_other_data(train, tmp_path, make_esc, capsys):
    assert train("--epochs", 1, "--max-clips", 4) == 0
    other = make_esc(folder="other", seconds=1.0)
    save = str(tmp_path / "run")
    assert main("pocket", ["--data", str(other), "--save", save, "--resume"]) == 2
    assert "holds other clips" in capsys.readouterr().err


def test_validation_part_chooses_the_epoch(train, tmp_path, capsys):
    assert train("--epochs", 3, "--validation-part", 0.5, "--keep", 2) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["data"]["clips"], config["data"]["validation_clips"]) == (6, 6)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["chosen_by"] == "validation clips"
    assert len(list((tmp_path / "run" / "checkpoints").glob("best-*"))) == 2
    assert "6 clips choose the epoch" in capsys.readouterr().err


def test_validation_fold_is_not_trained_on(train, tmp_path):
    assert train("--epochs", 1, "--validation-fold", 1, "--test-fold", 3) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["folds"] == [2]


def test_unwritable_run_folder_leaves_nothing(train, tmp_path, monkeypatch, capsys):
    def fail(self, name, content):
        raise RunError(f"{self.path / name}: cannot be written: No space left on device")

    monkeypatch.setattr(RunFolder, "write", fail)
    assert train("--epochs", 1) == 1
    assert "No space left" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", 0], "--epochs is 0, must be above 0"),
        (["--budget-minutes", -1], "--budget-minutes is -1.0"),
        (["--epochs", 1, "--budget-minutes", 1], "give one of them"),
        (["--lr", 0], "--lr is 0, must be above 0"),
        (["--lr", "nan"], "--lr is nan, must be above 0"),
        (["--batch-size", 1], "--batch-size is 1, must be 2 or more"),
        (["--weight-decay", -0.5], "--weight-decay is -0.5, must be 0 or more"),
        (["--replan", "2:4"], "--replan changes the length that --epochs sets"),
        (["--epochs", 9, "--replan", "4:4"], "--replan has 4:4 behind 0 epochs of 9"),
        (["--epochs", 9, "--replan", "4:6,3:5"], "--replan has 3:5 behind 4 epochs of 6"),
        (["--test-fold", 9], "fold 9 is not there, the data has 1, 2, 3"),
        (["--folds", "1,2", "--test-fold", 2], "both trained on and held out"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--seed", -1], "--seed is -1"),
        (["--max-clips", 1], "all of one class"),
        (["--accelerator", "abacus"], "--accelerator abacus"),
        (["--precision", "3-bit"], "--precision 3-bit"),
        (["--devices", 0], "--devices is 0, must be above 0"),
        (["--keep", 3], "set clips aside for it with --validation-fold"),
        (["--validation-part", 1.5], "--validation-part is 1.5, must be above 0 and below 1"),
        (["--validation-part", 0.5, "--validation-fold", 1], "give one of them"),
        (["--validation-fold", 9], "fold 9 is not there"),
        (["--validation-fold", 3], "fold 3 cannot both choose the epoch and judge"),
        (["--folds", "all", "--test-fold", 1], "drop --test-fold"),
    ],
)
def test_options_that_make_no_sense_are_told_in_one_line(train, tmp_path, capsys, options, message):
    assert train(*options) == 2
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1]
    assert said[-1].startswith("error: ")
    assert not (tmp_path / "run").exists()


def test_missing_data_is_told_in_one_line(tmp_path, capsys):
    assert main("pocket", ["--data", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_pocket_trains_with_a_teacher(train, tmp_path, make_esc):
    names = [path.stem for path in (make_esc(folder="other") / "audio").iterdir()]
    embedding = np.random.default_rng(1).normal(size=(len(names), 8, 4))
    np.savez(tmp_path / "teacher.npz", clip=names, window_embedding=embedding)
    assert train("--epochs", 1, "--teacher", tmp_path / "teacher.npz") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["teacher"]["file"] == "teacher.npz"
    assert train("--resume") == 0
    np.savez(tmp_path / "other.npz", clip=names, window_embedding=embedding + 1)
    assert train("--resume", "--teacher", tmp_path / "other.npz") == 2
    (tmp_path / "other.npz").rename(tmp_path / "teacher.npz")
    assert train("--resume") == 2


def test_the_next_two_commands_are_said_and_work(train, tmp_path, capsys, monkeypatch):
    """As they are said: copied into a shell they lead from the run to a model that listens."""
    monkeypatch.chdir(tmp_path)
    # Of this width the exporter has traced it for other tests.
    monkeypatch.setattr("train.pocket.WIDTHS", WIDTHS)
    assert train("--epochs", 1, "--max-clips", 4, save="my run") == 0
    said = capsys.readouterr().err.splitlines()
    place = said.index("next:")
    export, listen = [shlex.split(line) for line in said[place + 1 :]]
    assert export[:3] == ["python", "-m", "export"]
    assert export[3:] == [str(tmp_path / "my run"), "-o", "my run.onnx"]
    assert listen == ["streamclf", "listen", "--model", "my run.onnx"]
    assert export_run(export[3:]) == 0
    assert Model(Path(listen[-1]), provider="cpu").card.labels == ["dog", "rain", "water_drops"]
    # Another run's model is not in the way.
    capsys.readouterr()
    assert train("--epochs", 1, "--max-clips", 4, save="second") == 0
    export, listen = [shlex.split(line) for line in capsys.readouterr().err.splitlines()[-2:]]
    assert export[4:] == ["-o", "second.onnx"]
    assert listen[-1] == "second.onnx"


def test_a_cross_validation_names_no_model(train, capsys):
    """Of its runs none is the one to listen with."""
    assert train("--epochs", 1, "--max-clips", 4, "--folds", "all") == 0
    assert "next:" not in capsys.readouterr().err
