"""Faults of a simulated microphone, as in ``sim:FILE?stall=3,1&drift=40``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from streamclf.core.errors import UsageError

EXAMPLE = "sim:day.wav?overflow=60,0.2&unplug=300,20&drift=40"


@dataclass(frozen=True, slots=True)
class FaultPeriod:
    """A period of time with a fault.

    Attributes:
        at_s: Its beginning, in seconds from the stream's start.
        length_s: Its length in seconds.
        sample_rate: Sample rate in Hz with which an unplugged microphone comes back; None for the
            same as before.
    """

    at_s: float
    length_s: float
    sample_rate: int | None = None

    @property
    def end_s(self) -> float:
        """End of the period, in seconds from the stream's start."""
        return self.at_s + self.length_s

    def contains(self, time_s: float) -> bool:
        """Whether a time lies in the period."""
        return self.at_s <= time_s < self.end_s


@dataclass(frozen=True)
class Faults:
    """Faults of a simulated microphone; all times in seconds from the stream's start.

    Attributes:
        overflow: Audio of ``length_s`` is lost every ``at_s`` seconds, and the device reports it.
        stall: Periods in which the device delivers no audio and reports nothing; this audio is
            lost.
        unplug: Periods in which the device is unplugged.
        silence: Periods in which the device delivers zeros.
        drift: Rate error of the device's clock in ppm, above 0 if it is fast.
        jitter: Largest delay of blocks in milliseconds.
        rate: The only sample rate in Hz that the device accepts; None for that of the recording.
        seed: Seed of the random jitter.
    """

    overflow: FaultPeriod | None = None
    stall: Sequence[FaultPeriod] = ()
    unplug: Sequence[FaultPeriod] = ()
    silence: Sequence[FaultPeriod] = ()
    drift: float = 0.0
    jitter: float = 0.0
    rate: int | None = None
    seed: int = 0

    def stalled_until(self, time_s: float) -> float | None:
        """Return the end in seconds of the stall at a time; None outside of stalls."""
        return next((period.end_s for period in self.stall if period.contains(time_s)), None)

    def is_unplugged(self, time_s: float) -> bool:
        """Whether the device is unplugged at a time."""
        return any(period.contains(time_s) for period in self.unplug)

    def rate_at(self, time_s: float) -> int | None:
        """Return the only sample rate accepted at a time, in Hz; None for the recording's."""
        returned = [each for each in self.unplug if each.sample_rate and each.end_s <= time_s]
        newest = max(returned, key=lambda period: period.end_s, default=None)
        return newest.sample_rate if newest else self.rate


@dataclass
class _ParsedFaults:
    """Faults read so far from a name."""

    values: dict[str, object] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        if name in _REPEATABLE:
            periods = self.values.setdefault(name, [])
            assert isinstance(periods, list)
            periods.append(_read_period(name, text))
            return
        if name in self.values:
            raise UsageError(f"{name}={text}: is given twice, it must be once")
        self.values[name] = (
            _read_period(name, text) if name == "overflow" else _read_value(name, text)
        )


def parse_name(name: str) -> tuple[str, Faults]:
    """Split the text after ``sim:`` into a file and its faults.

    Raises:
        UsageError: A fault is unknown, or its numbers are out of range.
    """
    path, question_mark, query = name.partition("?")
    if not question_mark or _exists(name):
        return name, Faults()
    parsed = _ParsedFaults()
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        try:
            parsed.add(key, value)
        except UsageError as error:
            raise UsageError(f"--source sim:{name}: {error}") from error
    return path, Faults(**parsed.values)  # type: ignore[arg-type]


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # a name with many faults may be too long for a file
        return False


_REPEATABLE = ("stall", "unplug", "silence")
_LIMITS = {
    "drift": (-1000.0, 1000.0, "ppm"),
    "jitter": (0.0, 10_000.0, "ms"),
    "rate": (1.0, 768_000.0, "Hz"),
    "seed": (0.0, 2.0**32, ""),
}
"""Lowest and highest value of each fault that is one number, and its unit."""
_NAMES = ", ".join(field.name for field in fields(Faults))


def _read_value(name: str, text: str) -> float | int:
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


def _read_period(name: str, text: str) -> FaultPeriod:
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
    rate = _read_value("rate", parts[2]) if len(parts) == 3 else None
    return FaultPeriod(at_s, length_s, None if rate is None else int(rate))


def _number(name: str, text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name}={text}: {part!r} is no number")
    return value
