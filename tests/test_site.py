"""The documentation as a site: it is built without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from documents import ROOT, SITE
from filelock import FileLock

pytest.importorskip("zensical")
SETTINGS = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""What a browser fetches as soon as it shows a page, beside `link`."""
LINKS_THAT_LOAD = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "prefetch"}
ASKED_FOR = ("mermaid", "glightbox", "pyodide", "data-md-source", "md-source__repository")
"""Marks in a page by which the theme's script would fetch something from elsewhere."""


class Loads(HTMLParser):
    """Collects what a page loads by itself, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take note of addresses."""
        said = {name: value or "" for name, value in attributes}
        if tag in LOADED and LOADED[tag] in said:
            self.loads.append(said[LOADED[tag]])
        elif tag == "link" and set(said.get("rel", "").split()) & LINKS_THAT_LOAD:
            self.loads.append(said["href"])
        elif tag == "a" and "href" in said:
            self.links.append(said["href"])


@pytest.fixture(scope="module")
def site(shared_folder: Path) -> Path:
    """The folder of the site, built as `scripts/test.sh` builds it, once for all workers.

    Where that has built it just before, it is not built again.
    """
    told = shared_folder / "site-is-built"
    with FileLock(shared_folder / "site.lock"):
        if not told.exists() and os.environ.get("SITE_IS_BUILT") != "1":
            _build_site()
            told.touch()
    return ROOT / SETTINGS["site_dir"]


def _build_site() -> None:
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    colour = re.compile(r"\x1b\[[0-9;]*m")
    assert built.returncode == 0, colour.sub("", built.stdout + built.stderr)


def pages(site: Path) -> dict[Path, Loads]:
    read = {}
    for path in sorted(site.rglob("*.html")):
        read[path] = Loads()
        read[path].feed(path.read_text(encoding="utf-8"))
    return read


def named(nav: object) -> list[str]:
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    if isinstance(nav, dict):
        return [page for part in nav.values() for page in named(part)]
    assert isinstance(nav, list)
    return [page for part in nav for page in named(part)]


def test_every_page_stands_in_the_navigation_once():
    there = sorted(page.relative_to(ROOT / "docs").as_posix() for page in SITE)
    assert sorted(named(SETTINGS["nav"])) == there


def test_every_page_becomes_one_of_the_site(site):
    for page in SITE:
        path = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert path.is_file(), path


def test_no_page_loads_anything_from_elsewhere(site):
    every = pages(site)
    assert len(every) > len(SITE)
    for path, page in every.items():
        assert page.loads
        for address in page.loads:
            parsed = urlparse(address)
            assert not parsed.scheme or parsed.scheme == "data", (path, address)
            assert not parsed.netloc, (path, address)
        text = path.read_text(encoding="utf-8")
        assert "Content-Security-Policy" in text
        shown = re.sub(r"(?s)<(code|pre)\b.*?</\1>", "", text)
        assert not [mark for mark in ASKED_FOR if f'class="{mark}' in shown], path


def test_no_style_loads_anything_from_elsewhere(site):
    styles = list(site.rglob("*.css"))
    assert styles
    for path in styles:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", text), path
        assert not re.search(r"@import\s", text), path


def test_every_link_within_the_site_lands(site):
    for path, page in pages(site).items():
        if path.name == "404.html":
            continue  # it is shown at any address, and so links from the root
        for link in page.links:
            parsed = urlparse(link)
            if parsed.scheme or not parsed.path:
                continue
            assert (path.parent / unquote(parsed.path)).exists(), (path, link)


def test_the_names_of_python_have_their_docstrings(site):
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert "Find the sounds in a recording or an array." in text
    assert 'id="streamclf.' in text
