"""The settings of the last session, in the platform's config folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

from streamclf.core.user_folders import find_folder
from streamclf.model.model_file import is_bundled_name

View = Literal["spectrogram", "waveform"]


class Remembered(msgspec.Struct, kw_only=True):
    """What a session leaves for the next; None where nothing was chosen.

    Attributes:
        theme: Textual's name of it.
        view: What shows the audio.
        hop_s: Seconds.
        average_s: Seconds.
        thresholds: ``on`` by model, for all its classes.
        class_thresholds: ``on`` by model and label.
        model: Name or path.
        device: Part of a microphone's name.
        muted: Whether recordings are shown without sound.
    """

    theme: str | None = None
    view: View = "spectrogram"
    hop_s: float | None = None
    average_s: float | None = None
    thresholds: dict[str, float] = {}
    class_thresholds: dict[str, dict[str, float]] = {}
    model: str | None = None
    device: str | None = None
    muted: bool = False


def settings_path() -> Path | None:
    """Where they are kept; None for a user without a home."""
    folder = find_folder(lambda: platformdirs.user_config_path("streamclf", appauthor=False))
    return None if folder is None else folder / "dashboard.json"


def log_path() -> Path | None:
    """Where a failure of the dashboard is written down; None for a user without a home."""
    folder = find_folder(lambda: platformdirs.user_log_path("streamclf", appauthor=False))
    return None if folder is None else folder / "dashboard.log"


def load_settings(path: Path | None = None) -> Remembered:
    """Read them; a file that is missing or damaged counts as none.

    A model that is named relative to a folder, as older versions kept it, is left out: it would be
    looked for in whatever folder one stands.
    """
    path = path or settings_path()
    if path is None:
        return Remembered()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError):
        return Remembered()
    if found.model and not (is_bundled_name(found.model) or Path(found.model).is_absolute()):
        found.model = None
    return found


def save_settings(settings: Remembered, path: Path | None = None) -> None:
    """Write them whole or not at all; a folder that cannot be written to is no failure."""
    path = path or settings_path()
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode(settings))
        part.replace(path)
