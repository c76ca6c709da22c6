"""What is asked through the broker, read and checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count
from streamclf.notify.mqtt.discovery import LOWEST_THRESHOLD
from streamclf.notify.mqtt.facts import Control
from streamclf.notify.mqtt.options import Command
from streamclf.notify.mqtt.told import ToldSource
from streamclf.notify.mqtt.topics import Topics

LONGEST = 40
"""Characters of a payload that a message shows."""
READ_BYTES = 4 * LONGEST
"""Bytes of a payload that are looked at."""
MOST_LINES = 20
"""Most lines about commands that the log gets within `LINES_S`."""
LINES_S = 60.0


class CommandLines:
    """Lines about commands, of which a client that sends them in masses does not fill the log.

    Args:
        report: Called with one line of text.
        now: Returns monotonic seconds.
    """

    def __init__(self, report: Callable[[str], None], now: Callable[[], float] = time.monotonic):
        self._report, self._now = report, now
        self._from = -LINES_S
        self._n_told = self._n_left_out = 0

    def tell(self, line: str) -> None:
        """Tell a line, or count it where there were too many."""
        self.look()
        if self._n_told >= MOST_LINES:
            self._n_left_out += 1
            return
        self._n_told += 1
        self._report(line)

    def look(self) -> None:
        """Begin anew when the time is over, and tell how many lines were left out."""
        if self._now() - self._from < LINES_S:
            return
        self._from, self._n_told = self._now(), 0
        n_left_out, self._n_left_out = self._n_left_out, 0
        if n_left_out:
            self._n_told = 1
            self._report(
                f"warning: mqtt: {format_count(n_left_out, 'more command')} came within "
                f"{LINES_S:g} s: only {MOST_LINES} stand here; find out who sends them, or take "
                "allow out of [mqtt]"
            )


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
    text = one_line(payload[:READ_BYTES].decode("utf-8", "replace"))[:LONGEST].strip()
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
    announced = source.announced
    chosen = (each for each in announced.chosen if each in announced.labels)
    label = next((each for each in chosen if announced.keys[each] == key), "")
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
