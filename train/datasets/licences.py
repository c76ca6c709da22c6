"""Licences as packages and repositories write them down: which sounds are free for every use.

Free for every use means: to use, change and pass on, for money too. The public domain, CC0, CC BY,
CC BY-SA, GPL, LGPL, MIT, BSD and their like are. What forbids commercial use (NC), changes (ND) or
passing on is not, nor is a sound whose licence is not told.

A Debian package's ``copyright`` file is read by its machine-readable form (DEP-5) where it has one:
each file's licence is that of the last paragraph that names it. An older one is plain text, and is
searched for words that refuse. A repository's list of sounds is a table in Markdown, or its licence
file where that is for all of them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

REFUSED = re.compile(
    r"\bNC\b|\bND\b|non-?commercial|no-?derivs|sampling\+?\b|personal|educational use|evaluation"
    r"|proprietary|all rights reserved$|pixabay|unknown|non-?free|restricted",
    re.IGNORECASE,
)
"""In the short name of a licence."""

FREE = re.compile(
    r"GPL|CC-?0|CC[- ]?(BY|ASA?)|OGA[- ]BY|creative commons (zero|attribution)|public[- ]?domain"
    r"|\bPD\b|MIT|Expat|BSD|Apache|zlib|Artistic|ISC|MPL|OFL|WTFPL|DWTFYW|GFDL"
    r"|Free-?Art|\bFAL\b|\bLAL\b|\bOAL\b"
    r"|permissive|copyleft|no-?rights|any-?use|Unlicense|beerware|clarified|CDDL|EPL|CeCILL|BSL"
    r"|Boost|do whatever|DSL|\bCPL\b|FSF|X11|EFL|attribution",
    re.IGNORECASE,
)
"""The same, of licences that allow every use."""

REFUSED_IN_TEXT = re.compile(
    r"CC[- ]?BY[- ]?(NC|ND)|by-nc|attribution-non-?commercial|for non-?commercial use"
    r"|non-?commercial (use|purposes?) only|not for commercial|personal use only"
    r"|no commercial use|may not be sold",
    re.IGNORECASE,
)
"""In the plain text of a licence file. (The GPL itself speaks of noncommercial distribution.)"""

NAMED_IN_TEXT = {
    "GPL-3": r"GPL-3|version 3 of the GNU|GNU General Public License.{0,80}version 3",
    "GPL-2": r"GPL-2|version 2 of the|GNU General Public License.{0,80}version 2",
    "GPL": r"GNU General Public|/GPL\b",
    "LGPL": r"Lesser General Public|Library General Public",
    "CC0": r"\bCC0\b|Creative Commons Zero",
    "CC BY-SA": r"BY-SA|Attribution[- ]Share",
    "CC BY": r"CC[- ]BY\b|Creative Commons Attribution",
    "public domain": r"public domain",
    "MIT": r"\bMIT\b|Permission is hereby granted, free of charge",
    "BSD": r"\bBSD\b|Redistribution and use in source and binary",
    "Artistic": r"Artistic License",
    "Apache-2.0": r"Apache License",
    "zlib": r"This software is provided 'as-is'",
    "Free Art": r"Free Art License",
}
"""Licences of plain texts, by a phrase that stands in each."""


def is_free(licence: str) -> bool:
    """Whether a licence's short name allows every use; one of several to choose from is enough."""
    choices = re.split(r"\bor\b|\|", licence)
    return any(FREE.search(each) and not REFUSED.search(each) for each in choices)


@dataclass(frozen=True)
class Paragraph:
    """Some files and their licence.

    Attributes:
        patterns: As DEP-5 writes them: ``*`` stands for anything, slashes too.
        licence: Its short name.
    """

    patterns: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Licences:
    """The licences in a package's ``copyright`` file.

    Attributes:
        paragraphs: In its order; none where it is plain text.
        names: Of the licences in it.
        refusal: What in a plain text refuses; empty where nothing does.
    """

    paragraphs: tuple[Paragraph, ...]
    names: tuple[str, ...]
    refusal: str = ""

    def of(self, path: str) -> str:
        """The licence of a file, by its path in the package; empty where none is told.

        Packages install files elsewhere than sources keep them, so that a pattern is compared with
        the end of a path: the longest such pattern decides, ``*`` alone stands behind all others.
        """
        if not self.paragraphs:
            return "" if self.refusal else ", ".join(self.names)
        best, licence = -1, ""
        for paragraph in self.paragraphs:
            for pattern in paragraph.patterns:
                if _reaches(pattern, path) >= max(best, 0):
                    best, licence = _reaches(pattern, path), paragraph.licence
        return licence


def _reaches(pattern: str, path: str) -> int:
    """How much of a path a pattern names, at its end: the pattern's length; -1 if it does not."""
    pattern = pattern.removeprefix("./")
    if pattern == "*":
        return 0
    parts = [part for part in pattern.split("/") if part]
    for first in range(len(parts)):
        end = "/".join(parts[first:])
        if end.strip("*./?") and fnmatch.fnmatch(path, f"*/{end}"):
            return len(end)
        if end.strip("*./?") and fnmatch.fnmatch(path, f"*/{end}/*"):
            return len(end)
    return -1


def read_copyright(text: str) -> Licences:
    """Read a ``copyright`` file of a Debian package."""
    if not re.search(r"^Format(-Specification)?:", text, re.MULTILINE):
        refused = REFUSED_IN_TEXT.search(text)
        names = [
            name
            for name, pattern in NAMED_IN_TEXT.items()
            if re.search(pattern, text, re.IGNORECASE | re.DOTALL)
        ]
        if "GPL" in names and len({"GPL-2", "GPL-3"} & set(names)):
            names.remove("GPL")
        refusal = refused[0] if refused else "" if names else "no licence that is known"
        return Licences((), tuple(names), refusal)
    paragraphs, names = [], []
    for block in re.split(r"\n\s*\n", text):
        files = _field(block, "Files")
        licence = _field(block, "License").split("\n")[0].strip()
        if files and licence:
            paragraphs.append(Paragraph(tuple(files.replace(",", " ").split()), licence))
            if licence not in names:
                names.append(licence)
    return Licences(tuple(paragraphs), tuple(names))


def _field(block: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*(?:\n[ \t].*)*)", block, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else ""


def read_table(text: str, column: str, prefix: str = "") -> list[tuple[str, str]]:
    """Patterns of file names and their licences, out of the tables of a Markdown file.

    Args:
        text: Of the file; its tables have a column ``License``.
        column: How the header of the column with file names begins.
        prefix: Of the files' names, which the tables leave out.
    """
    rows, at, licence_at = [], -1, -1
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            at = -1
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        lower = [cell.lower() for cell in cells]
        if "license" in lower and any(cell.startswith(column.lower()) for cell in lower):
            at = next(k for k, cell in enumerate(lower) if cell.startswith(column.lower()))
            licence_at = lower.index("license")
        elif at >= 0 and len(cells) > max(at, licence_at) and cells[licence_at].strip(":- "):
            name = re.match(r"\[(.+)\](?:\[[^\[\]]*\]|\([^()]*\))", cells[at])
            rows.append((prefix + (name[1] if name else cells[at]), cells[licence_at]))
    return rows


def licence_in(rows: Iterable[tuple[str, str]], name: str) -> str:
    """The licence of a file by its name without its ending; of the rows that name it the last."""
    known = ""
    plain = name.lower().replace(" ", "-")
    for pattern, licence in rows:
        wanted = pattern.lower().replace(" ", "-")
        if fnmatch.fnmatch(plain, wanted) or fnmatch.fnmatch(plain, f"{wanted}[._][0-9]*"):
            known = licence
    return known
