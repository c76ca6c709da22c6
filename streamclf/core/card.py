"""The model card: a model file's description of itself.

An ONNX file carries the card as JSON in the metadata property ``streamclf``; a sidecar
``NAME.json`` has the same fields. The exporter writes cards and the runtime reads them, both
through this module.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import msgspec

from streamclf.core.errors import CardError

METADATA_KEY = "streamclf"
FORMAT = 1
MAX_CARD_BYTES = 4_000_000
"""A larger card is refused without parsing; the largest real one (10,000 labels) has 0.5 MB."""
MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 500
MAX_SAMPLE_RATE = 1_000_000
"""Hz; recorders for bats and whales stay below it."""
MAX_FEATURES = 4096
"""Most values of a window that are kept; 4096 of them each half second are 0.7 GB a day."""
MAX_FEATURE_WIDTH = 16_384
"""Most values that are added up to fewer; the matrix of signs then takes 270 MB at most."""
MAX_WINDOW_SAMPLES = 6_000_000
"""Two minutes at 48 kHz. A batch of windows is held in memory, so their size must be bounded."""

Task = Literal["single-label", "multi-label", "regression"]
Activation = Literal["softmax", "sigmoid", "none"]
Fill = Literal["mirror", "zeros"]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[int, msgspec.Meta(gt=0, le=MAX_WINDOW_SAMPLES)]
Temperature = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hysteresis for one class: an event begins at ``on`` and ends below ``off``, both 0..1."""

    on: Probability
    off: Probability

    def __post_init__(self) -> None:
        if self.off > self.on:
            raise ValueError(f"off is {self.off}, must not be above on, {self.on}")


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that turn averaged scores into events.

    Attributes:
        on: Averaged score at which an event begins.
        off: Averaged score below which it ends.
        min_duration: Seconds; shorter events are dropped.
        max_gap: Seconds; pauses up to this long are bridged.
        classes: Thresholds of single labels; they replace ``on`` and ``off``.
        never: Labels that are never reported as events, whatever their score. A model has such
            classes so that their sounds are not mistaken for those of another class.
    """

    on: Probability = 0.5
    off: Probability = 0.3
    min_duration: NotNegative = 0.0
    max_gap: NotNegative = 1.0
    classes: dict[str, Threshold] = {}
    never: list[str] = []

    def __post_init__(self) -> None:
        if self.off > self.on:
            raise ValueError(f"off is {self.off}, must not be above on, {self.on}")

    def of(self, label: str) -> Threshold:
        """Return the thresholds of a label."""
        return self.classes.get(label) or Threshold(self.on, self.off)


class Stem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first part of the graph, whose work overlapping windows can share.

    Attributes:
        tensor: Name of the tensor at which the graph can be cut.
        stride: Samples between the beginnings of two neighbouring frames of the stem. Windows
            share work when their starts lie a multiple of ``stride`` apart.
        frames: Number of frames in one window.
        step: Distance between two neighbouring frames of one window, in strides. It is above 1
            where later strides were turned into dilations.
        base: Name of the tensor after which strides are turned into dilations; given where
            ``step`` is above 1.
        receptive_field: Number of samples that one frame depends on; None where unknown.
    """

    tensor: str
    stride: Positive
    frames: Positive
    step: Positive = 1
    base: str | None = None
    receptive_field: Positive | None = None


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network's description of a window, by which search and teaching compare sounds.

    Attributes:
        tensor: Name of a tensor of the whole graph, ``(batch, values)``: the input of the last
            linear layer, which gives the logits.
        size: Number of values of a window that are given and kept.
        scale: Step of these values in 8 bits: ``clip(round(value / scale), -127, 127)``.
        width: Number of values of the tensor where that is above ``size``. They are then added
            up to ``size`` sums with fixed random signs, which keep distances
            (`streamclf.model.features.random_signs`).
    """

    tensor: str
    size: Annotated[int, msgspec.Meta(gt=0, le=MAX_FEATURES)]
    scale: Annotated[float, msgspec.Meta(gt=0)]
    width: Annotated[int, msgspec.Meta(gt=0, le=MAX_FEATURE_WIDTH)] | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"features has a scale of {self.scale}, must be a finite number")
        if self.width is not None and self.width <= self.size:
            raise ValueError(
                f"features has a width of {self.width}, must be above its size, {self.size}, or be "
                "left out"
            )


class Unknown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rule that tells sounds unknown to the model from known ones.

    Attributes:
        threshold: A sound is unknown while its ``score`` is below this.
        score: The score that is compared: ``highest`` is the highest averaged score.
    """

    threshold: Probability
    score: Literal["highest"] = "highest"


class Taught(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Origin of a label that was taught from examples.

    Attributes:
        examples: Names of the recordings and events that it was taught from.
        against: What these were told apart from, in words.
        date: Day on which it was taught, as in ``2026-11-26``.
    """

    examples: list[str]
    against: list[str] = []
    date: str = ""


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Description of a model: its input, its output, its training and its licence.

    Attributes:
        format: Version of this layout.
        name: Name of the model.
        version: Version of the model, any text.
        task: ``single-label`` (softmax), ``multi-label`` (sigmoid) or ``regression``.
        labels: One label a class, in the order of the output; for a regression, the meaning of
            each value.
        display_names: Names shown to people in place of labels. A label without one is shown as
            `display_name` says.
        broader: Labels that are broader than a label by one step, as a siren is an alarm, too.
        sample_rate: Sample rate of the input in Hz.
        window_samples: Length of the network's input in samples, at ``sample_rate``.
        fill: Padding of a window that has less audio than that. ``mirror`` repeats the audio
            reflected; ``zeros`` appends zeros, for a network that was trained on short sounds in
            this way (`streamclf.pipeline.short_audio`).
        activation: Function that turns the output of the graph into scores.
        temperature: Temperature of averaged scores, not of single windows
            (`streamclf.core.temperature`): the mean over windows of ``softmax(logits)``, raised to
            ``1 / temperature`` and divided by its sum over the classes. For one window alone this
            is ``softmax(logits / temperature)``. A runtime that applies it to each window before
            averaging gets scores that are not sure enough.
        thresholds: Rules that turn scores into events.
        precisions: Other thresholds, each for the precision that is its key: with those of "0.8",
            at least 80 % of the events should be right.
        unknown: Rule that detects unknown sounds; with it, silence is detected without the network.
        stem: Place where the graph can be cut so that windows share work; None where they cannot.
        stem_note: Reason why the graph can be cut there and no deeper, or nowhere.
        features: The tensor that search and teaching use; None where the card names none.
        taught: Labels that were taught from examples (``streamclf teach``), with their origin. They
            are the last labels. Each has a score of its own: the sigmoid of its output, whatever
            activation and temperature the other labels have.
        training_data: Data sets that the model was trained on.
        licence: Terms under which the weights may be used.
        accuracy: Figures and how they were measured, free form.
        description: One or two sentences.

    Raises:
        ValueError: A value is out of range, or two of them contradict each other.
    """

    name: str
    labels: list[str]
    display_names: dict[str, str] = {}
    broader: dict[str, list[str]] = {}
    sample_rate: Annotated[int, msgspec.Meta(gt=0, le=MAX_SAMPLE_RATE)]
    window_samples: Positive
    format: int = FORMAT
    version: str = "1"
    task: Task = "single-label"
    fill: Fill = "mirror"
    activation: Activation = "softmax"
    temperature: Temperature = 1.0
    thresholds: Thresholds = Thresholds()
    precisions: dict[str, Thresholds] = {}
    unknown: Unknown | None = None
    stem: Stem | None = None
    stem_note: str = ""
    features: Features | None = None
    taught: dict[str, Taught] = {}
    training_data: str = ""
    licence: str = ""
    accuracy: dict[str, Any] = {}
    description: str = ""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(
                f"format is {self.format}, this streamclf reads {FORMAT}: "
                "install the version that wrote the model"
            )
        _check_labels(self.labels)
        _check_display_names(self.display_names, self.labels)
        _check_broader(self.broader, self.labels)
        if _CONTROL.search(self.name + self.version):
            raise ValueError("name or version holds a control character, must be plain text")
        if self.stem is not None and self.stem.stride > self.window_samples:
            raise ValueError(
                f"stem has a stride of {self.stem.stride} samples, which must fit into the window "
                f"of {self.window_samples}"
            )
        for thresholds in (self.thresholds, *self.precisions.values()):
            unknown = sorted({*thresholds.classes, *thresholds.never} - set(self.labels))
            if unknown:
                raise ValueError(f"thresholds names {unknown[0]!r}, which is not among the labels")
        if not all(_is_part(key) for key in self.precisions):
            raise ValueError(f"precisions has {list(self.precisions)}, must be numbers in 0..1")
        expected = {"single-label": ("softmax", "none"), "multi-label": ("sigmoid", "none")}
        allowed = expected.get(self.task, ("none", "sigmoid"))
        if self.activation not in allowed:
            raise ValueError(
                f"activation is {self.activation!r}, a {self.task} model has {' or '.join(allowed)}"
            )

        _check_taught(self.taught, self.labels, self.task)
        if self.unknown and self.task == "regression":
            raise ValueError("unknown is given, a regression's values are always known: drop it")

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.window_samples / self.sample_rate

    def display_name(self, label: str) -> str:
        """Return the name shown to people: the card's own, or the label with ``_`` as blanks."""
        return self.display_names.get(label) or label.replace("_", " ").strip() or label

    def all_broader(self, among: Collection[str] | None = None) -> dict[str, frozenset[str]]:
        """For each label that has broader ones: all of them, however many steps away.

        Args:
            among: The labels that count; all unless given.
        """
        kept = frozenset(self.labels if among is None else among)
        each = {label: broader_than(label, self.broader) & kept for label in self.broader}
        return {label: others for label, others in each.items() if label in kept and others}

    @property
    def broader_sounds(self) -> dict[str, list[str]]:
        """`broader` without taught labels, which silence others that they are not."""
        return {each: others for each, others in self.broader.items() if each not in self.taught}

    @property
    def n_taught(self) -> int:
        """Number of labels that were taught, which are the last ones."""
        return len(self.taught)

    @property
    def output_name(self) -> str:
        """Name of the graph's output, see `output_name`."""
        return output_name(self.task)


def output_name(task: Task) -> str:
    """Return the name of a graph's output: ``value`` for a regression, ``logits`` otherwise."""
    return "value" if task == "regression" else "logits"


def _is_part(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that end a line, or that a terminal takes as commands."""


def _check_labels(labels: list[str]) -> None:
    if not labels:
        raise ValueError("labels is empty, must name at least one class")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"labels names {len(labels)} classes, the limit is {MAX_LABELS}")
    counts = Counter(labels)
    repeated = sorted(label for label, n in counts.items() if n > 1)
    if repeated:
        raise ValueError(f"labels names {repeated[0]!r} twice, each label must be unique")
    if any(not label.strip() or _CONTROL.search(label) for label in labels):
        raise ValueError(
            "labels holds an empty label or one with a line break or another control character, "
            "each must be plain text"
        )
    longest = max(labels, key=len)
    if len(longest) > MAX_LABEL_LENGTH:
        raise ValueError(
            f"label {longest[:40]!r}... has {len(longest)} letters, the limit is {MAX_LABEL_LENGTH}"
        )


def _check_display_names(names: dict[str, str], labels: list[str]) -> None:
    strange = sorted(set(names) - set(labels))
    if strange:
        raise ValueError(f"display_names names {strange[0]!r}, which is not among the labels")
    for label, name in names.items():
        if not name.strip() or _CONTROL.search(name) or len(name) > MAX_LABEL_LENGTH:
            raise ValueError(
                f"display_names calls {label!r} {name[:40]!r}, must be plain text of 1 to "
                f"{MAX_LABEL_LENGTH} letters"
            )


def broader_than(label: str, broader: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return all labels that are broader than a label, by those that are so by one step."""
    found: set[str] = set()
    new = set(broader.get(label, ()))
    while new:
        found |= new
        new = {other for each in new for other in broader.get(each, ())} - found
    return frozenset(found)


def _check_broader(broader: dict[str, list[str]], labels: list[str]) -> None:
    known = set(labels)
    for label, others in broader.items():
        strange = sorted({label, *others} - known)
        if strange:
            raise ValueError(f"broader names {strange[0]!r}, which is not among the labels")
        if label in broader_than(label, broader):
            raise ValueError(f"broader makes {label!r} broader than itself, must have no circles")


def _check_taught(taught: Collection[str], labels: list[str], task: Task) -> None:
    if taught and task == "regression":
        raise ValueError("taught names labels, a regression's values cannot be taught: drop it")
    if set(taught) != set(labels[len(labels) - len(taught) :]) or len(taught) == len(labels):
        raise ValueError(
            f"taught names {', '.join(sorted(taught))[:80]}, must name the last labels, behind "
            "others"
        )


def parse_card(text: str | bytes, origin: str) -> Card:
    """Read and check a card.

    Args:
        text: The card as JSON.
        origin: Name of its file, for error messages.

    Raises:
        CardError: The text is not JSON, a field is missing or unknown, or a value is out of range.
    """
    if len(text) > MAX_CARD_BYTES:
        raise CardError(
            f"{origin}: the model card has {len(text)} bytes, "
            f"the limit is {MAX_CARD_BYTES}: is this a streamclf card?"
        )
    try:
        return msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CardError(
            f"{origin}: the model card is not valid: {error}: correct it, or export anew"
        ) from error


def format_card(card: Card, *, indent: int = 0) -> str:
    """Write a card as JSON with all its fields.

    Args:
        card: The card.
        indent: Blanks a level; 0 writes everything into one line.
    """
    text = msgspec.json.encode(card)
    return (msgspec.json.format(text, indent=indent) if indent else text).decode()
