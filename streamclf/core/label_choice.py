"""Choice of labels by name: as identifier or display name, with suggestions where none fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.records import Result
from streamclf.core.sound_kinds import find_kinds
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL
from streamclf.core.unknown_rule import find_unknown_rule

N_NEAREST = 3
"""Number of labels suggested for a name that fits none."""


def choose_labels(
    card: Card,
    only: str | None,
    leave_out: str | None,
    *,
    name_unknown: bool = False,
    apart: bool = False,
) -> frozenset[str] | None:
    """Find the labels whose events are reported.

    Args:
        card: Card of the model.
        only: Names of the labels to report, separated by commas, as identifiers or display names;
            None for all.
        leave_out: Names of the labels not to report, in the same form.
        name_unknown: Whether the run makes events ``unknown`` and ``silence``. Both are reported,
            unless they are left out or ``only`` names just one of them.
        apart: Whether kinds of a sound are told apart (`streamclf.core.sound_kinds`).

    Returns:
        The labels, or None where all are reported.

    Raises:
        UsageError: A name fits no label, no label is left, or the model is a regression, which
            finds no events.
    """
    if only is None and leave_out is None:
        return None
    if card.task == "regression":
        option = "--only" if only is not None else "--except"
        raise UsageError(f"{option} chooses events, and {card.name} gives values: leave it out")
    others = [UNKNOWN_LABEL, SILENCE_LABEL] if name_unknown and find_unknown_rule(card) else []
    every = [*card.labels, *others]
    # None of the kinds that are told by a common name was asked for by name.
    chosen = set(every) - (set() if only is not None else {*find_kinds(card, None, apart=apart)})
    if only is not None:
        chosen = set(_find("--only", only, card, every))
        if not chosen & set(others):
            chosen |= set(others)
    if leave_out is not None:
        chosen -= set(_find("--except", leave_out, card, every))
    if not chosen:
        raise UsageError("--except leaves no label whose events would count: name fewer")
    return frozenset(chosen)


def keep_chosen(results: Iterable[Result], labels: frozenset[str]) -> Iterator[Result]:
    """Yield all results except those of events with other labels."""
    for result in results:
        label = getattr(result, "label", None)
        if label is None or label in labels:
            yield result


def _find(option: str, text: str, card: Card, labels: list[str]) -> Iterator[str]:
    """Find the labels named in a text; the longest match counts, as display names hold commas."""
    exact, plain = _exact_names(card, labels), _plain_names(card, labels)
    parts = text.split(",")
    start = 0
    while start < len(parts):
        for end in range(len(parts), start, -1):
            name = ",".join(parts[start:end]).strip()
            found = exact.get(name) or plain.get(plain_name(name), [])
            if found or end == start + 1:
                break
        if name or len(parts) == 1:
            yield _pick_label(option, name, found, card, labels)
        start = end


def _pick_label(option: str, name: str, found: list[str], card: Card, labels: list[str]) -> str:
    if not name:
        raise UsageError(f"{option} names no label: dog,siren would be two (streamclf info)")
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


def _exact_names(card: Card, labels: list[str]) -> dict[str, list[str]]:
    """Map each identifier to its label, and each display name that is not also an identifier."""
    names = {label: [label] for label in labels}
    for label in labels:
        names.setdefault(card.display_name(label), [label])
    return names


def _plain_names(card: Card, labels: list[str]) -> dict[str, list[str]]:
    """Map each name without case and punctuation to the labels that it may mean.

    Parts of names with commas count where no label has that name as a whole.
    """
    whole: dict[str, list[str]] = {}
    parts: dict[str, list[str]] = {}
    for label in labels:
        both = (label, card.display_name(label))
        for name in set(map(plain_name, both)) - {""}:
            whole.setdefault(name, []).append(label)
        for name in set().union(*map(spoken_names, both)):
            parts.setdefault(name, []).append(label)
    return {**parts, **whole}


def plain_name(name: str) -> str:
    """Reduce a name to its words in lower case, so that spellings of one name are equal."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


@lru_cache(10_000)
def spoken_names(name: str) -> frozenset[str]:
    """The names that people may mean a label by, as `plain_name` gives them.

    AudioSet's labels hold several names: "Smoke detector, smoke alarm" is a smoke alarm.
    """
    return frozenset(map(plain_name, (name, *name.split(",")))) - {""}


def suggest_labels(
    name: str, labels: Iterable[str], display_name: Callable[[str], str] = str
) -> str:
    """Suggest labels of similar spelling, or with one word in common, as a question in brackets.

    Args:
        name: A name that fits no label.
        labels: The labels to choose from.
        display_name: Returns the name shown to people for a label.
    """
    import difflib  # loaded only when a name is wrong

    names = {
        plain_name(called): label for label in labels for called in (label, display_name(label))
    }
    plain = plain_name(name)
    near = difflib.get_close_matches(plain, names, n=N_NEAREST, cutoff=0.6)
    words = [known for known in names if plain and plain in known.split()]
    found = list(dict.fromkeys(names[known] for known in [*near, *words]))[:N_NEAREST]
    return f" (did you mean {', '.join(found)}?)" if found else ""
