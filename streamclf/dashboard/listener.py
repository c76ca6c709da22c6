"""The engine in its own thread. The app calls methods here, and gets messages back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from textual.message import Message

from streamclf.core.errors import SourceError, StreamclfError
from streamclf.core.records import Average, Block, Gap, Result
from streamclf.core.settings import Settings
from streamclf.core.stats import Statistics
from streamclf.dashboard.history import History
from streamclf.dashboard.messages import (
    ListenerCrashed,
    ListeningEnded,
    ListeningStarted,
    StateChanged,
)
from streamclf.dashboard.score_cache import ScoreCache
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.runner import run_stream
from streamclf.sinks.base import Sink
from streamclf.sources.base import Source
from streamclf.sources.microphone.loudspeaker import Loudspeaker
from streamclf.sources.relay import Relay

Post = Callable[[Message], object]


@dataclass(frozen=True)
class Openers:
    """Functions that open models and sources, and the options of the session.

    The command makes them, as it knows the options of the command line.

    Attributes:
        open_model: Opens a model by name, with settings; None for those of the command line.
        open_source: Opens a microphone by name; None for the source of the command line.
        list_devices: Lists the names of the microphones that are there at this moment; any thread
            may call it, while one is open too.
        list_models: Lists the names that ``open_model`` takes.
        sinks: Outputs besides the screen.
        duration_s: Seconds of audio after which the session ends; None for no limit.
        recording: File that is displayed; None for a live source.
        notices: Messages of the sinks.
        open_loudspeaker: Opens the system's loudspeaker, given a sample rate in Hz; None for no
            sound.
        may_save_audio: Whether a file may hold audio, whatever is said in it.
        store: Store whose days can be looked at; None if there is none.
    """

    open_model: Callable[[str, Settings | None], tuple[Engine, Model]]
    open_source: Callable[[str | None], Source]
    list_devices: Callable[[], Sequence[str]]
    list_models: Callable[[], Sequence[str]]
    sinks: Sequence[Sink] = ()
    duration_s: float | None = None
    recording: Path | None = None
    notices: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    open_loudspeaker: Callable[[int], Loudspeaker] | None = None
    may_save_audio: bool = True
    store: Path | None = None

    @property
    def n_lost(self) -> int:
        """Number of lines that sinks have lost for good."""
        return sum(sink.n_lost for sink in self.sinks)


class Listener:
    """Thread that runs an engine over a source until it is stopped.

    The scores of a recording are cached: a change of average or thresholds needs no inference. A
    change of hop or model runs the model again.

    Args:
        openers: Functions that open other models and sources.
        engine: First engine.
        model: Model of the first engine.
        source: First source; closed here.
        post: Sends a message to the app, from any thread.
        now: Returns monotonic seconds.

    Attributes:
        engine: Engine whose results are displayed.
        scoring_engine: Engine that runs the model. It differs from ``engine`` when cached scores of
            a recording are judged with newer settings.
        relay: Source that can be replaced while it is read.
        history: Audio and results so far.
        error: Error that ended the last run; None if there was none.
    """

    def __init__(
        self,
        openers: Openers,
        engine: Engine,
        model: Model,
        source: Source,
        post: Post,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.openers = openers
        self.engine = self.scoring_engine = engine
        self.model = model
        self.relay = Relay(source)
        self.history = History(live=source.live)
        self.error: StreamclfError | None = None
        self._post = post
        self._now = now
        self._next: tuple[Engine, Model] | None = None
        self._selection_lock = threading.Lock()
        self._ended_runs = Statistics()
        self._running: Engine | None = None
        self._score_cache: ScoreCache | None = None
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def selected_engine(self) -> Engine:
        """Engine that the user selected last: the current one, or the one that takes over next."""
        following = self._next
        return following[0] if following else self.engine

    @property
    def _selected_model(self) -> Model:
        following = self._next
        return following[1] if following else self.model

    @property
    def model_path(self) -> Path:
        """File of the model that the user selected last."""
        return self._selected_model.path

    @property
    def statistics(self) -> Statistics:
        """Statistics of the whole session, across all models and microphones of a live source."""
        total = Statistics()
        total.add(self._ended_runs)
        if self._running is not None:
            total.add(self._running.statistics)
        return total

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the thread, and wait at most ``timeout_s`` until all results are written."""
        self._stopped = True
        self.relay.stop()
        self._wake_ups.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)
        self.relay.close()

    def change(self, settings: Settings) -> None:
        """Change hop, average or thresholds.

        Raises:
            UsageError: The settings do not fit the model.
        """
        if self.relay.live:
            self.selected_engine.change(settings)
        else:
            self._replace(Engine(self.selected_engine.scorer, settings), self._selected_model)

    def use_model(self, name: str) -> None:
        """Change the model, which may take a second; no audio of a live source is lost.

        Raises:
            StreamclfError: The model cannot be opened; the current one stays.
        """
        settings = replace(self.selected_engine.settings, thresholds=None)
        self._replace(*self.openers.open_model(name, settings))

    def use_device(self, name: str | None) -> None:
        """Change the microphone. It is opened later, in the listening thread.

        Raises:
            StreamclfError: The name makes no sense.
        """
        self.relay.switch(self.openers.open_source(name))
        self._wake_ups.put(None)

    def list_devices(self) -> list[str]:
        """List the names of the microphones.

        Raises:
            DeviceError: There are none, or they cannot be listed.
        """
        return [*self.openers.list_devices()]

    def _replace(self, engine: Engine, model: Model) -> None:
        with self._selection_lock:
            self._next = engine, model
            if self.relay.live:
                self.relay.cut()
        self._wake_ups.put(None)

    def _run(self) -> None:
        try:
            while not self._is_stopped():
                self.error = self._listen()
                if self._is_done() and not self._is_stopped():
                    self._post(ListeningEnded(str(self.error or "")))
                    self._wait()
                self._take_over()
        except Exception as error:
            self._post(ListenerCrashed(error))

    def _is_done(self) -> bool:
        """Whether the source has ended. A live source that was cut for another model has not."""
        if self.relay.live:
            return self.error is not None or self.relay.has_ended
        return self._next is None

    def _wait(self) -> None:
        """Wait for another source, or for another engine for a recording."""
        while not (self.relay.has_next or self._is_stopped()):
            if self._next is not None and not self.relay.live:
                return
            self._wake_ups.get()

    def _take_over(self) -> None:
        if not self.relay.live:
            # Forgotten first: what is there once the new engine is seen are its own results.
            self.history.forget_results()
        with self._selection_lock:  # a selection made at this moment must not be lost
            if self._next is not None:
                self._next[0].signal = self.engine.signal  # the source goes on
                (self.engine, self.model), self._next = self._next, None

    def _listen(self) -> StreamclfError | None:
        return self._listen_live() if self.relay.live else self._judge_recording()

    def _judge_recording(self) -> SourceError | None:
        """Judge a recording's scores with the current settings; run the model for missing ones."""
        try:
            scores = self._find_score_cache()
        except SourceError as error:
            self.history.add_notice("warning", str(error))
            return error
        self.history.begin(self.engine.announce(self.relay))
        for result in self.engine.judge(scores):
            self.history.write(result)
            self._post(StateChanged())
            if self._next or self._is_stopped():
                return None
        if scores.error is not None:
            self.history.add_notice("warning", str(scores.error))
        return scores.error

    def _find_score_cache(self) -> ScoreCache:
        """Return the cache, if it was made with the same model and hop; else a new one.

        Raises:
            SourceError: The recording cannot be opened again.
        """
        old, new = self.scoring_engine, self.engine
        fits = old.scorer is new.scorer and old.settings.hop_s == new.settings.hop_s
        if self._score_cache is not None and fits:
            return self._score_cache
        if self._score_cache is not None:
            self.relay.switch(self.openers.open_source(None))
        self.scoring_engine, self.relay.position = new, 0
        self._score_cache = ScoreCache(
            new.run(self.relay, self._post_started, on_audio=self._take_audio)
        )
        return self._score_cache

    def _listen_live(self) -> SourceError | None:
        self.scoring_engine = self.engine
        try:
            run_stream(
                self.engine,
                self.relay,
                [self.history, *self.openers.sinks, _StateNotifier(self._post)],
                say=lambda message: None,
                on_start=self._post_started,
                on_average=self._end_at_limit,
                on_audio=self._take_audio,
            )
        except SourceError as error:
            self.history.add_notice("warning", str(error))
            return error
        finally:
            self._running = None
            self._ended_runs.add(self.engine.statistics)
        return None

    def _take_audio(self, item: Block | Gap) -> None:
        self.history.take_audio(item, self._now())
        while not self.openers.notices.empty():
            message = self.openers.notices.get()
            kind: Literal["warning", "info"] = "warning" if "warning: " in message else "info"
            self.history.add_notice(kind, message.removeprefix("warning: "))
        self._post(StateChanged())

    def _is_stopped(self) -> bool:
        return self._stopped

    def _post_started(self) -> None:
        self._running = self.scoring_engine
        self._post(ListeningStarted())

    def _end_at_limit(self, average: Average) -> None:
        limit_s = self.openers.duration_s
        if limit_s is not None and average.end >= limit_s * self.engine.card.sample_rate:
            self._stopped = True
            self.relay.stop()
            self._post(ListeningEnded(""))


class _StateNotifier(Sink):
    """Sink that posts `StateChanged` for every result. It is the last sink, after all others."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def begin(self, stream: object) -> None:
        """Do nothing."""

    def write(self, result: Result) -> None:
        """Post that the state has changed."""
        self._post(StateChanged())

    def close(self) -> None:
        """Do nothing."""
