"""The engine in a thread of its own: what the app asks of it, and what it tells the app."""

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
from streamclf.dashboard.score_cache import Tape
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.runner import run_stream
from streamclf.sinks.base import Sink
from streamclf.sources.base import Source
from streamclf.sources.microphone.loudspeaker import Loudspeaker
from streamclf.sources.microphone.microphone import Microphone
from streamclf.sources.relay import Relay

Post = Callable[[Message], object]


@dataclass(frozen=True)
class Doors:
    """How the dashboard gets at models and sources; the command knows their options.

    Attributes:
        open_model: Opens a model by name with these settings.
        open_source: Opens a microphone by name, None for what the command line says.
        list_devices: Names of the microphones.
        list_models: Names that ``open_model`` takes.
        sinks: Where results go besides the screen.
        duration_s: End after so many seconds; None for never.
        recording: The file that is shown, None for a live source.
        notices: What the sinks have to tell.
        open_loudspeaker: Opens the system's, given a sample rate; None for no sound.
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

    @property
    def n_lost(self) -> int:
        """Lines that sinks could not write, and will not."""
        return sum(sink.n_lost for sink in self.sinks)


class Listener:
    """Runs an engine over a source until it is stopped.

    A recording's scores are kept on a tape, so that another average or other thresholds need no
    listening; another hop or model does.

    Args:
        doors: How to get at models and sources.
        engine: The first.
        model: Behind it.
        source: The first; closed here.
        post: Takes messages from any thread.
        now: Monotonic seconds.

    Attributes:
        engine: Finds what is shown.
        scoring: Runs the model; of a recording, perhaps with settings from before.
    """

    def __init__(
        self,
        doors: Doors,
        engine: Engine,
        model: Model,
        source: Source,
        post: Post,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.doors = doors
        self.engine = self.scoring = engine
        self.model = model
        self.relay = Relay(source)
        self.history = History(live=source.live)
        self.error: StreamclfError | None = None
        self._post = post
        self._now = now
        self._next: tuple[Engine, Model] | None = None
        self._choosing = threading.Lock()
        self._ended_runs = Statistics()
        self._running: Engine | None = None
        self._tape: Tape | None = None
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def chosen(self) -> Engine:
        """The engine that finds what is shown, or that will as soon as audio comes."""
        following = self._next
        return following[0] if following else self.engine

    @property
    def _chosen_model(self) -> Model:
        following = self._next
        return following[1] if following else self.model

    @property
    def statistics(self) -> Statistics:
        """Of the whole session, through all changes of a live source's model and microphone."""
        total = Statistics()
        total.add(self._ended_runs)
        if self._running is not None:
            total.add(self._running.statistics)
        return total

    def start(self) -> None:
        """Begin to listen."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End, and wait until all results are written."""
        self._stopped = True
        self.relay.stop()
        self._wakes.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)
        self.relay.close()

    def change(self, settings: Settings) -> None:
        """Go on with another hop, average or thresholds.

        Raises:
            UsageError: They do not fit the model.
        """
        if self.relay.live:
            self.chosen.change(settings)
        else:
            self._replace(Engine(self.chosen.scorer, settings), self._chosen_model)

    def use_model(self, name: str) -> None:
        """Go on with another model; live, no audio is lost. May take a second.

        Raises:
            StreamclfError: It cannot be opened; the present one goes on.
        """
        settings = replace(self.chosen.settings, thresholds=None)
        self._replace(*self.doors.open_model(name, settings))

    def use_device(self, name: str | None) -> None:
        """Go on with another microphone.

        Raises:
            StreamclfError: It makes no sense; whether it opens is seen later.
        """
        self.relay.switch(self.doors.open_source(name))
        self._wakes.put(None)

    def list_devices(self) -> list[str]:
        """Names of the microphones.

        Raises:
            DeviceError: There are none, or they cannot be listed.
        """
        source = self.relay.source
        if isinstance(source, Microphone) and self.error is None:
            # PortAudio takes calls from one thread at a time: the open microphone's.
            return [device.full_name for device in source.list_inputs()]
        return [*self.doors.list_devices()]

    def _replace(self, engine: Engine, model: Model) -> None:
        with self._choosing:
            self._next = engine, model
            if self.relay.live:
                self.relay.cut()
        self._wakes.put(None)

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
        """Whether all was heard that there is; a live source that was cut for a model has more."""
        if self.relay.live:
            return self.error is not None or self.relay.has_ended
        return self._next is None

    def _wait(self) -> None:
        """Wait until there is something to listen to, or to listen to a recording with."""
        while not (self.relay.has_next or self._is_stopped()):
            if self._next is not None and not self.relay.live:
                return
            self._wakes.get()

    def _take_over(self) -> None:
        with self._choosing:  # or a choice made meanwhile would be forgotten
            if self._next is not None:
                (self.engine, self.model), self._next = self._next, None
        if not self.relay.live:
            self.history.forget_results()

    def _listen(self) -> StreamclfError | None:
        return self._listen_live() if self.relay.live else self._review()

    def _review(self) -> SourceError | None:
        """Judge a recording's scores with the settings in force; listen where there are none."""
        try:
            tape = self._find_tape()
        except SourceError as error:
            self.history.tell("warning", str(error))
            return error
        self.history.begin(self.engine.announce(self.relay))
        for result in self.engine.judge(tape):
            self.history.write(result)
            self._post(StateChanged())
            if self._next or self._is_stopped():
                return None
        if tape.error is not None:
            self.history.tell("warning", str(tape.error))
        return tape.error

    def _find_tape(self) -> Tape:
        """The scores that are there, if model and hop are theirs; else new ones.

        Raises:
            SourceError: The recording cannot be opened again.
        """
        old, new = self.scoring, self.engine
        fits = old.scorer is new.scorer and old.settings.hop_s == new.settings.hop_s
        if self._tape is not None and fits:
            return self._tape
        if self._tape is not None:
            self.relay.switch(self.doors.open_source(None))
        self.scoring, self.relay.position = new, 0
        self._tape = Tape(new.run(self.relay, self._say_start, on_audio=self._hear))
        return self._tape

    def _listen_live(self) -> SourceError | None:
        self.scoring = self.engine
        try:
            run_stream(
                self.engine,
                self.relay,
                [self.history, *self.doors.sinks, _Announcer(self._post)],
                say=lambda message: None,
                on_start=self._say_start,
                on_average=self._end_in_time,
                on_audio=self._hear,
            )
        except SourceError as error:
            self.history.tell("warning", str(error))
            return error
        finally:
            self._running = None
            self._ended_runs.add(self.engine.statistics)
        return None

    def _hear(self, item: Block | Gap) -> None:
        self.history.take_audio(item, self._now())
        while not self.doors.notices.empty():
            message = self.doors.notices.get()
            kind: Literal["warning", "info"] = "warning" if "warning: " in message else "info"
            self.history.tell(kind, message.removeprefix("warning: "))
        self._post(StateChanged())

    def _is_stopped(self) -> bool:
        return self._stopped

    def _say_start(self) -> None:
        self._running = self.scoring
        self._post(ListeningStarted())

    def _end_in_time(self, average: Average) -> None:
        limit_s = self.doors.duration_s
        if limit_s is not None and average.end >= limit_s * self.engine.card.sample_rate:
            self._stopped = True
            self.relay.stop()
            self._post(ListeningEnded(""))


class _Announcer(Sink):
    """Tells the app of every result, once all other sinks have it."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def begin(self, stream: object) -> None:
        """Nothing to note."""

    def write(self, result: Result) -> None:
        """Say that there is something new."""
        self._post(StateChanged())

    def close(self) -> None:
        """Nothing to release."""
