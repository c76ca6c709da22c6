"""What commands say of a run, and how they print."""

from __future__ import annotations

from typing import Any

import msgspec

from streamclf.core.stats import Statistics
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.console import say
from streamclf.runs.found_summary import describe_found
from streamclf.runs.runner import describe_stream


def say_found(statistics: Statistics, engine: Engine) -> None:
    """Say what was found, or what came nearest."""
    thresholds = describe_stream(engine, "", None).thresholds
    if found := describe_found(statistics, engine.card, thresholds):
        say(found)


def describe_provider(model: Model) -> str:
    """What runs the model, and why."""
    return f"{model.provider} ({model.provider_reason})"


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    print(text)
