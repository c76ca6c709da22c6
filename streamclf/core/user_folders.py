"""Folders of the user for settings and for the log; there may be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def find_folder(ask: Callable[[], Path]) -> Path | None:
    """Find a folder below the user's home; None for a user without a home.

    Args:
        ask: Returns the folder's path, as `platformdirs.user_config_path` does.
    """
    try:
        folder = ask()
    except (RuntimeError, KeyError, OSError):  # the user has no home, or is unknown to the system
        return None
    # A relative path such as "~/.config" would be a folder in the working directory.
    return folder if folder.is_absolute() else None
