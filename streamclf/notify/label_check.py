"""Check of the sounds that rules name against those that sources can be heard to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from streamclf.core.label_names import suggest_labels
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.rules import Rule


@dataclass(frozen=True)
class Reported:
    """What a source may report.

    Attributes:
        labels: Labels of its events, with the names that people read.
        vocabulary: What names mean to its model.
    """

    labels: Mapping[str, str]
    vocabulary: Vocabulary

    def hears(self, said: str) -> bool:
        """Whether any of its events is meant by a name."""
        return not self.labels.keys().isdisjoint(self.vocabulary.meant(said))


def describe_unheard(rules: Iterable[Rule], heard: Mapping[str, Reported]) -> list[str]:
    """Describe sounds that a rule names and none of its sources reports.

    Args:
        rules: The rules.
        heard: What each source reports, by its name.

    Returns:
        A line for each such sound, with those of a similar name.
    """
    return [line for rule in rules for line in _of_rule(rule, heard)]


def _of_rule(rule: Rule, heard: Mapping[str, Reported]) -> Iterator[str]:
    sources = [name for name in heard if rule.hears(name)]
    for said in rule.labels:
        if not any(heard[source].hears(said) for source in sources):
            shown = {k: v for source in sources for k, v in heard[source].labels.items()}
            near = suggest_labels(said, shown, shown.__getitem__)
            yield (
                f"warning: rule {rule.name}: {said} is no sound that {' or '.join(sources)} "
                f"reports{near}: the rule tells nothing of it; streamclf info lists all labels"
            )
