"""streamclf: what is that sound, when did it begin and end, and how sure are you.

The library in one line each::

    import streamclf

    events = streamclf.detect("day.wav")             # or (array, sample_rate); only="dog,siren"
    answer = streamclf.classify("clip.wav")          # one answer: answer.label, answer.score
    table = streamclf.score("day.wav").to_pandas()   # the scores of every window
    for event in streamclf.listen():                 # the microphone, until you leave the loop
        print(event.time, event.name, event.onset_s, event.ended)

These functions are made of three parts that can also be used alone: a `Source` (`Recording`,
`Microphone`, ...) delivers audio, an `Engine` with its `Settings` yields records with positions in
samples, and a `Sink` writes them.

Each name is imported when it is first used, so ``import streamclf`` itself is fast.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# ONNX Runtime (from 1.29 on) reports to its makers which models are run, and when. It reads this
# variable when it is imported. Reports are off here unless the user has set the variable.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Answer": "streamclf.api.functions",
    "ArraySource": "streamclf.sources.array",
    "Average": "streamclf.core.records",
    "Block": "streamclf.core.records",
    "Card": "streamclf.core.card",
    "Classifier": "streamclf.model.classifier",
    "Engine": "streamclf.pipeline.engine",
    "Event": "streamclf.api.functions",
    "EventBegan": "streamclf.core.records",
    "EventOngoing": "streamclf.core.records",
    "Gap": "streamclf.core.records",
    "MemorySink": "streamclf.sinks.base",
    "Microphone": "streamclf.sources.microphone.microphone",
    "Model": "streamclf.model.model_file",
    "Notice": "streamclf.core.records",
    "Recording": "streamclf.sources.recording.recording",
    "ScoreTable": "streamclf.api.functions",
    "Scores": "streamclf.core.records",
    "Settings": "streamclf.core.settings",
    "SimulatedMicrophone": "streamclf.sources.simulated.simulated_microphone",
    "Sink": "streamclf.sinks.base",
    "SoundEvent": "streamclf.core.records",
    "Source": "streamclf.sources.base",
    "StandardInput": "streamclf.sources.stream.standard_input",
    "StreamStarted": "streamclf.core.records",
    "StreamclfError": "streamclf.core.errors",
    "UrlStream": "streamclf.sources.stream.url_stream",
    "classify": "streamclf.api.functions",
    "detect": "streamclf.api.functions",
    "find_model": "streamclf.model.model_file",
    "listen": "streamclf.api.functions",
    "score": "streamclf.api.functions",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from streamclf.core.signatures import unquote_annotations

        found = globals()[name] = unquote_annotations(getattr(import_module(_HOMES[name]), name))
        return found
    raise AttributeError(f"module 'streamclf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
