"""Which labels get a binary sensor: those that the settings name, at each source that has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from streamclf.core.label_names import suggest_labels
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.mqtt.options import EVERY_LABEL


def choose(
    labels: Mapping[str, str], wanted: Sequence[str], vocabulary: Vocabulary | None = None
) -> dict[str, frozenset[str]]:
    """Find the labels that names mean, in the order of the names.

    Args:
        labels: Labels that a source reports, with the names that people read.
        wanted: Identifiers or names in any spelling; ``*`` stands for all that it reports.
        vocabulary: What names mean to the source's model; None where these names alone count.

    Returns:
        For each label the labels that it is heard by: itself and all that are narrower, as far as
        the source reports them. A kind that is told by a common name stands there by that name.
    """
    vocabulary = vocabulary or Vocabulary(labels)
    found: dict[str, frozenset[str]] = {}
    for name in wanted:
        for label in labels if name == EVERY_LABEL else _fitting(labels, name, vocabulary):
            found[label] = frozenset(vocabulary.with_narrower(label)) & labels.keys()
    return found


def find_unknown(
    sources: Iterable[tuple[Mapping[str, str], Vocabulary | None]], wanted: Sequence[str]
) -> list[str]:
    """Warn of what no source has, in a line each, with labels of similar spelling.

    Args:
        sources: Labels of each source and its vocabulary, as `choose` takes them.
        wanted: Names of labels.
    """
    sources = list(sources)
    every: dict[str, str] = {}
    for labels, _ in sources:
        every |= labels
    return [
        f"warning: mqtt: labels {name}: no source has such a label"
        f"{suggest_labels(name, every, lambda label: every.get(label, label))}"
        for name in wanted
        if name != EVERY_LABEL
        and not any(choose(labels, (name,), vocabulary) for labels, vocabulary in sources)
    ]


def _fitting(labels: Mapping[str, str], name: str, vocabulary: Vocabulary) -> Iterator[str]:
    for label in vocabulary.named(name):
        common = vocabulary.common_name(label)
        if common is not None and common in labels and label not in labels:
            yield common
        elif not labels.keys().isdisjoint(vocabulary.with_narrower(label)):
            yield label
