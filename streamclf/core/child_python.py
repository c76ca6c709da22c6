"""Processes of streamclf's own: how another Python finds this package, and nothing else."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """The environment for ``python -m streamclf...``.

    Without ``PYTHONSAFEPATH`` Python would take modules from the working directory first: a file
    ``sounddevice.py`` among the recordings would be run.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
