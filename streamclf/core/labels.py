"""Label files, for models without a card, and labels as people write them."""

from __future__ import annotations

import csv
from pathlib import Path

from streamclf.core.errors import CardError
from streamclf.core.redaction import one_line
from streamclf.core.text_files import read_text_file


def read_labels(path: Path) -> list[str]:
    """Read a label file: one label a line, or a CSV file with a column of labels.

    The column is called ``display_name``, ``label`` or ``name``; the first of these that is there
    counts.

    Raises:
        CardError: The file is missing, is not text, or is a CSV file without such a column.
    """
    text = read_text_file(path, f"{path}: the label file", CardError)
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        raise CardError(
            f"{path}: the label file is no CSV: {error}: give a label a line"
        ) from error
    columns = list(rows[0]) if rows else []
    for column in ("display_name", "label", "name"):
        if column in columns:
            # A row may be shorter than the header.
            return [(row[column] or "").strip() for row in rows]
    raise CardError(
        f"{path}: has the columns {', '.join(map(str, columns)) or '(none)'}; "
        "labels are looked for in display_name, label or name: rename one, or give a label a line"
    )


def name_label(label: str) -> str:
    """Name a label as people write it: ``crackling_fire`` is ``crackling fire``."""
    text = one_line(label)
    return text if " " in text else text.replace("_", " ").strip() or text
