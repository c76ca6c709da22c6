"""Where results go, as the command line says it: checked before one file is created."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.core.card import Card
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.standard_streams import is_closed
from streamclf.core.stats import Statistics
from streamclf.runs.console import Bars, say
from streamclf.sinks.base import Sink
from streamclf.sinks.factory import open_scores, open_sink
from streamclf.sinks.file_names import Format, format_of, is_template, output_for
from streamclf.sinks.lines import HEARD, UNFINISHED
from streamclf.sinks.options import OutputOptions
from streamclf.sinks.output_files import (
    already_exists,
    holds_something,
    reason_of,
    try_to_create,
)

if TYPE_CHECKING:
    from streamclf.sinks.live.upkeep import Upkeep


def open_files(outputs: OutputOptions, files: Sequence[Path], upkeep: Upkeep | None) -> list[Sink]:
    """Open sinks for files and scores; the caller closes them with `close_sinks`.

    Of a live run, one for clips, too; those of a recording are written as it is listened to.

    Raises:
        UsageError: A file is there already.
        SinkError: One cannot be created; none is left open.
    """
    sinks: list[Sink] = []
    try:
        if outputs.stats is not None:
            try_to_create(outputs.stats)
        for path in files:
            sinks.append(_open_file(path, outputs, upkeep))
        if outputs.scores is not None:
            sinks.append(open_scores(outputs.scores, overwrite=outputs.overwrite, upkeep=upkeep))
        if outputs.clips is not None and upkeep is not None:
            from streamclf.sinks.clips.clips import BackgroundClips

            sinks.append(BackgroundClips(outputs.clips, upkeep.tell, outputs.room()))
    except BaseException:
        close_sinks(sinks)
        raise
    return sinks


def _open_file(path: Path, outputs: OutputOptions, upkeep: Upkeep | None) -> Sink:
    marks = (HEARD, UNFINISHED) if outputs.resume else (UNFINISHED,)
    return open_sink(
        path,
        begins=outputs.begins,
        overwrite=outputs.overwrite,
        append=outputs.resume,
        upkeep=upkeep,
        marks=() if upkeep else marks,
        n_best=outputs.n_best,
    )


def reopen(sinks: Iterable[Sink]) -> None:
    """Open files anew that others may have moved away (logrotate). Safe in a signal handler."""
    for sink in sinks:
        sink.reopen()


def close_sinks(sinks: list[Sink]) -> None:
    """Close all; those that need time for it take it at once."""
    for sink in sinks:
        sink.finish()
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)


@contextmanager
def open_sinks(
    outputs: OutputOptions,
    files: Sequence[Path],
    *,
    default: Format,
    bars: Bars | None = None,
    upkeep: Upkeep | None = None,
) -> Iterator[list[Sink]]:
    """Standard output, files and scores, closed in the end.

    Raises:
        UsageError: A file is there already, or there is no output at all.
        SinkError: One cannot be created.
    """
    prints = _prints(outputs)
    sinks = open_files(outputs, files, upkeep)
    try:
        if prints:
            write = bars.print if bars else None
            chosen = outputs.format or default
            sinks.append(
                open_sink(
                    None,
                    chosen,
                    top=outputs.n_updated,
                    begins=outputs.begins,
                    write=write,
                    upkeep=upkeep,
                    n_best=outputs.n_best,
                )
            )
        yield sinks
    finally:
        close_sinks(sinks)


def _prints(outputs: OutputOptions) -> bool:
    """Whether there is a standard output for results."""
    if not is_closed(sys.stdout):
        return True
    if not outputs.written:
        raise UsageError(
            "standard output is closed, and there is no other output: add --output FILE, or leave "
            "standard output open"
        )
    say("standard output is closed: results go to the other outputs alone")
    return False


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
    if outputs.overwrite or outputs.resume:
        return
    for path in taken:
        continued = outputs.append and path != outputs.stats
        if not continued and holds_something(path):
            raise already_exists(
                path, _way_to_go_on(outputs, path, taken[path], live=not recordings)
            )


def _way_to_go_on(outputs: OutputOptions, path: Path, recording: Path | None, *, live: bool) -> str:
    """How an output that exists could be gone on with; empty where that cannot be."""
    if live:
        whole = path == outputs.stats or path.suffix.lower() == ".npz"  # written at the end
        return "" if whole else "--append to go on with it"
    shared = path in outputs.files and format_of(path) in ("csv", "jsonl")
    done = recording is not None or shared
    return "--resume to leave out recordings that are done" if done else ""


def check_clips(outputs: OutputOptions, card: Card) -> None:
    """Refuse clips of a model that finds no events."""
    if outputs.clips is not None and card.task == "regression":
        raise UsageError(
            f"--clips writes the audio of events, and {card.name} gives values: leave it out"
        )


def make_clips(outputs: OutputOptions) -> list[Sink]:
    """What writes the clips of one recording, where they are asked for."""
    if outputs.clips is None:
        return []
    from streamclf.sinks.clips.clips import ClipSink

    return [ClipSink(outputs.clips)]


def is_done(outputs: OutputOptions, recording: Path) -> bool:
    """Whether all files of a recording's own are there, and none is older than the recording."""
    try:
        changed = recording.stat().st_mtime_ns
        own = [output_for(path, recording) for path in outputs.files if is_template(path)]
        return all(path.is_file() and path.stat().st_mtime_ns >= changed for path in own)
    except OSError:
        return False


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
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise SinkError(f"--stats {path}: cannot be written: {reason_of(error)}") from error


def _take(taken: dict[Path, Path | None], output: Path, recording: Path | None) -> None:
    if output in taken:
        raise UsageError(
            f"--output {output}: {recording} and {taken[output]} would share it: use {{dir}} as "
            "well, as in '{dir}/{stem}.csv'"
            if recording
            else f"--output {output}: is named twice, each output needs a file of its own"
        )
    taken[output] = recording
