"""Where results go, as the command line says it: checked before one file is created."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.core.card import Card
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.standard_streams import is_closed
from streamclf.core.stats import Statistics
from streamclf.runs.console import Bars, say
from streamclf.sinks.base import Sink
from streamclf.sinks.factory import Format, check_scores_ending, format_of, open_scores, open_sink
from streamclf.sinks.lines import HEARD, UNFINISHED
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.output_files import (
    already_exists,
    holds_something,
    is_there,
    reason_of,
    try_to_create,
)
from streamclf.sinks.per_recording_files import is_template, output_for

if TYPE_CHECKING:
    from streamclf.sinks.clips.quota import ClipRoom
    from streamclf.sinks.live.upkeep import Upkeep


@dataclass(frozen=True)
class OutputOptions:
    """Where results go besides standard output, and in which form.

    Attributes:
        files: A sink each.
        format: Of standard output.
        scores: Each window's.
        overwrite: Replace files that are there.
        top: Classes to show of each window on standard output; 0: no such lines.
        append: Go on with files that are there (live).
        rotate: When to begin new files (live), see `Rotation`.
        resume: Leave out recordings whose own files are there already, and those that tables of
            many recordings hold to their end.
        clips: Folder for the audio of each event.
        clips_limit: What that folder may hold (live), such as ``20GB``.
        n_best: One answer a recording in place of its events, of so many classes; 0: events.
        begins: Lines for events that begin, too.
    """

    files: list[Path]
    format: Format | None = None
    scores: Path | None = None
    overwrite: bool = False
    top: int = 0
    stats: Path | None = None
    append: bool = False
    rotate: str | None = None
    resume: bool = False
    clips: Path | None = None
    clips_limit: str | None = None
    n_best: int = 0
    begins: bool = False

    def __post_init__(self) -> None:
        for path in self.files:
            chosen = format_of(path)
            if self.n_best:
                _check_answers(f"--output {path}", chosen)
        if self.n_best and self.format is not None:
            _check_answers("--format", self.format)
        if self.scores is not None:
            check_scores_ending(self.scores)
        if self.append and self.overwrite:
            raise UsageError("--append goes on with a file, --overwrite replaces it: leave one out")
        for option, given in [("--append", self.append), ("--rotate", self.rotate is not None)]:
            if given and not (self.files or self.scores):
                raise UsageError(f"{option} goes with --output or --scores")
            if given and self.scores is not None and self.scores.suffix.lower() == ".npz":
                raise UsageError(
                    f"{option} goes with files of lines, {self.scores} is written whole at the "
                    "end: take .csv for the scores"
                )
        if self.rotate is not None:
            Rotation.parse(self.rotate)
        if self.resume:
            self._check_resume()
        if self.clips is not None and is_there(self.clips) and not self.clips.is_dir():
            raise UsageError(f"--clips {self.clips}: is a file, clips need a folder: name one")
        if self.clips_limit is not None and self.clips is None:
            raise UsageError("--clips-limit goes with --clips")
        self.room()

    def _check_resume(self) -> None:
        if not self.files:
            raise UsageError(
                "--resume goes by --output, which tells what is done: a table of all, as in "
                "all.csv, or files of each recording's own, as in '{dir}/{stem}.csv'; there is none"
            )
        shared = [path for path in self.shared if format_of(path) not in ("csv", "jsonl")]
        if shared or (self.scores and not is_template(self.scores)):
            raise UsageError(
                "--resume goes on with .csv and .jsonl, and with files of each recording's own, as "
                f"in '{{dir}}/{{stem}}.txt'; {(*shared, self.scores)[0]} is shared by all"
            )
        if self.overwrite:
            raise UsageError("--resume keeps what is done, --overwrite replaces it: leave one out")

    @property
    def written(self) -> bool:
        """Whether anything is written besides standard output."""
        return bool(self.files or self.scores or self.clips or self.stats)

    def needs_averages(self, card: Card) -> bool:
        """Whether an output holds more than events and gaps: something of every window."""
        every = self.scores is not None or self.top > 0 or self.n_best > 0
        return card.task == "regression" or every

    @property
    def shared(self) -> list[Path]:
        """Files that hold all recordings."""
        return [path for path in self.files if not is_template(path)]

    def room(self) -> ClipRoom | None:
        """What keeps the clips' folder to its size, where it has one."""
        if self.clips is None or self.clips_limit is None:
            return None
        from streamclf.sinks.clips.quota import ClipRoom, read_limit

        return ClipRoom(self.clips, read_limit(self.clips_limit))

    def upkeep(
        self, tell: Callable[[str], None], on_gone: Callable[[], None] | None = None
    ) -> Upkeep:
        """How a live run keeps its outputs.

        Args:
            tell: Told what goes wrong with them.
            on_gone: Called when standard output has no reader any more, if that is all there is.
        """
        from streamclf.sinks.live.upkeep import Upkeep

        rotation = Rotation.parse(self.rotate) if self.rotate is not None else None
        alone = not (self.files or self.scores)
        return Upkeep(self.append, rotation, tell, on_gone if alone else None)


def open_files(outputs: OutputOptions, files: list[Path], upkeep: Upkeep | None) -> list[Sink]:
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
    files: list[Path],
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
                    top=outputs.top,
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


def _check_answers(option: str, chosen: Format) -> None:
    if chosen in ("audacity", "raven"):
        raise UsageError(
            f"{option}: --summary gives one answer a recording, which {chosen} has no place for: "
            "take .csv or .jsonl (text, csv or jsonl)"
        )


def _take(taken: dict[Path, Path | None], output: Path, recording: Path | None) -> None:
    if output in taken:
        raise UsageError(
            f"--output {output}: {recording} and {taken[output]} would share it: use {{dir}} as "
            "well, as in '{dir}/{stem}.csv'"
            if recording
            else f"--output {output}: is named twice, each output needs a file of its own"
        )
    taken[output] = recording
