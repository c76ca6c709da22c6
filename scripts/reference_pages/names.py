"""The names of Python and the API of the page, from the code."""

from __future__ import annotations

import json

import streamclf
from reference_pages.markdown import NOTE

NAMES = {
    "Functions": "detect classify score listen",
    "What they return": "Event Answer ScoreTable",
    "The engine and its model": "Engine Settings Classifier Model find_model Card",
    "Records": "StreamStarted Block Gap Notice Scores Average EventBegan EventOngoing SoundEvent",
    "Sources": "Source Recording ArraySource Microphone SimulatedMicrophone UrlStream "
    "StandardInput",
    "Sinks": "Sink MemorySink",
    "Errors": "StreamclfError",
}
"""The public names, by the heading that they stand under."""


def python_names() -> str:
    """The page of the public names; mkdocstrings puts their docstrings into it."""
    lines = [
        "# Python names",
        "",
        NOTE,
        "",
        "Every public name of `streamclf`, from its docstring. [Python](python.md) shows how to "
        "use them. Import them from `streamclf` itself: the modules named here may change.",
    ]
    for heading, names in NAMES.items():
        lines += ["", f"## {heading}"]
        for name in names.split():
            lines += ["", f"::: {getattr(streamclf, name).__module__}.{name}"]
    return "\n".join(lines) + "\n"


def openapi() -> str:
    """The description of the API of the page, from the types that write its answers."""
    from streamclf.web.description import openapi

    return json.dumps(openapi(), indent=2) + "\n"
