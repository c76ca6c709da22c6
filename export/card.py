"""The card of a run: what the model file will say of itself."""

from __future__ import annotations

from typing import Any

from export.calibrate import (
    AVERAGE_S,
    MIN_CLIPS,
    OFF_RATIO,
    choose_thresholds,
    fit_temperature,
)
from streamclf.card import Card, Thresholds
from train.errors import RunError
from train.hearing import HOP_S, WindowLogits
from train.metrics import interval_95
from train.runs import RESULT, RunFolder
from train.system import System


def make_card(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    *,
    name: str,
    version: str,
    licence: str | None,
    precision: float,
) -> Card:
    """Put the card together from the run's folder.

    Args:
        run: The run folder.
        config: Its ``config.json``.
        system: Of its network, with its recipe.
        name: Of the model.
        version: Of the model.
        licence: Of the weights; follows from the data's if not given.
        precision: Part of the events that should be right, for the thresholds.

    Raises:
        RunError: The configuration lacks something a card needs.
    """
    try:
        temperature, thresholds, accuracy = _judge(run, config["data"], system, precision)
        return Card(
            name=name,
            version=version,
            task=system.task,
            activation="none" if system.task == "regression" else "softmax",
            labels=config["labels"],
            sample_rate=config["sample_rate"],
            window_samples=config["window_samples"],
            temperature=temperature,
            thresholds=thresholds,
            training_data=_describe_data(config),
            licence=licence or _licence(config["data"]),
            accuracy=accuracy,
            description=_describe_network(config, system),
        )
    except KeyError as error:
        raise RunError(
            f"{run.path / 'config.json'}: lacks {error}, which the model card needs; train anew"
        ) from error


def _judge(
    run: RunFolder, data: dict[str, Any], system: System, precision: float
) -> tuple[float, Thresholds, dict[str, Any]]:
    """Temperature and thresholds by what the network said of the held-out fold, and figures."""
    heard = run.read_held_out()
    if heard is None:
        return 1.0, Thresholds(), {}
    if system.task == "regression":
        return 1.0, Thresholds(), _errors(run, data)
    # Too few clips, a smoke run's, would set them by accident.
    if len(heard.targets) < MIN_CLIPS:
        return 1.0, Thresholds(), _figures(run, heard, 1.0, data)
    temperature = fit_temperature(heard)
    thresholds, figures = choose_thresholds(heard, temperature, precision)
    protocol = (
        f"lowest threshold of scores averaged over {AVERAGE_S:g} s at which {precision:.0%} of "
        f"the clips' events are right; off is {OFF_RATIO:g} of on; chosen on the same held-out "
        "clips"
    )
    accuracy = _figures(run, heard, temperature, data)
    return temperature, thresholds, accuracy | {"events": {**figures, "protocol": protocol}}


def _figures(
    run: RunFolder, heard: WindowLogits, temperature: float, data: dict[str, Any]
) -> dict[str, Any]:
    n_clips = len(heard.targets)
    accuracy = heard.clip_accuracy(temperature)
    low, high = interval_95(round(accuracy * n_clips), n_clips)
    return {
        "data": data["name"],
        "fold": data["test_fold"],
        "clips": n_clips,
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "single_windows": round(heard.window_accuracy(), 4),
        "published_crops": _published(run.read_json(RESULT)),
        "protocol": (
            f"averaged_windows: mean of the scores of a window every {HOP_S:g} s of a clip, the "
            "temperature fitted on the same clips; published_crops: mean of the scores of the "
            "crops of the network's published protocol; the fold decided nothing in training"
        ),
    }


def _published(result: dict[str, Any]) -> float:
    # The first runs call it by the only protocol there was.
    return result["published_crops"] if "published_crops" in result else result["ten_crops"]


def _errors(run: RunFolder, data: dict[str, Any]) -> dict[str, Any]:
    """A regression's figures, as its training or evaluation found them."""
    result = run.read_json(RESULT)
    names = ("clips", "mean_absolute_error", "interval_95", "median_baseline", "spearman",
             "area_under_curve", "positive_from")  # fmt: skip
    return {
        "data": data["name"],
        "fold": data["test_fold"],
        **{name: result[name] for name in names if result.get(name) is not None},
        "protocol": (
            f"mean of the values of a window every {HOP_S:g} s of a clip; median_baseline: always "
            "saying the training clips' median; the fold decided nothing in training"
        ),
    }


def _describe_network(config: dict[str, Any], system: System) -> str:
    text = f"{config['network']}: {config['title']}. {config['parameters']:,} parameters, "
    text += f"{config['recipe']['epochs']} epochs, seed {config['seed']}. {system.card_note()}"
    return text.strip()


def _describe_data(config: dict[str, Any]) -> str:
    data = config["data"]
    folds = ", ".join(map(str, data["folds"]))
    text = f"{data['name']}, folds {folds}: {data['clips']} clips ({data['citation']}; "
    text += f"{data['licence']})."
    if "teacher" in config:
        text += (
            f" {config['recipe']['teacher_share']:.0%} of each label from a teacher: logistic "
            f"regression on the features in {config['teacher']['file']}, fitted across these "
            "folds, so that no clip was labelled by a head that had seen it; the features' own "
            "network was trained on AudioSet."
        )
    return text


def _licence(data: dict[str, Any]) -> str:
    return f"{data['licence']}, as the recordings of {data['name']} it was trained on"
