"""The model card: what a model file says of itself.

An ONNX file carries it as JSON in the metadata property ``streamclf``; a sidecar ``NAME.json``
has the same fields. The exporter writes it, the runtime reads it, both through this module.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal

import msgspec

from streamclf.core.errors import CardError

METADATA_KEY = "streamclf"
FORMAT = 1
MAX_CARD_BYTES = 4_000_000
"""A card above this is refused unread: the largest real one (10,000 labels) takes 0.5 MB."""
MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 500
MAX_SAMPLE_RATE = 1_000_000
"""Hz; recorders of bats and whales stay below."""
MAX_WINDOW_SAMPLES = 6_000_000
"""Two minutes at 48 kHz; a window and a batch of them are held in memory."""

Task = Literal["single-label", "multi-label", "regression"]
Activation = Literal["softmax", "sigmoid", "none"]
Fill = Literal["mirror", "zeros"]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[int, msgspec.Meta(gt=0, le=MAX_WINDOW_SAMPLES)]
Temperature = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hysteresis for one class: an event begins at ``on`` and ends below ``off``."""

    on: Probability
    off: Probability

    def __post_init__(self) -> None:
        if self.off > self.on:
            raise ValueError(f"off is {self.off}, must not be above on, {self.on}")


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an averaged score becomes an event.

    Attributes:
        on: Averaged score at which an event begins.
        off: Averaged score below which it ends.
        min_duration: Seconds; shorter events are dropped.
        max_gap: Seconds; pauses up to this long are bridged.
        classes: Thresholds of their own for some labels.
        never: Labels of which no event is reported, however sure: what a model knows in order to
            call nothing else by another name.
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
        """The thresholds that hold for a label."""
        return self.classes.get(label) or Threshold(self.on, self.off)


class Stem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of the graph whose work overlapping windows can share.

    Attributes:
        tensor: Name of the tensor at which the graph can be cut.
        stride: Samples between the places where windows that share may begin, which are also
            where the stem's frames begin.
        frames: Frames that one window holds.
        step: How many such places one frame of a window lies behind the last; above 1 where
            later strides were turned into dilations.
        base: The tensor from which on strides are turned into dilations, if ``step`` is above 1.
        receptive_field: Samples that one frame hears, where known.
    """

    tensor: str
    stride: Positive
    frames: Positive
    step: Positive = 1
    base: str | None = None
    receptive_field: Positive | None = None


class Unknown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a sound that the model does not know is told from those it does.

    Attributes:
        threshold: Where no averaged score reaches it, the sound is unknown.
        score: What is compared with it: the highest averaged score.
    """

    threshold: Probability
    score: Literal["highest"] = "highest"


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is, hears and was trained on.

    Attributes:
        format: Version of this layout.
        name: What the model is called.
        version: Of the model, any text.
        task: ``single-label`` (softmax), ``multi-label`` (sigmoid) or ``regression``.
        labels: One a class, in the output's order; of a regression, what the values mean.
        display_names: What people read in place of a label; see `display_name` for the others.
        sample_rate: In Hz.
        window_samples: Samples the network hears at once, at ``sample_rate``.
        fill: What fills a window where there is less audio than that: the audio itself, mirrored,
            or zeros behind it, for a network that learned short sounds so
            (`streamclf.pipeline.short_audio`).
        activation: What turns the graph's output into scores.
        temperature: Of averages, not of the windows in them (`streamclf.core.temperature`): the
            mean over windows of ``softmax(logits)`` to the power of ``1 / temperature``, divided by
            its sum over the classes. For one window alone that is ``softmax(logits /
            temperature)``. A runtime that tempers windows and averages them then has scores that
            say too little.
        thresholds: When scores become events.
        precisions: Thresholds for other parts of the events that should be right, which are the
            keys, such as "0.8".
        unknown: How unknown sounds are told; with it, silence is told without the network.
        stem: Where the graph can be cut, if its windows can share work.
        stem_note: Why it can be cut there and no deeper, or nowhere.
        training_data: What it was trained on.
        licence: Under which terms the weights may be used.
        accuracy: Figures with how they were measured, free form.
        description: A sentence or two.
    """

    name: str
    labels: list[str]
    display_names: dict[str, str] = {}
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

        if self.unknown and self.task == "regression":
            raise ValueError("unknown is given, a regression's values are always known: drop it")

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.window_samples / self.sample_rate

    def display_name(self, label: str) -> str:
        """What people read in place of a label: the card's own name for it, or it without ``_``."""
        return self.display_names.get(label) or label.replace("_", " ").strip() or label

    @property
    def output_name(self) -> str:
        """What the graph's output is called."""
        return output_name(self.task)


def output_name(task: Task) -> str:
    """What a graph's output is called: ``value`` of a regression, ``logits`` otherwise."""
    return "value" if task == "regression" else "logits"


def _is_part(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What could end a line, or make a terminal do or show something else."""


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


def parse_card(text: str | bytes, origin: str) -> Card:
    """Read and check a card.

    Args:
        text: The JSON.
        origin: The file it came from, for messages.

    Raises:
        CardError: It is no JSON, lacks a field, has one too many, or a value is out of range.
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
    """Write a card as JSON, every field included."""
    text = msgspec.json.encode(card)
    return (msgspec.json.format(text, indent=indent) if indent else text).decode()
