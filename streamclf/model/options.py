"""Options of the model: its file, its provider, and the card fields for files without a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from streamclf.core.card import Activation, Task
from streamclf.core.declare_option import option

DEFAULT_MODEL = "wide"
Provider: TypeAlias = Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "openvino"]


@dataclass(frozen=True)
class CardOptions:
    """Card fields that the user gives; each overrides the one in the model file.

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
        help="For a model without a card (embedded description): file with its labels, one a "
        "line, or CSV.",
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
        help="For a model without a card: function that turns its output into scores.",
    )
    task: Task | None = option(
        None,
        "--task",
        help="For a model without a card: its task (one label at a time, several labels, or "
        "values).",
    )

    @property
    def given(self) -> bool:
        """Whether anything was said at all."""
        return self != CardOptions()


@dataclass(frozen=True)
class ModelOptions:
    """The choice of the model, of its provider, and of the self-check.

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
        "auto", "--provider", help="Backend that runs the model; auto takes CUDA if it works."
    )
    n_threads: int = option(
        0,
        "--threads",
        minimum=0,
        metavar="N",
        help="Number of threads that run the model; 0: one for a small model, more for a large "
        "one.",
    )
    self_check: bool = option(
        False,
        "--self-check",
        help="First compare the provider's scores with those of the CPU; exit if they differ.",
    )
    card: CardOptions = CardOptions()
