"""What people who cannot see well, or point at things, need of each page; without any browser.

axe-core looks for more of it (`test_web_browser.py`) where npm and a browser are; this always runs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import toys
from histories import NOW, make_history
from lives import Feed
from pages import PASSWORD, Browser, make_context

from streamclf.web.hub import LiveHub
from streamclf.web.pages import day, events, sounds
from streamclf.web.server import WebServer
from streamclf.web.static_files import static_files

PATHS = ["/", "/day", "/day?days=7", "/events", "/sounds", "/sound?label=dog", "/health", "/login"]
VOID = {"br", "hr", "img", "input", "link", "meta", "line", "rect", "path"}


class Page(HTMLParser):
    """A page as who hears it read aloud meets it.

    Attributes:
        controls: Each control, and its name.
        landmarks: Tags of the page's parts.
        headings: Levels of the headings, in their order.
        language: Language of the page.
        title: Its title.
        labelled: Ids that labels and aria-labelledby name.
        ids: All ids.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.controls: list[tuple[str, str]] = []
        self.landmarks: list[str] = []
        self.headings: list[int] = []
        self.language = self.title = ""
        self.labelled: set[str] = set()
        self.ids: set[str] = set()
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self._unnamed: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        labels = {each for each, _ in self._texts_of_labels}
        for tag, said in self._unnamed:
            self.controls.append((tag, "label" if said.get("id") in labels else ""))

    @property
    def _texts_of_labels(self) -> list[tuple[str, str]]:
        return self.__dict__.setdefault("_labels", [])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {key: value or "" for key, value in attributes}
        self.language = said.get("lang", self.language) if tag == "html" else self.language
        if tag in ("main", "nav", "header"):
            self.landmarks.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in said:
            self.ids.add(said["id"])
        self.labelled.update(said.get("aria-labelledby", "").split())
        self.labelled.update(said.get("aria-describedby", "").split())
        if tag in ("input", "select", "textarea") and said.get("type") != "hidden":
            inside = next((text for each, _, text in self._open if each == "label"), None)
            name = said.get("aria-label") or " ".join(inside or ())
            if name.strip():
                self.controls.append((tag, name))
            else:
                self._unnamed.append((tag, said))
        if tag in ("audio", "canvas") or said.get("role") in ("img", "meter"):
            self.controls.append((tag, said.get("aria-label", "")))
        if tag == "img":
            self.controls.append((tag, said.get("alt", "")))
        if tag not in VOID:
            self._open.append((tag, said, []))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        hidden = any(said.get("aria-hidden") == "true" for _, said, _ in self._open)
        for tag, _, text in self._open:
            if not hidden or tag == "title":
                text.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, said, text = self._open.pop()
            heard = " ".join("".join(text).split())
            if name in ("a", "button", "summary", "th") and "hidden" not in said:
                self.controls.append((name, said.get("aria-label") or heard))
            if name == "label" and "for" in said and heard:
                self._texts_of_labels.append((said["for"], heard))
            if name == "title" and not self.title:
                self.title = heard
            if name == tag:
                return


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages, with something to see on each."""
    folder = tmp_path_factory.mktemp("pages")
    make_history(folder)
    hub = LiveHub()
    hub.may_be_heard = lambda name: True
    yard = Feed(hub, "yard")
    yard.hear(toys.tone(1000, 1))
    yard.score(0.0, 0.7, 0.1, 0.0)
    yard.begin("low", 0.2)
    yard.lose(0.5)
    with pytest.MonkeyPatch.context() as patch:
        for module in (day, events, sounds):
            patch.setattr(module, "now", lambda: NOW)
        with WebServer(replace(make_context(folder, password=PASSWORD), hub=hub)) as server:
            stranger, owner = Browser(server), Browser(server)
            owner.log_in()
            found = {path: owner.ask(path) for path in PATHS if path != "/login"}
            found["/login"] = stranger.ask("/login")
            found["/nothing"] = owner.ask("/nothing")
    return {path: Page(answer.text) for path, answer in found.items()}


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_every_control_has_a_name(pages, path):
    page = pages[path]
    assert [tag for tag, name in page.controls if not name.strip()] == []
    assert {tag for tag, _ in page.controls} >= {"a"}


def test_what_is_looked_for_is_found():
    """Else the tests here could not fail."""
    page = Page(
        "<html lang=en><title>T</title><h1>A</h1><h3>B</h3><main>"
        "<button></button><a href=x><svg aria-hidden=true><title>no</title></svg></a>"
        "<input name=a><label for=b>Name</label><input id=b><label>In <input></label>"
        "<audio></audio><img><canvas aria-label=ok></canvas></main></html>"
    )
    assert sorted(tag for tag, name in page.controls if not name.strip()) == [
        "a", "audio", "button", "img", "input",
    ]  # fmt: skip
    assert not orderly(page.headings)


def orderly(levels: list[int]) -> bool:
    """Whether no heading skips a level on its way down."""
    return all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_a_page_has_one_title_one_first_heading_and_its_parts(pages, path):
    page = pages[path]
    assert page.language == "en"
    assert page.title.endswith("· streamclf")
    assert page.headings.count(1) == 1
    assert page.headings[0] == 1
    assert orderly(page.headings)
    assert page.landmarks.count("main") == 1
    assert "header" in page.landmarks
    assert page.labelled <= page.ids


# Colours.

STYLE = static_files()["style.css"].decode()


def colours(dark: bool) -> dict[str, str]:
    """The stylesheet's colours by name."""
    light, _, rest = STYLE.partition("@media screen and (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", light.partition("}")[0]))
    if dark:
        found |= re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", rest.partition("}")[0])
    return found


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast by WCAG 2, 1 to 21."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


TEXT = [
    *[(text, ground) for text in ("ink", "quiet", "line") for ground in ("paper", "sheet", "well")],
    ("on-line", "line"), ("good", "well"), ("bad", "well"), ("good", "sheet"), ("bad", "sheet"),
    ("bad", "paper"), ("warm", "warm-well"), ("ink", "warm-well"), ("warm", "sheet"),
    *[("on-light", f"s{shade}") for shade in range(1, 6)],
    *[("on-dark", f"s{shade}") for shade in range(6, 9)],
]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(dark):
    """WCAG 2, level AA: 4.5 for text."""
    known = colours(dark)
    faint = {
        pair: round(contrast(known[pair[0]], known[pair[1]]), 2)
        for pair in TEXT
        if contrast(known[pair[0]], known[pair[1]]) < 4.5
    }
    assert faint == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_shades_differ_in_lightness_for_every_kind_of_eye(dark):
    known = colours(dark)
    steps = [luminance(known[f"s{shade}"]) for shade in range(9)]
    assert steps == sorted(steps, reverse=not dark)
    assert contrast(known["s0"], known["s8"]) > 7
    for bar in ("bar", "line"):
        assert contrast(known[bar], known["well"]) >= 2.4, bar


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
