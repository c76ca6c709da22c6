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


class SavedSettings(msgspec.Struct, kw_only=True):
    """Settings that a session leaves for the next; None where the user chose nothing.

    Attributes:
        theme: Textual's name of the theme.
        view: Display of the audio.
        hop_s: Distance between window starts, in seconds.
        average_s: Length of the average, in seconds; 0 for none.
        thresholds: Threshold ``on`` by model, for all classes.
        class_thresholds: Threshold ``on`` by model and label.
        model: Name of a bundled model, or path.
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
    """Path of the settings file; None for a user without a home folder."""
    folder = find_folder(lambda: platformdirs.user_config_path("streamclf", appauthor=False))
    return None if folder is None else folder / "dashboard.json"


def log_path() -> Path | None:
    """Path of the log of the dashboard's failures; None for a user without a home folder."""
    folder = find_folder(lambda: platformdirs.user_log_path("streamclf", appauthor=False))
    return None if folder is None else folder / "dashboard.log"


def load_settings(path: Path | None = None) -> SavedSettings:
    """Read the settings; a file that is missing or damaged gives the defaults.

    A relative path of a model, as older versions saved it, is left out: it would be resolved
    against the current folder, whichever that is.
    """
    path = path or settings_path()
    if path is None:
        return SavedSettings()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SavedSettings)
    except (OSError, msgspec.DecodeError):
        return SavedSettings()
    if found.model and not (is_bundled_name(found.model) or Path(found.model).is_absolute()):
        found.model = None
    return found


def save_settings(settings: SavedSettings, path: Path | None = None) -> None:
    """Write the settings, whole or not at all; ignore a folder that cannot be written to."""
    path = path or settings_path()
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode(settings))
        part.replace(path)
