"""Rules in plain words, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from streamclf.core.redaction import one_line
from streamclf.notify.rules import DAY_S, Rule

_UNITS = ((DAY_S, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def describe_rule(rule: Rule, targets: Sequence[str]) -> str:
    """Describe a rule in one line, without its name.

    Args:
        rule: The rule.
        targets: Names of all targets.
    """
    sound = _any_of(rule.labels, "a sound", "any sound")
    if rule.on == "lost":
        return _describe_lost(rule, targets)
    where = f" in {_list(rule.sources, 'or')}" if rule.sources else ""
    told = _list(rule.to or targets, "and")
    parts = [f"{_occasion(rule, sound)}{where}{_conditions(rule)}"]
    parts.append(f"tells {told}" if told else "tells nobody, as there are no targets")
    if rule.cooldown and rule.on != "ongoing":
        parts.append(f"at most every {format_span(rule.cooldown)} for each sound of a source")
    return "; ".join(map(one_line, parts))


def _describe_lost(rule: Rule, targets: Sequence[str]) -> str:
    who = _list(rule.sources, "or") if rule.sources else "a source"
    told = _list(rule.to or targets, "and")
    parts = [
        f"when {who} has been lost or without a signal for {format_span(rule.lasting)}"
        f"{_conditions(rule)}, and when it is heard again",
        f"tells {told}" if told else "tells nobody, as there are no targets",
    ]
    if rule.cooldown:
        parts.append(f"at most every {format_span(rule.cooldown)} for each source")
    return "; ".join(map(one_line, parts))


def _occasion(rule: Rule, sound: str) -> str:
    span = format_span(rule.lasting)
    if rule.on == "quiet":
        kind = f"nothing of {sound}" if rule.labels else "nothing"
        return f"when {kind} has been heard for {span}"
    if rule.on == "ongoing":
        first = f"once it has lasted {span}" if rule.lasting else "as it begins"
        return f"while {sound} goes on, {first} and every {format_span(rule.cooldown)} again"
    verb = "begins" if rule.on == "begin" else "has ended"
    if rule.lasting:
        verb = f"has lasted {span}" if rule.on == "begin" else f"has ended after {span} or more"
    return f"when {sound} {verb}"


def _conditions(rule: Rule) -> str:
    said = []
    if rule.min_score:
        said.append(f"with a score of {rule.min_score:g} or more")
    if rule.at_least:
        said.append(f"at least {rule.at_least}")
    if rule.repeats > 1:
        said.append(f"{rule.repeats} times within {format_span(rule.within or 0)}")
    if rule.rare:
        said.append(f"not heard for {format_span(rule.rare * DAY_S)} before")
    if rule.hours:
        said.append(f"at {rule.hours}")
    if rule.first_of_day:
        said.append("the first time of a day")
    return "".join(f", {each}" for each in said)


def _any_of(labels: Sequence[str], kind: str, everything: str) -> str:
    return _list(labels, "or") if labels else everything


def _list(names: Sequence[str], word: str) -> str:
    *first, last = names or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


def format_span(seconds: float) -> str:
    """Write a length of time in one unit: ``10 minutes``, ``36 hours``, ``1.5 seconds``."""
    for unit_s, unit in _UNITS:
        if seconds >= unit_s and seconds % unit_s == 0:
            n = round(seconds / unit_s)
            return f"{n} {unit}" if n == 1 else f"{n} {unit}s"
    return f"{seconds:g} seconds"


def format_moment(moment: datetime, now: datetime) -> str:
    """Write a moment as people say it: ``today 22:14``, ``yesterday 22:14``, ``2026-11-21 22:14``.

    Args:
        moment: The moment by the place's clock.
        now: The present by the same clock.
    """
    day = moment.date()
    days = {now.date(): "today", now.date() - timedelta(days=1): "yesterday"}
    return f"{days.get(day, day.isoformat())} {moment:%H:%M}"
