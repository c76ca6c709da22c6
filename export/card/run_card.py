"""The model card of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from export.card.describe_run import describe_data, describe_licence, describe_network
from export.card.held_out import HeldOut, find_held_out
from export.card.label_names import display_names_for
from export.card.temperature import (
    AVERAGE_S,
    BOTH,
    FEW_CLIPS,
    MIN_CLIPS,
    N_PARTS,
    RUNNING,
    WHOLE,
    calibration_error,
    fit_temperature,
)
from export.card.thresholds import (
    KEPT,
    OFF_RATIO,
    PRECISIONS,
    PRIOR_EVENTS,
    TARGET_PRECISION,
    choose_thresholds,
    find_confident_threshold,
    find_unknown_threshold,
)
from export.card.tuned_defaults import join_tuned
from streamclf.core.card import Card, Thresholds, Unknown
from train.base.errors import RunError
from train.evaluation.metrics import interval_95
from train.nets.contract import System
from train.nets.inference import HOP_S
from train.run_folder.run import RunFolder

TEMPERATURE_APPLIES = (
    "to averages, not to windows: mean[c] over the windows of softmax(logits)[c], then "
    "mean[c] ** (1 / temperature) / sum over k of mean[k] ** (1 / temperature)"
)
"""Instruction for other runtimes, in the card. Sharpening each window before the average gives
scores that are too low for how often they are right."""


def make_card(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    *,
    name: str,
    version: str,
    licence: str | None,
    precision: float | None,
    calibrated_by: Sequence[Path] = (),
) -> Card:
    """Make the card from the run's folder.

    Args:
        run: The run folder.
        config: Its ``config.json``.
        system: System of its network, with its recipe.
        name: Name of the model.
        version: Version of the model.
        licence: Licence of the weights; follows from the data's if not given.
        precision: Part of the events that should be right, for the thresholds; if not given, those
            tuned on soundscapes are used.
        calibrated_by: Runs of the same recipe that held a fold out, if this one did not.

    Raises:
        ExportError: One of these runs cannot stand for this one.
        RunError: The configuration lacks something that a card needs.
    """
    try:
        held_out = find_held_out(run, config, calibrated_by)
        never = config.get("background", [])
        judged = _evaluate(held_out, system, config["labels"], never, precision)
        return Card(
            name=name,
            version=version,
            task=system.task,
            activation="none" if system.task == "regression" else "softmax",
            labels=config["labels"],
            display_names=display_names_for(config["labels"]),
            sample_rate=config["sample_rate"],
            window_samples=config["window_samples"],
            fill=system.fill,
            training_data=describe_data(config),
            licence=licence or describe_licence(config),
            description=describe_network(config, system),
            **judged,
        )
    except KeyError as error:
        raise RunError(
            f"{run.path / 'config.json'}: lacks {error}, which the model card needs; train anew"
        ) from error


def _evaluate(
    held_out: HeldOut | None,
    system: System,
    labels: list[str],
    never: list[str],
    precision: float | None,
) -> dict[str, Any]:
    """The card's fields that come from held-out clips."""
    if held_out is not None and system.task == "regression":
        return {"accuracy": _errors(held_out)}
    judged: dict[str, Any] = {}
    if held_out is not None and len(held_out.outputs.targets) < MIN_CLIPS:
        judged = _evaluate_few(held_out, [labels.index(label) for label in never])
    elif held_out is not None:
        judged = _evaluate_many(held_out, labels, never, precision)
    if never:
        own = judged.get("thresholds", Thresholds())
        judged["thresholds"] = msgspec.structs.replace(own, never=never)
        judged["precisions"] = {
            part: msgspec.structs.replace(chosen, never=never)
            for part, chosen in judged.get("precisions", {}).items()
        }
    return judged


def _evaluate_few(held_out: HeldOut, silent: list[int]) -> dict[str, Any]:
    """The fields from clips too few for a temperature and a threshold for each class.

    From `FEW_CLIPS` on they are enough for two thresholds: one of unknown sounds, below nearly all
    known clips, and one for events that nearly all known clips reach.
    """
    accuracy = _figures(held_out)
    if len(held_out.outputs.targets) < FEW_CLIPS:
        return {"accuracy": accuracy}
    unknown = Unknown(threshold=find_unknown_threshold(held_out.outputs, 1.0))
    accuracy["unknown"] = {"known_kept": KEPT, **held_out.unknown}
    on = max(
        Thresholds().on, unknown.threshold, find_confident_threshold(held_out.outputs, 1.0, silent)
    )
    thresholds = Thresholds(on=on, off=round(on * OFF_RATIO, 3))
    return {"accuracy": accuracy, "unknown": unknown, "thresholds": thresholds}


def _evaluate_many(
    held_out: HeldOut, labels: list[str], never: list[str], precision: float | None
) -> dict[str, Any]:
    """Temperature, thresholds and figures."""
    outputs = held_out.outputs
    temperature = fit_temperature(outputs)
    accuracy = _figures(held_out) | {"calibration": _calibration(held_out)}
    unknown = Unknown(threshold=find_unknown_threshold(outputs, temperature))
    accuracy["unknown"] = {"known_kept": KEPT, **held_out.unknown}
    if held_out.levels:
        accuracy["levels"] = held_out.levels
    tuned = join_tuned(held_out.tuned)
    if tuned:
        own = "those of this card" if precision is None else "tuned, not those of this card"
        settings = msgspec.to_builtins(tuned.settings.thresholds)
        del settings["classes"]
        accuracy["soundscapes"] = tuned.figures | {"thresholds": own, "tuned": settings}
    off_ratio = tuned.settings.off_ratio if tuned else OFF_RATIO

    def choose(precision: float) -> tuple[Thresholds, dict[str, Any]]:
        thresholds, events = choose_thresholds(
            outputs, temperature, precision, labels, off_ratio, unknown.threshold, never
        )
        if tuned:
            thresholds = msgspec.structs.replace(
                thresholds,
                min_duration=tuned.settings.min_duration,
                max_gap=tuned.settings.max_gap,
            )
        return thresholds, events

    found = {part: choose(part) for part in PRECISIONS}
    reached = {part: chosen for part, (chosen, events) in found.items() if events["reached"]}
    if tuned and precision is None:
        # A sound that counts as unknown must not be an event.
        on = max(tuned.settings.on, unknown.threshold)
        thresholds = replace(tuned.settings, on=on).thresholds
    else:
        if precision is None:
            # No precision was asked for, so the highest that can be reached is used instead.
            lower = [part for part in reached if part <= TARGET_PRECISION]
            precision = max(lower, default=TARGET_PRECISION)
        thresholds, events = choose(precision)
        accuracy["events"] = {"target_precision": precision} | events
        accuracy["events"]["protocol"] = (
            f"lowest threshold of scores averaged over {AVERAGE_S:g} s at which {precision:.0%} of "
            f"the clips' events are right, each class credited with {PRIOR_EVENTS} events of all "
            "classes' precision (reached: whether there is one for all classes; best: the highest "
            f"precision of any); cross_fitted: chosen on {N_PARTS - 1} of {N_PARTS} parts of the "
            "clips, judged on the other"
        )
    return {
        "temperature": temperature,
        "thresholds": thresholds,
        "precisions": {f"{part:g}": chosen for part, chosen in reached.items()},
        "unknown": unknown,
        "accuracy": accuracy,
    }


def _figures(held_out: HeldOut) -> dict[str, Any]:
    outputs = held_out.outputs
    n_clips = len(outputs.targets)
    accuracy = outputs.clip_accuracy()  # no temperature changes which average is the highest
    low, high = interval_95(round(accuracy * n_clips), n_clips)
    published = held_out.mean("published_crops")
    if published is None:
        # The first runs name it after the only protocol there was.
        published = held_out.mean("ten_crops")
    return {
        **_origin(held_out),
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "single_windows": round(outputs.window_accuracy(), 4),
        "published_crops": None if published is None else round(published, 4),
        "protocol": (
            f"averaged_windows: mean of the scores of a window every {HOP_S:g} s of a clip; "
            "published_crops: mean of the scores of the crops of the network's published "
            "protocol; the fold decided nothing in training"
        ),
    }


def _calibration(held_out: HeldOut) -> dict[str, Any]:
    """The calibration error on clips that the temperature was not fitted to."""
    return {
        "error": round(calibration_error(held_out.outputs, BOTH, RUNNING)[0], 4),
        "error_of_clips": round(calibration_error(held_out.outputs, BOTH, WHOLE)[0], 4),
        "applied": TEMPERATURE_APPLIES,
        "protocol": (
            "expected calibration error over ten bins of the highest score, averaged over "
            f"{AVERAGE_S:g} s every {HOP_S:g} s (error) or over whole clips (error_of_clips), the "
            f"temperature fitted to both on {N_PARTS - 1} of {N_PARTS} parts of the clips and "
            "judged on the other"
        ),
    }


def _origin(held_out: HeldOut) -> dict[str, Any]:
    """The clips that the figures are of, and the runs that held them out."""
    one_fold = len(held_out.folds) == 1
    origin: dict[str, Any] = {
        "data": held_out.data,
        "fold": held_out.folds[0] if one_fold else list(held_out.folds),
        "clips": len(held_out.outputs.targets),
    }
    if held_out.names:
        runs = zip(
            held_out.names, held_out.epochs, held_out.folds, held_out.trained_on, strict=True
        )
        origin["cross_validated"] = (
            "figures, temperature and thresholds are of other runs of the same recipe: "
            + "; ".join(
                f"{name}, {epochs} epochs on folds {', '.join(map(str, folds))}, held out "
                f"fold {fold}"
                for name, epochs, fold, folds in runs
            )
        )
    return origin


def _errors(held_out: HeldOut) -> dict[str, Any]:
    """A regression's figures, as its training or evaluation measured them."""
    names = ("mean_absolute_error", "interval_95", "median_baseline", "spearman",
             "area_under_curve", "positive_from")  # fmt: skip
    if len(held_out.results) == 1:
        figures = {name: held_out.results[0].get(name) for name in names}
    else:
        # Intervals cannot be averaged, and the folds' intervals do not give that of all clips.
        figures = {name: held_out.mean(name) for name in names if name != "interval_95"}
    return {
        **_origin(held_out),
        **{name: value for name, value in figures.items() if value is not None},
        "protocol": (
            f"mean of the values of a window every {HOP_S:g} s of a clip; median_baseline: always "
            "saying the training clips' median; the fold decided nothing in training"
        ),
    }
