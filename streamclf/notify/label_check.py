"""Check of the sounds that rules name against those that sources can be heard to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from streamclf.core.label_choice import suggest_labels
from streamclf.notify.rules import Rule, is_called


def describe_unheard(rules: Iterable[Rule], heard: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Describe sounds that a rule names and none of its sources reports.

    Args:
        rules: The rules.
        heard: By the name of each source the labels that it reports, and how people read them.

    Returns:
        A line for each such sound, with those of a similar name.
    """
    return [line for rule in rules for line in _of_rule(rule, heard)]


def _of_rule(rule: Rule, heard: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    sources = [name for name in heard if rule.hears(name)]
    shown = {label: name for source in sources for label, name in heard[source].items()}
    for said in rule.labels:
        if not any(is_called(said, label, name) for label, name in shown.items()):
            near = suggest_labels(said, shown, shown.__getitem__)
            yield (
                f"warning: rule {rule.name}: {said} is no sound that {' or '.join(sources)} "
                f"reports{near}: the rule tells nothing of it; streamclf info lists all labels"
            )
