"""The tables of the store and of an archive, from what makes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reference_pages.markdown import NOTE, cell

TYPES = {
    "string": "text",
    "float64": "double",
    "float32": "float",
    "bool_": "boolean",
    "time": "timestamp in UTC, microseconds",
    "local": "timestamp, microseconds",
    "floats": "list of float",
    "date32": "date",
}
"""Types of the columns of an archive's tables as a reader calls them; others are called alike."""
ABOUT_TABLES = {
    "events": "A row an event, in the order in which they ended.",
    "gaps": "A row a gap: audio that is known to be missing.",
    "heard": "A row a recording, those that failed included: what became of the length promised. "
    "`promised` and `beyond` together are `heard`, `missing` and `failed` together, to the sample.",
    "levels": "A row a minute in which something was heard.",
    "scores": "A row a window; only after `run --scores`.",
    "features": "A row a window; only after `run --features`.",
}


def store_tables() -> str:
    """The page of the store's tables, from the comments of the statements that make them."""
    from streamclf.store import schema

    statements = "".join(schema.MIGRATIONS)
    lines = [
        "# Store",
        "",
        NOTE,
        "",
        f"The store is one SQLite file, here in version {schema.VERSION} "
        "(`PRAGMA user_version`). Any program that reads SQLite may ask it while streamclf writes "
        "it. [The store](../explanation/store.md) says what it promises, and "
        "[how to look after it](../how-to/store.md).",
        "",
        *_dedent_paragraphs(schema.__doc__ or ""),
    ]
    made = re.finditer(
        r"^CREATE TABLE (\w+) \(([^\n]*)\n(.*?)^\)", statements, re.MULTILINE | re.DOTALL
    )
    added = re.findall(r"^ALTER TABLE (\w+) ADD COLUMN\n(.*)$", statements, re.MULTILINE)
    for name, about, body in (table.groups() for table in made):
        body += "".join(f"{column}\n" for table, column in added if table == name)
        lines += ["", f"## {name}", ""]
        if about.strip():
            lines += [f"{_sentence(about)}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{column}` | {kind} | {cell(note)} |" for column, kind, note in _columns(body)
        ]
    return "\n".join(lines) + "\n"


def archive_tables() -> str:
    """The page of an archive's results, from the columns of the tables."""
    from streamclf.archive import tables

    lines = [
        "# Results of an archive",
        "",
        NOTE,
        "",
        "What `streamclf archive` writes below the folder of the results. [How to hear an archive]"
        "(../how-to/archive.md) shows what to do with it.",
        "",
        "| file | what it is |",
        "|---|---|",
        "| `manifest/plan.json` | the plan in figures: root of the archive, counts, seconds |",
        "| `manifest/recordings.parquet` | each recording: path, bytes, rate, seconds, begin, and "
        "`why` it cannot be opened |",
        "| `manifest/items.parquet` | each item: its recordings, or the piece of one |",
        "| `runs/RUN.json` | a run: model, labels in the order of the scores, settings, and the "
        "streamclf that began it |",
        "| `pieces/RUN/RECORDING/NNNN.parquet` | scores of a piece, from which its recording "
        "is joined; gone when the run is done |",
        "| `TABLE/RUN/SITE/DATE/ITEM.parquet` | results, a file a table and item |",
        "| `index/RUN/PART/TABLE.parquet` | columns of many items for `heard` and `report`, when "
        "the run is done |",
        "",
        "`RUN` is a hash of the model's file, of all settings that change results, of the version "
        "of the event rules, and of the plan. `SITE` is the first folder below the archive's root, "
        f"and `DATE` the local date on which the recordings begin; `{tables.UNKNOWN}` "
        "stands for what is not known, and the "
        "column is null then. An item is done when its file in `events/` is there, which is put "
        f"last. Its metadata (`{tables.METADATA_KEY.decode()}`, JSON) hold the account of the item "
        "in samples.",
        "",
        "Positions and lengths in samples are at the model's rate, and exact. Scores are the raw "
        "float32; `streamclf file` rounds them to four digits.",
    ]
    for name, columns in tables.COLUMNS.items():
        lines += ["", f"## {name}", "", ABOUT_TABLES[name], ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{each.name}` | {TYPES.get(each.kind, each.kind)} | {cell(each.meaning)} |"
            for each in columns
        ]
    return "\n".join(lines) + "\n"


def _columns(body: str) -> Iterator[tuple[str, str, str]]:
    """The columns of a table: name, type, and comment, which may go on in the lines below it."""
    rows: list[list[str]] = []
    for line in body.splitlines():
        declared, _, note = line.partition("--")
        words = declared.split()
        if words and words[0].islower():
            refers = re.search(r"REFERENCES (\w+)", declared)
            kind = words[1].strip(",") + (f", row of [{refers[1]}](#{refers[1]})" if refers else "")
            rows.append([words[0], kind, note.strip()])
        elif not words and rows:
            rows[-1][2] = f"{rows[-1][2]} {note.strip()}".strip()
        for further in re.findall(r", (\w+) (?:REAL|INTEGER|TEXT)\b", declared):
            rows.append([further, words[1].strip(","), note.strip()])
    for column, kind, note in rows:
        yield column, kind, note


def _sentence(comment: str) -> str:
    text = comment.strip().removeprefix("--").strip()
    return text[:1].upper() + text[1:]


def _dedent_paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a docstring but the first, with code as Markdown writes it."""
    for number, paragraph in enumerate(text.strip().split("\n\n")[1:]):
        if number:
            yield ""
        yield paragraph.replace("\n", " ").replace("``", "`")
