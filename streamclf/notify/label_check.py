"""Check of the sounds that rules name against those that sources can be heard to make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streamclf.core.label_names import suggest_labels
from streamclf.core.sureness import Limits, least_score
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.rules import Rule


@dataclass(frozen=True)
class Reported:
    """What a source may report.

    Attributes:
        labels: Labels of its events, with the names that people read.
        vocabulary: What names mean to its model.
        sureness: Scores from which on its sounds are likely and sure, by label.
    """

    labels: Mapping[str, str]
    vocabulary: Vocabulary
    sureness: Limits = field(default_factory=dict)

    def hears(self, said: str) -> bool:
        """Whether any of its events is meant by a name."""
        return not self.labels.keys().isdisjoint(self.vocabulary.meant(said))

    def meant(self, said: str | None) -> set[str]:
        """Labels of its events that are meant by a name; None means all."""
        meant = self.labels if said is None else self.vocabulary.meant(said)
        return set(self.labels).intersection(meant)


def describe_unheard(rules: Iterable[Rule], heard: Mapping[str, Reported]) -> list[str]:
    """Describe sounds that a rule names and none of its sources reports.

    Args:
        rules: The rules.
        heard: What each source reports, by its name.

    Returns:
        A line for each such sound, with those of a similar name.
    """
    return [line for rule in rules for line in (*_of_rule(rule, heard), *_of_sureness(rule, heard))]


def _of_sureness(rule: Rule, heard: Mapping[str, Reported]) -> Iterator[str]:
    """Describe sounds that are never as sure as a rule wants, or of which nobody knows it."""
    if rule.at_least is None:
        return
    sources = [name for name in heard if rule.hears(name)]
    for said in rule.labels or (None,):
        least = [
            least_score(heard[source].sureness, label, rule.at_least)
            if label in heard[source].sureness
            else None
            for source in sources
            for label in heard[source].meant(said)
        ]
        where = f"warning: rule {rule.name}: at-least {rule.at_least}: {' or '.join(sources)}"
        if least and all(each is None for each in least):
            yield (
                f"{where}: the model cannot say how sure {said or 'a sound'} is: it is told "
                "whatever its score; min-score sets one"
            )
        elif least and all(each == math.inf for each in least):
            yield (
                f"{where}: the model is never so sure of {said or 'a sound'}: the rule tells "
                "nothing of it"
            )


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
