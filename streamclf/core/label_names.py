"""Names of labels as people write them, in any spelling, and labels that they may have meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

N_NEAREST = 3
"""Number of labels suggested for a name that fits none."""


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
