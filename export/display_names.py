"""``python -m export.display_names MODEL.onnx [LABEL=NAME ...]``: names of labels for people.

Most labels read well with spaces in place of underscores, which streamclf does by itself. The table
in `export.card.label_names` has those of ESC-50 that do not; `python -m export` puts it into every
new card. This command puts it, and a user's own names, into the card of an existing model file.
Only the card changes: the graph and its weights stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import onnx

from export.card.label_names import display_names_for
from export.errors import ExportError
from streamclf.core.card import METADATA_KEY, Card, format_card, parse_card
from streamclf.model.write_file import write_model
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes


def name_labels(path: Path, own: Mapping[str, str]) -> Card:
    """Put the table's names, and others, into the card of a model file, beside those it has.

    Args:
        path: The model file.
        own: Names by label, which take precedence over the table's.

    Returns:
        The new card.

    Raises:
        ExportError: The file cannot be read or written, or has no card.
        CardError: A name is for no label, or is no plain text.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, or the system's
        raise ExportError(f"{path}: cannot be read as ONNX: {error}") from error
    entry = next((entry for entry in model.metadata_props if entry.key == METADATA_KEY), None)
    if entry is None:
        raise ExportError(f"{path}: has no model card, export it anew with one")
    card = parse_card(entry.value, str(path))
    names = {**display_names_for(card.labels), **card.display_names, **own}
    fields = {**msgspec.to_builtins(card), "display_names": names}
    card = parse_card(msgspec.json.encode(fields), str(path))
    entry.value = format_card(card)
    write_model(path, model.SerializeToString())
    return card


@exit_codes
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m export.display_names", description="Name a model's labels for people."
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("names", nargs="*", metavar="LABEL=NAME", help="names of one's own")
    options = parser.parse_args(arguments)
    own = dict(text.partition("=")[::2] for text in options.names)
    if any("=" not in text for text in options.names):
        parser.error("names are given as LABEL=NAME, as in 'car_horn=a horn'")
    card = name_labels(options.model, own)
    for label in card.labels:
        print(f"{label:<24} {card.display_name(label)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
