"""The command `rules`: what is told to whom, what would have been told, and a message to try."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

import typer

from streamclf.cli.config_file import nearest
from streamclf.cli.serve import read_settings
from streamclf.core.dates import read_date
from streamclf.core.errors import FAILED, OK, StoreError, UsageError
from streamclf.core.redaction import mask_text, one_line, show_safely
from streamclf.core.text_format import format_count
from streamclf.notify.options import NotifyPlan
from streamclf.notify.replay import WouldTell, replay
from streamclf.notify.rule_words import describe_rule, format_moment
from streamclf.notify.rules import Rule
from streamclf.notify.store_history import last_messages
from streamclf.notify.targets.base import DeliveryError
from streamclf.notify.targets.factory import open_target
from streamclf.notify.trial import make_trial
from streamclf.runs.console import say
from streamclf.runs.serve.plan import ServePlan

Form: TypeAlias = Literal["text", "jsonl"]
SINCE = "7 days ago"
"""Begin of a test where nothing is said."""
MOST_LINES = 50
"""Messages of a rule that a test lists as text."""


@dataclass(frozen=True)
class Range:
    """The time that a test asks for, as people write it; None where nothing is said."""

    since: str | None
    until: str | None


def list_rules(
    context: typer.Context, config: Path | None, names: Sequence[str], store: Path | None
) -> int:
    """Print the rules in plain words. Returns the exit code.

    Raises:
        UsageError: The settings are wrong, or have no such rule.
    """
    plan, where = read_settings(context, config)
    rules = _choose(plan.notify, names)
    if not rules:
        say(f"{where}: there are no rules: a table [[rules]] makes one")
    told = _last_told(store or plan.writing.store) if rules else {}
    now = datetime.now().astimezone()
    targets = [target.name for target in plan.notify.targets]
    for rule in rules:
        last = told.get(rule.name) if told is not None else None
        words = f"last told {format_moment(last, now)}" if last else "never told"
        words = words if told is not None else "not known when it told last"
        print(f"{one_line(rule.name)}: {describe_rule(rule, targets)}; {words}")
    return OK


def test_rules(
    context: typer.Context,
    config: Path | None,
    names: Sequence[str],
    store: Path | None,
    asked: Range,
    form: Form,
) -> int:
    """Print what rules would have told of the past. Returns the exit code.

    Raises:
        UsageError: The settings are wrong or have no such rule, or a date is none.
        StoreError: The store cannot be read.
    """
    plan, where = read_settings(context, config)
    rules = _choose(plan.notify, names)
    if not rules:
        raise UsageError(f"{where}: there are no rules to test: a table [[rules]] makes one")
    since = read_date(asked.since or SINCE, "--since")
    # What is heard faster than it sounds may lie ahead of the clock.
    until = (
        read_date(asked.until, "--until", end=True)
        if asked.until
        else datetime.now(UTC) + timedelta(days=1)
    )
    if until <= since:
        end = f"--until {asked.until}" if asked.until else "the present"
        raise UsageError(f"{end}: is not after --since {asked.since or SINCE}")
    told = replay(store or plan.writing.store, rules, _to_us(since), _to_us(until))
    lines = json_lines(told) if form == "jsonl" else text_lines(told, rules, since)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return OK


def try_rule(context: typer.Context, config: Path | None, name: str) -> int:
    """Send a message of a rule to its targets now. Returns the exit code.

    Raises:
        UsageError: The settings are wrong, have no such rule, or the rule has no targets.
    """
    plan, where = read_settings(context, config)
    (rule,) = _choose(plan.notify, [name])
    targets = [each for each in plan.notify.targets if not rule.to or each.name in rule.to]
    if not targets:
        raise UsageError(
            f"{where}: rule {rule.name} tells nobody: a table [[targets]] makes a target"
        )
    label, shown = ("", "") if rule.on == "lost" else _find_sound(plan, rule)
    source = rule.sources[0] if rule.sources else plan.streams[0].name
    now = datetime.now().astimezone()
    offset = now.utcoffset()
    assert offset is not None
    message = make_trial(
        rule, source, label, shown, _to_us(now), round(offset.total_seconds() / 60)
    )
    failed = False
    for options in targets:
        begun = time.monotonic()
        try:
            target = open_target(options)
            with closing(target):
                target.send(message, None)
            outcome = f"sent in {time.monotonic() - begun:.1f} s"
        except (DeliveryError, UsageError) as error:  # each target fails by itself
            failed, outcome = True, f"failed: {one_line(mask_text(str(error)))}"
        print(f"{options.name}: {outcome}", flush=True)
    return FAILED if failed else OK


def _choose(plan: NotifyPlan, names: Sequence[str]) -> list[Rule]:
    """Find rules by their names; all without any.

    Raises:
        UsageError: There is no rule of a name.
    """
    there = {rule.name: rule for rule in plan.rules}
    for name in names:
        if name not in there:
            known = f"there are {', '.join(there)}" if there else "there are no [[rules]]"
            raise UsageError(f"{name}: is no rule{nearest(name, [*there])}: {known}")
    return [there[name] for name in names or there]


def _find_sound(plan: ServePlan, rule: Rule) -> tuple[str, str]:
    """A sound that a rule is about, and how people read it: one of the store, if it knows any."""
    from streamclf.store.database import connect_to_read
    from streamclf.store.names import list_labels, read_vocabulary

    said = rule.labels[0] if rule.labels else "sound"
    try:
        with closing(connect_to_read(plan.writing.store)) as connection:
            vocabulary, there = read_vocabulary(connection), list_labels(connection)
    except StoreError:
        return said, said
    meant = vocabulary.meant(said) if rule.labels else there
    found = [label for label in meant if label in there]
    return (found[0], vocabulary.show(found[0])) if found else (said, said)


def _last_told(store: Path) -> dict[str, datetime] | None:
    """When each rule told last, by the clock of this machine.

    Returns:
        The times by the names of rules, none without a store; None where the store cannot be read.
    """
    from streamclf.store.database import connect_to_read, reason_of

    try:
        with closing(connect_to_read(store)) as connection:
            told = last_messages(connection)
    except sqlite3.Error as error:
        say(f"warning: {store}: cannot be read: {reason_of(error)}")
        return None
    except StoreError as error:
        if not store.exists() or (store.is_file() and not store.stat().st_size):
            return {}
        say(f"warning: {error}")
        return None
    return {rule: datetime.fromtimestamp(us / 1e6).astimezone() for rule, us in told.items()}


def text_lines(told: Sequence[WouldTell], rules: Iterable[Rule], since: datetime) -> Iterator[str]:
    """Lines for people: a head for each rule, and its messages."""
    for rule in rules:
        mine = [each for each in told if each.message.rule == rule.name]
        name = one_line(rule.name)
        if rule.on == "lost":
            yield f"{name}: is about lost sources, and is not tried on the past"
            continue
        if not mine:
            yield f"{name}: would have told nothing since {since:%Y-%m-%d %H:%M}"
            continue
        times = format_count(len(mine), "time")
        yield f"{name}: would have told {times} since {since:%Y-%m-%d %H:%M}:"
        for each in mine[:MOST_LINES]:
            clip = f"  {show_safely(each.clip)}" if each.clip else ""
            yield f"  {_moment(each):%a %Y-%m-%d %H:%M:%S}  {one_line(each.message.text)}{clip}"
        if len(mine) > MOST_LINES:
            yield f"  and {len(mine) - MOST_LINES} more: --format jsonl lists all"


def _moment(each: WouldTell) -> datetime:
    from streamclf.notify.hours import local_moment

    return local_moment(each.message.told_us, each.message.utc_offset_min)


def json_lines(told: Iterable[WouldTell]) -> Iterator[str]:
    """Lines for programs: the messages."""
    import msgspec

    from streamclf.notify.message_json import describe_message

    for each in told:
        record = describe_message(each.message)
        if each.clip is not None:
            record = msgspec.structs.replace(record, clip=each.clip)
        yield msgspec.json.encode(record).decode()


def _to_us(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
