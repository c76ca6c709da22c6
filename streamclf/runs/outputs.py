"""Outputs of a run: they are checked before the first file is created, then opened and closed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from streamclf.core.card import Card
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.speech_labels import find_speech_labels
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
    is_there,
    reason_of,
    try_to_create,
)

if TYPE_CHECKING:
    from streamclf.core.records import SoundEvent, StreamStarted
    from streamclf.sinks.clips.clips import OnWritten
    from streamclf.sinks.live.live_outputs import LiveOutputs
    from streamclf.store.sink import StoreSink
    from streamclf.store.store import Store


def open_files(
    outputs: OutputOptions,
    files: Sequence[Path],
    live_outputs: LiveOutputs | None,
    *,
    on_clip: OnWritten | None = None,
) -> list[Sink]:
    """Open sinks for files and scores; the caller closes them with `close_sinks`.

    A live run also gets sinks for clips and the store. In a batch `make_audio_sinks` makes them for
    each recording.

    Args:
        outputs: The outputs.
        files: Their files.
        live_outputs: Options of a live run; None for a batch.
        on_clip: Called when a clip is on the disk, where the caller has opened the store; None
            opens it here.

    Raises:
        UsageError: A file exists already.
        SinkError: A file cannot be created; no sink is left open.
    """
    sinks: list[Sink] = []
    try:
        if outputs.stats is not None:
            try_to_create(outputs.stats)
        for path in files:
            sinks.append(_open_file(path, outputs, live_outputs))
        if outputs.scores is not None:
            sinks.append(
                open_scores(outputs.scores, overwrite=outputs.overwrite, live_outputs=live_outputs)
            )
        if outputs.store is not None and live_outputs is not None and on_clip is None:
            from streamclf.store.store import Store

            store = Store(outputs.store, report=live_outputs.report, live=True)
            store_sink = store.sink(on_close=store.close, levels=outputs.levels)
            sinks.append(store_sink)
            if outputs.clips is not None:
                on_clip = keep_clips(store, outputs, outputs.clips, lambda: store_sink)
        if outputs.clips is not None and live_outputs is not None:
            from streamclf.sinks.clips.clips import BackgroundClips

            # After the store's sink: so it is closed first, and notes its last clips in time.
            sinks.append(
                BackgroundClips(
                    outputs.clips,
                    live_outputs.report,
                    outputs.clip_quota(),
                    speech=outputs.speech_judge(),
                    on_written=on_clip,
                )
            )
    except BaseException:
        close_sinks(sinks)
        raise
    return sinks


def keep_clips(
    store: Store, outputs: OutputOptions, folder: Path, sink: Callable[[], StoreSink | None]
) -> OnWritten:
    """Have a store look after the clips of a live run.

    Args:
        store: The store.
        outputs: The outputs of the run, with the limits of the clips.
        folder: Folder of the clips.
        sink: Returns the store's sink of the run.

    Returns:
        What notes a clip, to be called when it is on the disk.
    """
    from streamclf.store.retention import clip_limits

    sweeper = store.look_after(folder, clip_limits(outputs))

    def note(stream: StreamStarted, event: SoundEvent, path: PurePath, n_bytes: int) -> None:
        sweeper.note_written(n_bytes)
        memory = sink()
        if memory is not None:
            memory.note_clip(stream, event, folder, path, n_bytes)

    return note


def _open_file(path: Path, outputs: OutputOptions, live_outputs: LiveOutputs | None) -> Sink:
    marks = (HEARD, UNFINISHED) if outputs.resume else (UNFINISHED,)
    return open_sink(
        path,
        begins=outputs.begins,
        overwrite=outputs.overwrite,
        append=outputs.resume,
        live_outputs=live_outputs,
        marks=() if live_outputs else marks,
        n_best=outputs.n_best,
    )


def reopen(sinks: Iterable[Sink]) -> None:
    """Reopen files that may have been moved away (logrotate). Safe in a signal handler."""
    for sink in sinks:
        sink.reopen()


def close_sinks(sinks: list[Sink]) -> None:
    """Close all sinks; those that need time for it use the same time."""
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
    live_outputs: LiveOutputs | None = None,
    prints: bool = True,
) -> Iterator[list[Sink]]:
    """Open sinks for standard output, files and scores, and close them at the end.

    With ``prints=False`` nothing goes to standard output.

    Raises:
        UsageError: A file exists already, or there is no output at all.
        SinkError: A file cannot be created.
    """
    to_standard_output = prints and has_standard_output(outputs)
    sinks = open_files(outputs, files, live_outputs)
    try:
        if to_standard_output:
            write = bars.print if bars else None
            chosen = outputs.format or default
            sinks.append(
                open_sink(
                    None,
                    chosen,
                    top=outputs.n_updated,
                    begins=outputs.begins,
                    write=write,
                    live_outputs=live_outputs,
                    n_best=outputs.n_best,
                )
            )
        yield sinks
    finally:
        close_sinks(sinks)


def has_standard_output(outputs: OutputOptions) -> bool:
    """Whether standard output is open for results.

    Raises:
        UsageError: It is closed, and there is no other output.
    """
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
    """Refuse outputs that would replace files or each other, before the first is created.

    Raises:
        UsageError: Two outputs share a file, a file exists that may not be replaced, or an option
            needs a store.
    """
    outputs.check_store()
    claimed: dict[Path, Path | None] = {outputs.scores: None} if outputs.scores else {}
    if outputs.stats is not None:
        _claim(claimed, outputs.stats, None)
    for output in outputs.files:
        if not is_template(output):
            if len(recordings) > 1 and format_of(output) == "audacity":
                raise UsageError(
                    f"--output {output}: Audacity labels do not say which recording they belong "
                    f"to, and there are {len(recordings)}: put {{stem}} into the name, as in "
                    "'{stem}.txt'"
                )
            _claim(claimed, output, None)
            continue
        for recording in recordings:
            _claim(claimed, output_for(output, recording), recording, str(output))
    if outputs.overwrite or outputs.resume:
        return
    for path in claimed:
        continued = outputs.append and path != outputs.stats
        if not continued and holds_something(path):
            raise already_exists(
                path, _suggest_continuing(outputs, path, claimed[path], live=not recordings)
            )


def _suggest_continuing(
    outputs: OutputOptions, path: Path, recording: Path | None, *, live: bool
) -> str:
    """Return advice on continuing an output that exists; empty if it cannot be continued."""
    if live:
        whole = path == outputs.stats or path.suffix.lower() == ".npz"  # written at the end
        return "" if whole else "--append to go on with it"
    shared = path in outputs.files and format_of(path) in ("csv", "jsonl")
    done = recording is not None or shared
    return "--resume to leave out recordings that are done" if done else ""


def check_clips(outputs: OutputOptions, card: Card) -> None:
    """Refuse clips with a regression, which finds no events, and clips that cannot be judged.

    Raises:
        UsageError: The model finds no events, or tells no speech where clips may hold none.
    """
    if outputs.clips is None:
        return
    if card.task == "regression":
        raise UsageError(
            f"--clips writes the audio of events, and {card.name} gives values: leave it out"
        )
    if outputs.privacy is not None and not find_speech_labels(card.labels, card.display_names):
        raise UsageError(
            f"--privacy speech: {card.name} has no label of speech to judge clips by: take a model "
            "that has one (wide), or leave --clips out"
        )


class ClipTally:
    """Number of clips that a batch withheld, counted by the threads of all its recordings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.n_withheld = 0

    def withhold(self) -> None:
        """Count a clip."""
        with self._lock:
            self.n_withheld += 1

    def describe(self) -> str:
        """Say what was withheld; empty if nothing was."""
        if not self.n_withheld:
            return ""
        from streamclf.sinks.clips.clips import describe_withheld

        return describe_withheld(self.n_withheld)


@contextmanager
def open_batch_store(outputs: OutputOptions) -> Iterator[Store | None]:
    """Open the store of a batch, and close it at the end; None if no store is requested.

    Raises:
        StoreError: The store cannot be opened.
    """
    if outputs.store is None:
        yield None
        return
    from streamclf.store.store import Store

    with Store(outputs.store, report=say, live=False) as store:
        yield store


def check_features(folder: Path | None) -> None:
    """Refuse a folder of features that is a file.

    Raises:
        UsageError: It is one.
    """
    if folder is not None and is_there(folder) and not folder.is_dir():
        raise UsageError(f"--features {folder}: is a file, features need a folder: name one")


def make_audio_sinks(
    outputs: OutputOptions,
    store: Store | None,
    tally: ClipTally,
    features: Path | None = None,
) -> list[Sink]:
    """Make the sinks of one recording that need its audio or all its windows.

    Args:
        outputs: The outputs, which may name a folder of clips.
        store: The store; None for none.
        tally: Counts the clips that are withheld.
        features: Folder of features; None for none.
    """
    folder = outputs.clips
    store_sink = store.sink(levels=outputs.levels) if store is not None else None
    # The store's sink comes first, so that it has an event before its clip.
    sinks: list[Sink] = [store_sink] if store_sink is not None else []
    if features is not None:
        from streamclf.store.features.sink import RecordingFeatureSink

        sinks.append(RecordingFeatureSink(features))
    if folder is not None:
        from streamclf.sinks.clips.clips import ClipSink

        def note(stream: StreamStarted, event: SoundEvent, path: PurePath, n_bytes: int) -> None:
            if store_sink is not None:
                store_sink.note_clip(stream, event, folder, path, n_bytes)

        sinks.append(
            ClipSink(
                folder,
                speech=outputs.speech_judge(),
                on_written=note,
                on_withheld=tally.withhold,
            )
        )
    return sinks


def is_done(outputs: OutputOptions, recording: Path) -> bool:
    """Whether all per-recording files exist and none is older than the recording."""
    try:
        changed = recording.stat().st_mtime_ns
        own = [output_for(path, recording) for path in outputs.files if is_template(path)]
        return all(path.is_file() and path.stat().st_mtime_ns >= changed for path in own)
    except OSError:
        return False


def write_stats(path: Path | None, statistics: Statistics) -> None:
    """Write the statistics of a run as JSON, if a file for them is given.

    Raises:
        SinkError: The file cannot be written.
    """
    if path is None:
        return
    text = json.dumps(statistics.as_json(), indent=1, ensure_ascii=False)
    try:
        path.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise SinkError(f"--stats {path}: cannot be written: {reason_of(error)}") from error


def _claim(
    claimed: dict[Path, Path | None], output: Path, recording: Path | None, template: str = ""
) -> None:
    if output in claimed:
        way_out = (
            "use {name}, the name with its ending, as in '{dir}/{name}.csv'"
            if "{dir}" in template and "{name}" not in template
            else "use {dir} as well, as in '{dir}/{stem}.csv'"
        )
        raise UsageError(
            f"--output {output}: {recording} and {claimed[output]} would share it: {way_out}"
            if recording
            else f"--output {output}: is named twice, each output needs a file of its own"
        )
    claimed[output] = recording
