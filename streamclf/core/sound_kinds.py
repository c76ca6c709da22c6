"""Kinds of a sound that are told by its common name.

AudioSet names how a sound is made apart from what makes it: a dog's bark, yip and bow-wow are
labels beside the dog. A model of these labels gives several of them to one bark, and nobody who
waits for a dog wants to list them all. So such kinds count as the sound itself: its event begins
when it, or a kind of it, reaches its own threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from streamclf.core.card import Card, Thresholds, broader_than

KINDS: Mapping[str, tuple[str, ...]] = {
    "Speech": ("Male speech, man speaking", "Female speech, woman speaking",
               "Child speech, kid speaking", "Babbling"),
    "Singing": ("Male singing", "Female singing", "Child singing", "Synthetic singing"),
    "Laughter": ("Baby laughter", "Giggle", "Snicker", "Belly laugh", "Chuckle, chortle"),
    "Dog": ("Bark", "Yip", "Howl", "Bow-wow", "Whimper (dog)"),
    "Cat": ("Purr", "Meow", "Caterwaul"),
    "Horse": ("Neigh, whinny",),
    "Cattle, bovinae": ("Moo",),
    "Pig": ("Oink",),
    "Chicken, rooster": ("Cluck",),
    "Turkey": ("Gobble",),
    "Duck": ("Quack",),
    "Goose": ("Honk",),
    "Pigeon, dove": ("Coo",),
    "Crow": ("Caw",),
    "Owl": ("Hoot",),
    "Frog": ("Croak",),
    "Church bell": ("Change ringing (campanology)",),
    "Siren": ("Police car (siren)", "Ambulance (siren)", "Fire engine, fire truck (siren)",
              "Civil defense siren"),
    "Telephone": ("Telephone bell ringing", "Ringtone"),
    "Rain": ("Rain on surface",),
}  # fmt: skip
"""Labels of AudioSet that people wait for, with their kinds."""

BROADER: Mapping[str, str] = {"Dog": "Canidae, dogs, wolves", "Fowl": "Bird"}
"""What AudioSet's ontology does not say: a dog is a canid, and a rooster a bird."""


def find_kinds(card: Card, labels: Collection[str] | None, *, apart: bool) -> dict[str, str]:
    """Find the kinds that are told by a common name, and these names.

    Only a model whose card says which labels are broader than others has any.

    Args:
        card: Card of the model.
        labels: Labels whose events are reported; a kind among them is told by its own name. None
            for all labels, of which none was asked for by name.
        apart: Whether all kinds are told by their own names.
    """
    if apart or not card.broader:
        return {}
    there, never = set(card.labels), set(card.thresholds.never)
    return {
        kind: name
        for name, kinds in KINDS.items()
        if name in there - never and (labels is None or name in labels)
        for kind in kinds
        if kind in there - never and (labels is None or kind not in labels)
    }


def leave_out(thresholds: Thresholds, kinds: Collection[str]) -> Thresholds:
    """Thresholds by which kinds have no events of their own."""
    return replace(thresholds, never=list(dict.fromkeys([*thresholds.never, *kinds])))


def all_broader(
    card: Card, among: Collection[str] | None, kinds: Mapping[str, str]
) -> dict[str, frozenset[str]]:
    """For each label all that are broader: by the card, by `BROADER` and through its kinds.

    A siren is an emergency vehicle, because a police siren is one.

    Args:
        card: Card of the model.
        among: The labels that count; None for all.
        kinds: Kinds that are told by a common name, and these.
    """
    found = find_broader(card.labels, card.broader, kinds)
    if among is None:
        return found
    kept = {label: broad & frozenset(among) for label, broad in found.items() if label in among}
    return {label: broad for label, broad in kept.items() if broad}


def find_broader(
    labels: Collection[str], direct: Mapping[str, Collection[str]], kinds: Mapping[str, str]
) -> dict[str, frozenset[str]]:
    """For each label all that are broader, as `all_broader` has them.

    Args:
        labels: Labels of a model.
        direct: Labels that are broader than a label by one step, as the model's card has them.
        kinds: Kinds that are told by a common name, and these.
    """
    if not direct:
        return {}
    steps = {label: set(broad) for label, broad in direct.items()}
    there = set(labels)
    for narrow, broad in (*BROADER.items(), *((name, kind) for kind, name in kinds.items())):
        if {narrow, broad} <= there:
            added = steps.get(broad, set()) - {narrow} if broad in kinds else {broad}
            steps[narrow] = steps.get(narrow, set()) | added
    found = {label: broader_than(label, steps) for label in labels}
    return {label: broad for label, broad in found.items() if broad}
