"""``python -m train``: list the commands."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
HEADINGS = {
    "networks": "Networks, each with --help",
    "tools": "Before and after",
    "datasets": "Data sets, to fetch, check or prepare",
}


def main() -> int:
    """Print the list; return the exit code."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in HEADINGS}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if path.name == Path(__file__).name or 'if __name__ == "__main__"' not in source:
            continue
        name = ".".join(("train", *path.relative_to(PACKAGE).with_suffix("").parts))
        found[_kind(path, source)].append((name, _summary(source)))
    width = max(len(name) for rows in found.values() for name, _ in rows)
    for kind, heading in HEADINGS.items():
        print(f"{heading}:")
        for name, summary in found[kind]:
            print(f"  python -m {name:<{width}}  {summary}")
    print("And behind a training: python -m export RUN -o NAME.onnx")
    return 0


def _kind(path: Path, source: str) -> str:
    if path.parent != PACKAGE:
        return "datasets"
    return "networks" if re.search(r"^SYSTEM = ", source, re.MULTILINE) else "tools"


def _summary(source: str) -> str:
    """The first line of a module's docstring, without the command in front of it."""
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return re.sub(r"^``.*?``: ", "", line)


if __name__ == "__main__":
    sys.exit(main())
