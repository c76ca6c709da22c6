"""Tables ``[[rules]]``, ``[[targets]]`` and ``[mqtt]`` in `streamclf.toml`: who is told what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from streamclf.cli.config_file import NOTIFY_TABLES, ConfigFile, nearest
from streamclf.cli.tables import Table, read_options, read_tables
from streamclf.core.errors import UsageError
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.options import NotifyPlan
from streamclf.notify.rules import Rule
from streamclf.notify.targets.options import TargetOptions

RULES, TARGETS, MQTT = NOTIFY_TABLES
LISTING = "the page Configuration of the documentation"
"""What lists their keys."""

T = TypeVar("T", Rule, TargetOptions)


def read_notify_tables(file: ConfigFile | None, sources: Sequence[str] = ()) -> NotifyPlan:
    """Read who is told what.

    Args:
        file: The settings file; None for none, which tells nobody.
        sources: Names of the sources that there are; none where they are not known.

    Raises:
        UsageError: A table makes no sense, or a rule names a target or a source that there is not.
            Names file and line.
    """
    if file is None:
        return NotifyPlan()
    targets = _read_named(TargetOptions, read_tables(file, TARGETS))
    tables = read_tables(file, RULES)
    rules = _read_named(Rule, tables)
    names = [target.name for target in targets]
    for table, rule in zip(tables, rules, strict=True):
        for key in ("labels", "sources", "to"):
            if table.values.get(key) == []:
                raise UsageError(f"{table.place(key)}: {key}: is empty: leave it out for all")
        _check_names(table, "to", rule.to, "target", names, "there are no [[targets]]")
        if sources:
            _check_names(table, "sources", rule.sources, "source", sources)
    brokers = read_tables(file, MQTT, several=False)
    mqtt = read_options(MqttOptions, brokers[0], LISTING) if brokers else None
    return NotifyPlan(tuple(rules), tuple(targets), mqtt)


def _read_named(kind: type[T], tables: Sequence[Table]) -> list[T]:
    """Read tables of one kind, each with a name of its own.

    Raises:
        UsageError: A table makes no sense, or two have one name.
    """
    found: list[T] = []
    lines: dict[str, int] = {}
    for table in tables:
        options = read_options(kind, table, LISTING)
        if options.name in lines:
            raise UsageError(
                f"{table.place('name')}: name {options.name}: the table in line "
                f"{lines[options.name]} has this name: give each one of its own"
            )
        lines[options.name] = table.line
        found.append(options)
    return found


def _check_names(
    table: Table,
    key: str,
    said: Sequence[str],
    kind: str,
    names: Sequence[str],
    otherwise: str = "",
) -> None:
    """Refuse a rule that names a target or a source that there is not.

    Raises:
        UsageError: It names one. The message has file and line.
    """
    for name in said:
        if name not in names:
            there = f"there are {', '.join(names)}" if names else otherwise
            near = nearest(name, [*names])
            raise UsageError(f"{table.place(key)}: {key} {name}: is no {kind}{near}: {there}")
