"""Where results go, as the command line says it: checked before one file is created."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamclf.batch import is_template, output_for
from streamclf.console import Bars
from streamclf.errors import SinkError, UsageError
from streamclf.sinks.base import Sink
from streamclf.sinks.choose import Format, check_scores_ending, format_of, open_scores, open_sink
from streamclf.sinks.lines import already_exists
from streamclf.stats import Statistics


@dataclass(frozen=True)
class OutputOptions:
    """Where results go besides standard output, and in which form."""

    files: list[Path]
    format: Format | None = None
    scores: Path | None = None
    overwrite: bool = False
    top: int = 0
    stats: Path | None = None

    def __post_init__(self) -> None:
        for path in self.files:
            format_of(path)
        if self.scores is not None:
            check_scores_ending(self.scores)


@contextmanager
def open_sinks(
    outputs: OutputOptions, files: list[Path], *, default: Format, bars: Bars | None = None
) -> Iterator[list[Sink]]:
    """Standard output, files and scores, closed in the end."""
    with ExitStack() as stack:
        sinks = [open_sink(path, overwrite=outputs.overwrite) for path in files]
        if outputs.scores is not None:
            sinks.append(open_scores(outputs.scores, overwrite=outputs.overwrite))
        chosen = outputs.format or default
        sinks.append(open_sink(None, chosen, top=outputs.top, write=bars.print if bars else None))
        for sink in sinks:
            stack.callback(sink.close)
        yield sinks


def check_outputs(outputs: OutputOptions, recordings: list[Path]) -> None:
    """Refuse outputs that would be lost or mixed up, before one of them is created."""
    taken: dict[Path, Path | None] = {outputs.scores: None} if outputs.scores else {}
    if outputs.stats is not None:
        _take(taken, outputs.stats, None)
    for output in outputs.files:
        if not is_template(output):
            if len(recordings) > 1 and format_of(output) == "audacity":
                raise UsageError(
                    f"--output {output}: Audacity labels do not say which recording they belong "
                    f"to, and there are {len(recordings)}: put {{stem}} into the name, as in "
                    "'{stem}.txt'"
                )
            _take(taken, output, None)
            continue
        for recording in recordings:
            _take(taken, output_for(output, recording), recording)
    if not outputs.overwrite:
        for path in taken:
            if path.exists():
                raise already_exists(path)


def write_stats(path: Path | None, statistics: Statistics) -> None:
    """Write what was heard and lost, as JSON, where that was asked for.

    Raises:
        SinkError: It cannot be written.
    """
    if path is None:
        return
    text = json.dumps(statistics.as_json(), indent=1, ensure_ascii=False)
    try:
        path.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"--stats {path}: cannot be written: {reason}") from error


def _take(taken: dict[Path, Path | None], output: Path, recording: Path | None) -> None:
    if output in taken:
        raise UsageError(
            f"--output {output}: {recording} and {taken[output]} would share it: use {{dir}} as "
            "well, as in '{dir}/{stem}.csv'"
            if recording
            else f"--output {output}: is named twice, each output needs a file of its own"
        )
    taken[output] = recording
