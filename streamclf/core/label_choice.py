"""Which labels a user means: by identifier or by display name, the nearest ones where none fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.records import Result
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL

N_NEAREST = 3
"""So many names are suggested in place of one that no label has."""


def choose_labels(
    card: Card, only: str | None, leave_out: str | None, *, name_unknown: bool = False
) -> frozenset[str] | None:
    """Find the labels whose events count.

    Args:
        card: The model's.
        only: Names separated by commas, as identifiers or as people read them; None for all.
        leave_out: Names in the same way whose events do not count.
        name_unknown: Whether there are events ``unknown`` and ``silence``. They count unless they
            are left out, or one of them alone is named in ``only``.

    Returns:
        The labels, or None where all count.

    Raises:
        UsageError: A name fits no label, nothing is left, or the model finds no events.
    """
    if only is None and leave_out is None:
        return None
    if card.task == "regression":
        option = "--only" if only is not None else "--except"
        raise UsageError(f"{option} chooses events, and {card.name} gives values: leave it out")
    others = [UNKNOWN_LABEL, SILENCE_LABEL] if name_unknown and card.unknown else []
    every = [*card.labels, *others]
    chosen = set(every)
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
    """Pass on all results but what belongs to events of other labels."""
    for result in results:
        label = getattr(result, "label", None)
        if label is None or label in labels:
            yield result


def _find(option: str, text: str, card: Card, labels: list[str]) -> Iterator[str]:
    """The labels that a text names. A display name may hold commas, so the longest fit counts."""
    exact, plain = _exact_names(card, labels), _plain_names(card, labels)
    parts = text.split(",")
    start = 0
    while start < len(parts):
        for end in range(len(parts), start, -1):
            name = ",".join(parts[start:end]).strip()
            found = exact.get(name) or plain.get(_plain(name), [])
            if found or end == start + 1:
                break
        if name or len(parts) == 1:
            yield _one(option, name, found, card, labels)
        start = end


def _one(option: str, name: str, found: list[str], card: Card, labels: list[str]) -> str:
    if not name:
        raise UsageError(f"{option} names no label: dog,siren would be two (streamclf info)")
    if len(found) > 1:
        raise UsageError(f"{option} {name}: may be {' or '.join(found)}: write it as one of them")
    if found:
        return found[0]
    if name in (UNKNOWN_LABEL, SILENCE_LABEL) and card.unknown:
        raise UsageError(f"{option} {name}: there are such events with --unknown: add it")
    raise UsageError(
        f"{option} {name}: is no label of {card.name}"
        f"{suggest_labels(name, labels, card.display_name)}; streamclf info lists all "
        f"{len(card.labels)}"
    )


def _exact_names(card: Card, labels: list[str]) -> dict[str, list[str]]:
    """The label of each identifier, and of each display name that is no identifier."""
    names = {label: [label] for label in labels}
    for label in labels:
        names.setdefault(card.display_name(label), [label])
    return names


def _plain_names(card: Card, labels: list[str]) -> dict[str, list[str]]:
    """The labels that a name may mean whose case and punctuation are another's."""
    names: dict[str, list[str]] = {}
    for label in labels:
        for name in {_plain(label), _plain(card.display_name(label))} - {""}:
            names.setdefault(name, []).append(label)
    return names


def _plain(name: str) -> str:
    """A name without case and punctuation, by which two spellings are the same."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def suggest_labels(name: str, labels: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """Labels that look alike, or of which one word is meant, as a question in brackets.

    Args:
        name: That no label has.
        labels: Among these.
        shown: What people read in place of a label.
    """
    import difflib  # a slip of the pen alone needs it

    names = {_plain(called): label for label in labels for called in (label, shown(label))}
    plain = _plain(name)
    near = difflib.get_close_matches(plain, names, n=N_NEAREST, cutoff=0.6)
    words = [known for known in names if plain and plain in known.split()]
    found = list(dict.fromkeys(names[known] for known in [*near, *words]))[:N_NEAREST]
    return f" (did you mean {', '.join(found)}?)" if found else ""
