"""Construction of sinks from a file name or a format.

Kinds of sinks that few runs need are imported when they are requested, to keep starting fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.core.errors import UsageError
from streamclf.core.standard_streams import is_terminal
from streamclf.sinks.base import Sink
from streamclf.sinks.file_names import Format, check_scores_ending, format_of
from streamclf.sinks.jsonl import N_BEST, JsonLinesSink
from streamclf.sinks.lines import LineFile, Lines, PrintedLines
from streamclf.sinks.tables import AudacitySink, CsvSink, RavenSink, TextSink

if TYPE_CHECKING:
    from streamclf.sinks.live.live_outputs import LiveOutputs


def open_sink(
    path: Path | None,
    chosen: Format | None = None,
    *,
    top: int = 0,
    begins: bool = False,
    overwrite: bool = False,
    append: bool = False,
    write: Callable[[str], None] | None = None,
    live_outputs: LiveOutputs | None = None,
    marks: Collection[str] = (),
    n_best: int = 0,
) -> Sink:
    """Open a sink for events.

    Args:
        path: The file, or None for standard output.
        chosen: The format; None takes it from the file's ending.
        top: Number of classes that JSON Lines show for each window; 0 for no such lines.
        begins: Also write a line when an event begins, in JSON Lines and text.
        overwrite: Replace an existing file.
        append: Continue an existing file of a batch.
        write: Function that prints to standard output; None writes there directly.
        live_outputs: Options of a live run, whose files are written by a thread; None for a batch.
        marks: Kinds of lines about recordings in JSON Lines and CSV: ``heard``, ``unfinished``.
        n_best: Number of classes in one answer for each recording, which replaces its events; 0
            writes events.

    Raises:
        UsageError: The format is unknown, or the file exists already.
        SinkError: The file cannot be created.
    """
    if chosen is None:
        if path is None:
            raise UsageError("standard output needs a --format")
        chosen = format_of(path)
    file: Lines = _open_lines(path, overwrite, live_outputs, append)
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
    path: Path | None, overwrite: bool, live_outputs: LiveOutputs | None, append: bool = False
) -> Lines:
    if live_outputs is not None:
        return live_outputs.open(path, overwrite=overwrite)
    return LineFile(path, overwrite=overwrite, append=append)


def open_scores(
    path: Path, *, overwrite: bool = False, live_outputs: LiveOutputs | None = None
) -> Sink:
    """Open a sink for the scores of every window, .csv or .npz.

    Args:
        path: The file.
        overwrite: Replace an existing file.
        live_outputs: Options of a live run, whose files are written by a thread; None for a batch.

    Raises:
        UsageError: The file has another ending, or exists already.
        SinkError: The file cannot be created.
    """
    from streamclf.sinks.scores import ScoresCsvSink, ScoresNpzSink

    check_scores_ending(path)
    if path.suffix.lower() == ".npz":
        return ScoresNpzSink(
            path, overwrite=overwrite, report=live_outputs.report if live_outputs else None
        )
    return ScoresCsvSink(_open_lines(path, overwrite, live_outputs))
