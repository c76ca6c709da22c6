"""Opens the dashboard, and puts things in order when it has ended."""

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
from streamclf.dashboard.listener import Doors, Listener, Post
from streamclf.dashboard.saved_settings import Remembered, log_path, save_settings
from streamclf.dashboard.terminal import leave_terminal
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.base import Source


def open_dashboard(
    doors: Doors,
    engine: Engine,
    model: Model,
    source: Source,
    remembered: Remembered,
    *,
    keep: bool = True,
) -> tuple[int, Statistics]:
    """Show what is heard until the user quits.

    Args:
        doors: How to get at other models and devices.
        engine: Listens first.
        model: Behind it.
        source: The first; closed in the end.
        remembered: Of the last session; brought up to date and saved in the end.
        keep: Whether they are saved.

    Returns:
        The exit code, and what was heard and lost in the whole session.

    Raises:
        StreamclfError: The dashboard failed; the message names the log file.
    """

    def make(post: Post) -> Listener:
        return Listener(doors, engine, model, source, post)

    app = Dashboard(make, remembered)
    try:
        code = app.run()
    finally:
        if not app.has_terminal:
            leave_terminal()
        app.listener.stop()
        if keep:
            save_settings(app.remembered)
    if isinstance(app.failure, StreamclfError):
        raise app.failure
    if app.failure is not None:
        path = write_log(app.failure)
        kind = f"{type(app.failure).__name__}: {app.failure}"
        raise StreamclfError(f"the dashboard failed ({kind}); {path} holds the details")
    if app.listener.error is not None:
        raise app.listener.error
    return (1 if code is None else code), app.listener.statistics


def apply_remembered(
    remembered: Remembered, card_name: str, labels: list[str], settings: Settings,
    is_given: Callable[[str], bool],
) -> Settings:  # fmt: skip
    """The settings to begin with: what the command line says, else what is remembered."""
    if remembered.hop_s and not is_given("hop"):
        settings = replace(settings, hop_s=remembered.hop_s)
    if remembered.average_s is not None and not is_given("average"):
        settings = replace(settings, average_s=remembered.average_s)
    if settings.thresholds is not None and not (is_given("threshold") or is_given("thresholds")):
        own = remembered.class_thresholds.get(card_name, {})
        known = {label: on for label, on in own.items() if label in labels}
        on = remembered.thresholds.get(card_name)
        settings = replace(settings, thresholds=set_on(settings.thresholds, on, known))
    return settings


def describe_remembered(
    before: Settings, chosen: Settings, model: str | None, device: str | None
) -> str:
    """What the last session's settings change in the results, in words; empty if nothing.

    Args:
        before: As the command line says.
        chosen: From `apply_remembered`.
        model: Of the last session, if it is another.
        device: Of the last session.
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
    """Append a failure with its traceback, without passwords; returns where."""
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
