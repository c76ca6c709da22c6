"""The card of a run: what the model file will say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from export.card.held_out import HeldOut, find_held_out
from export.card.label_names import names_for
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
    find_sure,
    find_unknown,
)
from export.card.tuned_defaults import join_tuned
from streamclf.core.card import Card, Thresholds, Unknown
from train.base.errors import RunError
from train.judging.metrics import interval_95
from train.nets.contract import System
from train.nets.inference import HOP_S
from train.run_folder.reproduce import list_commands
from train.run_folder.run import RunFolder

TEMPERATURE_APPLIES = (
    "to averages, not to windows: mean[c] over the windows of softmax(logits)[c], then "
    "mean[c] ** (1 / temperature) / sum over k of mean[k] ** (1 / temperature)"
)
"""What another runtime must do with the card's temperature: to sharpen windows and average them
then leaves scores that are too low for how often they are right."""


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
    """Put the card together from the run's folder.

    Args:
        run: The run folder.
        config: Its ``config.json``.
        system: Of its network, with its recipe.
        name: Of the model.
        version: Of the model.
        licence: Of the weights; follows from the data's if not given.
        precision: Part of the events that should be right, for the thresholds; those tuned on
            soundscapes hold if not given.
        calibrated_by: Runs of the same recipe that held a fold out, if this one did not.

    Raises:
        ExportError: One of these runs cannot stand for this one.
        RunError: The configuration lacks something a card needs.
    """
    try:
        held_out = find_held_out(run, config, calibrated_by)
        never = config.get("background", [])
        judged = _judge(held_out, system, config["labels"], never, precision)
        return Card(
            name=name,
            version=version,
            task=system.task,
            activation="none" if system.task == "regression" else "softmax",
            labels=config["labels"],
            display_names=names_for(config["labels"]),
            sample_rate=config["sample_rate"],
            window_samples=config["window_samples"],
            fill=system.fill,
            training_data=_describe_data(config),
            licence=licence or _licence(config),
            description=_describe_network(config, system),
            **judged,
        )
    except KeyError as error:
        raise RunError(
            f"{run.path / 'config.json'}: lacks {error}, which the model card needs; train anew"
        ) from error


def _judge(
    held_out: HeldOut | None,
    system: System,
    labels: list[str],
    never: list[str],
    precision: float | None,
) -> dict[str, Any]:
    """The card's fields that come of clips not trained on, and figures."""
    if held_out is not None and system.task == "regression":
        return {"accuracy": _errors(held_out)}
    judged: dict[str, Any] = {}
    if held_out is not None and len(held_out.heard.targets) < MIN_CLIPS:
        judged = _judge_few(held_out, [labels.index(label) for label in never])
    elif held_out is not None:
        judged = _judge_many(held_out, labels, never, precision)
    if never:
        own = judged.get("thresholds", Thresholds())
        judged["thresholds"] = msgspec.structs.replace(own, never=never)
        judged["precisions"] = {
            part: msgspec.structs.replace(chosen, never=never)
            for part, chosen in judged.get("precisions", {}).items()
        }
    return judged


def _judge_few(held_out: HeldOut, silent: list[int]) -> dict[str, Any]:
    """What few clips tell; temperature and a threshold a class they would set by accident.

    What is less sure than nearly all that is known can be told from less: from `FEW_CLIPS` on
    there is a threshold of unknown sounds, and one for events that nearly all known clips reach.
    """
    accuracy = _figures(held_out)
    if len(held_out.heard.targets) < FEW_CLIPS:
        return {"accuracy": accuracy}
    unknown = Unknown(threshold=find_unknown(held_out.heard, 1.0))
    accuracy["unknown"] = {"known_kept": KEPT, **held_out.unknown}
    on = max(Thresholds().on, unknown.threshold, find_sure(held_out.heard, 1.0, silent))
    thresholds = Thresholds(on=on, off=round(on * OFF_RATIO, 3))
    return {"accuracy": accuracy, "unknown": unknown, "thresholds": thresholds}


def _judge_many(
    held_out: HeldOut, labels: list[str], never: list[str], precision: float | None
) -> dict[str, Any]:
    """Temperature, thresholds and figures."""
    heard = held_out.heard
    temperature = fit_temperature(heard)
    accuracy = _figures(held_out) | {"calibration": _calibration(held_out)}
    unknown = Unknown(threshold=find_unknown(heard, temperature))
    accuracy["unknown"] = {"known_kept": KEPT, **held_out.unknown}
    if held_out.levels:
        accuracy["levels"] = held_out.levels
    tuned = join_tuned(held_out.tuned)
    if tuned:
        own = "those of this card" if precision is None else "tuned, not those of this card"
        settings = msgspec.to_builtins(tuned.listening.thresholds)
        del settings["classes"]
        accuracy["soundscapes"] = tuned.figures | {"thresholds": own, "tuned": settings}
    off_ratio = tuned.listening.off_ratio if tuned else OFF_RATIO

    def choose(precision: float) -> tuple[Thresholds, dict[str, Any]]:
        thresholds, events = choose_thresholds(
            heard, temperature, precision, labels, off_ratio, unknown.threshold, never
        )
        if tuned:
            thresholds = msgspec.structs.replace(
                thresholds,
                min_duration=tuned.listening.min_duration,
                max_gap=tuned.listening.max_gap,
            )
        return thresholds, events

    found = {part: choose(part) for part in PRECISIONS}
    reached = {part: chosen for part, (chosen, events) in found.items() if events["reached"]}
    if tuned and precision is None:
        # What counts as unknown must be no event.
        on = max(tuned.listening.on, unknown.threshold)
        thresholds = replace(tuned.listening, on=on).thresholds
    else:
        if precision is None:
            # Nobody asked for it: the best that can be had instead.
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
    heard = held_out.heard
    n_clips = len(heard.targets)
    accuracy = heard.clip_accuracy()  # no temperature changes which average is the highest
    low, high = interval_95(round(accuracy * n_clips), n_clips)
    published = held_out.mean("published_crops")
    if published is None:
        # The first runs call it by the only protocol there was.
        published = held_out.mean("ten_crops")
    return {
        **_origin(held_out),
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "single_windows": round(heard.window_accuracy(), 4),
        "published_crops": None if published is None else round(published, 4),
        "protocol": (
            f"averaged_windows: mean of the scores of a window every {HOP_S:g} s of a clip; "
            "published_crops: mean of the scores of the crops of the network's published "
            "protocol; the fold decided nothing in training"
        ),
    }


def _calibration(held_out: HeldOut) -> dict[str, Any]:
    """How far scores are from how often they are right, on clips that set no temperature."""
    return {
        "error": round(calibration_error(held_out.heard, BOTH, RUNNING)[0], 4),
        "error_of_clips": round(calibration_error(held_out.heard, BOTH, WHOLE)[0], 4),
        "applied": TEMPERATURE_APPLIES,
        "protocol": (
            "expected calibration error over ten bins of the highest score, averaged over "
            f"{AVERAGE_S:g} s every {HOP_S:g} s (error) or over whole clips (error_of_clips), the "
            f"temperature fitted to both on {N_PARTS - 1} of {N_PARTS} parts of the clips and "
            "judged on the other"
        ),
    }


def _origin(held_out: HeldOut) -> dict[str, Any]:
    """Which clips the figures are of, and whose."""
    one_fold = len(held_out.folds) == 1
    origin: dict[str, Any] = {
        "data": held_out.data,
        "fold": held_out.folds[0] if one_fold else list(held_out.folds),
        "clips": len(held_out.heard.targets),
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
    """A regression's figures, as its training or evaluation found them."""
    names = ("mean_absolute_error", "interval_95", "median_baseline", "spearman",
             "area_under_curve", "positive_from")  # fmt: skip
    if len(held_out.results) == 1:
        figures = {name: held_out.results[0].get(name) for name in names}
    else:
        # An interval is not to be averaged, and one of all clips cannot be had from the folds'.
        figures = {name: held_out.mean(name) for name in names if name != "interval_95"}
    return {
        **_origin(held_out),
        **{name: value for name, value in figures.items() if value is not None},
        "protocol": (
            f"mean of the values of a window every {HOP_S:g} s of a clip; median_baseline: always "
            "saying the training clips' median; the fold decided nothing in training"
        ),
    }


def _describe_network(config: dict[str, Any], system: System) -> str:
    text = f"{config['network']}: {config['title']}. {config['parameters']:,} parameters, "
    text += f"{config['recipe']['epochs']} epochs, seed {config['seed']}. {system.card_note()}"
    return f"{text.strip()} Made by {'; then '.join(list_commands(config))}."


def _describe_data(config: dict[str, Any]) -> str:
    data = config["data"]
    folds = ", ".join(map(str, data["folds"]))
    text = f"{data['name']}, folds {folds}: {data['clips']} clips ({data['citation']}; "
    text += f"{data['licence']})."
    if "teacher" in config:
        # Who goes on from a run has labels of that run's, not of its own recipe.
        share = config["teacher"].get("share", config["recipe"]["teacher_share"])
        text += (
            f" {share:.0%} of each label from a teacher: logistic "
            f"regression on the features in {config['teacher']['file']}, fitted across these "
            "folds, so that no clip was labelled by a head that had seen it; the features' own "
            "network was trained on AudioSet."
        )
    if before := config.get("layers_of"):
        text += (
            f" It began with the layers of {before['name']}, version {before['version']} "
            f"({before['file']}, SHA-256 {before['sha256']}), which learned from: "
            f"{before['training_data'] or 'its card does not say'}"
        )
        if before["heard_before"]:
            text += f" So {data['name']} was known to it: figures of held-out clips flatter it."
    if "imitation" in config:
        text += _describe_imitation(config["imitation"])
    if config.get("last_layer_alone"):
        text += " Of the labels only its last layer learned."
    if "through_noise" in config:
        epochs = config["recipe"]["epochs"]
        text += f" Then it learned for {epochs} epochs to say under noise what it said without."
    return text


def _describe_imitation(imitation: dict[str, Any]) -> str:
    sources = "; ".join(
        f"{source['name']}, {source['hours']:.1f} h"
        + (f" of folds {', '.join(map(str, source['folds']))}" if source["folds"] else "")
        + f" ({source['licence']})"
        for source in imitation["sources"]
    )
    text = (
        f" Before it learned any labels it learned to give what {imitation['teacher']['name']} "
        f"(trained on AudioSet) says of {imitation['windows']:,} windows mixed from {sources}."
    )
    if "windows_quieter" in imitation:
        n_windows = f"{imitation['windows_quieter']:,}"
        text += f" Most of {n_windows} of these it heard quieter than "
        text += f"{imitation['teacher']['name']} did, by up to {imitation['quieter']['db']:g} dB."
    if "windows_through_noise" in imitation:
        n_windows = f"{imitation['windows_through_noise']:,}"
        text += f" Most of {n_windows} of these it heard under noise that "
        text += f"{imitation['teacher']['name']} did not hear."
    return text


def _licence(config: dict[str, Any]) -> str:
    data = config["data"]
    text = f"{data['licence']}, as the recordings of {data['name']} it was trained on"
    before = config.get("layers_of")
    if before and before["licence"] not in ("", text):
        text += f"; {before['licence']}, as {before['name']}, whose layers it has"
    return text
