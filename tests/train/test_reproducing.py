# ruff: noqa: E402
"""The command that a card names makes the same run again."""

from __future__ import annotations

import argparse
import functools
import json
import re
import shlex
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from cases import CASES, SYSTEMS

from export.card.run_card import make_card
from train import envnet, envnetv2, imitate, wavemsnet
from train.cli.network_command import main
from train.compare import describe_run
from train.run_folder.load_network import load_network
from train.run_folder.reproduce import IRRELEVANT_OPTIONS, describe_command, list_commands
from train.run_folder.resume import record_options
from train.run_folder.run import RunFolder
from train.run_folder.run_options import make_parser

pytestmark = pytest.mark.train


def value_for(action: argparse.Action) -> list[str]:
    """What to type for an option, other than its default."""
    if action.nargs == 0:
        return []
    if action.choices:
        return [str(next(c for c in action.choices if c not in (action.default, "auto")))]
    names = {"folds": "1,3", "replan": "2:5,3:7", "leave_out": "dog bark,it's", "epochs": "9"}
    if action.dest in names:
        return [names[action.dest]]
    if action.type in (int, float):
        return [str(action.type(3))]
    return ["somewhere"] if action.nargs is None else ["somewhere", "else"]


@functools.cache
def parsers():
    networks = {system.name: make_parser(system) for system in SYSTEMS}
    return {**networks, "imitate": imitate.make_parser()}


def every_option():
    for script, parser in parsers().items():
        for action in parser._actions:
            if action.dest not in IRRELEVANT_OPTIONS:
                yield pytest.param(script, action.dest, id=f"{script}-{action.option_strings[0]}")


@pytest.mark.parametrize(("script", "dest"), every_option())
def test_every_option_that_decides_comes_back_from_the_command(script, dest):
    parser = parsers()[script]
    action = next(action for action in parser._actions if action.dest == dest)
    needed = ["--data", "data", "--save", "run"]
    if script == "imitate" and dest != "teacher":
        needed += ["--teacher", "net.tflite"]
    given = parser.parse_args([*needed, action.option_strings[0], *value_for(action)])
    command = describe_command(script, parser, vars(given))
    start, *words = shlex.split(command.removeprefix("python -m "))
    assert start == f"train.{script}"
    again = parser.parse_args(["--data", "data", "--save", "run", *words])
    assert vars(again) == vars(given)


def test_options_that_decide_nothing_are_those_of_place_and_machine():
    """A new option is named by the card unless somebody says here that it decides nothing."""
    known = {action.dest for parser in parsers().values() for action in parser._actions}
    assert known >= IRRELEVANT_OPTIONS
    assert {
        "help", "data", "prepared", "save", "overwrite", "resume", "keep", "threads",
        "accelerator", "workers", "download", "cache",
    } == IRRELEVANT_OPTIONS  # fmt: skip


def commands_of(path: Path) -> list[str]:
    """The commands in the card of a run."""
    run = RunFolder.open(path)
    config = run.read_json("config.json")
    system, _ = load_network(run, config)
    card = make_card(run, config, system, name="m", version="1", licence=None, precision=None)
    return re.search(r"Made by (.*)\.$", card.description).group(1).split("; then ")


@pytest.fixture
def train(make_esc, tmp_path, monkeypatch):
    """Train on a few tones, with narrow hidden layers and statistics of a single batch."""
    for module in (envnet, envnetv2, wavemsnet):
        monkeypatch.setattr(module, "N_HIDDEN", 16)
    monkeypatch.setattr("train.loop.fit.N_BATCHES", 1)
    data = make_esc(folds=3, per_class=1, seconds=0.5)

    def run(network, save, *options):
        own = ["--data", data, "--save", tmp_path / save, "--accelerator", "cpu", "--threads", 1]
        return main(network, [str(each) for each in (*own, *options)])

    return run


OPTIONS = {
    "digits": ["--net", "best", "--epochs", "4", "--replan", "2:3"],
    "envnet": ["--bc", "--strong", "--epochs", "1", "--lr", "0.02", "--max-clips", "3"],
    "envnetv2": ["--epochs", "1", "--max-clips", "3", "--test-fold", "0"],
    "melcnn": ["--random-split", "--epochs", "1", "--test-fold", "2"],
    "pocket": ["--epochs", "2", "--batch-size", "4", "--leave-out", "rain"],
    "wavemsnet": ["--epochs", "1", "--front-end", "fixed", "--folds", "1,2",
                  "--test-fold", "0", "--max-clips", "3"],
    "wavemxnet": ["--depth", "3", "--budget-minutes", "0.01", "--weight-decay", "0",
                  "--max-clips", "3"],
}  # fmt: skip


@pytest.mark.parametrize("network", sorted({s.name for s in SYSTEMS if s.task != "regression"}))
def test_network_is_made_again_by_its_cards_command(train, tmp_path, network):
    assert train(network, "first", "--seed", "5", *OPTIONS[network]) == 0
    (command,) = commands_of(tmp_path / "first")
    start, *words = shlex.split(command.removeprefix("python -m "))
    assert start == f"train.{network}"
    assert train(network, "again", *words) == 0
    configs = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("first", "again")]
    assert configs[0]["recipe"] == configs[1]["recipe"]
    assert configs[0]["data"] == configs[1]["data"]
    weights = [RunFolder(tmp_path / n).read_tensors("weights.safetensors")[0]
               for n in ("first", "again")]  # fmt: skip
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_final_run_says_that_no_fold_was_held_out(train, tmp_path):
    assert train("digits", "final", "--epochs", "1", "--test-fold", "0") == 0
    (command,) = commands_of(tmp_path / "final")
    assert "--folds 1,2,3 --test-fold 0" in command


def test_forms_of_a_network_are_told_apart(train, tmp_path):
    for depth in (3, 11):
        options = ["--depth", depth, "--epochs", 1, "--max-clips", 3]
        assert train("wavemxnet", f"m{depth}", *options) == 0
    rows = [describe_run(tmp_path / name) for name in ("m3", "m11")]
    assert [row["network"] for row in rows] == ["wavemxnet --depth 3", "wavemxnet --depth 11"]


def test_regression_that_classifies_says_so():
    parser = make_parser(next(s for s in SYSTEMS if s.name == "cough"))
    options = record_options(parser.parse_args(["--data", "x", "--classify"]))
    config = {"network": "cough", "options": options}
    assert "--classify" in list_commands(config)[0]
    assert len(CASES) >= len(SYSTEMS)
