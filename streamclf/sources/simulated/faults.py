"""The faults of a simulated microphone, as ``sim:FILE?stall=3,1&drift=40`` names them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from streamclf.core.errors import UsageError

EXAMPLE = "sim:day.wav?overflow=60,0.2&unplug=300,20&drift=40"


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch of time in which something is wrong.

    Attributes:
        at_s: Seconds from the stream's start.
        length_s: Seconds.
        sample_rate: Of an unplugged microphone that comes back with another one, in Hz.
    """

    at_s: float
    length_s: float
    sample_rate: int | None = None

    @property
    def end_s(self) -> float:
        """Seconds from the stream's start."""
        return self.at_s + self.length_s

    def holds(self, time_s: float) -> bool:
        """Whether a moment lies in it."""
        return self.at_s <= time_s < self.end_s


@dataclass(frozen=True)
class Faults:
    """What a simulated microphone does wrong; all times in seconds from the stream's start.

    Attributes:
        overflow: Every ``at_s`` seconds ``length_s`` of audio is lost, and the device says so.
        stall: The device delivers nothing and says nothing; what sounds meanwhile is lost.
        unplug: The device is gone, and plugged in again.
        silence: The device hears nothing but zeros.
        drift: How much faster than it says the device's clock runs, in ppm.
        jitter: Blocks come up to so many milliseconds late.
        rate: The only sample rate in Hz that the device takes; None for the recording's.
        seed: Of the jitter.
    """

    overflow: Spell | None = None
    stall: Sequence[Spell] = ()
    unplug: Sequence[Spell] = ()
    silence: Sequence[Spell] = ()
    drift: float = 0.0
    jitter: float = 0.0
    rate: int | None = None
    seed: int = 0

    def stalled_until(self, time_s: float) -> float | None:
        """Where the stall around a moment ends, in seconds; None outside of stalls."""
        return next((spell.end_s for spell in self.stall if spell.holds(time_s)), None)

    def is_unplugged(self, time_s: float) -> bool:
        """Whether the device is gone at a moment."""
        return any(spell.holds(time_s) for spell in self.unplug)

    def rate_at(self, time_s: float) -> int | None:
        """The only sample rate that the device takes at a moment; None for the recording's."""
        came_back = [spell for spell in self.unplug if spell.sample_rate and spell.end_s <= time_s]
        newest = max(came_back, key=lambda spell: spell.end_s, default=None)
        return newest.sample_rate if newest else self.rate


@dataclass
class _Said:
    """The parts of a name that were read so far."""

    values: dict[str, object] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        if name in _SPELLS:
            spells = self.values.setdefault(name, [])
            assert isinstance(spells, list)
            spells.append(_read_spell(name, text))
            return
        if name in self.values:
            raise UsageError(f"{name}={text}: is given twice, it must be once")
        self.values[name] = _read_spell(name, text) if name == "overflow" else _read(name, text)


def parse_name(name: str) -> tuple[str, Faults]:
    """Split what follows ``sim:`` into a file and its faults.

    Raises:
        UsageError: A fault is unknown, or its numbers make no sense.
    """
    path, question_mark, query = name.partition("?")
    if not question_mark or _exists(name):
        return name, Faults()
    said = _Said()
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        try:
            said.add(key, value)
        except UsageError as error:
            raise UsageError(f"--source sim:{name}: {error}") from error
    return path, Faults(**said.values)  # type: ignore[arg-type]


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # many faults make a long name
        return False


_SPELLS = ("stall", "unplug", "silence")
_LIMITS = {
    "drift": (-1000.0, 1000.0, "ppm"),
    "jitter": (0.0, 10_000.0, "ms"),
    "rate": (1.0, 768_000.0, "Hz"),
    "seed": (0.0, 2.0**32, ""),
}
"""Of faults that are one number: the least and the most, and their unit."""
_NAMES = ", ".join(field.name for field in fields(Faults))


def _read(name: str, text: str) -> float | int:
    if name not in _LIMITS:
        raise UsageError(f"no fault is called {name!r}, there is {_NAMES}: for example {EXAMPLE}")
    least, most, unit = _LIMITS[name]
    value = _number(name, text, text)
    whole = name in ("rate", "seed")
    if not least <= value <= most or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        limits = f"{least:g} to {most:g} {unit}".strip()
        raise UsageError(f"{name}={text}: must be {kind} from {limits}")
    return int(value) if whole else value


def _read_spell(name: str, text: str) -> Spell:
    first = "EVERY" if name == "overflow" else "AT"
    parts = text.split(",")
    form = f"{name}={first},LENGTH" + ("[,RATE]" if name == "unplug" else "")
    if not 2 <= len(parts) <= (3 if name == "unplug" else 2):
        raise UsageError(f"{name}={text}: must be {form}, in seconds")
    at_s, length_s = (_number(name, text, part) for part in parts[:2])
    if at_s < 0 or length_s <= 0:
        raise UsageError(f"{name}={text}: {first} must be 0 or more seconds, LENGTH above 0")
    if name == "overflow" and length_s >= at_s:
        raise UsageError(f"{name}={text}: EVERY must be more than LENGTH, or nothing is left")
    rate = _read("rate", parts[2]) if len(parts) == 3 else None
    return Spell(at_s, length_s, None if rate is None else int(rate))


def _number(name: str, text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name}={text}: {part!r} is no number")
    return value
