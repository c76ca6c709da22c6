"""The clips that a model is evaluated on, held out by its run or by other runs of its recipe.

A run that held a fold out is evaluated on that fold. A run that was trained on every fold has no
clips left. Other runs of the same network, labels and recipe then stand for it: runs that held a
fold out, or a cross-validation, which held out every fold once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import ExportError
from train.nets.inference import WindowLogits
from train.run_folder.run import CONFIG, RESULT, RunFolder

EVENTS_FILE = "events.json"
"""File of `export.tune` in a run folder."""

UNKNOWN_FILE = "unknown.json"
"""File of `train.unknown` in a run folder."""

LEVELS_FILE = "levels.json"
"""File of `train.levels` in a run folder."""

SAME_FIELDS = ("network", "task", "labels", "sample_rate", "window_samples", "recipe")
"""Entries that two configurations must share for one run to stand for the other."""


LENGTH_FIELDS = ("epochs", "plan")
"""Fields of the recipe that may differ."""


@dataclass(frozen=True)
class HeldOut:
    """The outputs for clips that were not trained on.

    Attributes:
        outputs: Outputs for the clips of all the runs.
        results: Each run's ``result.json``.
        folds: The fold that each run held out.
        trained_on: The folds that each run was trained on.
        data: Name of the data set.
        tuned: Each run's ``events.json``, where it has one.
        unknown: The first run's ``unknown.json``, if it has one.
        levels: The first run's ``levels.json``, if it has one.
        names: Names of the runs that stand for the exported one; empty if it is evaluated itself.
        epochs: Epochs that each run was trained for.
    """

    outputs: WindowLogits
    results: tuple[dict[str, Any], ...]
    folds: tuple[int, ...]
    trained_on: tuple[tuple[int, ...], ...]
    data: str
    tuned: tuple[dict[str, Any], ...] = ()
    unknown: dict[str, Any] = field(default_factory=dict)
    levels: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()

    def mean(self, name: str) -> float | None:
        """The mean of a figure over the results, weighted by clips; None where it is missing."""
        if any(result.get(name) is None for result in self.results):
            return None
        clips = [result["clips"] for result in self.results]
        return float(np.average([result[name] for result in self.results], weights=clips))


def find_held_out(
    run: RunFolder, config: dict[str, Any], others: Sequence[Path] = ()
) -> HeldOut | None:
    """Find the held-out clips of a run; None if it held no fold out and no other run stands for it.

    Args:
        run: The run to be exported.
        config: Its configuration.
        others: Runs that stand for it, or cross-validations; the run itself if empty.

    Raises:
        ExportError: One of the others is of another recipe, or held no fold out, or two held out
            the same one.
        RunError: A run cannot be read.
    """
    if not others:
        if run.read_held_out() is None:
            return None
        return _join([(run, config)], ())
    found = [pair for path in others for pair in _expand(RunFolder.open(path))]
    for other, own in found:
        _check_same(run, config, other, own)
    folds = [own["data"]["test_fold"] for _, own in found]
    twice = sorted({fold for fold in folds if folds.count(fold) > 1})
    if twice:
        raise ExportError(f"--calibrated-by: two of the runs held fold {twice[0]} out, drop one")
    return _join(found, tuple(other.path.resolve().name for other, _ in found))


def _expand(run: RunFolder) -> list[tuple[RunFolder, dict[str, Any]]]:
    """A run with its configuration, or those of each fold of a cross-validation."""
    config = run.read_json(CONFIG)
    if "cross_validation" not in config:
        return [(run, config)]
    folds = [run.sub_run(f"fold-{fold}") for fold in config["cross_validation"]]
    return [(fold, fold.read_json(CONFIG)) for fold in folds]


def _without_epochs(entry: Any) -> Any:
    """An entry without the length of the schedule, which may differ and is in the card."""
    if isinstance(entry, dict):
        return {name: value for name, value in entry.items() if name not in LENGTH_FIELDS}
    return entry


def _check_same(
    run: RunFolder, config: dict[str, Any], other: RunFolder, own: dict[str, Any]
) -> None:
    where = f"--calibrated-by {other.path}"
    for name in SAME_FIELDS:
        if _without_epochs(own.get(name)) == _without_epochs(config.get(name)):
            continue
        what = name
        if name == "recipe":
            fields = sorted(set(config["recipe"]) | set(own["recipe"]))
            what = next(
                f for f in fields
                if f not in LENGTH_FIELDS and config["recipe"].get(f) != own["recipe"].get(f)
            )  # fmt: skip
            values = own["recipe"].get(what), config["recipe"].get(what)
            what = f"{what} is {values[0]}, that of {run.path} is {values[1]}"
        else:
            what = f"{name} is not that of {run.path}"
        raise ExportError(f"{where}: {what}; give a run of the same recipe that held a fold out")
    if own["data"]["name"] != config["data"]["name"]:
        raise ExportError(
            f"{where}: was trained on {own['data']['name']}, {run.path} on "
            f"{config['data']['name']}; give a run on the same data"
        )
    for what, had in (
        ("teacher", "had a teacher"),
        ("imitation", "began with imitation"),
        ("layers_of", "began with a model file"),
    ):
        if (what in own) != (what in config):
            raise ExportError(f"{where}: one of the two {had}; give a run trained in the same way")
    if not (other.path / "held_out.safetensors").exists():
        raise ExportError(
            f"{where}: held no fold out, or its training has not ended; give one that held one out"
        )


def _first(runs: Sequence[tuple[RunFolder, dict[str, Any]]], name: str) -> dict[str, Any]:
    """The contents of a file from the first run that has it."""
    return next((run.read_json(name) for run, _ in runs if (run.path / name).exists()), {})


def _join_weights(outputs: Sequence[WindowLogits]) -> npt.NDArray[np.float32] | None:
    if all(one.weight is None for one in outputs):
        return None
    ones = [np.ones(len(one.clip), np.float32) for one in outputs]
    own = (one.weight for one in outputs)
    return np.concatenate([w if w is not None else o for w, o in zip(own, ones, strict=True)])


def _join(runs: Sequence[tuple[RunFolder, dict[str, Any]]], names: tuple[str, ...]) -> HeldOut:
    outputs = [run.read_held_out() for run, _ in runs]
    n_before = np.cumsum([0, *(len(one.targets) for one in outputs)])
    results = [run.read_json(RESULT) for run, _ in runs]
    return HeldOut(
        WindowLogits(
            np.concatenate([one.logits for one in outputs]),
            np.concatenate([one.clip + n for one, n in zip(outputs, n_before, strict=False)]),
            np.concatenate([one.targets for one in outputs]),
            _join_weights(outputs),
        ),
        tuple({"clips": len(h.targets), **r} for h, r in zip(outputs, results, strict=True)),
        tuple(config["data"]["test_fold"] for _, config in runs),
        tuple(tuple(config["data"]["folds"]) for _, config in runs),
        runs[0][1]["data"]["name"],
        tuple(run.read_json(EVENTS_FILE) for run, _ in runs if (run.path / EVENTS_FILE).exists()),
        _first(runs, UNKNOWN_FILE),
        _first(runs, LEVELS_FILE),
        names,
        tuple(config["recipe"]["epochs"] for _, config in runs),
    )
