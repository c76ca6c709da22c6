"""The process that hears several sources: it starts them, changes them on demand, and ends them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from streamclf.core.errors import FAILED, INTERRUPTED, OK, StreamclfError
from streamclf.core.stats import Counts
from streamclf.core.sureness import find_sureness_limits
from streamclf.core.text_format import format_count
from streamclf.model.classifier import Classifier
from streamclf.model.options import ModelOptions
from streamclf.notify.cut_events import find_left_events, read_cut_events
from streamclf.notify.label_check import Reported
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.make_engine import make_engine
from streamclf.runs.background_log import log_in_background
from streamclf.runs.console import has_terminal, say
from streamclf.runs.figures import LinesFigures, ProcessFigures, Pulse
from streamclf.runs.health import LiveState, ProcessHealth
from streamclf.runs.interrupts import Interrupts
from streamclf.runs.outputs import (
    check_clips,
    check_outputs,
    close_sinks,
    has_standard_output,
    keep_clips,
    open_files,
)
from streamclf.runs.serve.alive import AliveTogether
from streamclf.runs.serve.changes import PreparedStream, describe_change, find_way
from streamclf.runs.serve.models import SharedModels
from streamclf.runs.serve.plan import ServePlan, StreamPlan
from streamclf.runs.serve.store_lock import lock_store
from streamclf.runs.serve.stream import Hearing, ServedStream, describe_error
from streamclf.runs.serve.telling import Telling, warn_of_rules
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.runs.tally import SourceTally
from streamclf.sinks.base import Sink
from streamclf.sinks.factory import open_sink
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.live.shared_outputs import SharedOutputs
from streamclf.sinks.options import OutputOptions
from streamclf.sources.base import Source
from streamclf.sources.clock import Clock
from streamclf.sources.factory import open_source
from streamclf.sources.retried import RetriedSource
from streamclf.store.features.feature_store import features_folder
from streamclf.store.features.sink import LiveFeatureSink
from streamclf.store.features.writer import FeatureWriter
from streamclf.store.last_model import describe_other_models
from streamclf.store.sink import StoreSink
from streamclf.store.store import Store

if TYPE_CHECKING:
    from streamclf.core.records import SoundEvent, StreamStarted
    from streamclf.notify.rules import Rule
    from streamclf.sinks.clips.clips import OnWritten

END_S = 5.0
"""Longest wait, in seconds, for all streams together to end; one that hangs is left behind."""

_Message: TypeAlias = Literal["stop", "reload", "ended"] | Callable[[], None]


class Server:
    """Several sources heard by one process.

    Args:
        plan: What to hear, checked.
        read_plan: Reads the settings anew, for SIGHUP.
        self_check: Compares a model's provider with the CPU.
        open_plan: Opens the source of a plan; tests replace it.
        views: Make the sinks of those who look on, by a source's name.
        page: URL by which people outside find the page, for links; None if there is none.
        service: Told that the process is ready and alive.
        clock: Clock of pauses and lost audio; the system's by default.

    Attributes:
        streams: The streams by name.
        models: The open models.
    """

    def __init__(
        self,
        plan: ServePlan,
        read_plan: Callable[[], ServePlan],
        *,
        self_check: Callable[[ModelOptions], str] = lambda options: "",
        open_plan: Callable[[StreamPlan], Source] | None = None,
        views: Sequence[Callable[[str], Sink]] = (),
        page: str | None = None,
        service: SystemdNotifier | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.streams: dict[str, ServedStream] = {}
        self.models = SharedModels(say, self_check)
        self._plan = plan
        self._audible = plan.audible
        self._read_plan = read_plan
        self._open_plan = open_plan or self._open_source
        self._views = views
        self._health = ProcessHealth(plan.writing.store)
        self._choosing = threading.Lock()
        self._microphone = ""  # the stream whose microphone is recorded by this process itself
        self._service = service or SystemdNotifier(self.describe)
        self._clock = clock
        self.pulse = Pulse()
        self._alive = AliveTogether(self._note_life)
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        rotate = plan.writing.rotate
        rotation = Rotation.parse(rotate) if rotate is not None else None
        self._outputs = SharedOutputs(plan.writing.append, rotation, say)
        self._store: Store | None = None
        self._feature_writer: FeatureWriter | None = None
        self._telling: Telling | None = None
        self._page = page
        self._paused: set[str] = set()
        # By the stream's name, after its end as well.
        self._memories: dict[str, StoreSink] = {}
        self._tallies: dict[str, SourceTally] = {}
        self._prints = False

    def run(self, on_start: Callable[[], None] = lambda: None) -> int:
        """Hear all sources until they end, or a signal ends them. Returns the exit code.

        Args:
            on_start: Called once nothing can keep it from beginning.

        Raises:
            StreamclfError: It cannot begin; nothing was heard.
        """
        plan = self._plan
        self._prints = plan.writing.format is not None and has_standard_output(
            OutputOptions(store=plan.writing.store)
        )
        engines = [self._make_engine(stream) for stream in plan.streams]
        _warn_of_rules(plan, engines)
        models = [(stream.name, engine.card.name) for stream, _, engine in engines]
        for line in describe_other_models(plan.writing.store, models):
            say(line)
        self._telling = telling = self._make_telling()
        ended: list[ServedStream] = []
        with ExitStack() as stack:
            stack.enter_context(log_in_background())
            stack.enter_context(lock_store(plan.writing.store))
            self._check_files(plan.streams)
            left = find_left_events(plan.writing.store)
            self._store = Store(plan.writing.store, report=say, live=True)
            stack.callback(self._close_outputs)
            stack.callback(telling.close)
            telling.start(read_cut_events(plan.writing.store, left))
            prepared = self._prepare(engines)
            reload = None if has_terminal() else lambda: self._messages.put("reload")
            interrupts = stack.enter_context(Interrupts(self.stop, reload))
            stack.enter_context(self._service)
            on_start()
            say(self._describe_start())
            try:
                self._apply(prepared)
                self._work()
            finally:
                ended = self._end_all()
        if interrupts.happened:
            return INTERRUPTED
        failed = any(stream.failed or stream.n_lost for stream in ended)
        return FAILED if failed or self._outputs.n_lost else OK

    def check(self) -> None:
        """Open the models, and check that all settings fit them; listens to nothing.

        Raises:
            StreamclfError: It could not begin.
        """
        engines = [self._make_engine(stream) for stream in self._plan.streams]
        heard = _warn_of_rules(self._plan, engines)
        telling = self._make_telling()
        telling.close()
        telling.check(heard)

    def stop(self) -> None:
        """Let all streams end soon; safe to call from any thread."""
        self._messages.put("stop")

    def reload(self) -> None:
        """Read the settings anew, and take changes over; safe to call from any thread."""
        self._messages.put("reload")

    def describe(self) -> str:
        """Describe all sources in one line, for ``systemctl status``."""
        streams = [*self.streams.values()]
        lost = [stream.name for stream in streams if stream.state == "lost"]
        silent = [stream.name for stream in streams if stream.state == "silent"]
        paused = [stream.name for stream in streams if stream.state == "paused"]
        ended = [stream.name for stream in streams if stream.state in ("ended", "failed")]
        counts = sum((stream.counts for stream in streams), Counts())
        away = [*lost, *silent, *paused, *ended]
        states = [f"{len(streams) - len(away)} heard"]
        states += [f"{len(silent)} without a signal ({', '.join(silent)})"] if silent else []
        states += [f"{len(paused)} paused ({', '.join(paused)})"] if paused else []
        states += [f"{len(lost)} lost ({', '.join(lost)})"] if lost else []
        states += [f"{len(ended)} ended ({', '.join(ended)})"] if ended else []
        heard = f"{format_count(len(streams), 'source')}: {', '.join(states)}"
        told = [] if self._telling is None else self._telling.describe()["targets"]
        failing = [each["name"] for each in told if each["state"] == "failing" and each["waiting"]]
        undelivered = f"; no messages to {', '.join(failing)}" if failing else ""
        return f"{heard}{undelivered}; {counts.describe()}"

    def pause(self, source: str, *, paused: bool) -> None:
        """Hear a source no more, or again; it does not wait, and any thread may ask."""
        self._messages.put(partial(self._pause, source, paused=paused))

    def set_threshold(self, source: str, label: str, value: float) -> None:
        """Let events of a label begin at another score, until the settings are read again.

        It does not wait, and any thread may ask.
        """
        self._messages.put(partial(self._set_threshold, source, label, value))

    def live_state(self, name: str) -> LiveState | None:
        """Tell how a source fares at this moment; None for one that is not heard any more."""
        stream = self.streams.get(name)
        return None if stream is None else stream.live_state

    def may_be_heard(self, name: str) -> bool:
        """Whether anybody may listen to a source: nobody may where `privacy` is on."""
        return name in self._audible

    @property
    def model_options(self) -> tuple[ModelOptions, ...]:
        """The models that sources are heard with, each once; may be read from any thread."""
        return tuple(dict.fromkeys(stream.model for stream in self._plan.streams))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the settings; may be read from any thread."""
        return self._plan.notify.rules

    def describe_health(self) -> dict[str, Any]:
        """Describe how the process and its sources fare, see `ProcessHealth.describe`."""
        described = self._health.describe([stream.health for stream in [*self.streams.values()]])
        writer = self._feature_writer
        described["features_lost"] = 0 if writer is None else writer.n_lost
        return described if self._telling is None else described | self._telling.describe()

    def figures(self) -> ProcessFigures:
        """Figures of the process and its sources; may be read from any thread."""
        return ProcessFigures(
            [stream.figures for stream in [*self.streams.values()]],
            [LinesFigures.of(lines) for lines in self._outputs.lines],
            self._store.figures if self._store is not None else None,
        )

    def _note_life(self) -> None:
        self.pulse.beat()
        self._service.alive()

    def _describe_start(self) -> str:
        return (
            f"serving {format_count(len(self._plan.streams), 'source')} with "
            f"{format_count(self.models.n_open, 'model')}; {self._plan.writing.store} remembers "
            "what they hear; Ctrl-C ends"
        )

    def _work(self) -> None:
        """Act on messages until all streams have ended or shall end."""
        while any(stream.state not in ("ended", "failed") for stream in self.streams.values()):
            message = self._messages.get()
            if message == "stop":
                return
            if message == "reload":
                self._take_over_settings()
            elif callable(message):
                message()

    def _take_over_settings(self) -> None:
        """Read the settings anew; with a mistake in them, those before stay in force."""
        self._outputs.reopen()
        try:
            plan = self._read_plan()
            plan.check()
            # Privacy begins before all else that changes, and ends after it.
            self._audible &= plan.audible
            prepared = self._prepare_changes(plan)
            told = self._telling.prepare(plan.notify) if self._telling is not None else None
        except Exception as error:  # the sources are heard on, whatever is wrong with a file
            self._audible = self._plan.audible
            say(f"error: {describe_error(error)}; the settings that were in force stay")
            return
        for note in plan.notes:
            say(note)
        if plan.writing != self._plan.writing:
            say("warning: the store, and how outputs are written, change at the next start alone")
        gone = [name for name in self.streams if name not in {each.name for each in plan.streams}]
        words = [describe_change(each, self.streams) for each in prepared if each.way != "keep"]
        words += [f"{name} ends" for name in gone]
        words += self._telling.describe_change(plan.notify) if self._telling is not None else []
        say(f"settings read anew: {', '.join(words) or 'nothing changes'}")
        self._end([self.streams.pop(name) for name in gone])
        self._plan = replace(plan, writing=self._plan.writing)
        if told is not None and self._telling is not None:
            self._telling.take_over(told)
        self._apply(prepared)
        self._audible = self._plan.audible

    def _prepare_changes(self, plan: ServePlan) -> list[PreparedStream]:
        engines = [self._make_engine(stream, quiet=True) for stream in plan.streams]
        self._check_files(plan.streams)
        prepared = self._prepare(engines)
        _warn_of_rules(plan, engines)
        return prepared

    def _make_engine(
        self, plan: StreamPlan, *, quiet: bool = False
    ) -> tuple[StreamPlan, Classifier, Engine]:
        """Open the model of a stream, and make an engine with it.

        Raises:
            StreamclfError: The model cannot be opened, or the settings do not fit it. The message
                tells where they stand.
        """
        report = _reporter(plan.name)
        with plan.telling_place():
            classifier = self.models.open(plan.model, features=plan.features.keep)
            check_clips(plan.outputs, classifier.card)
            engine = make_engine(
                classifier, plan.settings, plan.thresholds,
                (lambda message: None) if quiet else report,
            )  # fmt: skip
        return plan, classifier, engine

    def _check_files(self, plans: Iterable[StreamPlan]) -> None:
        """Refuse outputs that would replace files."""
        for plan in plans:
            new = tuple(path for path in plan.outputs.files if not self._outputs.holds(path))
            with plan.telling_place():
                # There is always a store, named or not.
                store = self._plan.writing.store
                check_outputs(replace(plan.outputs, files=new, store=store), [])

    def _prepare(
        self, planned: Iterable[tuple[StreamPlan, Classifier, Engine]]
    ) -> list[PreparedStream]:
        """Make ready what differs from what is heard now.

        Raises:
            StreamclfError: An output cannot be opened; nothing is left open.
        """
        prepared: list[PreparedStream] = []
        try:
            for plan, classifier, engine in planned:
                way = find_way(self.streams.get(plan.name), plan, engine)
                hearing = None
                if way in ("begin", "change"):
                    with plan.telling_place():
                        hearing = Hearing(plan, engine, self._open_sinks(plan, classifier))
                prepared.append(PreparedStream(way, plan, classifier, engine.settings, hearing))
        except BaseException:
            for each in prepared:
                if each.hearing is not None:
                    each.hearing.close()
            raise
        return prepared

    def _open_sinks(self, plan: StreamPlan, classifier: Classifier) -> list[Sink]:
        assert self._store is not None
        outputs = replace(plan.outputs, begins=True, store=self._store.path)
        on_clip: OnWritten = _ignore_clip
        if self._telling is not None:
            self._telling.expect_clips(plan.name, outputs.clips is not None)
        if outputs.clips is not None:
            keep = keep_clips(
                self._store, outputs, outputs.clips, lambda: self._memories.get(plan.name)
            )
            on_clip = partial(self._note_clip, outputs.clips, keep)
        sinks = open_files(outputs, outputs.files, self._outputs, on_clip=on_clip)
        try:
            if plan.features.keep:
                sinks += self._open_features(plan, classifier)
            if self._prints:
                writing = self._plan.writing
                sinks.append(
                    open_sink(
                        None, writing.format, top=writing.n_updated, begins=True,
                        live_outputs=self._outputs,
                    )
                )  # fmt: skip
        except BaseException:
            close_sinks(sinks)
            raise
        return sinks

    def _open_features(self, plan: StreamPlan, classifier: Classifier) -> list[Sink]:
        """Open the sink of a source's features; none if its model gives none, which is said."""
        assert self._store is not None
        if classifier.features is None:
            _reporter(plan.name)(
                f"{classifier.model.path}: its card names no features, so none are kept to search "
                "and teach by: name them with python -m export.restate MODEL.onnx --features, or "
                "say no-features"
            )
            return []
        if self._feature_writer is None:
            self._feature_writer = FeatureWriter(say)
        folder, limits = features_folder(self._store.path), plan.features.limits()
        return [LiveFeatureSink(folder, plan.name, self._feature_writer, limits)]

    def _note_clip(
        self, folder: Path, keep: OnWritten, stream: StreamStarted, event: SoundEvent,
        path: PurePath, n_bytes: int,
    ) -> None:  # fmt: skip
        """Note a clip in the store, and for those who are told of its event."""
        keep(stream, event, path, n_bytes)
        if self._telling is not None:
            self._telling.note_clip(stream.event_id(event.id), folder / path)

    def _make_telling(self) -> Telling:
        """Open the targets of the plan; sends nothing.

        Raises:
            UsageError: One cannot be opened.
        """
        return Telling(
            self._plan.notify,
            self._plan.writing.store,
            self._page,
            lambda: [*self.streams.values()],
            self,
        )

    def _pause(self, name: str, *, paused: bool) -> None:
        if paused:
            self._paused.add(name)
        else:
            self._paused.discard(name)
        if (stream := self.streams.get(name)) is not None:
            stream.pause(paused=paused)

    def _set_threshold(self, name: str, label: str, value: float) -> None:
        from streamclf.runs.serve.broker import with_threshold

        if (stream := self.streams.get(name)) is None:
            return
        engine = stream.hearing.engine
        try:
            stream.tune(stream.hearing.plan, with_threshold(engine, label, value))
        except StreamclfError as error:  # what somebody asks must not end the sources
            say(f"warning: {name}: {error}")

    def _apply(self, prepared: list[PreparedStream]) -> None:
        """Carry out what was made ready."""
        beginning = [each for each in prepared if each.way == "begin"]
        replaced = [each.plan.name for each in beginning if each.plan.name in self.streams]
        self._end([self.streams.pop(name) for name in replaced])
        for each in prepared:
            if each.way == "tune":
                self.streams[each.plan.name].tune(each.plan, each.settings)
            elif each.way == "change" and each.hearing is not None:
                self.streams[each.plan.name].change(each.hearing)
        new = [self._make_stream(each.hearing) for each in beginning if each.hearing is not None]
        self.streams |= {stream.name: stream for stream in new}
        for stream in new:  # all of them before the first can give a sign of life
            self._alive.join(stream)
        for stream in new:
            stream.start()
        self.models.keep([each.classifier for each in prepared])

    def _make_stream(self, hearing: Hearing) -> ServedStream:
        plan = hearing.plan
        report = _reporter(plan.name)
        source = RetriedSource(
            plan.name,
            lambda: self._open_plan(plan),
            report=report,
            retries=plan.source.reconnect,
            clock=self._clock,
        )
        assert self._store is not None
        memory = self._memories[plan.name] = self._store.sink(source=plan.name)
        views = [view(plan.name) for view in self._views]
        if self._telling is not None:
            views += self._telling.make_sinks(plan.name, memory)
        stream = ServedStream(
            hearing,
            source,
            memory,
            views=views,
            tally=self._tallies.setdefault(plan.name, SourceTally()),
            report=report,
            note_alive=self._alive.note,
            on_ended=self._note_end,
            clock=self._clock,
        )
        stream.pause(paused=plan.name in self._paused)
        return stream

    def _open_source(self, plan: StreamPlan) -> Source:
        """Open the source of a plan; only one microphone can be recorded by this process itself."""
        if not plan.is_microphone:
            return open_source(plan.source, plan.settings.channel)
        with self._choosing:
            self._microphone = self._microphone or plan.name
            beside_others = self._microphone != plan.name
        return open_source(plan.source, plan.settings.channel, beside_others=beside_others)

    def _note_end(self, stream: ServedStream) -> None:
        self._alive.leave(stream)
        self._messages.put("ended")

    def _end_all(self) -> list[ServedStream]:
        streams = [*self.streams.values()]
        self._end(streams)
        return streams

    def _end(self, streams: list[ServedStream]) -> None:
        """Let streams end together, and say what each has heard."""
        for stream in streams:
            stream.stop()
        until = time.monotonic() + END_S
        for stream in streams:
            report = _reporter(stream.name)
            if stream.join(max(until - time.monotonic(), 0.0)):
                report(stream.summarise())
            else:
                self._alive.leave(stream)
                report(f"warning: does not end within {END_S:g} s, and is left behind")

    def _close_outputs(self) -> None:
        self._outputs.close()
        if self._feature_writer is not None:
            self._feature_writer.close()
        if self._store is not None:
            self._store.close()


def _ignore_clip(*clip: object) -> None:
    """Take the news of a clip where there are none."""


def _warn_of_rules(
    plan: ServePlan, engines: Iterable[tuple[StreamPlan, Classifier, Engine]]
) -> dict[str, Reported]:
    """Name what makes rules tell nothing; returns what each source may report."""
    heard = {}
    for stream, _, engine in engines:
        labels = {label: engine.vocabulary.show(label) for label in engine.reported_labels}
        sureness = find_sureness_limits(engine.card)
        heard[stream.name] = Reported(labels, engine.vocabulary, sureness)
    warn_of_rules(plan.notify, heard)
    return heard


def _reporter(name: str) -> Callable[[str], None]:
    """Return a function that logs a line with a stream's name in front of it."""

    def report(message: str) -> None:
        for level in ("warning: ", "error: "):
            if message.startswith(level):
                say(f"{level}{name}: {message.removeprefix(level).removeprefix(f'{name}: ')}")
                return
        say(f"{name}: {message.removeprefix(f'{name}: ')}")

    return report
