"""What is asked through the broker, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.notify.mqtt.discovery import LOWEST_THRESHOLD
from streamclf.notify.mqtt.facts import Control
from streamclf.notify.mqtt.options import Command
from streamclf.notify.mqtt.told import ToldSource
from streamclf.notify.mqtt.topics import Topics

LONGEST = 40
"""Characters of a payload that a message shows."""


def carry_out(
    topics: Topics,
    topic: str,
    payload: bytes,
    sources: Mapping[str, ToldSource],
    allow: Sequence[Command],
    control: Control,
) -> str:
    """Carry out what is asked on a topic.

    Args:
        topics: The box's topics.
        topic: Where it was asked.
        payload: What was asked.
        sources: The sources by their identifiers.
        allow: What may be asked.
        control: Who does it.

    Returns:
        A line that says what is done; empty where nothing was asked.

    Raises:
        UsageError: It makes no sense, or is not allowed.
    """
    asked = topics.read_command(topic)
    if asked is None:
        return ""
    id, what, key = asked
    text = one_line(payload[: 4 * LONGEST].decode("utf-8", "replace"))[:LONGEST].strip()
    if what not in allow:
        raise UsageError(f'{topic}: is not allowed: allow = ["{what}"] in [mqtt] would allow it')
    source = sources.get(id)
    if source is None:
        raise UsageError(f"{topic}: there is no source {id}")
    name = source.announced.name
    if what == "pause":
        if text not in ("ON", "OFF"):
            raise UsageError(f"{topic}: {text or '(nothing)'}: must be ON or OFF")
        control.pause(name, paused=text == "ON")
        return f"{name} is {'paused' if text == 'ON' else 'heard again'}"
    label = next(
        (each for each in source.announced.chosen if source.announced.keys[each] == key), ""
    )
    if not label:
        raise UsageError(f"{topic}: {key} is no label of {name} that labels in [mqtt] chooses")
    value = _read_number(text)
    if value is None or not LOWEST_THRESHOLD <= value <= 1:
        raise UsageError(
            f"{topic}: {text or '(nothing)'}: must be a number from {LOWEST_THRESHOLD:g} to 1"
        )
    control.set_threshold(name, label, value)
    return f"{name}: {label} begins from {value:g} on, until the settings are read again"


def _read_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
