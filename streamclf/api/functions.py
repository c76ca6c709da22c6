"""Simple functions for Python programs: `detect`, `classify`, `score` and `listen`.

They take a file or an array and return times in seconds. The work is done by
`streamclf.pipeline.engine.Engine`, which has all settings and yields records with positions in
samples.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.declare_option import declared_options
from streamclf.core.errors import SourceError, StreamclfError, UsageError
from streamclf.core.label_choice import choose_events
from streamclf.core.log import say
from streamclf.core.records import Average, Change, Gap, Notice, Result, SoundEvent, StreamStarted
from streamclf.core.settings import Settings
from streamclf.core.sureness import Sureness
from streamclf.core.thresholds import ThresholdOptions
from streamclf.core.unknown import judge
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import DEFAULT_MODEL
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import has_spare_core
from streamclf.sinks.summary import RecordingMean
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.factory import open_source
from streamclf.sources.options import SourceOptions
from streamclf.sources.recording.recording import Recording

if TYPE_CHECKING:
    import pandas

Audio: TypeAlias = "str | os.PathLike[str] | npt.ArrayLike | Source"
"""A recording's path, an array ``(samples,)`` or ``(channels, samples)``, or an opened source."""
AnyModel: TypeAlias = "str | os.PathLike[str] | Model | Classifier"
"""A bundled model's name, an ``.onnx`` file, or an open model."""


@dataclass(frozen=True)
class Event:
    """A sound that was found.

    Attributes:
        label: One of the model's labels.
        name: Name of the label for people.
        onset_s: Its beginning, in seconds from the start.
        offset_s: Its end in seconds from the start; while it goes on, the end of the audio that
            had been scored.
        score: The highest averaged score so far, 0..1.
        time: Local time of its beginning; None where that is unknown.
        source: Path of the recording, name of the microphone, ...
        ended: Whether it has ended. An event that is reported at its beginning and at its end has
            the same label and onset in both.
        short: Whether it was found in audio shorter than the model's window, which is less
            reliable.
        sureness: What the score means for this label by the model's card, ``maybe``, ``likely`` or
            ``sure``; None where it has no word.
    """

    label: str
    name: str
    onset_s: float
    offset_s: float
    score: float
    time: datetime | None
    source: str
    ended: bool = True
    short: bool = False
    sureness: Sureness | None = None

    @property
    def duration_s(self) -> float:
        """Duration so far in seconds."""
        return self.offset_s - self.onset_s


@dataclass(frozen=True)
class Answer:
    """Result for a whole recording.

    Attributes:
        scores: Mean score over all windows for each label, highest first; for a regression, its
            values in the order of the labels.
        known: Whether the sound is one that the model knows; True if its card has no rule for
            unknown sounds.
        source: Path of the recording.
        short: Whether the audio is shorter than the model's window, which is less reliable.
    """

    scores: dict[str, float]
    known: bool
    source: str
    short: bool = False

    @property
    def label(self) -> str:
        """Label with the highest score; for a regression, the first one."""
        return next(iter(self.scores))

    @property
    def score(self) -> float:
        """Highest score, 0..1; for a regression, the first value."""
        return next(iter(self.scores.values()))


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of all windows.

    Attributes:
        labels: Labels of the columns.
        onset_s: Beginning of each window in seconds, ``(windows,)``.
        offset_s: End of each window's audio in seconds, ``(windows,)``.
        values: Scores, ``(windows, classes)`` float32.
        source: Path of the recording.
    """

    labels: list[str]
    onset_s: npt.NDArray[np.float64]
    offset_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    source: str

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with one column a label and the index ``onset_s``.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        index = pandas.Index(self.onset_s, name="onset_s")
        return pandas.DataFrame(self.values, index=index, columns=pandas.Index(self.labels))


def detect(
    audio: Audio,
    sample_rate: int | None = None,
    *,
    model: AnyModel = DEFAULT_MODEL,
    threshold: float | None = None,
    target_precision: float | None = None,
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
    average_s: float = 3.0,
) -> list[Event]:
    """Find the sounds in a recording or an array.

    Missing audio of a damaged recording is logged as a warning; events found before it are
    returned.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Sample rate of an array in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        threshold: Averaged score at which an event begins, for every label; the model's own by
            default.
        target_precision: Share of events that should be right, 0..1; selects thresholds from the
            model's card.
        only: Labels whose events are returned, as identifiers or display names; all by default.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average scores over; 0 for no averaging.

    Returns:
        The events, in the order in which they ended.

    Raises:
        StreamclfError: The model or the audio cannot be opened, or an argument is out of range.
    """
    thresholds = ThresholdOptions(threshold, target_precision, only=_name_labels(only))
    engine = _engine(model, hop_s, average_s, thresholds)
    with _open(audio, sample_rate) as source:
        events = [_event(result, info) for result, info in _run(engine, source)]
    return [event for event in events if event is not None and event.ended]


def classify(
    audio: Audio,
    sample_rate: int | None = None,
    *,
    model: AnyModel = DEFAULT_MODEL,
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
) -> Answer:
    """Classify a whole recording or array: the mean scores of its labels, or a value.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Sample rate of an array in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        only: Labels to choose among, as identifiers or display names; all by default.
        hop_s: Seconds between the starts of two windows.

    Raises:
        StreamclfError: The model or the audio cannot be opened, there is no audio, or an argument
            is out of range.
    """
    engine = _engine(model, hop_s, 0.0, ThresholdOptions(only=_name_labels(only)))
    with _open(audio, sample_rate) as source:
        mean, info = RecordingMean(), None
        for result, info in _run(engine, source):
            if isinstance(result, Average):
                if not mean.n_windows:
                    mean = RecordingMean(info.temperature, info.n_taught)
                mean.add(result)
    answer = mean.compute()
    if answer is None or info is None:
        raise SourceError(f"{source.name}: holds no audio: there is nothing to answer")
    card = engine.card
    scores = {
        label: float(value)
        for label, value in zip(card.labels, answer.values, strict=True)
        if card.task == "regression" or label in info.thresholds
    }
    if card.task != "regression":
        scores = dict(sorted(scores.items(), key=lambda pair: -pair[1]))
    known = card.unknown is None or judge(answer, card.unknown)[0] == "known"
    return Answer(scores, known, source.name, answer.scores.short)


def score(
    audio: Audio,
    sample_rate: int | None = None,
    *,
    model: AnyModel = DEFAULT_MODEL,
    hop_s: float = 0.5,
    average_s: float = 0.0,
) -> ScoreTable:
    """Score every window of a recording or an array.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Sample rate of an array in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average scores over; 0 for the scores of single windows.

    Raises:
        StreamclfError: The model or the audio cannot be opened, or an argument is out of range.
    """
    engine = _engine(model, hop_s, average_s, ThresholdOptions())
    with _open(audio, sample_rate) as source:
        rows = [result for result, _ in _run(engine, source) if isinstance(result, Average)]
    rate, labels = engine.card.sample_rate, engine.card.labels
    values = np.array([row.values for row in rows], dtype=np.float32)
    return ScoreTable(
        list(labels),
        np.array([row.position / rate for row in rows]),
        np.array([row.end / rate for row in rows]),
        values.reshape(len(rows), len(labels)),
        source.name,
    )


def listen(
    source: str | Source | None = None,
    *,
    device: str | int | None = None,
    duration_s: float | None = None,
    speed: float | None = None,
    model: AnyModel = DEFAULT_MODEL,
    threshold: float | None = None,
    target_precision: float | None = None,
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
    average_s: float = 3.0,
) -> Iterator[Event]:
    """Listen to a microphone or a stream, and yield each event as soon as it is known.

    An event whose beginning is reported is yielded twice: when it begins (`Event.ended` is false)
    and when it has ended. Lost audio and lost devices are logged as warnings, and a lost device is
    waited for. Leaving the loop ends listening.

    Args:
        source: None for a microphone, a URL, ``-`` (standard input), ``sim:FILE`` (a recording
            played as a microphone), or an opened source, which the caller closes.
        device: The microphone, by index or part of its name; the system's default by default.
        duration_s: Seconds of audio after which to end; None for no limit.
        speed: Speed of ``sim:FILE`` in multiples of real time; 0 for as fast as possible.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        threshold: Averaged score at which an event begins, for every label; the model's own by
            default.
        target_precision: Share of events that should be right, 0..1; selects thresholds from the
            model's card.
        only: Labels whose events are yielded, as identifiers or display names; all by default.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average scores over; 0 for no averaging.

    Raises:
        StreamclfError: The model or the source cannot be opened, or an argument is out of range.
    """
    if duration_s is not None and not duration_s > 0:
        raise UsageError(f"duration_s is {duration_s}, must be above 0 seconds")
    thresholds = ThresholdOptions(threshold, target_precision, only=_name_labels(only))
    engine = _engine(model, hop_s, average_s, thresholds, live=True)
    if isinstance(source, Source):
        return _listen(engine, source, duration_s)
    wanted = None if device is None else str(device)
    with _errors_of_arguments():
        options = SourceOptions(source, wanted, speed=speed)
    return _open_and_listen(engine, options, duration_s)


def _open_and_listen(
    engine: Engine, options: SourceOptions, duration_s: float | None
) -> Iterator[Event]:
    """Open the source when the first event is asked for, so that it is certain to be closed."""
    with _errors_of_arguments(), open_source(options) as source:
        yield from _listen(engine, source, duration_s)


def _listen(engine: Engine, source: Source, duration_s: float | None) -> Iterator[Event]:
    end_s = math.inf if duration_s is None else duration_s
    for result, info in _run(engine, source):
        if (event := _event(result, info)) is not None:
            yield event
        elif isinstance(result, Average) and result.end >= end_s * info.sample_rate:
            engine.stop()


def _run(engine: Engine, source: Source) -> Iterator[tuple[Result, StreamStarted]]:
    """Yield the results of a stream; errors are logged, or raised if there was no audio.

    Raises:
        SourceError: The source failed before its stream began.
    """
    info: StreamStarted | None = None
    try:
        with closing(engine.run(source)) as results:
            for result in results:
                if isinstance(result, StreamStarted):
                    info = result
                elif info is not None:
                    _log_loss(result, info)
                    yield result, info
    except SourceError as error:
        if info is None:
            raise
        say(f"warning: {error}")


def _log_loss(result: Result, info: StreamStarted) -> None:
    if isinstance(result, Gap):
        length_s, at_s = result.n_samples / info.sample_rate, info.seconds(result.position)
        say(f"warning: {info.source}: {length_s:.2f} s are missing at {at_s:g} s: {result.cause}")
    elif isinstance(result, Notice) and result.level == "warning":
        say(f"warning: {info.source}: {result.message}")


def _event(result: Result, info: StreamStarted) -> Event | None:
    """Convert a record of an event, at its beginning, while it goes on or at its end.

    Returns:
        The event; None for other records.
    """
    if isinstance(result, Average | Gap | Notice | Change):
        return None
    return Event(
        result.label,
        info.display_name(result.label),
        info.seconds(result.onset),
        info.seconds(result.offset if isinstance(result, SoundEvent) else result.position),
        result.score,
        info.moment(result.onset),
        info.source,
        isinstance(result, SoundEvent),
        isinstance(result, SoundEvent) and result.short,
        info.tell_sureness(result.label, result.score),
    )


def _engine(
    model: AnyModel,
    hop_s: float,
    average_s: float,
    thresholds: ThresholdOptions,
    *,
    live: bool = False,
) -> Engine:
    classifier = _classifier(model, live)
    card = classifier.card
    with _errors_of_arguments():
        settings = choose_events(card, Settings(hop_s, average_s), thresholds, say)
    engine = Engine(classifier, settings)
    opened = classifier.model
    engine.read_ahead = not live and has_spare_core(opened.provider, opened.n_threads)
    return engine


def _name_labels(only: str | Sequence[str] | None) -> str | None:
    """Names of labels as one text."""
    return only if only is None or isinstance(only, str) else ",".join(only)


@contextmanager
def _errors_of_arguments() -> Iterator[None]:
    """Rename options of the command line in error messages to arguments of these functions."""
    try:
        yield
    except StreamclfError as error:
        arguments = {
            option.flag: field
            for group in (SourceOptions, Settings, ThresholdOptions)
            for field, option in declared_options(group).items()
            if field in _ARGUMENTS
        }
        message = re.sub(
            r"--[a-z-]*[a-z]", lambda found: arguments.get(found[0], found[0]), str(error)
        )
        raise type(error)(message) from error


_ARGUMENTS = {*signature(detect).parameters, *signature(listen).parameters}
"""Fields of the groups of options that are arguments here."""


def _classifier(model: AnyModel, live: bool) -> Classifier:
    if isinstance(model, Classifier):
        return model
    if isinstance(model, Model):
        return Classifier(model)
    path = find_model(os.fspath(model))
    status = path.stat()
    return _open_classifier(path.resolve(), live, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _open_classifier(path: Path, live: bool, changed_ns: int, n_bytes: int) -> Classifier:
    """Open a model once for many calls; a file that has changed is opened anew."""
    return Classifier(Model(path, live=live))


def _open(audio: Audio, sample_rate: int | None) -> Source:
    if isinstance(audio, Source):
        return audio
    if isinstance(audio, str | os.PathLike):
        if sample_rate is not None:
            raise UsageError(
                f"sample_rate is {sample_rate}, and {os.fspath(audio)} says its own: leave it out"
            )
        return Recording(Path(audio))
    if sample_rate is None:
        raise UsageError("sample_rate is not given, and an array says none: give it in Hz")
    return ArraySource(audio, sample_rate)
