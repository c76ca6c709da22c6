"""What the documents hold: pages, code blocks, command lines. Shared by the tests about them."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *SITE,
    *sorted((ROOT / "research").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
_FENCE = re.compile(r"(?ms)^ {0,3}```(\w*)\n(.*?)^ {0,3}```$")
_OPERATORS = set("|&;()")


@functools.cache
def load_reference(module: str = "reference") -> ModuleType:
    """A module of `scripts/`: `reference` writes the pages that `reference_pages` makes."""
    scripts = str(ROOT / "scripts")
    if scripts not in sys.path:
        sys.path.insert(0, scripts)
    return importlib.import_module(module)


def name_of(page: Path) -> str:
    """A page's path in the repository, as tests name it."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page that name a language; ``""``: those that name none."""
    return [code for said, code in _FENCE.findall(read(page)) if said == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", read(page))


def command_lines(page: Path, program: str) -> Iterator[list[str]]:
    """Each call of a program in the code blocks of a page, as words.

    Args:
        page: The page.
        program: Its first words: ``streamclf``, or ``python -m``.
    """
    first = program.split()
    for code in blocks(page, ""):
        for words in shell_commands(code, program):
            if words[: len(first)] == first:
                yield words[len(first) :]


def shell_commands(code: str, part: str = "") -> Iterator[list[str]]:
    """Each simple command of a code block, as words.

    Args:
        code: The block.
        part: Lines without this text are passed over, as not every block is for a shell.
    """
    for line in code.replace("\\\n", " ").splitlines():
        if part in line:
            yield from filter(None, _calls(line.removeprefix("$ ")))


def _calls(line: str) -> Iterator[list[str]]:
    """The simple commands of a shell line, without variables before them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= _OPERATORS:
            yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)
    yield words
