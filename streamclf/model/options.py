"""What a user says of the model: which, what runs it, and what it hears if no card says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from streamclf.core.card import Activation, Task
from streamclf.core.options import option

DEFAULT_MODEL = "pocket"
Provider: TypeAlias = Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "openvino"]


@dataclass(frozen=True)
class CardOptions:
    """What a user says of a model; overrides what the model says itself.

    Attributes:
        labels: A text file with a label a line, or a CSV with a column ``display_name``,
            ``label`` or ``name``.
        sample_rate: In Hz.
        window_s: Window length in seconds.
        activation: What turns the output into scores.
        task: What the model does.
    """

    panel: ClassVar[str] = "Model"

    labels: Path | str | None = option(
        None,
        "--labels",
        metavar="FILE",
        help="For a model without a card (its own description): labels, a line each, or CSV.",
    )
    sample_rate: int | None = option(
        None, "--sample-rate", metavar="HZ", help="For a model without a card: its sample rate."
    )
    window_s: float | None = option(
        None,
        "--window",
        metavar="SECONDS",
        help="For a model without a card: length of its window.",
    )
    activation: Activation | None = option(
        None,
        "--activation",
        help="For a model without a card: what turns its output into scores.",
    )
    task: Task | None = option(
        None, "--task", help="For a model without a card: one label at a time, several, or values."
    )

    @property
    def given(self) -> bool:
        """Whether anything was said at all."""
        return self != CardOptions()


@dataclass(frozen=True)
class ModelOptions:
    """Which model, what runs it, and whether to try that first.

    Attributes:
        name: An ``.onnx`` file, or the name of a bundled model.
        provider: The execution provider.
        n_threads: See `streamclf.model.model_file.Model`.
        self_check: Whether to compare the provider with the CPU before anything is listened to.
        card: What the user says of a model without a card.
    """

    panel: ClassVar[str] = "Model"

    name: str = option(
        DEFAULT_MODEL,
        "--model",
        "-m",
        metavar="MODEL",
        help="An .onnx file or a bundled model.",
    )
    provider: Provider = option(
        "auto", "--provider", help="What runs the model; auto takes CUDA where it works."
    )
    n_threads: int = option(
        0,
        "--threads",
        minimum=0,
        metavar="N",
        help="Threads that run the model; 0: one for a small model, more for a large one.",
    )
    self_check: bool = option(
        False,
        "--self-check",
        help="First compare the provider with the CPU; refuse to begin where their scores differ.",
    )
    card: CardOptions = CardOptions()
