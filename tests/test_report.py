"""The command `report`: one page, complete in itself."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from stores import Heard, Run, make_store

from streamclf.store.database import connect
from streamclf.store.report import Axis

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 3, 20, 0, 0, tzinfo=BERLIN)
VOID = {"meta", "br", "link", "img", "input", "col", "hr"}
WEEK = ["--since", "2026-03-20", "--until", "2026-03-26"]


class Page(HTMLParser):
    """A page whose elements are closed in their order.

    Attributes:
        texts: The texts, in order.
        tags: Pairs of an element's name and its attributes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self._open[-1] != "style":
            self.texts.append(" ".join(data.split()))

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a name that have these among them."""
        kept = {name.rstrip("_"): value for name, value in wanted.items()}
        return [found for name, found in self.tags if name == tag and kept.items() <= found.items()]


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch):
    """Dates are read in the zone that the stores are of."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone cannot be set here")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def report(streamclf, tmp_path):
    """Write a page about a store of these runs."""

    def write(*runs: Run, options: list[str] = WEEK) -> Page:
        store = make_store(tmp_path / "heard.db", runs)
        page = tmp_path / "page.html"
        result = streamclf("report", "--store", store, "-o", page, "--overwrite", *options)
        assert (result.code, result.err) == (0, "")
        assert result.out == f"{page}\n"
        return Page(page.read_text(encoding="utf-8"))

    return write


def week(**more) -> list[Run]:
    return [
        Run("yard", FRIDAY + timedelta(days=day), 86_400 - 600 * (day == 2),
            [Heard("dog", 7 * 3600 + n * 60.0) for n in range(day + 1)],
            gaps=[(3600, 600, "stream lost")] if day == 2 else [], level=-50.0, **more)
        for day in range(7)
    ]  # fmt: skip


def test_a_page_tells_what_when_how_loud_and_what_was_missed(report):
    page = report(*week(calibration_db=90.0))
    told = " | ".join(page.texts)
    assert page.texts[:3] == ["Heard: Fri 20 Mar to Thu 26 Mar 2026", "What was heard",
                              "Fri 20 Mar to Thu 26 Mar 2026"]  # fmt: skip
    assert (
        "Events | 28 | Different sounds | 1 | Audio heard | 168 h | Audio missing | 10 min 00 s"
        in told
    )
    assert "dog | 28 | 0.17 | 0.9 | 0.90 | Thu 26 Mar, 07:06" in told
    assert "1 | 2 | 3 | 4 | 5 | 6 | 7 | Fri 20 | Sat 21" in told
    assert "yard | loudest hour: 40 dB(A), Fri 20 Mar, 00:00" in told
    assert "yard | stream lost | 1 | 10 min 00 s" in told
    cells = [found["title"] for found in page.of("td") if found.get("title")]
    assert len(cells) == 24
    assert cells[7] == "dog, 07:00: 28 events, 4.00 in an hour heard"
    assert cells[8] == "dog, 08:00: 0 events, 0.00 in an hour heard"
    assert page.of("td", class_="s8")[0]["title"] == cells[7]
    assert len(page.of("td", class_="s0")) == 23


def test_a_page_is_complete_in_itself_and_runs_nothing(report, tmp_path):
    page = report(*week())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|url\(|@import|<script|javascript:|\bon\w+=", text)
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"} == set()
    assert not [found for _, found in page.tags if {"src", "href"} & set(found)]
    (policy,) = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_names_are_texts_and_nothing_else(report):
    odd = "<script>alert(1)</script>\"'&\n\x1b"
    page = report(
        Run(f"{odd} mic", FRIDAY, 3600, [(odd, 5)], gaps=[(10, 5, f"{odd} gone")], level=-50.0)
    )
    assert not page.of("script")
    shown = "<script>alert(1)</script>\"'&\\n\\x1b"
    assert page.texts.count(shown) == 2
    assert f"{shown} mic" in page.texts
    assert f"{shown} gone" in page.texts
    assert page.of("td", title=f"{shown}, 00:00: 1 event, 1.00 in an hour heard")


def test_hours_that_nobody_heard_are_told_apart(report):
    page = report(Run("yard", FRIDAY + timedelta(hours=6), 3 * 3600, [("dog", 60)]))
    assert "not heard" in page.texts
    assert len(page.of("td", class_="sx")) == 21
    told = " | ".join(page.texts)
    # From its first hour on, to the end of the week: seven days less six hours, less three heard.
    assert "yard | nothing listened | 159 h 00 min" in told
    (strip,) = page.of("rect", class_="heard")
    assert (strip["x"], strip["width"], strip["height"]) == ("6", "3", "1.0")
    assert "The store has no levels of this time." in page.texts


def test_parts_of_an_hour_are_neither_whole_nor_nothing(report):
    page = report(
        Run("yard", FRIDAY, 3590, gaps=[(0, 10, "overflow")]),
        Run("yard", FRIDAY + timedelta(hours=2), 30),
        options=["--since", "2026-03-20", "--until", "2026-03-20"],
    )
    found = [(e["x"], e["height"]) for e in page.of("rect", class_="heard")]
    assert found == [("0", "1.0"), ("2", "0.1")]


def test_levels_are_drawn_from_stretch_to_stretch(report):
    page = report(
        Run("yard", FRIDAY, 7200, level=-52.0),
        Run("yard", FRIDAY + timedelta(hours=12), 3600, level=-38.0),
        options=["--since", "2026-03-20", "--until", "2026-03-20"],
    )
    first, second = [found["d"] for found in page.of("path", class_="mean")]
    # From -60 to -30 dB: the first two hours of 24, and the hour after noon.
    assert first == "M0.0 73.33 L4.167 73.33 L4.167 73.33 L8.333 73.33"
    assert second == "M50.0 26.67 L54.167 26.67"
    bands = [found["d"] for found in page.of("path", class_="band")]
    assert bands[1] == "M50.0 10.0 L54.167 10.0 L54.167 43.33 L50.0 43.33 Z"
    assert "loudest hour: -38 dB(A) re full scale, Fri 20 Mar, 12:00" in page.texts


def test_a_muted_microphone_does_not_squeeze_the_levels_of_what_sounds(report):
    page = report(
        Run("yard", FRIDAY, 3600, level=-38.0),
        Run("yard", FRIDAY + timedelta(hours=12), 3600, level=-160.0),
        options=["--since", "2026-03-20", "--until", "2026-03-20"],
    )
    steps = [text for text in page.texts if re.fullmatch(r"-\d+", text)]
    assert steps == [str(-120 + 10 * step) for step in range(10)]
    assert page.of("path", class_="mean")[1]["d"] == "M50.0 100.0 L54.167 100.0"


def test_a_store_without_anything_makes_a_page(report, streamclf, tmp_path):
    empty = tmp_path / "empty.db"
    connect(empty, create=True).close()
    page = tmp_path / "empty.html"
    assert streamclf("report", "--store", empty, "-o", page).code == 0
    told = Page(page.read_text(encoding="utf-8")).texts
    assert "No event lies in this time." in told
    assert "Nothing listened in this time, or the store does not know how long." in told


def test_what_is_not_on_the_page_is_told_at_its_foot(report):
    page = report(
        Run(
            "yard", FRIDAY, 60, [Heard("dog", 1, None), Heard("cat", 1, state="cut")], state="open"
        ),
        Run("/f", None, 60, [("dog", 1), ("dog", 5)], recording="/f/a.wav"),
    )
    assert "1 event still sounded when this page was made." in page.texts
    assert "sounds now" in page.texts
    assert any(text.startswith("1 event cut off: the run ended") for text in page.texts)
    assert "2 events of recordings without a date are not on this page." in page.texts


def test_many_labels_and_sources_are_shortened(report):
    page = report(
        *[Run(f"/field/site-{n}", FRIDAY, 60 + n, [(f"label {m}", m) for m in range(n)],
              recording=f"/field/site-{n}/a.wav", level=-50.0) for n in range(30)]
    )  # fmt: skip
    assert "and 9 rarer sounds" in page.texts
    assert "and 18 sources with fewer hours" in page.texts
    assert "site-29" in page.texts
    assert not any("/field" in text for text in page.texts)


def test_a_question_of_a_page_may_be_about_less(report):
    runs = [*week(), Run("hall", FRIDAY, 3600, [("cat", 1)])]
    assert "cat" in report(*runs).texts
    page = report(options=[*WEEK, "--source", "yard", "--label", "dog"])
    assert "cat" not in page.texts
    assert "hall" not in page.texts


@pytest.mark.parametrize(("option", "n_days"), [([], 7), (["--week"], 7), (["--day"], 1)])
def test_a_week_and_a_day_end_today(report, option, n_days):
    now = datetime.now().astimezone()
    begun = (now - timedelta(days=7)).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = int((now - begun).total_seconds() // 3600)
    page = report(
        Run("yard", begun, hours * 3600,
            [(f"{n} days ago", (7 - n) * 86_400 + 1) for n in range(8)]),
        options=option,
    )  # fmt: skip
    found = [text for text in page.texts if re.fullmatch(r"\d days ago", text)]
    assert set(found) == {f"{n} days ago" for n in range(n_days)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--output is missing: name the page's file"),
        (["-o", "week.pdf"], "must end in .html"),
        (["-o", "a.html", "--week", "--day"], "--week and --day are two times"),
        (["-o", "a.html", "--day", "--since", "monday"], "--week and --day are times"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(streamclf, tmp_path, options, told):
    store = make_store(tmp_path / "s.db", week())
    result = streamclf("report", "--store", store, *options)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert told in result.err


def test_a_page_that_exists_is_kept(streamclf, tmp_path):
    store, page = make_store(tmp_path / "s.db", week()), tmp_path / "page.html"
    page.write_text("mine")
    result = streamclf("report", "--store", store, "-o", page)
    assert (result.code, page.read_text()) == (2, "mine")
    assert "add --overwrite" in result.err


@pytest.mark.parametrize(
    ("since", "until", "step_h", "n_cells", "texts"),
    [
        ("2026-03-20", "2026-03-21", 1, 24, ["00:00", "03:00", "06:00"]),
        ("2026-03-20T22:30", "2026-03-21T06:10", 1, 9, ["00:00", "03:00", "06:00"]),
        ("2026-03-20", "2026-03-27", 1, 168, ["Fri 20", "Sat 21", "Sun 22"]),
        ("2026-03-01", "2026-04-01", 24, 31, ["1 Mar", "8 Mar", "15 Mar"]),
        ("2026-01-01", "2027-01-01", 24, 365, ["1 Jan", "1 Feb", "1 Mar"]),
        ("2020-01-15", "2026-01-01", 24, 2178, ["Jul 2020", "Jan 2021", "Jul 2021"]),
        ("2026-03-20T22:30", "2026-03-20T22:31", 1, 1, []),
    ],
)
def test_an_axis_has_texts_that_fit_its_length(since, until, step_h, n_cells, texts):
    ends = [datetime.fromisoformat(end).astimezone() for end in (since, until)]
    axis = Axis.of(*ends)
    assert (axis.step_h, axis.n_cells) == (step_h, n_cells)
    marks = axis.marks()
    assert [mark["text"] for mark in marks][:3] == texts
    assert len(marks) <= 16
    assert all(0 <= mark["place"] < 97 for mark in marks)


def test_the_template_lies_in_the_package():
    import streamclf.store

    assert (Path(streamclf.store.__file__).parent / "report.html").is_file()
