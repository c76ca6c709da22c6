"""Check of the sounds that rules name against those that sources can be heard to make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from streamclf.core.label_choice import suggest_labels
from streamclf.notify.rules import Rule, is_called

N_EXAMPLES = 3
"""Narrower sounds that a line names."""


def describe_unheard(rules: Iterable[Rule], heard: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Describe sounds that a rule names and none of its sources reports.

    Args:
        rules: The rules.
        heard: By the name of each source the labels that it reports, and how people read them.

    Returns:
        A line for each such sound, with those of a similar name.
    """
    return [line for rule in rules for line in _of_rule(rule, heard)]


def describe_covered(
    rules: Iterable[Rule],
    heard: Mapping[str, Mapping[str, str]],
    narrower: Mapping[str, Mapping[str, Collection[str]]],
) -> list[str]:
    """Describe sounds that a rule names and that are not told while a narrower one sounds.

    A rule that names a narrower one as well is left alone.

    Args:
        rules: The rules.
        heard: As `describe_unheard` takes it.
        narrower: By the name of each source and by label the labels that cover it.

    Returns:
        A line for each such sound.
    """
    return [
        line
        for rule in rules
        if rule.labels
        for source in filter(rule.hears, heard)
        for line in _covered(rule, source, heard[source], narrower.get(source, {}))
    ]


def _covered(
    rule: Rule, source: str, shown: Mapping[str, str], narrower: Mapping[str, Collection[str]]
) -> Iterator[str]:
    named = {label for label, name in shown.items() if rule.names(label, name)}
    for label in sorted(named & set(narrower)):
        others = sorted(set(narrower[label]) & set(shown))
        if not others or named & set(others):
            continue
        some = " or ".join(shown[each] for each in others[:N_EXAMPLES])
        more = f" or {len(others) - N_EXAMPLES} more" if others[N_EXAMPLES:] else ""
        yield (
            f"warning: rule {rule.name}: {shown[label]} is not told while {source} hears {some}"
            f"{more}, which are narrower: name those that matter as well, or set broader = true"
        )


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
