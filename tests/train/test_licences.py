"""Which sounds are free for every use, by what packages and repositories say of them."""

from __future__ import annotations

import pytest

from train.datasets.licences import (
    JUDGES,
    Credit,
    credit_of,
    freesound_numbers,
    is_free,
    read_attributions,
    read_copyright,
    read_esc,
    read_list,
    read_table,
)

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
    assert licence_of(rows, "sounds_bear_02") == "CC0"
    assert licence_of(rows, "sounds_crow_caw") == "CC BY-NC 4.0"
    assert licence_of(rows, "sounds_tiger_03") == "CC BY 3.0"
    assert licence_of(rows, "sounds_tiger_05") == ""
    assert licence_of(rows, "sounds_x") == ""


def test_names_with_blanks_in_a_table_are_those_with_hyphens_on_disk() -> None:
    rows = read_table("| Sound | License |\n|:-:|:-:|\n| [Summer night](u) | CC0 |", "sound")
    assert licence_of(rows, "summer-night") == "CC0"


def test_bold_licences_of_a_table_are_plain_and_its_links_tell_the_source() -> None:
    text = """
| File Name | License      | Link                          |
|-----------|--------------|-------------------------------|
| saw.ogg   | **CC BY 4.0** | https://freesound.org/s/1234/ |
| [axe_*][] | ** CC0 1.0** |                               |

[axe_*]: https://freesound.org/people/ada/sounds/5678
"""
    rows = read_table(text, "file")
    assert licence_of(rows, "saw") == "CC BY 4.0"
    assert licence_of(rows, "axe_1") == "CC0 1.0"
    assert freesound_numbers(credit_of(rows, "saw").source) == {1234}
    assert freesound_numbers(credit_of(rows, "axe_1").source) == {5678}


ATTRIBUTIONS = """- files: ["bear.ogg", 'wolf.ogg']
  license: "CC-BY-NC-SA-3.0"
  copyright: "Somebody else's"
  source: "https://example.org"

- files:
  - cow.ogg
  - cow_2.ogg
  copyright: "By Ada, in mono"
  license: 'CC0-1.0'
  source: https://freesound.org/people/ada/sounds/1234/
- files: ["goat.ogg"]
  copyright: "By nobody knows whom"
"""


def test_attributions_tell_the_licence_of_each_file() -> None:
    rows = read_attributions(ATTRIBUTIONS)
    assert [row.pattern for row in rows] == ["bear", "wolf", "cow", "cow_2", "goat"]
    assert licence_of(rows, "wolf") == "CC-BY-NC-SA-3.0"
    assert licence_of(rows, "cow_2") == "CC0-1.0"
    assert freesound_numbers(credit_of(rows, "cow").source) == {1234}
    assert licence_of(rows, "goat") == ""
    assert credit_of(rows, "sheep") is None


MEDIA = """# Media

* Eve (MIT License)
    * `eve.png`

## Sounds

* [Ada](https://freesound.org/people/ada/) (CC BY 3.0)
    * `cow_1.ogg`
    * `cow_2.*.ogg` (CC BY-NC 4.0)
        * Source: <https://freesound.org/people/ada/sounds/1234/>
    * `cow_3.ogg`
* [Bob](https://freesound.org/people/bob(1)/)
    * `dog.ogg`
    * `growl_*` (CC0)
* [cat.wav](https://freesound.org/s/4321/) by Eve | <span>License:</span> Attribution
* [tom.wav](https://freesound.org/s/4322/) by Eve | <span>License:</span> Sampling+
"""


def test_list_tells_a_licence_for_each_file_or_for_an_author() -> None:
    rows = read_list(MEDIA)
    told = {row.pattern: row.licence for row in rows}
    assert told["cow_1"] == told["cow_3"] == "CC BY 3.0"
    assert licence_of(rows, "cow_2.4") == "CC BY-NC 4.0"
    assert told["dog"] == ""
    assert licence_of(rows, "growl_low") == "CC0"
    assert told["cat"] == "Attribution"
    assert told["tom"] == "Sampling+"
    assert [is_free(told[name]) for name in ("cow_1", "cat", "tom")] == [True, True, False]


def test_source_in_a_list_is_that_of_all_files_above_it() -> None:
    numbers = {row.pattern: freesound_numbers(row.source) for row in read_list(MEDIA)}
    assert numbers["cow_1"] == numbers["cow_2.*"] == {1234}
    assert numbers["cow_3"] == set()
    assert numbers["cat"] == {4321}


def test_clips_of_esc_10_are_free_but_for_the_folds_that_judge() -> None:
    text = (
        "filename,fold,target,category,esc10\n1-1-A-0.wav,1,0,dog,True\n"
        "4-2-A-0.wav,4,0,dog,True\n5-3-A-0.wav,5,0,dog,True\n1-4-A-9.wav,1,9,crow,False\n"
    )
    rows = read_esc(text)
    assert licence_of(rows, "1-1-A-0") == "CC BY 3.0"
    assert licence_of(rows, "4-2-A-0") == licence_of(rows, "5-3-A-0") == JUDGES
    assert licence_of(rows, "1-4-A-9") == "CC BY-NC 3.0"
    assert [is_free(row.licence) for row in rows] == [True, False, False, False]


@pytest.mark.parametrize("name", ["Open Database License", "Attribution, ShareAlike"])
def test_licences_of_databases_and_of_media_are_known_in_plain_text(name) -> None:
    (licence,) = read_copyright(f"Made available under the {name}.").names
    assert is_free(licence)


def licence_of(rows: list[Credit], name: str) -> str:
    """What a list says of a file; empty where it does not name it."""
    credit = credit_of(rows, name)
    return credit.licence if credit else ""
