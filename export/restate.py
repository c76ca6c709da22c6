"""``python -m export.restate MODEL.onnx CHANGES.json``: correct the card in a model file.

The changes are a JSON merge patch (RFC 7386) of the card: an entry replaces the card's, ``null``
deletes it, the rest stays. The graph and its weights stay as they are, byte for byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import onnx

from export.errors import ExportError
from export.graph.find_features import find_features
from streamclf.core.card import METADATA_KEY, format_card, parse_card
from streamclf.model.write_file import write_model
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes

FIXED = ("task", "labels", "sample_rate", "window_samples", "activation", "stem", "features")
"""Entries that say how the graph is used; another value would make another model."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m export.restate",
        description="Change the card in a model file; its weights stay as they are.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument(
        "changes", type=Path, metavar="CHANGES.json", nargs="?", help="a JSON merge patch"
    )
    parser.add_argument(
        "--features",
        action="store_true",
        help="find the features in the graph, by which search and teaching compare sounds",
    )
    options = parser.parse_args(arguments)
    if options.changes is None and not options.features:
        parser.error("nothing to change: name CHANGES.json, or give --features")
    changes = {} if options.changes is None else _read_changes(options.changes)
    restate(options.model, changes, features=options.features)
    names = [*changes, *(["features"] if options.features else [])]
    print(f"{options.model}: {', '.join(sorted(names)) or 'nothing'} restated")
    return 0


def _read_changes(path: Path) -> dict[str, Any]:
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(changes, dict):
        raise ExportError(f'{path}: must be an object, as {{"version": "2"}}')
    return changes


def restate(path: Path, changes: dict[str, Any], *, features: bool = False) -> None:
    """Write a model file again with a changed card.

    Args:
        path: The model file.
        changes: The changes.
        features: Also find the features in the graph, and name them in the card.

    Raises:
        ExportError: It is no model with a card, cannot be written, a change is to an entry that
            says how the graph is used, or no features were found.
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
    if features:
        found = find_features(model, card.window_samples, card.sample_rate)
        if found is None:
            raise ExportError(
                f"{path}: the graph does not end in a linear layer, whose input would be its "
                "features: export it so, or take another model to search and teach with"
            )
        card = msgspec.structs.replace(card, features=found)
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
