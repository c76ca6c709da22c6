"""A model file with a taught label, and the same without it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from streamclf.core.card import METADATA_KEY, Card, Taught, Threshold, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.label_names import plain_name
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL
from streamclf.model.model_file import find_card
from streamclf.model.options import CardOptions
from streamclf.teach.taught_graph import Head, add_label, read_graph, read_heads, remove_label

LONGEST_NAME = 80
"""Most characters of a taught label."""


def read_card_of(path: Path) -> Card | None:
    """Read the card in a model file, or beside it; None if there is none.

    Raises:
        ModelError: The file cannot be read.
        CardError: The card is none.
    """
    properties = {each.key: each.value for each in read_graph(path).metadata_props}
    text = properties.get(METADATA_KEY)
    card, _ = find_card(path, text, CardOptions())
    return card


def taught_heads(path: Path, card: Card) -> dict[str, Head]:
    """Read the layers of the taught labels, on the features as they are kept.

    Raises:
        ModelError: The file cannot be read, or is not what its card says.
    """
    if not card.taught:
        return {}
    heads = read_heads(read_graph(path), card)
    return dict(zip(card.labels[-card.n_taught :], heads, strict=True))


def find_taught(card: Card, name: str) -> str | None:
    """Find a taught label by its name, in any spelling; None if there is none."""
    wanted = plain_name(name)
    names = ((label, card.display_name(label)) for label in card.taught)
    return next((each[0] for each in names if wanted in map(plain_name, each)), None)


def with_label(
    path: Path,
    card: Card,
    label: str,
    head: Head,
    taught: Taught,
    threshold: Threshold,
    *,
    silences: Collection[str] = (),
) -> bytes:
    """Return a model file with one label more; one that was taught before is taught anew.

    Args:
        path: The model file.
        card: Its card, which names features.
        label: The label.
        head: Its layer on the features as they are kept, ``(size,)``.
        taught: Its origin.
        threshold: Averaged scores at which its events begin and end.
        silences: Labels that are not reported while this one sounds.

    Returns:
        The bytes of the file. All other labels have the scores that they had.

    Raises:
        ModelError: The file cannot be read, or is not what its card says.
    """
    model = read_graph(path)
    if label in card.taught:
        card = _remove(model, card, label)
    broader = dict(card.broader)
    if silences:
        broader[label] = sorted(silences)
    card = msgspec.structs.replace(
        card,
        labels=[*card.labels, label],
        taught={**card.taught, label: taught},
        broader=broader,
        thresholds=_with_threshold(card.thresholds, label, threshold),
        precisions={
            key: _with_threshold(each, label, threshold) for key, each in card.precisions.items()
        },
    )
    features = card.features
    assert features is not None
    add_label(model, card, features, head)
    content: bytes = model.SerializeToString()
    return content


def without_label(path: Path, card: Card, label: str) -> bytes:
    """Return a model file without a taught label.

    Raises:
        ModelError: The file cannot be read, or is not what its card says.
    """
    model = read_graph(path)
    _remove(model, card, label)
    content: bytes = model.SerializeToString()
    return content


def check_new_label(card: Card, label: str) -> None:
    """Refuse a name that the model has for another sound, or that cannot be a label's.

    Raises:
        UsageError: It names a label that was trained, or what is told beside labels; or it is too
            long, or has no letter and no digit by which options could name it.
    """
    if len(label) > LONGEST_NAME:
        raise UsageError(
            f"{label[:20]}...: has {len(label)} characters: name the sound in "
            f"{LONGEST_NAME} at most"
        )
    wanted = plain_name(label)
    if not wanted:
        raise UsageError(
            f"{label}: has no letter and no digit: name the sound, as in 'my doorbell'"
        )
    if wanted in (UNKNOWN_LABEL, SILENCE_LABEL):
        raise UsageError(
            f"{label}: is what --unknown tells of sounds that no label fits: name the sound "
            f"otherwise, such as 'my {wanted}'"
        )
    trained = (other for other in card.labels if other not in card.taught)
    for other in trained:
        if wanted in (plain_name(other), plain_name(card.display_name(other))):
            named = card.display_name(other)
            name = "that name" if named == label else f"that name, {named}"
            raise UsageError(
                f"{label}: {card.name} has a sound of {name}: reviews of its events correct it, "
                f"and your own sound needs another name, such as 'my {label}'"
            )


def _remove(model: Any, card: Card, label: str) -> Card:
    place = list(card.labels).index(label) - (len(card.labels) - card.n_taught)
    left = msgspec.structs.replace(
        card,
        labels=[each for each in card.labels if each != label],
        taught={each: origin for each, origin in card.taught.items() if each != label},
        broader={each: others for each, others in card.broader.items() if each != label},
        display_names={each: name for each, name in card.display_names.items() if each != label},
        thresholds=_without_threshold(card.thresholds, label),
        precisions={key: _without_threshold(each, label) for key, each in card.precisions.items()},
    )
    remove_label(model, left, place)
    return left


def _with_threshold(thresholds: Thresholds, label: str, threshold: Threshold) -> Thresholds:
    return msgspec.structs.replace(thresholds, classes={**thresholds.classes, label: threshold})


def _without_threshold(thresholds: Thresholds, label: str) -> Thresholds:
    classes = {each: limits for each, limits in thresholds.classes.items() if each != label}
    never = [each for each in thresholds.never if each != label]
    return msgspec.structs.replace(thresholds, classes=classes, never=never)
