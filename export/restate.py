"""``python -m export.restate MODEL.onnx CHANGES.json``: correct the card in a model file.

The changes are a JSON merge patch (RFC 7386) of the card: an entry replaces the card's, ``null``
deletes it, the rest stays. The graph and its weights stay as they are, byte for byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnx

from export.errors import ExportError
from export.write_file import write_model
from streamclf.core.card import METADATA_KEY, format_card, parse_card
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes

FIXED = ("task", "labels", "sample_rate", "window_samples", "activation", "stem")
"""Entries that say how the graph is used; another value would make another model."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m export.restate",
        description="Change the card in a model file; its weights stay as they are.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("changes", type=Path, metavar="CHANGES.json", help="a JSON merge patch")
    options = parser.parse_args(arguments)
    try:
        changes = json.loads(options.changes.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{options.changes}: cannot be read: {error}") from error
    if not isinstance(changes, dict):
        raise ExportError(f'{options.changes}: must be an object, as {{"version": "2"}}')
    restate(options.model, changes)
    print(f"{options.model}: {', '.join(sorted(changes)) or 'nothing'} restated")
    return 0


def restate(path: Path, changes: dict[str, Any]) -> None:
    """Write a model file again with a changed card.

    Raises:
        ExportError: It is no model with a card, cannot be written, or a change is to an entry that
            says how the graph is used.
        CardError: The new card would not be valid.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # onnx and protobuf raise types of their own that share no base
        raise ExportError(f"{path}: cannot be read as ONNX: {error}") from error
    entry = next((entry for entry in model.metadata_props if entry.key == METADATA_KEY), None)
    if entry is None:
        raise ExportError(f"{path}: has no card inside; export it anew")
    fixed = sorted(set(changes) & set(FIXED))
    if fixed:
        raise ExportError(
            f"{path}: {fixed[0]} says how the graph is used and cannot be restated; export anew"
        )
    card = parse_card(json.dumps(merge(json.loads(entry.value), changes)), str(path))
    entry.value = format_card(card)
    write_model(path, model.SerializeToString())


def merge(before: Any, changes: Any) -> Any:
    """Apply a merge patch (RFC 7386): objects merge, ``null`` deletes, all else replaces."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(before) if isinstance(before, dict) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


if __name__ == "__main__":
    sys.exit(main())
