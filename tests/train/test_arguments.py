"""What is wrong with a command's options is said in one line, by every command alike."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import train
from train.cli.network_command import main as train_network
from train.datasets.command import main as prepare

pytestmark = pytest.mark.train

ROOT = Path(train.__file__).parents[1]
COMMANDS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"): path
    for folder in ("train", "export")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
}
del COMMANDS["train"]  # it lists the others and has no options


def command(name: str) -> Callable[[list[str]], int]:
    """The function behind ``python -m NAME``."""
    if re.search(r"^SYSTEM = ", COMMANDS[name].read_text(encoding="utf-8"), re.MULTILINE):
        return lambda arguments: train_network(name.removeprefix("train."), arguments)
    module = importlib.import_module(f"{name}.__main__" if name == "export" else name)
    if "DATASETS" in vars(module) or not hasattr(module, "main"):
        return lambda arguments: prepare(name.removeprefix("train.datasets."), arguments)
    return module.main


def test_all_commands_are_here():
    assert len(COMMANDS) > 25
    assert {"train.envnet", "train.datasets.esc", "train.evaluate", "export"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_does_not_exist_is_told_in_one_line(name, capsys):
    """Before those that are missing are asked for."""
    assert command(name)(["--no-such-option", "3"]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"error: there is no option --no-such-option; python -m {name} --help lists them all\n"
    )


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("train.envnet", "--epohcs", "--epochs"),
        ("train.envnet", "--strnog=1", "--strong"),
        ("train.pocket", "--lastlayer", "--last-layer"),
        ("train.datasets.esc", "--donwload", "--download"),
        ("train.evaluate", "--acelerator", "--accelerator"),
        ("export", "--ouput", "--output"),
        ("export.tune", "--dta", "--data"),
    ],
)
def test_the_nearest_option_is_suggested(name, given, meant, capsys):
    assert command(name)([given, "3"]) == 2
    said = capsys.readouterr().err
    option = given.partition("=")[0]
    assert said.startswith(f"error: there is no option {option}, did you mean {meant}? ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("train.envnet", ["--epochs", "x"], "argument --epochs: invalid int value: 'x'"),
        ("train.envnet", ["--epochs"], "argument --epochs: expected one argument"),
        ("train.envnet", ["--dataset", "ecs"], "argument --dataset: invalid choice: 'ecs'"),
        ("train.envnet", ["ESC-50"], "unrecognized arguments: ESC-50"),
        ("train.envnet", ["--folds", "a"], "'a' must be 'all' or folds as in 1,2,3"),
        ("train.compare", [], "the following arguments are required: RUN"),
        ("export", ["run"], "the following arguments are required: -o/--output"),
        ("export", ["run", "-o", "a.onnx", "--half", "--int8"], "not allowed with argument"),
        ("export", ["run", "-o", "a.onnx", "--target-precision", "2"], "--target-precision is 2"),
        ("train.datasets.make_coughvid", ["out"], "required: --coughs, --sounds"),
    ],
)
def test_other_faults_are_told_in_one_line_too(name, arguments, said, capsys):
    assert command(name)(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert said in told
    assert told.count("\n") == 1


def test_what_looks_like_an_option_may_be_a_value(capsys):
    """As argparse has it: behind a lone ``--``, with a space in it, or an option's beginning."""
    assert command("train.compare")(["--", "--no-such-run"]) == 1
    assert "--no-such-run: no run folder" in capsys.readouterr().err
    assert command("train.compare")(["--no such run"]) == 1
    assert "--no such run: no run folder" in capsys.readouterr().err
    assert command("train.envnet")(["--budget", "-1"]) == 2
    assert "--budget-minutes is -1.0, must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train.envnet", "export"])
def test_threads_of_commands_sleep_while_they_wait(name, monkeypatch):
    """OpenMP says itself how it was told to wait, so the word must reach it before it is loaded."""
    monkeypatch.setenv("OMP_DISPLAY_ENV", "true")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    run = [sys.executable, "-X", "importtime", "-m", name, "--help"]
    told = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stderr
    # Nor do they load what only a training needs: it takes as long to import as torch itself.
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "torch" in loaded
    assert "torch._dynamo" not in loaded
    if "OMP_WAIT_POLICY" not in told:
        pytest.skip("this torch has another OpenMP")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told


def test_threads_wait_as_they_are_told(monkeypatch):
    """What the user says about it stays."""
    monkeypatch.setenv("OMP_DISPLAY_ENV", "true")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    # What is loaded of torch is its OpenMP alone, when the command comes to import it.
    script = """
import ctypes, os, runpy, sys
from importlib.util import find_spec
from pathlib import Path

torch = Path(find_spec("torch").origin).parent

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            for file in sorted((torch / "lib").glob("libgomp*")):
                ctypes.CDLL(str(file))
            os._exit(0)

sys.meta_path.insert(0, Finder())
sys.argv = ["export", "--help"]
runpy.run_module("export", run_name="__main__", alter_sys=True)
"""
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == ""
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this torch has another OpenMP")
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in done.stderr
