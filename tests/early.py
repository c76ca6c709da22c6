"""What tests import and trace as they go, done once before workers are forked (`nest.py`).

Each worker would do it by itself, at the first test that asks for it: four seconds of a processor,
each time. Only what begins no thread is here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from pathlib import Path

MODULES = (
    "apprise", "lightning_fabric", "matplotlib.backends.backend_agg", "matplotlib.figure",
    "onnxscript", "torchaudio", "torchinfo",
)  # fmt: skip
"""Modules that tests and what they test import late."""


def prepare(folder: Path) -> None:
    """Import what many tests ask for, and let the exporter of torch get ready.

    Args:
        folder: A place for the list of fonts that matplotlib writes.
    """
    told = os.environ.get("MPLCONFIGDIR")
    os.environ["MPLCONFIGDIR"] = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in MODULES:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(name)
            if "graphs" in sys.modules:  # of tests/train, where there is torch
                sys.modules["graphs"].trace_something()
    finally:
        if told is None:
            del os.environ["MPLCONFIGDIR"]
        else:
            os.environ["MPLCONFIGDIR"] = told
