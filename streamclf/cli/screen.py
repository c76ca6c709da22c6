"""The dashboard as the commands open it; textual is imported only when it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from streamclf.core.errors import ModelError, SourceError, StoreError, UsageError
from streamclf.model.model_file import bundled_models, find_model
from streamclf.model.options import CardOptions
from streamclf.runs.console import say
from streamclf.runs.outputs import check_clips, close_sinks, open_files
from streamclf.sources.recording.piped import check_can_reread
from streamclf.sources.recording.recording import Recording
from streamclf.store.database import default_store

if TYPE_CHECKING:
    from streamclf.core.settings import Settings
    from streamclf.core.stats import Statistics
    from streamclf.dashboard.options import ScreenOptions
    from streamclf.dashboard.saved_settings import SavedSettings
    from streamclf.model.model_file import Model
    from streamclf.model.options import ModelOptions
    from streamclf.pipeline.engine import Engine
    from streamclf.sinks.options import OutputOptions
    from streamclf.sources.base import Source
    from streamclf.sources.options import SourceOptions

OpenEngine = Callable[["ModelOptions", "Settings"], "tuple[Engine, Model]"]


def show(
    screen: ScreenOptions,
    open_engine: OpenEngine,
    open_source: Callable[[str | None], Source],
    model: ModelOptions,
    settings: Settings,
    outputs: OutputOptions,
    *,
    duration_s: float | None = None,
    recording: Path | None = None,
) -> tuple[int, Statistics]:
    """Open the dashboard on this terminal. Returns the exit code and the session's statistics.

    Raises:
        StreamclfError: The model or the source cannot be opened, or the dashboard failed.
    """
    from streamclf.dashboard.launch import open_dashboard
    from streamclf.dashboard.listener import Openers
    from streamclf.dashboard.saved_settings import SavedSettings, load_settings
    from streamclf.sources.microphone.loudspeaker import open_loudspeaker

    saved_settings = SavedSettings() if screen.fresh else load_settings()
    given = screen.given.__contains__
    # What is written is as the command line says; of the last session it has the looks alone.
    looks_alone = outputs.written
    first = model if looks_alone else _choose_model(saved_settings, model, screen)
    other = _model_of(saved_settings, model, screen) if looks_alone or first is not model else None

    def open_named(name: str, settings: Settings | None) -> tuple[Engine, Model]:
        named = replace(model, name=name, card=model.card if name == model.name else CardOptions())
        opened = open_engine(named, settings or base)
        check_clips(outputs, opened[0].card)
        return opened

    base = settings
    engine, opened = open_engine(first, settings)
    check_clips(outputs, engine.card)
    last = _LastSession(saved_settings, other, looks_alone=looks_alone)
    engine, device, notice = last.take(engine, last.device(screen, recording), given)
    notices: SimpleQueue[str] = SimpleQueue()
    if notice:
        notices.put(notice)
    sinks = open_files(outputs, outputs.files, outputs.live_outputs(notices.put))
    try:
        openers = Openers(
            open_named, open_source, _device_names,
            lambda: [*dict.fromkeys([*bundled_models(), model.name, first.name])],
            sinks, duration_s, recording, notices, open_loudspeaker, outputs.privacy is None,
            outputs.store or _own_store(),
        )  # fmt: skip
        source = open_source(device)
        code, statistics = open_dashboard(
            openers, engine, opened, source, saved_settings, save=not screen.fresh
        )
    finally:
        close_sinks(sinks)
        while not notices.empty():
            say(notices.get())
    return code or int(any(sink.n_lost for sink in sinks)), statistics


@dataclass(frozen=True)
class _LastSession:
    """What the last session chose, and how much of it holds in this one.

    Attributes:
        saved: Its settings.
        model: Its model; None where it is that of this session.
        looks_alone: Whether its looks alone hold, because results are written.
    """

    saved: SavedSettings
    model: str | None
    looks_alone: bool

    def device(self, screen: ScreenOptions, recording: Path | None) -> str | None:
        """Return its microphone, if nothing else was asked for and it is there."""
        if recording is not None or {"device", "source"} & set(screen.given):
            return None
        device = self.saved.device
        if not self.looks_alone and device and not _is_there(device):
            return None
        return device

    def take(
        self, engine: Engine, device: str | None, given: Callable[[str], bool]
    ) -> tuple[Engine, str | None, str]:
        """Take its settings over.

        Args:
            engine: The engine with the settings of the command line.
            device: Its microphone.
            given: Whether the command line says something of a setting.

        Returns:
            The engine, the microphone, and what is told of it; empty if nothing is.
        """
        from streamclf.dashboard.launch import apply_saved_settings, describe_saved_settings

        card, settings = engine.card, engine.settings
        chosen = apply_saved_settings(self.saved, card.name, card.labels, settings, given)
        told = describe_saved_settings(settings, chosen, self.model, device)
        if told and self.looks_alone:
            text = f"settings of the last session are left out, as results are written: {told}"
            return engine, None, text
        if chosen != settings:
            engine = type(engine)(engine.scorer, chosen)
        text = f"settings of the last session: {told}; --fresh begins without them"
        return engine, device, text if told else ""


def show_recording(
    screen: ScreenOptions,
    paths: Sequence[Path],
    open_engine: OpenEngine,
    model: ModelOptions,
    settings: Settings,
    outputs: OutputOptions,
) -> int:
    """Show a recording at its pace. Returns the exit code.

    Raises:
        StreamclfError: It is not one recording, it or the model cannot be opened, or the
            dashboard failed.
    """
    if len(paths) != 1:
        raise UsageError(
            f"the dashboard shows one recording, {len(paths)} were named: name one, "
            "or leave out --ui"
        )
    if outputs.written or outputs.format:
        raise UsageError(
            "--output, --scores, --clips, --stats, --store and --format cannot go with the "
            "dashboard, where settings may change: leave out --ui, or press e in it to export "
            "the events"
        )
    check_can_reread(paths[0], "the dashboard")
    code, _ = show(
        screen, open_engine, lambda device: Recording(paths[0]), model, settings, outputs,
        recording=paths[0],
    )  # fmt: skip
    return code


def _own_store() -> Path | None:
    """The user's own store, if it is there."""
    try:
        path = default_store()
    except StoreError:  # there is no home folder
        return None
    return path if path.is_file() else None


def _choose_model(
    saved_settings: SavedSettings, model: ModelOptions, screen: ScreenOptions
) -> ModelOptions:
    name = _model_of(saved_settings, model, screen)
    if name is None:
        return model
    try:
        find_model(name)
    except ModelError as error:
        say(f"warning: the model of the last session is gone: {error}")
        return model
    return replace(model, name=name)


def _model_of(
    saved_settings: SavedSettings, model: ModelOptions, screen: ScreenOptions
) -> str | None:
    """The last session's model, if it is another and the command line says nothing of it."""
    if "model" in screen.given or model.card.given or saved_settings.model == model.name:
        return None
    return saved_settings.model


def _is_there(device: str) -> bool:
    """Whether the last session's microphone is there; asked before one is open."""
    from streamclf.sources.microphone.portaudio import PortAudioBackend

    try:
        return device in [each.full_name for each in PortAudioBackend().list_devices()]
    except SourceError:
        return False


def _device_names() -> list[str]:
    """The microphones by another process, which sees those that were plugged in meanwhile."""
    from streamclf.sources.microphone.child_backend import ChildBackend
    from streamclf.sources.microphone.devices import list_inputs

    return [device.full_name for device in list_inputs(ChildBackend())]


def with_device(options: SourceOptions, name: str | None) -> SourceOptions:
    """The same source, or a microphone in its place."""
    if name is None:
        return options
    return replace(options, source=None, device=name, raw=None, speed=None, loop=False)
