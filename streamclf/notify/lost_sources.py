"""Rules about sources that are away (``on = "lost"``): they look at the clock, not at sounds.

A source is away while it is lost and tried again, while there is no signal in its audio, and after
it has failed for good; one that somebody paused is not. It is back once it was heard for `STEADY_S`
on end and there was a signal, so that a stream that comes for a moment now and then still counts as
away, and so does a microphone that was found again and is muted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from streamclf.notify.history import History, NoHistory
from streamclf.notify.messages import Message
from streamclf.notify.rules import Rule
from streamclf.notify.templates import DEFAULTS, NO_SIGNAL, fill_template

AWAY = ("lost", "silent", "failed")
"""States of a source in which nothing is heard of it."""
STEADY_S = 10.0
"""Seconds that a source must be heard without a break before it is back."""


@dataclass(frozen=True, slots=True)
class Presence:
    """How a source fares at one moment.

    Attributes:
        state: Its state, as `streamclf.runs.health.SourceState`.
        still_since_s: Since when there has been no signal in its audio, in monotonic seconds; None
            while there is one.
        signal_at_s: When the newest signal came, in monotonic seconds; None before the first.
    """

    state: str
    still_since_s: float | None = None
    signal_at_s: float | None = None


@dataclass(slots=True)
class _Absence:
    """A source that is away, or was until a moment ago.

    Attributes:
        since_us: When it was lost, or its signal, in microseconds since 1970-01-01 UTC.
        since_s: The same in monotonic seconds.
        told: Names of the rules that have told of it.
        back_us: Since when it is heard again; None while it is not.
        back_s: The same in monotonic seconds.
    """

    since_us: int
    since_s: float
    told: set[str] = field(default_factory=set)
    back_us: int | None = None
    back_s: float = 0.0


class LostSources:
    """Rules about lost sources, and what they know.

    Args:
        rules: All rules; those with another ``on`` are left alone.
        history: What was told before this process began.
        now_s: Returns monotonic seconds.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        history: History | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history or NoHistory()
        self._now_s = now_s
        self._absences: dict[str, _Absence] = {}
        self._last_us: dict[tuple[str, str], int | None] = {}  # message by rule, source
        self._rules: tuple[Rule, ...] = ()
        self.change(rules)

    @property
    def watches(self) -> bool:
        """Whether there is any such rule."""
        return bool(self._rules)

    def change(self, rules: Iterable[Rule]) -> None:
        """Take other rules; one of the same name keeps what it knows."""
        self._rules = tuple(rule for rule in rules if rule.on == "lost")

    def look(
        self, presences: Mapping[str, Presence], now_us: int, utc_offset_min: int
    ) -> list[Message]:
        """Look at how the sources fare.

        Args:
            presences: How each source fares.
            now_us: The present, in microseconds since 1970-01-01 UTC.
            utc_offset_min: The place's offset from UTC, in minutes.

        Returns:
            What is to be told now.
        """
        for gone in [name for name in self._absences if name not in presences]:
            del self._absences[gone]
        told: list[Message] = []
        for source, presence in presences.items():
            self._recall(source, now_us)
            absence = self._follow(source, presence, now_us)
            if absence is None:
                continue
            is_back = absence.back_us is not None and self._is_steady(absence, presence)
            for rule in self._rules:
                if not rule.hears(source):
                    continue
                if is_back and rule.name in absence.told:
                    template = DEFAULTS["back"]
                    told.append(
                        _tell(rule, "back", template, source, absence, now_us, utc_offset_min)
                    )
                elif absence.back_us is None and self._is_due(
                    rule, source, absence, now_us, utc_offset_min
                ):
                    absence.told.add(rule.name)
                    self._last_us[rule.name, source] = now_us
                    template = _template(rule, presence)
                    told.append(
                        _tell(rule, "lost", template, source, absence, now_us, utc_offset_min)
                    )
            if is_back:
                del self._absences[source]
        return told

    def _follow(self, source: str, presence: Presence, now_us: int) -> _Absence | None:
        """Note that a source is away, or heard; returns its absence until it is back."""
        absence, is_away = self._absences.get(source), presence.state in AWAY
        if is_away and absence is None:
            now_s = self._now_s()
            since_s = presence.still_since_s if presence.state == "silent" else None
            since_s = now_s if since_s is None else since_s
            absence = _Absence(now_us - round((now_s - since_s) * 1e6), since_s)
            self._absences[source] = absence
        elif is_away and absence is not None:
            absence.back_us = None
        elif absence is not None and absence.back_us is None:
            absence.back_us, absence.back_s = now_us, self._now_s()
        return absence

    def _is_steady(self, absence: _Absence, presence: Presence) -> bool:
        """Whether a source was heard for long enough, and with a signal."""
        signal_at_s = presence.signal_at_s
        has_signal = signal_at_s is not None and signal_at_s >= absence.back_s
        return has_signal and self._now_s() - absence.back_s >= STEADY_S

    def _recall(self, source: str, now_us: int) -> None:
        """Take up what a process before told of a source and did not see come back."""
        for rule in self._rules:
            if not rule.hears(source) or (rule.name, source) in self._last_us:
                continue
            last = self._history.last_told(rule, source, "")
            self._last_us[rule.name, source] = None if last is None else last.moment_us
            since_us = self._history.lost_since(rule, source)
            if since_us is not None:
                absence = self._absences.setdefault(source, _Absence(since_us, self._now_s()))
                absence.told.add(rule.name)

    def _is_due(
        self, rule: Rule, source: str, absence: _Absence, now_us: int, utc_offset_min: int
    ) -> bool:
        if rule.name in absence.told or self._now_s() - absence.since_s < rule.lasting:
            return False
        last_us = self._last_us[rule.name, source]
        if last_us is not None and 0 <= now_us - last_us < rule.cooldown * 1e6:
            return False
        return rule.opening is None or rule.opening.hold(now_us, utc_offset_min)


def _template(rule: Rule, presence: Presence) -> str:
    """Return the text that tells that a source is away, with fields."""
    if rule.message is None and presence.state == "silent":
        return NO_SIGNAL
    return rule.template


def _tell(
    rule: Rule,
    on: Literal["lost", "back"],
    template: str,
    source: str,
    absence: _Absence,
    now_us: int,
    utc_offset_min: int,
) -> Message:
    """Make a message; the rule's own text is for the loss alone."""
    said = "\0".join([rule.name, on, source, str(absence.since_us)])
    message = Message(
        token=hashlib.blake2b(
            said.encode("utf-8", "surrogatepass"), digest_size=12
        ).hexdigest(),
        rule=rule.name,
        on=on,
        source=source,
        label="",
        name="",
        text="",
        told_us=now_us,
        utc_offset_min=utc_offset_min,
        targets=rule.to,
        onset_us=absence.since_us,
        offset_us=absence.back_us if on == "back" else None,
        moment_us=now_us,
    )  # fmt: skip
    return replace(message, text=fill_template(template, message, now_us))
