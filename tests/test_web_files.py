"""Files of the page: they are few and small, and nothing comes from anywhere else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from histories import NOW, TODAY, make_history
from pages import Browser, make_context
from stores import Run, make_store

import streamclf.web
from streamclf.web.health_texts import CAUSES, STATE_WORDS, TARGET_WORDS
from streamclf.web.pages import day, events, sounds
from streamclf.web.server import WebServer
from streamclf.web.words import WHY_GONE

HERE = Path(streamclf.web.__file__).parent
TEXTS = [
    path
    for folder in ("templates", "static")
    for path in sorted((HERE / folder).rglob("*"))
    if path.is_file() and path.name != ".gitkeep"
]
MOST_BYTES = 300_000
PATHS = ["/", "/day", "/day?days=7", "/events", "/sounds", "/sound?label=dog", "/health", "/login"]
NAMES_ONLY = ("http://www.w3.org/2000/svg",)
"""Names that are written like addresses, and that no browser asks for."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_file_names_another_host(path):
    """Templates and what they load may name no address: the box may be offline, and shall be."""
    text = path.read_text(encoding="utf-8")
    for name in NAMES_ONLY:
        text = text.replace(name, "")
    assert not re.findall(r"\b(?:https?|wss?|ftp):|[\"'(=\s]//[\w.]", strip_comments(text, path))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_file_repeats_the_words_of_the_server(path):
    """They would go on to say what the server no longer says."""
    words = [*STATE_WORDS.values(), *TARGET_WORDS.values(), *WHY_GONE.values(), *CAUSES]
    text = path.read_text(encoding="utf-8")
    assert [word for word in words if " " in word and word in text] == []


def strip_comments(text: str, path: Path) -> str:
    return re.sub(r"^\s*//.*$", "", text, flags=re.M) if path.suffix == ".js" else text


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_file_has_script_or_style_in_a_line(path):
    """The security policy forbids both, so that what somebody smuggles in does not run."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
        assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    if path.suffix == ".js":
        assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML", text)
        assert not re.search(r"setAttribute\(\s*[\"']style", text)
    if path.suffix == ".css":
        assert "@import" not in text
        assert "url(" not in text


def test_all_files_come_with_the_wheel():
    """Names of package data match every file; a page without its style would still answer."""
    import tomllib

    root = HERE.parents[1]
    said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = said["tool"]["setuptools"]["package-data"]["streamclf"]
    found = {path for pattern in patterns for path in HERE.parent.glob(pattern)}
    assert set(TEXTS) <= found


class _Reader(HTMLParser):
    """What a page loads by itself, its controls without a name, and its ids."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if "id" in said:
            self.ids.append(said["id"] or "")
        for key in ("src", "srcset", "poster", "data"):
            if said.get(key) and tag != "audio":
                self.loads.append(said[key] or "")
        if tag == "link" and said.get("href"):
            self.loads.append(said["href"] or "")


@pytest.fixture
def browser(tmp_path, monkeypatch):
    for module in (day, events, sounds):
        monkeypatch.setattr(module, "now", lambda: NOW)
    make_history(tmp_path)
    with WebServer(make_context(tmp_path)) as server:
        yield Browser(server)


@pytest.mark.parametrize("path", PATHS)
def test_a_page_weighs_little_with_all_that_it_loads(browser, path):
    answer = browser.ask(path)
    assert answer.status in (200, 303)
    loaded, waiting = {path: len(answer.body)}, _Reader(answer.text).loads
    while waiting:
        link = urljoin(path, waiting.pop())
        assert not urlsplit(link).netloc
        if link not in loaded:
            found = browser.ask(link, Accept="*/*")
            assert found.status == 200, link
            loaded[link] = len(found.body)
            if link.endswith(".js"):
                waiting += [
                    urljoin(link, each)
                    for each in re.findall(r"^import .*\"(.*)\";$", found.text, flags=re.M)
                ]
    assert sum(loaded.values()) < MOST_BYTES


@pytest.mark.parametrize(
    "path", ["/day", "/day?all=1", "/day?all=1&days=7", "/events", "/sounds", "/sounds?all=1"]
)
def test_a_page_of_a_thousand_busy_sounds_weighs_little_too(tmp_path, monkeypatch, path):
    for module in (day, events, sounds):
        monkeypatch.setattr(module, "now", lambda: NOW)
    heard = [
        (f"a_rather_long_name_of_a_sound_{label:03}", 3600.0 * hour + label)
        for label in range(1000)
        for hour in (range(24) if label < 100 else [label % 24])
    ]
    make_store(tmp_path / "store.db", [Run("yard", TODAY, 86400, heard, level=-40)])
    with WebServer(make_context(tmp_path)) as server:
        browser = Browser(server)
        loaded = sum(path.stat().st_size for path in TEXTS if path.suffix in (".css", ".js"))
        assert loaded + len(browser.ask(path).body) < MOST_BYTES


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_whole(browser, path):
    """Each id is there once, and what the policy forbids is not there."""
    answer = browser.ask(path)
    page = _Reader(answer.text)
    assert len(set(page.ids)) == len(page.ids)
    assert not re.search(r"<style|\sstyle=|\son\w+=\"", answer.text)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
