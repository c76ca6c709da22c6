"""Names of labels for people, where spaces in place of underscores are not enough."""

from __future__ import annotations

from collections.abc import Sequence

DISPLAY_NAMES = {
    "door_wood_creaks": "door, wood creaks",
    "door_wood_knock": "door, wood knock",
    "drinking_sipping": "drinking, sipping",
}
"""Of ESC-50, as its authors write them."""


def names_for(labels: Sequence[str]) -> dict[str, str]:
    """The table's names of these labels."""
    return {label: DISPLAY_NAMES[label] for label in labels if label in DISPLAY_NAMES}
