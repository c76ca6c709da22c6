"""Names of labels for people, where replacing underscores by spaces is not enough."""

from __future__ import annotations

from collections.abc import Sequence

DISPLAY_NAMES = {
    "door_wood_creaks": "door, wood creaks",
    "door_wood_knock": "door, wood knock",
    "drinking_sipping": "drinking, sipping",
}
"""Names of ESC-50's labels as its authors write them."""


def display_names_for(labels: Sequence[str]) -> dict[str, str]:
    """The table's names of some labels."""
    return {label: DISPLAY_NAMES[label] for label in labels if label in DISPLAY_NAMES}
