"""From what the user asks for to sinks: formats by name, files by extension.

Kinds that hardly any run needs are imported when they are asked for: starting takes long enough.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from streamclf.core.errors import UsageError
from streamclf.core.standard_streams import is_terminal
from streamclf.sinks.base import Sink
from streamclf.sinks.jsonl import N_BEST, JsonLinesSink
from streamclf.sinks.lines import LineFile, Lines, PrintedLines
from streamclf.sinks.tables import AudacitySink, CsvSink, RavenSink, TextSink

if TYPE_CHECKING:
    from streamclf.sinks.live.upkeep import Upkeep

Format: TypeAlias = Literal["jsonl", "csv", "audacity", "raven", "text"]

_ENDINGS: dict[str, Format] = {
    ".selections.txt": "raven",
    ".raven.txt": "raven",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".txt": "audacity",
}
"""Longer endings first."""


def format_of(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        UsageError: No format has this ending.
    """
    name = path.name.lower()
    for ending, chosen in _ENDINGS.items():
        if name.endswith(ending):
            return chosen
    raise UsageError(
        f"--output {path}: the ending says no format; .jsonl, .csv, .txt (Audacity labels) "
        "and .selections.txt (Raven) are known"
    )


def open_sink(
    path: Path | None,
    chosen: Format | None = None,
    *,
    top: int = 0,
    begins: bool = False,
    overwrite: bool = False,
    append: bool = False,
    write: Callable[[str], None] | None = None,
    upkeep: Upkeep | None = None,
    marks: Collection[str] = (),
    n_best: int = 0,
) -> Sink:
    """Open a sink for events.

    Args:
        path: The file, or None for standard output.
        chosen: The format; None takes it from the file's ending.
        top: Of JSON Lines: how many classes to show of each window, 0 for no such lines.
        begins: Of JSON Lines and text: also tell when events begin.
        overwrite: Replace a file that is there.
        append: Go on with a file that is there, of a batch.
        write: Writes to standard output, in place of writing there directly.
        upkeep: Of a live run: nothing that becomes of the file holds up who writes.
        marks: Which lines about recordings JSON Lines and CSV have: ``heard``, ``unfinished``.
        n_best: Write one answer a recording in place of its events, of so many classes; 0: events.

    Raises:
        UsageError: The format is unknown, or the file is there already.
        SinkError: The file cannot be created.
    """
    if chosen is None:
        if path is None:
            raise UsageError("standard output needs a --format")
        chosen = format_of(path)
    file: Lines = _open_lines(path, overwrite, upkeep, append)
    if path is None and write is not None and is_terminal(sys.stdout):
        file = PrintedLines(write)
    sink: Sink
    if chosen == "jsonl":
        sink = JsonLinesSink(file, begins=begins, top=top, marks=marks, n_best=n_best or N_BEST)
    elif chosen == "text":
        sink = TextSink(file, begins=begins, n_best=n_best or N_BEST)
    else:
        tables = {"csv": CsvSink, "audacity": AudacitySink, "raven": RavenSink}
        sink = tables[chosen](file, marks=marks if chosen == "csv" else (), n_best=n_best or N_BEST)
    if not n_best:
        return sink
    from streamclf.sinks.summary import SummarySink

    return SummarySink(sink)


def _open_lines(
    path: Path | None, overwrite: bool, upkeep: Upkeep | None, append: bool = False
) -> Lines:
    if upkeep is not None:
        return upkeep.open(path, overwrite=overwrite)
    return LineFile(path, overwrite=overwrite, append=append)


def open_scores(path: Path, *, overwrite: bool = False, upkeep: Upkeep | None = None) -> Sink:
    """Open a sink for the scores of every window, .csv or .npz.

    Raises:
        UsageError: The ending is another, or the file is there already.
        SinkError: The file cannot be created.
    """
    from streamclf.sinks.scores import ScoresCsvSink, ScoresNpzSink

    check_scores_ending(path)
    if path.suffix.lower() == ".npz":
        return ScoresNpzSink(path, overwrite=overwrite, tell=upkeep.tell if upkeep else None)
    return ScoresCsvSink(_open_lines(path, overwrite, upkeep))


def check_scores_ending(path: Path) -> None:
    """Refuse a name for scores that ends neither in .csv nor in .npz.

    Raises:
        UsageError: It does.
    """
    if path.suffix.lower() not in (".csv", ".npz"):
        raise UsageError(f"--scores {path}: must end in .csv or .npz")
