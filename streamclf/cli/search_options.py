"""Options of the command `search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError


@dataclass(frozen=True)
class SearchOptions:
    """What is looked for, and how it is told.

    Attributes:
        like: A recording, or the identifier of an event.
        features: Folder of the features; None for those beside the store.
        top: Number of moments.
        format: Format of standard output.

    Raises:
        UsageError: Nothing is looked for.
    """

    panel: ClassVar[str] = "Search"

    like: str = option(
        "",
        "--like",
        metavar="FILE|EVENT",
        help="What is looked for: a recording that holds the sound, or an event as heard "
        "--format jsonl names it (its id).",
    )
    features: Path | None = option(
        None,
        "--features",
        metavar="FOLDER",
        help="Folder of the features, as file --features wrote it; by default beside the store.",
    )
    top: int = option(
        10, "--top", "-k", minimum=1, metavar="N", help="Number of moments, the most like first."
    )
    format: Literal["text", "jsonl"] = option("text", "--format", "-f", help="Form of the answer.")

    def __post_init__(self) -> None:
        if not self.like:
            raise UsageError(
                "--like: is missing: name a recording that holds the sound, or an event's id"
            )
