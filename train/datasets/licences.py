"""Licences as packages and repositories write them down: which sounds are free for every use.

Free for every use means: to use, change and pass on, for money too. The public domain, CC0, CC BY,
CC BY-SA, GPL, LGPL, MIT, BSD and their like are. What forbids commercial use (NC), changes (ND) or
passing on is not, nor is a sound whose licence is not told.

A Debian package's ``copyright`` file is read by its machine-readable form (DEP-5) where it has one:
each file's licence is that of the last paragraph that names it. An older one is plain text, and is
searched for words that refuse. A repository's list of sounds is a table in Markdown, a list of file
names in Markdown, an ``attributions.yml``, or its licence file where that is for all of them.
"""

from __future__ import annotations

import csv
import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

REFUSED = re.compile(
    r"\bNC\b|\bND\b|non-?commercial|no-?derivs|sampling\+?\b|personal|educational use|evaluation"
    r"|proprietary|all rights reserved$|pixabay|unknown|non-?free|restricted",
    re.IGNORECASE,
)
"""In the short name of a licence."""

FREE = re.compile(
    r"GPL|CC[- ]?0|CC[- ]?(BY|ASA?)|OGA[- ]BY|creative commons (0|zero|attribution)"
    r"|public[- ]?domain"
    r"|\bPD\b|MIT|Expat|BSD|Apache|zlib|Artistic|ISC|MPL|OFL|WTFPL|DWTFYW|GFDL"
    r"|Free-?Art|\bFAL\b|\bLAL\b|\bOAL\b"
    r"|ODbL|permissive|copyleft|no-?rights|any-?use|Unlicense|beerware|clarified|CDDL|EPL|CeCILL|BSL"
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
    "CC BY-SA": r"BY-SA|Attribution,?[- ]Share",
    "CC BY": r"CC[- ]BY\b|Creative Commons Attribution",
    "public domain": r"public domain",
    "MIT": r"\bMIT\b|Permission is hereby granted, free of charge",
    "BSD": r"\bBSD\b|Redistribution and use in source and binary",
    "Artistic": r"Artistic License",
    "Apache-2.0": r"Apache License",
    "zlib": r"This software is provided 'as-is'",
    "Free Art": r"Free Art License",
    "ODbL": r"Open Database License",
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


class Credit(NamedTuple):
    """What a repository's list says of some sounds.

    Attributes:
        pattern: Of their names, as `fnmatch` takes it.
        licence: As the list names it; empty where it does not.
        source: The text around it, which tells where the sounds come from.
    """

    pattern: str
    licence: str
    source: str


LAST_FREE_FOLD, JUDGES = 3, "in a fold that judges"
ENDINGS = r"\.(?:ogg|wav|mp3|flac)"

FREESOUND = re.compile(r"freesound\.org/(?:people/[^/\s]+/sounds|s)/(\d+)|\bfs\.(\d+)")


def freesound_numbers(text: str) -> set[int]:
    """The numbers of Freesound's recordings that a text links to."""
    return {int(first or second) for first, second in FREESOUND.findall(text)}


def read_table(text: str, column: str, prefix: str = "") -> list[Credit]:
    """Credits of the tables in a Markdown file.

    Args:
        text: Of the file; its tables have a column ``License``.
        column: How the header of the column with file names begins.
        prefix: Of the files' names, which the tables leave out.
    """
    links = dict(re.findall(r"^\[([^\[\]]+)\]:\s*(\S+)", text, re.MULTILINE))
    rows, at, licence_at = [], -1, -1
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            at = -1
            continue
        cells = [cell.strip(" *") for cell in _cells(line)]
        lower = [cell.lower() for cell in cells]
        if "license" in lower and any(cell.startswith(column.lower()) for cell in lower):
            at = next(k for k, cell in enumerate(lower) if cell.startswith(column.lower()))
            licence_at = lower.index("license")
        elif at >= 0 and len(cells) > max(at, licence_at) and cells[licence_at].strip(":- "):
            cell = _cells(line)[at].strip()
            name = re.match(r"\[(.+)\](?:\[[^\[\]]*\]|\([^()]*\))", cell)
            linked = [links.get(word, "") for word in re.findall(r"\[([^\[\]]+)\]", line)]
            source = " ".join([line, *linked])
            rows.append(Credit(prefix + (name[1] if name else cell), cells[licence_at], source))
    return rows


def read_list(text: str) -> list[Credit]:
    """Credits of a Markdown list: an author an item, the file names within it.

    A licence stands in parentheses behind a file name, or behind the author for all of them; or
    after ``License:``, in a line that links to a file::

        * Ada (CC BY 3.0)
            * `cow_1.ogg`
            * `cow_2.ogg` (CC0)
                * Source: <https://freesound.org/people/ada/sounds/1234/>
        * [cat.wav](https://freesound.org/people/eve/sounds/4321/) by Eve | License: Attribution
    """
    rows: list[Credit] = []
    licences: list[tuple[int, str]] = []
    first, named = 0, False  # of the files that the lines below tell the source of
    for line in text.expandtabs(4).splitlines():
        if not line.lstrip().startswith(("*", "-")):
            licences = [] if line.startswith("#") else licences
            continue
        indent = len(line) - len(line.lstrip())
        name = re.search(r"`([^`/]+)`", line) or re.search(rf"\[([^\[\]/]+{ENDINGS})\]", line)
        plain = re.sub(r"\]\([^()]*\)|<[^<>]*>", "", line)
        words = re.findall(r"\(([^()]+)\)|License: *([^|]+)", plain)
        words = [(first or second).strip() for first, second in words]
        licence = next((word for word in words if FREE.search(word) or REFUSED.search(word)), "")
        licences = [each for each in licences if each[0] < indent]
        if licence and not name:
            licences.append((indent, licence))
        if name:
            first = first if named else len(rows)
            known = licence or (licences[-1][1] if licences else "")
            rows.append(Credit(re.sub(f"{ENDINGS}$", "", name[1]), known, line))
        elif indent > 0:
            rows[first:] = [row._replace(source=row.source + line) for row in rows[first:]]
        named = bool(name)
    return rows


def read_attributions(text: str) -> list[Credit]:
    """Credits of an ``attributions.yml``: blocks of ``files``, ``license`` and ``source``."""
    rows = []
    for block in re.split(r"^- (?=files:)", text, flags=re.MULTILINE)[1:]:
        files = re.split(r"\n *\w+:", block)[0]
        found = re.search(r"^ *license: *[\"']?([^\"'\n]*)", block, re.MULTILINE)
        licence = found[1].strip() if found else ""
        for name in re.findall(rf"[^\s\[\]\"',]+{ENDINGS}", files):
            rows.append(Credit(name.rsplit(".", 1)[0], licence, block))
    return rows


def read_esc(text: str) -> list[Credit]:
    """Credits of the clips of ESC-50, by its ``esc50.csv``: its ESC-10 part is CC BY.

    Only folds 1 to 3 are free here: folds 4 and 5 judge what has been learned.
    """
    rows = []
    for row in csv.DictReader(text.splitlines()):
        licence = "CC BY 3.0" if row["esc10"].strip().lower() == "true" else "CC BY-NC 3.0"
        if is_free(licence) and int(row["fold"]) > LAST_FREE_FOLD:
            licence = JUDGES
        rows.append(Credit(row["filename"], licence, ""))
    return rows


def credit_of(rows: Iterable[Credit], name: str) -> Credit | None:
    """The credit of a file by its name without its ending; of the rows that name it the last."""
    known = None
    plain = name.lower().replace(" ", "-")
    for row in rows:
        wanted = row.pattern.lower().replace(" ", "-")
        wanted = re.sub(f"{ENDINGS}$", "", wanted)
        if fnmatch.fnmatch(plain, wanted) or fnmatch.fnmatch(plain, f"{wanted}[._][0-9]*"):
            known = row
    return known


def _cells(line: str) -> list[str]:
    return line.strip().strip("|").split("|")
