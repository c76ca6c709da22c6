"""Choice of the labels whose events are reported, by the names that people give them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from streamclf.core.card import Card, broader_than
from streamclf.core.errors import UsageError
from streamclf.core.label_names import suggest_labels
from streamclf.core.records import Result
from streamclf.core.settings import Settings
from streamclf.core.sound_kinds import find_kinds
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL
from streamclf.core.unknown_rule import find_unknown_rule
from streamclf.core.vocabulary import Vocabulary


def choose_events(
    card: Card,
    settings: Settings,
    options: ThresholdOptions,
    report: Callable[[str], None] = lambda line: None,
) -> Settings:
    """Put the thresholds and the labels that were asked for into settings.

    Args:
        card: Card of the model.
        settings: The settings without them.
        options: What was asked for.
        report: Called with a line for each label that was named and of which nothing is told.

    Raises:
        UsageError: Thresholds or labels do not fit the model.
    """
    thresholds = choose_thresholds(card, options)
    labels = choose_labels(
        card,
        options.only,
        options.leave_out,
        name_unknown=settings.name_unknown,
        apart=settings.broader,
        never=thresholds.never,
        report=report,
    )
    return replace(settings, thresholds=thresholds, labels=labels)


def choose_labels(
    card: Card,
    only: str | None,
    leave_out: str | None,
    *,
    name_unknown: bool = False,
    apart: bool = False,
    never: Collection[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> frozenset[str] | None:
    """Find the labels whose events are reported.

    A name means all narrower labels as well (`streamclf.core.vocabulary`). A kind that is told by a
    common name is told by its own only where it is named itself. What is left out leaves out labels
    that the card has below it, and no others: without vehicles, there are sirens all the same.

    Args:
        card: Card of the model.
        only: Names of the labels to report, separated by commas, as identifiers or display names;
            None for all.
        leave_out: Names of the labels not to report, in the same form.
        name_unknown: Whether the run makes events ``unknown`` and ``silence``. Both are reported,
            unless they are left out or ``only`` names just one of them.
        apart: Whether kinds of a sound are told apart (`streamclf.core.sound_kinds`).
        never: Labels of which no event is told, however high they score.
        report: Called with a line for each name in ``only`` of which nothing is told.

    Returns:
        The labels, or None where all are reported.

    Raises:
        UsageError: A name fits no label, no label is left, nothing is told of any that is named,
            or the model is a regression, which finds no events.
    """
    if only is None and leave_out is None:
        return None
    if card.task == "regression":
        option = "--only" if only is not None else "--except"
        raise UsageError(f"{option} chooses events, and {card.name} gives values: leave it out")
    others = [UNKNOWN_LABEL, SILENCE_LABEL] if name_unknown and find_unknown_rule(card) else []
    every = [*card.labels, *others]
    vocabulary = Vocabulary({each: card.display_name(each) for each in every}, card.broader_sounds)
    # None of the kinds that are told by a common name was asked for by name.
    kinds = {*find_kinds(card, None, apart=apart)}
    chosen = set(every) - kinds
    if only is not None:
        named = set(_find("--only", only, vocabulary, card, every))
        narrower = {each for label in named for each in vocabulary.with_narrower(label)}
        _check_told(card, vocabulary, named, never, report)
        chosen = narrower - kinds | named
        if not chosen & set(others):
            chosen |= set(others)
    if leave_out is not None:
        left_out = set(_find("--except", leave_out, vocabulary, card, every))
        below = (
            label
            for label in card.broader_sounds
            if not left_out.isdisjoint(broader_than(label, card.broader_sounds))
        )
        chosen -= {*left_out, *below}
    if not chosen:
        raise UsageError("--except leaves no label whose events would count: name fewer")
    return frozenset(chosen)


def _check_told(
    card: Card,
    vocabulary: Vocabulary,
    named: Collection[str],
    never: Collection[str],
    report: Callable[[str], None],
) -> None:
    """Report the labels that are named and of which nothing is told.

    Raises:
        UsageError: Nothing is told of any of them.
    """
    untold = [label for label in sorted(named) if {*vocabulary.with_narrower(label)} <= {*never}]
    for line in (_describe_untold(card, label) for label in untold):
        if len(untold) == len(named):
            raise UsageError(line)
        report(f"warning: {line}")


def keep_chosen(results: Iterable[Result], labels: frozenset[str]) -> Iterator[Result]:
    """Yield all results except those of events with other labels."""
    for result in results:
        label = getattr(result, "label", None)
        if label is None or label in labels:
            yield result


def _find(
    option: str, text: str, vocabulary: Vocabulary, card: Card, labels: list[str]
) -> Iterator[str]:
    """Find the labels named in a text; the longest match counts, as display names hold commas."""
    parts = text.split(",")
    start = 0
    while start < len(parts):
        for end in range(len(parts), start, -1):
            name = ",".join(parts[start:end]).strip()
            found = vocabulary.named(name)
            if found or end == start + 1:
                break
        if name or len(parts) == 1:
            yield _pick_label(option, name, found, card, labels)
        start = end


def _describe_untold(card: Card, label: str) -> str:
    return (
        f"--only {card.display_name(label)}: {card.name} scores it, and never tells it as an "
        "event: name another, or write never = [] into a file for --thresholds"
    )


def _pick_label(option: str, name: str, found: list[str], card: Card, labels: list[str]) -> str:
    if not name:
        raise UsageError(f"{option} names no label: dog,siren would be two (streamclf info)")
    if name in found:
        return name
    if len(found) > 1:
        raise UsageError(f"{option} {name}: may be {' or '.join(found)}: write it as one of them")
    if found:
        return found[0]
    if name in (UNKNOWN_LABEL, SILENCE_LABEL) and find_unknown_rule(card):
        raise UsageError(f"{option} {name}: there are such events with --unknown: add it")
    raise UsageError(
        f"{option} {name}: is no label of {card.name}"
        f"{suggest_labels(name, labels, card.display_name)}; streamclf info lists all "
        f"{len(card.labels)}"
    )
