"""Start of the dashboard, and clean-up after its end."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from streamclf.core.errors import StreamclfError
from streamclf.core.redaction import mask_text
from streamclf.core.settings import Settings
from streamclf.core.stats import Statistics
from streamclf.dashboard.adjustments import set_on
from streamclf.dashboard.app import Dashboard
from streamclf.dashboard.attached.app import AttachedDashboard
from streamclf.dashboard.attached.client import PageClient
from streamclf.dashboard.listener import Listener, Openers, Post
from streamclf.dashboard.saved_settings import (
    SavedSettings,
    load_settings,
    log_path,
    save_settings,
)
from streamclf.dashboard.terminal import discard_output
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.base import Source
from streamclf.sources.microphone.loudspeaker import open_loudspeaker


def open_dashboard(
    openers: Openers,
    engine: Engine,
    model: Model,
    source: Source,
    saved_settings: SavedSettings,
    *,
    save: bool = True,
) -> tuple[int, Statistics]:
    """Run the dashboard until the user quits.

    Args:
        openers: Functions that open other models and devices.
        engine: First engine.
        model: Model of the first engine.
        source: First source; closed at the end.
        saved_settings: Settings of the last session; updated, and saved at the end.
        save: Whether to save the settings.

    Returns:
        Exit code, and statistics of the whole session.

    Raises:
        StreamclfError: The dashboard failed; the message names the log file.
    """

    def make(post: Post) -> Listener:
        return Listener(openers, engine, model, source, post)

    app = Dashboard(make, saved_settings)
    try:
        code = app.run()
    finally:
        if not app.has_terminal:
            discard_output()
        app.listener.stop()
        if save:
            save_settings(app.saved_settings)
    raise_failure(app.failure)
    if app.listener.error is not None:
        raise app.listener.error
    return (1 if code is None else code), app.listener.statistics


def open_attached(client: PageClient, *, fresh: bool = False) -> int:
    """Show a running `serve` until the user quits. Returns the exit code.

    Args:
        client: Client of its page, logged in.
        fresh: Whether to ignore the theme of the last session.

    Raises:
        StreamclfError: The screen failed; the message names the log file.
    """
    app = AttachedDashboard(client, None if fresh else load_settings().theme, open_loudspeaker)
    try:
        code = app.run()
    finally:
        if not app.has_terminal:
            discard_output()
        app.stop()
    raise_failure(app.failure)
    return 1 if code is None else code


def raise_failure(failure: Exception | None) -> None:
    """Raise what ended an app, if anything did; what is unexpected is in the log.

    Raises:
        StreamclfError: Something did.
    """
    if isinstance(failure, StreamclfError):
        raise failure
    if failure is not None:
        path = write_log(failure)
        kind = f"{type(failure).__name__}: {failure}"
        raise StreamclfError(f"the dashboard failed ({kind}); {path} holds the details")


def apply_saved_settings(
    saved_settings: SavedSettings, card_name: str, labels: list[str], settings: Settings,
    is_given: Callable[[str], bool],
) -> Settings:  # fmt: skip
    """Combine settings: those given on the command line win over those of the last session."""
    if saved_settings.hop_s and not is_given("hop"):
        settings = replace(settings, hop_s=saved_settings.hop_s)
    if saved_settings.average_s is not None and not is_given("average"):
        settings = replace(settings, average_s=saved_settings.average_s)
    if settings.thresholds is not None and not (is_given("threshold") or is_given("thresholds")):
        own = saved_settings.class_thresholds.get(card_name, {})
        known = {label: on for label, on in own.items() if label in labels}
        on = saved_settings.thresholds.get(card_name)
        settings = replace(settings, thresholds=set_on(settings.thresholds, on, known))
    return settings


def describe_saved_settings(
    before: Settings, chosen: Settings, model: str | None, device: str | None
) -> str:
    """Describe the settings of the last session that change the results; empty if there are none.

    Args:
        before: Settings of the command line.
        chosen: Settings from `apply_saved_settings`.
        model: Model of the last session, if it differs.
        device: Microphone of the last session, if it is used.
    """
    average = f"averaged over {chosen.average_s:g} s" if chosen.average_s else "not averaged"
    parts = [
        f"model {model}" if model else "",
        f"hop {chosen.hop_s:g} s" if chosen.hop_s != before.hop_s else "",
        average if chosen.average_s != before.average_s else "",
        "thresholds" if chosen.thresholds != before.thresholds else "",
        f"microphone {device}" if device else "",
    ]
    return ", ".join(part for part in parts if part)


def write_log(error: BaseException, path: Path | None = None) -> Path:
    """Append a failure with its traceback to the log, with passwords masked; return its path."""
    path = path or log_path()
    if path is None:
        descriptor, name = tempfile.mkstemp(".log", "streamclf-dashboard-")
        os.close(descriptor)
        path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')}\n")
        log.write(mask_text("".join(traceback.format_exception(error))))
    return path
