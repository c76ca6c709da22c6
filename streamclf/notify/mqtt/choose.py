"""Which labels get a binary sensor: those that the settings name, at each source that has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from streamclf.core.label_choice import suggest_labels
from streamclf.notify.mqtt.options import EVERY_LABEL
from streamclf.notify.rules import is_called


def choose(labels: Mapping[str, str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Find the labels that names mean, in the order of the names.

    Args:
        labels: Labels of a source, with the names that people read.
        wanted: Identifiers or names in any spelling; ``*`` stands for all.
    """
    found: dict[str, None] = {}
    for name in wanted:
        found.update(dict.fromkeys(labels if name == EVERY_LABEL else _fitting(labels, name)))
    return tuple(found)


def find_unknown(sources: Iterable[Mapping[str, str]], wanted: Sequence[str]) -> list[str]:
    """Warn of what no source has, in a line each, with labels of similar spelling."""
    every: dict[str, str] = {}
    for labels in sources:
        every |= labels
    return [
        f"warning: mqtt: labels {name}: no source has such a label"
        f"{suggest_labels(name, every, lambda label: every.get(label, label))}"
        for name in wanted
        if name != EVERY_LABEL and not _fitting(every, name)
    ]


def _fitting(labels: Mapping[str, str], name: str) -> Collection[str]:
    if name in labels:
        return (name,)
    return [label for label, shown in labels.items() if is_called(name, label, shown)]
