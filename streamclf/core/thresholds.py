"""Thresholds of a run: those of the card, of a file and of single options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.core.settings import LONGEST_S
from streamclf.core.text_files import parse_toml, read_text_file


@dataclass(frozen=True)
class ThresholdOptions:
    """Options that turn averaged scores into events; they win over the thresholds of the card.

    Attributes:
        threshold: ``on`` for every class, 0..1; ``off`` keeps its ratio to ``on``.
        target_precision: Share of events that should be right, 0..1. The card's thresholds for the
            lowest precision that is at least this one are taken.
        thresholds: A TOML file, see `read_thresholds`.
        min_duration_s: Shortest event in seconds.
        max_gap_s: Longest pause within an event in seconds.
        only: Labels whose events are reported, with all narrower ones, separated by commas, by
            identifier or display name (`streamclf.core.label_choice`).
        leave_out: Labels whose events are not reported, in the same form.
    """

    panel: ClassVar[str] = "Events"

    threshold: float | None = option(
        None,
        "--threshold",
        metavar="0..1",
        help="Averaged score at which an event begins, for every label.",
    )
    target_precision: float | None = option(
        None,
        "--target-precision",
        metavar="0..1",
        help="Use the model's thresholds at which this fraction of the events is correct, such "
        "as 0.9.",
    )
    thresholds: Path | None = option(
        None,
        "--thresholds",
        metavar="FILE",
        help="TOML file with thresholds, for all labels and for single ones.",
    )
    min_duration_s: float | None = option(
        None, "--min-duration", metavar="SECONDS", help="Drop events shorter than this."
    )
    max_gap_s: float | None = option(
        None,
        "--max-gap",
        metavar="SECONDS",
        help="Maximum pause within an event; after a longer one, a new event begins.",
    )
    only: str | None = option(
        None,
        "--only",
        metavar="LABEL,...",
        help="Report only events of these labels and all narrower ones (info lists labels).",
    )
    leave_out: str | None = option(
        None,
        "--except",
        metavar="LABEL,...",
        help="Report no events of these labels, nor of narrower ones.",
    )


def choose_thresholds(card: Card, options: ThresholdOptions = ThresholdOptions()) -> Thresholds:
    """Combine the thresholds of the card, of a file and of single options; the later ones win.

    Raises:
        UsageError: A value is out of range, a name is not among the labels, or the card has no
            thresholds for such a precision.
    """
    precision, file, threshold = options.target_precision, options.thresholds, options.threshold
    base = card.thresholds if precision is None else _thresholds_for(precision, card)
    chosen = read_thresholds(file, base, card.labels) if file is not None else base
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise UsageError(f"--threshold {threshold}: must lie between 0 and 1")
        ratio = base.off / base.on if base.on else 1.0
        chosen = msgspec.structs.replace(chosen, on=threshold, off=threshold * ratio, classes={})
    for name, field, value in [
        ("--min-duration", "min_duration", options.min_duration_s),
        ("--max-gap", "max_gap", options.max_gap_s),
    ]:
        if value is None:
            continue
        if not 0 <= value <= LONGEST_S:
            raise UsageError(f"{name} {value}: must be 0 or more seconds, up to {LONGEST_S:.0f}")
        chosen = msgspec.structs.replace(chosen, **{field: value})
    return chosen


def _thresholds_for(precision: float, card: Card) -> Thresholds:
    if not 0 < precision <= 1:
        raise UsageError(f"--target-precision {precision}: must be above 0, at most 1")
    known = sorted(card.precisions, key=float)
    if not known:
        raise UsageError(
            f"--target-precision {precision:g}: the model's card has no thresholds for it; "
            "--threshold sets one, python -m export finds them"
        )
    enough = [key for key in known if float(key) >= precision]
    if not enough:
        raise UsageError(
            f"--target-precision {precision:g}: the model's card goes up to {known[-1]}; "
            "give that, or a --threshold"
        )
    return card.precisions[enough[0]]


def read_thresholds(path: Path, base: Thresholds, labels: list[str]) -> Thresholds:
    """Read a threshold file.

    ``on``, ``off``, ``min_duration`` and ``max_gap`` at the top replace those of ``base``. A table
    ``[classes]`` holds ``dog = 0.4`` (``off`` in proportion) or ``rain = {on = 0.6, off = 0.4}``.
    ``never = ["rain"]`` names labels that are not reported at all.

    Args:
        path: The TOML file.
        base: Thresholds that hold where the file says nothing.
        labels: Labels of the model.

    Raises:
        UsageError: The file is missing, is not TOML, or holds a wrong name or value.
    """
    where = f"--thresholds {path}:"
    text = read_text_file(path, where, UsageError)
    given = parse_toml(text, f"--thresholds {path}", UsageError)
    never = _never(where, given.pop("never", base.never), labels)
    classes = given.pop("classes", {})
    if not isinstance(classes, dict):
        raise UsageError(f"{where} classes is {str(classes)[:40]}, must be a table: [classes]")
    for name, value in given.items():
        if name not in _LIMITS:
            known = ", ".join((*_LIMITS, "never"))
            raise UsageError(f"{where} {name} is unknown, must be one of {known}")
        _check_number(where, name, value, _LIMITS[name])
    ratio = base.off / base.on if base.on else 1.0
    if "on" in given:
        given.setdefault("off", given["on"] * ratio)
    # `on` in a file holds for every class that the file does not name.
    kept = {} if "on" in given else dict(base.classes)
    for label, value in classes.items():
        if label not in labels:
            raise UsageError(_no_label(where, label, labels))
        kept[label] = _class_threshold(f"{where} [classes] {label}:", value, ratio)
    try:
        return msgspec.structs.replace(base, **given, classes=kept, never=never)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _never(where: str, value: object, labels: list[str]) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise UsageError(f'{where} never is {str(value)[:40]}, must be labels: ["rain"]')
    for label in value:
        if label not in labels:
            raise UsageError(_no_label(where, label, labels))
    return value


def _no_label(where: str, label: str, labels: list[str]) -> str:
    from streamclf.core.label_names import suggest_labels  # only a mistyped label needs it

    return (
        f"{where} {label!r} is no label of the model{suggest_labels(label, labels)}; "
        "streamclf info --json lists all"
    )


_LIMITS = {"on": 1.0, "off": 1.0, "min_duration": LONGEST_S, "max_gap": LONGEST_S}
"""Values that a threshold file may set, with the highest allowed."""


def _check_number(where: str, name: str, value: object, highest: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        value = str(value)
    elif 0 <= value <= highest:
        return float(value)
    must = "lie between 0 and 1" if highest == 1 else f"be 0 or more seconds, up to {highest:.0f}"
    raise UsageError(f"{where} {name} is {str(value)[:40]}, must {must}")


def _class_threshold(where: str, value: object, ratio: float) -> Threshold:
    given = value if isinstance(value, dict) else {"on": value}
    if "on" not in given or not set(given) <= {"on", "off"}:
        raise UsageError(f"{where} {value!r} must be a number or {{on = ..., off = ...}}")
    on = _check_number(where, "on", given["on"], 1.0)
    off = _check_number(where, "off", given.get("off", on * ratio), 1.0)
    try:
        return Threshold(on, off)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error
