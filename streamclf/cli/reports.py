"""Messages about a run, and printing, for all commands."""

from __future__ import annotations

from typing import Any

import msgspec

from streamclf.core.stats import Statistics
from streamclf.pipeline.engine import Engine
from streamclf.runs.console import say
from streamclf.runs.event_summary import summarise_events


def say_found(statistics: Statistics, engine: Engine) -> None:
    """Say what was found, or what came nearest."""
    if found := summarise_events(statistics, engine.card, engine.onset_thresholds):
        say(found)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    print(text)
