"""streamclf: what is that sound, when did it begin and end, and how sure are you.

The library in five lines::

    from streamclf import Classifier, Engine, Model, Recording

    engine = Engine(Classifier(Model("pocket")))
    with Recording("long.wav") as recording:
        for result in engine.run(recording):
            ...  # Average, SoundEvent, Gap and Notice records, positions in samples

Names are imported when they are first used, so that ``import streamclf`` costs nothing.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# ONNX Runtime (from 1.29 on) reports to its makers which models are run, and when; it decides
# whether to when it is imported. Who listens at home asks it not to, unless told otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "ArraySource": "streamclf.sources.array",
    "Average": "streamclf.records",
    "Block": "streamclf.records",
    "Card": "streamclf.card",
    "Classifier": "streamclf.classifier",
    "Engine": "streamclf.engine",
    "Gap": "streamclf.records",
    "MemorySink": "streamclf.sinks.base",
    "Microphone": "streamclf.sources.microphone",
    "Model": "streamclf.model",
    "Notice": "streamclf.records",
    "Recording": "streamclf.sources.recording",
    "Scores": "streamclf.records",
    "Settings": "streamclf.settings",
    "SimulatedMicrophone": "streamclf.sources.simulated",
    "Sink": "streamclf.sinks.base",
    "SoundEvent": "streamclf.records",
    "Source": "streamclf.sources.base",
    "StandardInput": "streamclf.sources.stream",
    "StreamclfError": "streamclf.errors",
    "UrlStream": "streamclf.sources.stream",
    "find_model": "streamclf.model",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'streamclf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
