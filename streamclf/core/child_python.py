"""Environment in which a Python process started by streamclf finds this package."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """Return the environment variables for ``python -m streamclf...``.

    Without ``PYTHONSAFEPATH`` Python would look for modules in the working directory first, and
    would run a file ``sounddevice.py`` that lies among the recordings.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
