"""Options of the command `backtest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError


@dataclass(frozen=True)
class BacktestOptions:
    """What is judged again, and how it is told.

    Attributes:
        rules: Whether the rules of the settings are tried on the events.
        config: The settings file with the rules; None for the user's own.
        features: Folder of the past; None for the one beside the store.
        format: Form of standard output.

    Raises:
        UsageError: Options do not go together.
    """

    panel: ClassVar[str] = "Past"

    rules: bool = option(
        False, "--rules", help="Tell what the rules of the settings would have told of the events."
    )
    config: Path | None = option(
        None,
        "--config",
        metavar="FILE",
        help="The settings file with the rules; by default the user's own.",
    )
    features: Path | None = option(
        None,
        "--features",
        metavar="FOLDER",
        help="Folder of the past, as file --features wrote it; by default beside the store.",
    )
    format: Literal["text", "jsonl"] = option("text", "--format", "-f", help="Form of the answer.")

    def __post_init__(self) -> None:
        if self.config is not None and not self.rules:
            raise UsageError("--config: names the rules: add --rules")
        if self.rules and self.features is not None:
            raise UsageError(
                "--rules: are about live sources, whose past lies beside the store: leave "
                "--features out"
            )
