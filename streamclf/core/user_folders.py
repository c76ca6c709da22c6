"""The user's own folders, for settings and for the log; there may be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def find_folder(ask: Callable[[], Path]) -> Path | None:
    """A folder below the user's home; None for a user that has none.

    Args:
        ask: Says where it is, as `platformdirs.user_config_path` does.
    """
    try:
        folder = ask()
    except (RuntimeError, KeyError, OSError):  # the user has no home, or is not known here
        return None
    # Else "~/.config" would be a folder in whatever directory one stands in.
    return folder if folder.is_absolute() else None
