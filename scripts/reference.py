"""Write the pages of the documentation that the code already knows.

    python scripts/reference.py            writes the pages that are not current
    python scripts/reference.py --check    names them and ends with exit code 1

The pages: the command line and the configuration, from the commands; JSON Lines and their schemas,
from the types that write them; the API of the page, likewise; the tables of the store, from the
statements that make them; the public names of Python, with their modules; a page for each bundled
model, from the card in its file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from reference_pages.commands import command_line, configuration
from reference_pages.lines import json_lines, messages, schemas
from reference_pages.models import model_page
from reference_pages.names import openapi, python_names
from reference_pages.tables import archive_tables, store_tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MODELS = ("wide", "pocket")
"""The bundled models, each with a page."""


def pages() -> dict[Path, str]:
    """Every page that is written here, by its path."""
    reference = DOCS / "reference"
    made = {
        reference / "command-line.md": command_line(),
        reference / "configuration.md": configuration(),
        reference / "json-lines.md": json_lines(),
        reference / "messages.md": messages(),
        reference / "store.md": store_tables(),
        reference / "archive.md": archive_tables(),
        reference / "api.md": python_names(),
        reference / "openapi.json": openapi(),
    }
    made |= {reference / "schema" / f"{kind}.json": text for kind, text in schemas().items()}
    return made | {DOCS / "models" / f"{name}.md": model_page(name) for name in MODELS}


def stale(made: dict[Path, str]) -> list[Path]:
    """The pages whose file holds something else, and files of schemas that are no more."""
    old = [path for path, text in made.items() if not path.is_file() or _read(path) != text]
    gone = set((DOCS / "reference" / "schema").glob("*.json")) - set(made)
    return [*old, *sorted(gone)]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the pages, or name those that are not current; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; exit code 1 if stale.")
    options = parser.parse_args(None if arguments is None else list(arguments))
    made = pages()
    old = stale(made)
    for path in old:
        print(f"{path.relative_to(ROOT)}: {'not current' if options.check else 'written'}")
        if not options.check and path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        elif not options.check:
            path.unlink()
    return int(options.check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
