"""How to listen: hop, averaging and thresholds, checked before any audio is opened."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.label_choice import suggest_labels
from streamclf.core.text_files import read_small

AverageKind: TypeAlias = Literal["mean", "exponential"]
Begin: TypeAlias = Literal["patient", "sure", "eager"]

LONGEST_S = 86_400.0
"""A day: no hop, average or pause is longer."""
SHORTEST_S = 0.1
"""Of a piece of an event, or between two records that it goes on."""


@dataclass(frozen=True)
class Settings:
    """How to listen.

    Attributes:
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds that scores are averaged over; 0 for none.
        average_kind: ``mean`` or ``exponential``.
        thresholds: When scores become events; None takes the model's.
        channel: The channel to listen to, from 1; None averages all.
        batch_size: Windows scored at once in recordings (live, each is scored as it comes);
            None for as many as serve.
        fixed_hop: Never widen the hop when listening is slower than the audio; skip audio then.
        exact_hop: Keep the hop even where another close to it would let windows share more.
        name_unknown: Make events of unknown sounds and of silence, too.
        labels: Those whose events count (see `streamclf.core.label_choice.choose_labels`); None for
            all.
        max_duration_s: Events end and begin anew when they have lasted so long; None: they last.
        ongoing_s: Between two records that an event goes on; None for none.
        begin: What it takes for an event to begin: ``patient`` waits for the average; ``sure``, and
            sooner ``eager``, also believe the windows alone (`streamclf.pipeline.evidence`).

    Raises:
        UsageError: A value makes no sense.
    """

    hop_s: float = 0.5
    average_s: float = 3.0
    average_kind: AverageKind = "mean"
    thresholds: Thresholds | None = None
    channel: int | None = None
    batch_size: int | None = None
    exact_hop: bool = False
    fixed_hop: bool = False
    name_unknown: bool = False
    labels: frozenset[str] | None = None
    max_duration_s: float | None = None
    ongoing_s: float | None = None
    begin: Begin = "sure"

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= LONGEST_S:
            raise UsageError(
                f"--hop {self.hop_s}: must be above 0 seconds, up to {LONGEST_S:.0f} (0.5 is usual)"
            )
        if not 0 <= self.average_s <= LONGEST_S:
            raise UsageError(
                f"--average {self.average_s}: must be 0 (none) or more seconds, "
                f"up to {LONGEST_S:.0f}"
            )
        for option, value in [
            ("--max-duration", self.max_duration_s),
            ("--ongoing", self.ongoing_s),
        ]:
            if value is not None and not SHORTEST_S <= value <= LONGEST_S:
                raise UsageError(
                    f"{option} {value}: must be {SHORTEST_S:g} to {LONGEST_S:.0f} seconds"
                )
        if self.channel is not None and self.channel < 1:
            raise UsageError(f"--channel {self.channel}: channels count from 1")
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"the batch size is {self.batch_size}, must be 1 or more")

    def hop_samples(self, sample_rate: int) -> int:
        """The hop at a model's rate.

        Raises:
            UsageError: The hop is shorter than a sample.
        """
        samples = round(self.hop_s * sample_rate)
        if samples < 1:
            raise UsageError(
                f"--hop {self.hop_s}: is less than one sample at {sample_rate} Hz, "
                f"must be {1 / sample_rate:g} s or more"
            )
        return samples


def choose_thresholds(
    card: Card,
    *,
    precision: float | None = None,
    file: Path | None = None,
    threshold: float | None = None,
    min_duration_s: float | None = None,
    max_gap_s: float | None = None,
) -> Thresholds:
    """Combine what the card, a file and single options say; the later overrides the earlier.

    Args:
        card: The model's.
        precision: Part of the events that should be right: the lowest in the card that is no less.
        file: A TOML file, see `read_thresholds`.
        threshold: ``on`` for every class; ``off`` follows in the base's proportion.
        min_duration_s: Seconds.
        max_gap_s: Seconds.

    Raises:
        UsageError: A value is out of range, a name is not among the labels, or the card has no
            thresholds for such a precision.
    """
    base = card.thresholds if precision is None else _thresholds_for(precision, card)
    chosen = read_thresholds(file, base, card.labels) if file is not None else base
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise UsageError(f"--threshold {threshold}: must lie between 0 and 1")
        ratio = base.off / base.on if base.on else 1.0
        chosen = msgspec.structs.replace(chosen, on=threshold, off=threshold * ratio, classes={})
    for option, field, value in [
        ("--min-duration", "min_duration", min_duration_s),
        ("--max-gap", "max_gap", max_gap_s),
    ]:
        if value is None:
            continue
        if not 0 <= value <= LONGEST_S:
            raise UsageError(f"{option} {value}: must be 0 or more seconds, up to {LONGEST_S:.0f}")
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

    ``on``, ``off``, ``min_duration`` and ``max_gap`` at the top replace the card's; a table
    ``[classes]`` holds ``dog = 0.4`` (``off`` in proportion) or ``rain = {on = 0.6, off = 0.4}``;
    ``never = ["rain"]`` names what is not to be reported at all.

    Raises:
        UsageError: The file is missing, no TOML, or says something that cannot be.
    """
    where = f"--thresholds {path}:"
    try:
        said = tomllib.loads(read_small(path, where, UsageError))
    except (ValueError, RecursionError) as error:  # ValueError: also of a number without end
        raise UsageError(f"{where} is no TOML: {error}") from error
    never = _never(where, said.pop("never", base.never), labels)
    classes = said.pop("classes", {})
    if not isinstance(classes, dict):
        raise UsageError(f"{where} classes is {str(classes)[:40]}, must be a table: [classes]")
    for name, value in said.items():
        if name not in _LIMITS:
            known = ", ".join((*_LIMITS, "never"))
            raise UsageError(f"{where} {name} is unknown, must be one of {known}")
        _check_number(where, name, value, _LIMITS[name])
    ratio = base.off / base.on if base.on else 1.0
    if "on" in said:
        said.setdefault("off", said["on"] * ratio)
    # A file that sets `on` means it for every class that it does not name.
    kept = {} if "on" in said else dict(base.classes)
    for label, value in classes.items():
        if label not in labels:
            raise UsageError(_no_label(where, label, labels))
        kept[label] = _class_threshold(f"{where} [classes] {label}:", value, ratio)
    try:
        return msgspec.structs.replace(base, **said, classes=kept, never=never)
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
    return (
        f"{where} {label!r} is no label of the model{suggest_labels(label, labels)}; "
        "streamclf info --json lists all"
    )


_LIMITS = {"on": 1.0, "off": 1.0, "min_duration": LONGEST_S, "max_gap": LONGEST_S}
"""What a threshold file may set, and the highest value of each."""


def _check_number(where: str, name: str, value: object, highest: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        value = str(value)
    elif 0 <= value <= highest:
        return float(value)
    must = "lie between 0 and 1" if highest == 1 else f"be 0 or more seconds, up to {highest:.0f}"
    raise UsageError(f"{where} {name} is {str(value)[:40]}, must {must}")


def _class_threshold(where: str, value: object, ratio: float) -> Threshold:
    said = value if isinstance(value, dict) else {"on": value}
    if "on" not in said or not set(said) <= {"on", "off"}:
        raise UsageError(f"{where} {value!r} must be a number or {{on = ..., off = ...}}")
    on = _check_number(where, "on", said["on"], 1.0)
    off = _check_number(where, "off", said.get("off", on * ratio), 1.0)
    try:
        return Threshold(on, off)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error
