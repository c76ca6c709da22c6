"""Which sounds are free for every use, by what packages and repositories say of them."""

from __future__ import annotations

import pytest

from train.datasets.licences import is_free, licence_in, read_copyright, read_table

pytestmark = pytest.mark.train

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2004 A
License: GPL-2+

Files: data/sounds/*
Copyright: 2005 B
License: CC-BY-SA-3.0
 You are free to share.

Files: data/sounds/steps.ogg data/sounds/wolf-*.ogg
Copyright: 2006 C
License: CC-BY-NC-3.0

License: GPL-2+
 On Debian systems ...
"""

PLAIN = """This package was debianized by D.

All sounds are under the GNU General Public License, version 2 of the License. You may
distribute ... (This alternative is allowed only for noncommercial distribution and ...)
"""


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("GPL-2+", True), ("CC-BY-SA-3.0", True), ("CC BY 4.0", True), ("CC0-1.0", True),
        ("public-domain", True), ("Expat", True), ("BSD-3-clause", True), ("OGA BY 3.0", True),
        ("CC-BY-NC-3.0", False), ("CC BY-ND 2.0", False), ("CC-BY-NC-SA-4.0", False),
        ("Pixabay Content License", False), ("Sampling+", False), ("", False), ("unknown", False),
        ("for personal use", False), ("GPL-2+ or CC-BY-NC-3.0", True),
    ],
)  # fmt: skip
def test_licence_is_free_where_it_allows_every_use(name: str, free: bool) -> None:
    assert is_free(name) is free


def test_each_file_has_the_licence_of_the_paragraph_that_names_it_best() -> None:
    licences = read_copyright(DEP5)
    assert licences.names == ("GPL-2+", "CC-BY-SA-3.0", "CC-BY-NC-3.0")
    installed = "usr/share/games/g/data/sounds"
    assert licences.of(f"{installed}/dog.ogg") == "CC-BY-SA-3.0"
    assert licences.of(f"{installed}/wolf-2.ogg") == "CC-BY-NC-3.0"
    # Installed elsewhere than the source keeps it.
    assert licences.of("usr/share/sounds/steps.ogg") == "CC-BY-NC-3.0"
    assert licences.of("usr/share/g/music/theme.ogg") == "GPL-2+"


def test_plain_text_grants_what_stands_in_it() -> None:
    licences = read_copyright(PLAIN)
    assert licences.of("usr/share/g/dog.wav") == "GPL-2"


@pytest.mark.parametrize(
    "words",
    ["The sounds are CC BY-NC 3.0.", "For non-commercial use only.", "Not for commercial use."],
)
def test_plain_text_that_forbids_selling_refuses_all(words: str) -> None:
    licences = read_copyright(PLAIN + words)
    assert licences.refusal
    assert licences.of("usr/share/g/dog.wav") == ""


def test_text_without_a_known_licence_refuses_all() -> None:
    assert read_copyright("Made by me in 1999.").of("a.wav") == ""


def test_table_of_a_repository_tells_the_licence_of_each_file() -> None:
    text = """
| Filename (sounds_) / Source | Author | License      | Notes |
| --------------------------- | ------ | ------------ | ----- |
| [bear*][fws]                | A      | CC0          |       |
| [crow_caw][]                | B      | CC BY-NC 4.0 |       |
| [tiger_0[2-4]][tiger]       | C      | CC BY 3.0    |       |

| Other | License |
| ----- | ------- |
| x     | MIT     |
"""
    rows = read_table(text, "filename", "sounds_")
    assert licence_in(rows, "sounds_bear_02") == "CC0"
    assert licence_in(rows, "sounds_crow_caw") == "CC BY-NC 4.0"
    assert licence_in(rows, "sounds_tiger_03") == "CC BY 3.0"
    assert licence_in(rows, "sounds_tiger_05") == ""
    assert licence_in(rows, "sounds_x") == ""


def test_names_with_blanks_in_a_table_are_those_with_hyphens_on_disk() -> None:
    rows = read_table("| Sound | License |\n|:-:|:-:|\n| [Summer night](u) | CC0 |", "sound")
    assert licence_in(rows, "summer-night") == "CC0"
