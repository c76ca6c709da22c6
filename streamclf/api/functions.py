"""The library in one line each: `detect`, `classify`, `score` and `listen`.

What they do is done by `streamclf.pipeline.engine.Engine`, which has all settings and gives records
with positions in samples. Here a file or an array goes in, and seconds come out.
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
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import SourceError, StreamclfError, UsageError
from streamclf.core.label_choice import choose_labels
from streamclf.core.log import say
from streamclf.core.records import Average, Change, Gap, Notice, Result, SoundEvent
from streamclf.core.settings import Settings, choose_thresholds
from streamclf.core.unknown import judge
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import leaves_core
from streamclf.runs.runner import stream_info
from streamclf.sinks.base import StreamInfo
from streamclf.sinks.summary import WholeMean
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.factory import SourceOptions, open_source
from streamclf.sources.recording.recording import Recording

if TYPE_CHECKING:
    import pandas

Audio: TypeAlias = "str | os.PathLike[str] | npt.ArrayLike | Source"
"""A recording's path, an array ``(samples,)`` or ``(channels, samples)``, or an opened source."""
_ARGUMENTS = {
    "--target-precision": "target_precision",
    "--threshold": "threshold",
    "--only": "only",
    "--hop": "hop_s",
    "--average": "average_s",
    "--source": "source",
    "--device": "device",
    "--speed": "speed",
}
"""What options of the command line are called here."""
AnyModel: TypeAlias = "str | os.PathLike[str] | Model | Classifier"
"""A bundled model's name, an ``.onnx`` file, or an open model."""


@dataclass(frozen=True)
class Event:
    """A sound that was heard.

    Attributes:
        label: One of the model's labels.
        name: What people read in its place.
        onset_s: Where it begins, in seconds from the start.
        offset_s: Where it ends; of one that has not ended, how far was heard when it was told.
        score: The highest averaged score while it lasted, or up to then, 0..1.
        time: When it began, in local time; None where nothing tells it.
        source: The recording's path, the microphone's name, ...
        ended: Whether it has ended. The begin of an event and its end have label and onset alike.
        short: Whether it was found in audio shorter than the model's window, which says less.
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

    @property
    def duration_s(self) -> float:
        """How long it lasted, or has lasted, in seconds."""
        return self.offset_s - self.onset_s


@dataclass(frozen=True)
class Answer:
    """What a whole recording is.

    Attributes:
        scores: By label, in falling order: the mean over all windows. Of a regression its values.
        known: Whether it is a sound that the model knows, where its card tells that.
        source: The recording's path.
        short: Whether it is shorter than the model's window, which says less.
    """

    scores: dict[str, float]
    known: bool
    source: str
    short: bool = False

    @property
    def label(self) -> str:
        """The best label."""
        return next(iter(self.scores))

    @property
    def score(self) -> float:
        """That of the best label; of a regression, its (first) value."""
        return next(iter(self.scores.values()))


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The scores of every window.

    Attributes:
        labels: Of the columns.
        onset_s: Where each window begins, in seconds, ``(windows,)``.
        offset_s: Where its audio ends.
        values: ``(windows, classes)`` float32.
        source: The recording's path.
    """

    labels: list[str]
    onset_s: npt.NDArray[np.float64]
    offset_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    source: str

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with a column a label, by where the windows begin (``onset_s``).

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
    model: AnyModel = "pocket",
    threshold: float | None = None,
    target_precision: float | None = None,
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
    average_s: float = 3.0,
) -> list[Event]:
    """Find the sounds in a recording or an array.

    What is missing of a damaged recording is logged as a warning; what was found before stands.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Of an array, in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        threshold: Averaged score at which an event begins, for every label; the model's unless
            given.
        target_precision: The model's thresholds at which such a part of the events is right.
        only: Events of these labels alone; identifiers or display names.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average over; 0: none.

    Returns:
        The events, in the order in which they ended.

    Raises:
        StreamclfError: The model or the audio cannot be opened, or an argument makes no sense.
    """
    engine = _engine(model, hop_s, average_s, threshold, target_precision, only)
    with _open(audio, sample_rate) as source:
        told = [_event(result, info) for result, info in _hear(engine, source)]
    return [event for event in told if event is not None and event.ended]


def classify(
    audio: Audio,
    sample_rate: int | None = None,
    *,
    model: AnyModel = "pocket",
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
) -> Answer:
    """Say in one answer what a recording or an array is: its best labels, or a value.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Of an array, in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        only: Choose among these labels alone; identifiers or display names.
        hop_s: Seconds between the starts of two windows.

    Raises:
        StreamclfError: The model or the audio cannot be opened, there is no audio, or an argument
            makes no sense.
    """
    engine = _engine(model, hop_s, 0.0, None, None, only)
    with _open(audio, sample_rate) as source:
        mean, info = WholeMean(), None
        for result, info in _hear(engine, source):
            if isinstance(result, Average):
                mean = mean if mean.n_windows else WholeMean(info.temperature)
                mean.add(result)
    answer = mean.take()
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
    model: AnyModel = "pocket",
    hop_s: float = 0.5,
    average_s: float = 0.0,
) -> ScoreTable:
    """Score every window of a recording or an array.

    Args:
        audio: A path, an array or an opened source.
        sample_rate: Of an array, in Hz.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average over; 0: each window for itself.

    Raises:
        StreamclfError: The model or the audio cannot be opened, or an argument makes no sense.
    """
    engine = _engine(model, hop_s, average_s, None, None, None)
    with _open(audio, sample_rate) as source:
        rows = [result for result, _ in _hear(engine, source) if isinstance(result, Average)]
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
    model: AnyModel = "pocket",
    threshold: float | None = None,
    target_precision: float | None = None,
    only: str | Sequence[str] | None = None,
    hop_s: float = 0.5,
    average_s: float = 3.0,
) -> Iterator[Event]:
    """Listen to a microphone or a stream, and give each event as soon as it is known.

    Where the engine tells that an event began, it is given twice: when it began (`Event.ended` is
    false), and when it has ended. Lost audio and devices are logged as warnings and waited for.
    Leaving the loop ends listening.

    Args:
        source: None for a microphone, or a URL, ``-`` (standard input), ``sim:FILE`` (a recording
            as if it were a microphone), or an opened source, which the caller closes.
        device: The microphone, by index or part of its name; the default one unless given.
        duration_s: End after so many seconds of audio.
        speed: Of ``sim:``, times real pace; 0: as fast as it goes.
        model: A bundled model's name, an ``.onnx`` file, or an open model.
        threshold: Averaged score at which an event begins, for every label.
        target_precision: The model's thresholds at which such a part of the events is right.
        only: Events of these labels alone; identifiers or display names.
        hop_s: Seconds between the starts of two windows.
        average_s: Seconds to average over; 0: none.

    Raises:
        StreamclfError: The model or the source cannot be opened, or an argument makes no sense.
    """
    if duration_s is not None and not duration_s > 0:
        raise UsageError(f"duration_s is {duration_s}, must be above 0 seconds")
    engine = _engine(model, hop_s, average_s, threshold, target_precision, only, live=True)
    if isinstance(source, Source):
        return _listen(engine, source, duration_s)
    wanted = None if device is None else str(device)
    with _errors_of_arguments():
        options = SourceOptions(source, wanted, speed=speed)
    return _open_and_listen(engine, options, duration_s)


def _open_and_listen(
    engine: Engine, options: SourceOptions, duration_s: float | None
) -> Iterator[Event]:
    """Open the source no sooner than somebody listens, who will come to close it."""
    with _errors_of_arguments(), open_source(options) as source:
        yield from _listen(engine, source, duration_s)


def _listen(engine: Engine, source: Source, duration_s: float | None) -> Iterator[Event]:
    end_s = math.inf if duration_s is None else duration_s
    for result, info in _hear(engine, source):
        if (event := _event(result, info)) is not None:
            yield event
        elif isinstance(result, Average) and result.end >= end_s * info.sample_rate:
            engine.stop()


def _hear(engine: Engine, source: Source) -> Iterator[tuple[Result, StreamInfo]]:
    """The results of a stream; what went wrong with it is logged, and raised if nothing was heard.

    Raises:
        SourceError: No audio came at all.
    """
    info: StreamInfo | None = None
    try:
        with closing(engine.run(source)) as results:
            for result in results:
                info = info or stream_info(engine, source)
                _warn(result, info)
                yield result, info
    except SourceError as error:
        if info is None:
            raise
        say(f"warning: {error}")


def _warn(result: Result, info: StreamInfo) -> None:
    if isinstance(result, Gap):
        length_s, at_s = result.n_samples / info.sample_rate, info.seconds(result.position)
        say(f"warning: {info.source}: {length_s:.2f} s are missing at {at_s:g} s: {result.cause}")
    elif isinstance(result, Notice) and result.level == "warning":
        say(f"warning: {info.source}: {result.message}")


def _event(result: Result, info: StreamInfo) -> Event | None:
    """What a record tells of an event, whether it ends one or tells of one that still sounds."""
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
    )


def _engine(
    model: AnyModel,
    hop_s: float,
    average_s: float,
    threshold: float | None,
    target_precision: float | None,
    only: str | Sequence[str] | None,
    *,
    live: bool = False,
) -> Engine:
    classifier = _classifier(model, live)
    card = classifier.card
    text = only if only is None or isinstance(only, str) else ",".join(only)
    with _errors_of_arguments():
        settings = Settings(
            hop_s,
            average_s,
            thresholds=choose_thresholds(card, precision=target_precision, threshold=threshold),
            labels=choose_labels(card, text, None),
        )
    engine = Engine(classifier, settings)
    opened = classifier.model
    engine.read_ahead = not live and leaves_core(opened.provider, opened.n_threads)
    return engine


@contextmanager
def _errors_of_arguments() -> Iterator[None]:
    """Let errors speak of arguments, where the parts below speak of options."""
    try:
        yield
    except StreamclfError as error:
        message = re.sub(
            rf"({'|'.join(_ARGUMENTS)})(?![\w-])", lambda option: _ARGUMENTS[option[0]], str(error)
        )
        raise type(error)(message) from error


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
    """Open a model once for many calls; one that has changed is another."""
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
