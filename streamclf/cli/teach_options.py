"""Options of the command `teach`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError

MOST_A_WEEK = 10_000.0


@dataclass(frozen=True)
class TeachOptions:
    """What is taught from what, and where the model goes.

    Attributes:
        against: Recordings or events that are not the sound.
        output: The model file that is written; None for the model itself, or ``mine.onnx``.
        features: Folder of the past's features; None for those beside the store.
        at_most: Events a week that the past may have.
        forget: Whether the sound is taken away instead.
        format: Form of standard output.
        overwrite: Whether another model file may be replaced.

    Raises:
        UsageError: A value is out of range, or options exclude each other.
    """

    panel: ClassVar[str] = "Teaching"

    against: tuple[str, ...] = option(
        (),
        "--not",
        metavar="CLIP",
        help="A recording, an event's id or a moment that is not the sound but is taken "
        "for it; may be repeated.",
    )
    output: Path | None = option(
        None,
        "--output",
        "-o",
        metavar="FILE",
        help="Model file to write; by default the model itself, or mine.onnx for a bundled one.",
    )
    features: Path | None = option(
        None,
        "--features",
        metavar="FOLDER",
        help="Past to try it on: a folder of features; by default the one beside the store.",
    )
    at_most: float = option(
        3.0,
        "--at-most",
        metavar="N",
        help="Events a week that the past may have; a higher number finds fainter sounds.",
    )
    forget: bool = option(False, "--forget", help="Take the sound away again.")
    format: Literal["text", "jsonl"] = option("text", "--format", "-f", help="Form of the answer.")
    overwrite: bool = option(False, "--overwrite", help="Replace another file of that name.")

    def __post_init__(self) -> None:
        if not 0 <= self.at_most <= MOST_A_WEEK:
            raise UsageError(
                f"--at-most {self.at_most:g}: must be 0 to {MOST_A_WEEK:g} events a week"
            )
        if self.forget and self.against:
            raise UsageError("--forget takes the sound away, --not teaches it: give one of them")
        if self.output is not None and self.output.suffix.lower() != ".onnx":
            raise UsageError(f"--output {self.output}: must end in .onnx")
