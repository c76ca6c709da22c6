"""The pages Day, Events and Sounds: what they say, their links and their forms, without script."""

from __future__ import annotations

import html
import re
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from histories import NOW, make_history
from lives import Feed
from pages import Browser, make_context
from stores import make_store
from test_rulebook import note
from webhooks import make_message

from streamclf.runs.health import LiveState
from streamclf.store.browse import find_entry
from streamclf.store.database import connect
from streamclf.web.hub import LiveHub
from streamclf.web.pages import day, events, sounds
from streamclf.web.pages.day import N_TOLD
from streamclf.web.server import WebServer


@pytest.fixture(autouse=True)
def _present(monkeypatch):
    for module in (day, events, sounds):
        monkeypatch.setattr(module, "now", lambda: NOW)


@pytest.fixture(params=["", "/box/ears"], ids=["at the root", "under a base path"])
def browser(request, tmp_path):
    make_history(tmp_path)
    with WebServer(make_context(tmp_path, base_path=request.param)) as server:
        yield _Pages(server, request.param)


class _Pages(Browser):
    """A browser that knows where the pages begin, and reads them as people do."""

    def __init__(self, server, base: str = "") -> None:
        super().__init__(server)
        self.base = base

    def read(self, path: str, status: int = 200) -> str:
        """The text of a page in one line."""
        answer = self.ask(self.base + path)
        assert answer.status == status, answer.text
        return plain(answer.text)

    def links(self, path: str) -> dict[str, str]:
        """Where the links of a page lead to, by their names for those who hear the page."""
        found = {}
        for attributes, inner in re.findall(r"<a ([^>]*)>(.*?)</a>", self.source(path), re.S):
            said = re.search(r'aria-label="([^"]*)"', attributes)
            target = html.unescape(re.search(r'href="([^"]*)"', attributes)[1])
            full = urlsplit(urljoin(f"http://box{self.base}{path}", target))
            assert full.path.startswith(self.base)
            where = full.path.removeprefix(self.base) + (f"?{full.query}" if full.query else "")
            found[html.unescape(said[1]) if said else plain(inner)] = where
        return found

    def source(self, path: str) -> str:
        return self.ask(self.base + path).text

    def act(self, status: int = 303, *, back: str = "", **fields: str) -> str:
        """Send the form of the page of events; returns where it leads to."""
        session = self.ask(f"{self.base}/api/session").text
        token = re.search(r'"csrf": ?"(\w+)"', session)[1]
        answer = self.post(f"{self.base}/events/act", token, back=back, **fields)
        assert answer.status == status, answer.text
        if status != 303:
            return plain(answer.text)
        return urljoin(f"http://box{self.base}/events/act", answer.headers["Location"]).split(
            f"http://box{self.base}"
        )[1]


def plain(source: str) -> str:
    """The text of a page, in one line."""
    body = re.sub(r"<(script|style|option|title).*?</\1>", " ", source, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body))).strip()


def test_day_tells_what_was_heard_in_which_hour(browser):
    text = browser.read("/day")
    assert "Thursday 26 November 2026 Today" in text
    assert "Events 4 Different sounds 3 Most was heard 07:00–08:00" in text
    links = browser.links("/day")
    assert links["dog, 07:00: 2 events"] == "/events?label=dog&date=2026-11-26&hour=7"
    assert links["All sounds, 07:00: 3 events"] == "/events?date=2026-11-26&hour=7"
    assert "crackling fire, 09:00: 1 event" in links
    assert links["Yesterday"] == "/day?date=2026-11-25"


def test_day_begins_with_what_was_told_and_whether_it_arrived(browser, tmp_path):
    assert "What was told" not in browser.read("/day")
    noon_us = round(NOW.replace(hour=12, minute=0, second=0, microsecond=0).timestamp()) * 1_000_000
    offset_min = round(NOW.utcoffset().total_seconds() / 60)
    note(
        tmp_path / "store.db",
        [
            make_message(
                number, text=f"<b>Alarm {number}</b>", told_us=noon_us + number * 1_000_000,
                utc_offset_min=offset_min, targets=("phone", "bell"),
            )
            for number in range(N_TOLD + 2)
        ] + [make_message(99, on="test", text="Trial", told_us=noon_us)],
    )  # fmt: skip
    with closing(connect(tmp_path / "store.db")) as connection, connection:
        connection.execute("UPDATE deliveries SET state = 'sent' WHERE target = 'bell'")
        connection.execute(
            "UPDATE deliveries SET state = 'failed', reason = 'too old' WHERE target = 'phone' "
            "AND message_id = (SELECT id FROM messages WHERE token = 'token-7')"
        )
    text = browser.read("/day")
    assert text.index("What was told") < text.index("What, and when")
    assert "12:00:07 <b>Alarm 7</b> never to phone: too old to bell 12:00:06 <b>Alarm 6</b>" in text
    assert "<b>Alarm 6</b> not yet to phone to bell" in text
    assert "and 2 earlier messages" in text
    assert "Alarm 1<" not in text
    assert "Trial" not in text
    assert "What was told" not in browser.read("/day?date=2026-11-25")


def test_each_field_of_the_map_leads_to_its_events(browser):
    links = browser.links("/day")
    text = browser.read(links["dog, 07:00: 2 events"])
    assert "2 events Only dog, Today, 07:00 to 08:00" in text
    assert text.index("07:30:00 · 3.0 s · maybe · yard") < text.index("07:00:00 · 2.5 s · sure")


def test_day_tells_levels_and_gaps(browser):
    text = browser.read("/day")
    assert "loudest hour: 60 dB(A)" in text
    assert "4 min 00 s of audio is missing, in 1 place." in text
    assert "03:00:00 the microphone was away 4 min 00 s · yard" in text
    assert "05:00 60 65 55 75" in text  # the table of levels


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/day?date=2026-11-24", "All was quiet. 24 hours of audio"),
        ("/day?date=2026-11-10", "Nothing was heard. No microphone listened on this day."),
        ("/day?date=2026-12-24", "This day has not come yet."),
        ("/day?date=2026-12-24", "Sounds were last heard on Thursday 26 November 2026."),
        ("/day?days=7", "20 November to 26 November"),
        ("/day?days=7", "All sounds 1 4"),
    ],
)
def test_other_days(browser, path, said):
    assert said in browser.read(path)


def test_a_store_without_anything_says_so_kindly(tmp_path):
    make_store(tmp_path / "store.db", [])
    with WebServer(make_context(tmp_path)) as server:
        pages = _Pages(server)
        assert "No microphone listened on this day so far." in pages.read("/day")
        assert "Nothing was heard so far." in pages.read("/events")
        assert "No sound was heard in this time." in pages.read("/sounds")


def test_a_store_that_is_not_there_is_an_error_for_people(tmp_path):
    with WebServer(make_context(tmp_path)) as server:
        assert "there is no store" in _Pages(server).read("/day", 503)


def test_events_tell_what_was_said_and_what_became_of_their_sounds(browser):
    text = browser.read("/events")
    assert "6 events" in text
    assert "Today crackling fire" not in text  # a checkbox with its name stands between
    assert "crackling fire sounds now 09:29:00 · 0.70 · yard" in text
    assert "house cat it was hen teach it 07:30:10 · 3.0 s · 0.50 · yard" in text
    assert "dog right 07:00:00" in text
    assert "Yesterday" in text
    assert "Its sound made room for newer ones." in text
    assert "Without a date" in text
    assert "owl 5.0 s from the start · 2.0 s · 0.90" in text
    assert re.findall(r'<audio [^>]*src="./media/clips/(\d)"', browser.source("/events")) == list(
        "321"
    )


@pytest.mark.parametrize(
    ("query", "n"),
    [
        ("label=dog", 3), ("label=Dog&score=0.8", 2), ("label=crackling+fire", 1),
        ("label=", 6), ("source=yard", 5), ("reviewed=not", 4), ("reviewed=right", 1),
        ("from=2026-11-25&to=2026-11-25", 1), ("hour=7", 3), ("hour=20&label=dog", 1),
        ("clip=1", 3), ("date=2026-11-26", 4), ("label=dog&label=cat&date=2026-11-26", 3),
    ],
)  # fmt: skip
def test_filters_stand_in_the_address(browser, query, n):
    text = browser.read(f"/events?{query}")
    assert f"{n} event" in text
    assert len(re.findall("data-event=", browser.source(f"/events?{query}"))) == n


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/events?date=yesterday", "Date yesterday: must be a day, such as 2026-11-26."),
        ("/events?date=0001-01-01", "must be a day"),
        ("/events?hour=24", "Hour 24: must be from 0 to 23."),
        ("/events?score=nan", "Score nan: must be from 0 to 1."),
        ("/events?reviewed=maybe", "Reviewed maybe: must be right, wrong or not."),
        ("/events?older=1", "Position 1: must be two numbers"),
        ("/events?from=2026-11-26&to=2026-11-25", "exchange them"),
        ("/day?date=2026-02-30", "Date 2026-02-30: must be a day"),
        ("/day?days=99", "Days 99: must be from 1 to 7."),
        ("/sounds?days=8", "Days 8: must be 7, 30, 365."),
    ],
)
def test_addresses_that_make_no_sense_are_told(browser, path, said):
    assert said in browser.read(path, 400)


@pytest.mark.parametrize("path", ["/day?date=9998-12-30&days=7", "/day?date=1970-01-02&days=7"])
def test_the_ends_of_time_are_days_like_others(browser, path):
    browser.read(path)


def test_a_sound_that_was_never_heard_is_told_with_those_that_were(browser):
    text = browser.read("/events?label=doog")
    assert "Label doog: the store has no event of this name (did you mean dog?)." in text


def test_pages_of_events_follow_one_another(browser, monkeypatch):
    monkeypatch.setattr(events, "N_EVENTS", 2)
    seen, path = [], "/events"
    for _ in range(3):
        seen += re.findall(r'data-event="(\d)"', browser.source(path))
        links = browser.links(path)
        path = links.get("Older ›", "")
    assert seen == ["4", "3", "2", "1", "5", "6"]
    assert not path
    assert "‹ Newer" in links


def verdict(tmp_path, event: int) -> tuple[str | None, str | None]:
    connection = connect(tmp_path / "store.db")
    try:
        entry = find_entry(connection, event)
        return entry.event.verdict, entry.said_label
    finally:
        connection.close()


def test_forms_say_right_and_wrong_and_what_it_was(browser, tmp_path):
    where = browser.act(act="right:2", back="label=dog&date=2026-11-26")
    assert where == "/events?label=dog&date=2026-11-26&done=right-1"
    assert verdict(tmp_path, 2) == ("right", None)
    assert "1 event marked as right." in browser.read(where)
    browser.act(act="was:2", label="crackling fire")
    assert verdict(tmp_path, 2) == ("wrong", "crackling_fire")  # the label of that name
    browser.act(act="was:2", label="House cat")
    assert verdict(tmp_path, 2) == ("wrong", "cat")
    assert "dog it was house cat" in browser.read("/events")
    browser.act(act="was:2", label="my own kettle")
    assert verdict(tmp_path, 2) == ("wrong", "my own kettle")
    assert "What was said of 1 event is taken back." in browser.read(browser.act(act="none:2"))
    assert verdict(tmp_path, 2) == (None, None)


def test_several_events_are_changed_at_once(browser, tmp_path):
    session = browser.ask(f"{browser.base}/api/session").text
    token = re.search(r'"csrf": ?"(\w+)"', session)[1]
    body = f"csrf={token}&act=right&id=2&id=4&id=2&back="
    answer = browser.ask(
        f"{browser.base}/events/act", "POST", body.encode(),
        Content_Type="application/x-www-form-urlencoded", Origin=f"http://{browser.host}",
    )  # fmt: skip
    assert answer.headers["Location"].endswith("events?done=right-2")
    assert verdict(tmp_path, 2) == verdict(tmp_path, 4) == ("right", None)
    assert verdict(tmp_path, 3) == ("wrong", "hen")


def test_a_review_moves_nothing_on_the_disk(browser, tmp_path):
    before = sorted((p, p.read_bytes()) for p in (tmp_path / "clips").rglob("*.flac"))
    browser.act(act="was:1", label="owl")
    browser.act(act="wrong:2")
    assert sorted((p, p.read_bytes()) for p in (tmp_path / "clips").rglob("*.flac")) == before


def test_clips_are_kept_and_deleted(browser, tmp_path):
    file = tmp_path / "clips/dog/yard/000001.000_90.flac"
    assert "1 sound will be kept." in browser.read(browser.act(act="keep:1"))
    assert "1 sound marked to be kept, and not deleted." in browser.read(
        browser.act(act="delete:1")
    )
    assert file.exists()
    browser.act(act="free:1")
    said = browser.read(browser.act(act="delete:1"))
    assert "1 sound deleted. What was heard stays in the list." in said
    assert "Its sound was deleted." in said
    assert not file.exists()


def test_a_form_without_anything_chosen_changes_nothing(browser, tmp_path):
    assert browser.act(act="right") == "/events"
    assert browser.act(act="", id="2") == "/events"
    assert verdict(tmp_path, 2) == (None, None)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"act": "shout:1"}, "Act shout: is nothing that can be done."),
        ({"act": "right:x"}, "Event: must be the number of an event."),
        ({"act": "right:" + "9" * 30}, "Event: must be the number of an event."),
        ({"act": "was:1", "label": "x" * 200}, "has 200 characters, at most 120 are possible"),
    ],
)
def test_forms_that_make_no_sense_are_told(browser, fields, said):
    assert said in browser.act(400, **fields)


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example", "label=dog&date=never", "\r\nX: y"]
)
def test_a_form_leads_back_to_a_page_of_its_own(browser, back):
    assert browser.act(act="right:2", back=back).startswith("/events?")


def test_forms_need_the_token(browser):
    assert browser.post(f"{browser.base}/events/act", "0" * 64, act="right:2").status == 403
    assert browser.ask(f"{browser.base}/events/act", "POST", b"act=right:2").status == 403


def test_sounds_are_listed_by_how_often_they_were_heard(browser):
    text = browser.read("/sounds")
    assert "3 sounds in 57.4 hours" in text
    assert re.search(r"dog 3 0\.05 7\.5 s sure 07:30 house cat 1", text)
    assert "Heard before that owl" in text
    assert browser.links("/sounds")["dog"] == "/sound?label=dog&days=30"
    text = browser.read("/sounds?find=fire")
    assert "crackling fire" in text
    assert "dog" not in text


def test_a_sound_tells_its_days_hours_clips_and_threshold(browser):
    text = browser.read("/sound?label=dog")
    assert "Events 3 In an hour heard 0.05 Together 7.5 s Last 07:30" in text
    links = browser.links("/sound?label=dog")
    assert links["Wednesday 25 November 2026: 1 event"] == "/events?label=dog&date=2026-11-25"
    by_hour = "/events?label=dog&from=2026-10-28&to=2026-11-26&hour=7"
    assert links["07:00 to 08:00: 2 events"] == by_hour
    assert browser.source("/sound?label=dog").count("<audio ") == 2
    assert text.index("07:00 · 2.5 s · sure") < text.index("07:30 · 3.0 s · maybe")
    assert "How sure is that?" in text
    assert '<span title="score 0.90">sure</span>' in browser.source("/sound?label=dog")
    assert "1 event right, 0 wrong." in text
    assert re.search(r"0\.60 3 1 0\.70 2 1 1 0\.80 2 1 1 0\.85 1 2 1 0\.90 1 2 1 0\.95 0 3", text)
    assert "It was hen (1)" in browser.read("/sound?label=cat")


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ({"yard": 0.5}, r"0\.50 yours 3 1 0\.60 3 1 0\.70 2 1 1"),
        ({"yard": 0.5, "hall": 0.502}, r"0\.50 yours 3 1 0\.60 3 1 0\.70 2 1 1"),
        ({"yard": 0.72, "hall": 0.6}, r"0\.60 yours: hall 3 1 0\.70 2 1 1 0\.72 yours: yard 2 1 1"),
        ({"yard": 0.85}, r"events 0\.60 3 1 0\.70 2 1 1 0\.80 2 1 1 0\.85 yours 1 2 1 0\.90"),
        ({"yard": None}, r"0\.60 3 1 0\.70 2 1 1"),
    ],
)
def test_the_present_threshold_is_marked_among_the_others(tmp_path, at, told):
    make_history(tmp_path)
    hub = LiveHub()
    for name in at:
        Feed(hub, name)
    hub.state_of = lambda name: LiveState("heard", 0.5, "", None, {"dog": at[name]}.get)
    with WebServer(replace(make_context(tmp_path), hub=hub)) as server:
        text = _Pages(server).read("/sound?label=dog").replace("Said right Said wrong", "events")
    assert re.search(told, text), text


def test_a_review_on_the_page_of_a_sound_leads_back_to_it(browser):
    where = browser.act(act="right:2", page="sound", back="label=dog")
    assert where == "/sound?label=dog&done=right-1"
    assert "1 event marked as right." in browser.read(where)


def test_a_sound_that_nobody_knows_is_no_page(browser):
    assert "The store has no sound of this name." in browser.read("/sound?label=unicorn", 404)


def test_names_from_the_store_are_shown_as_text(tmp_path):
    """Labels of foreign models, and sources, may hold anything."""
    from stores import Heard, Run

    bad = '<script>alert(1)</script>"&\u202e'
    make_store(
        tmp_path / "store.db",
        [Run(bad, NOW - timedelta(hours=1), 600, [Heard(bad, 5, 2)], level=-40)],
    )
    with WebServer(make_context(tmp_path)) as server:
        pages = _Pages(server)
        for path in ("/day", "/events", "/sounds"):
            source = pages.source(path)
            assert "<script>alert" not in source
            assert "&lt;script&gt;" in source
            assert "\u202e" not in source
        sound = pages.links("/sounds")['<script>alert(1)</script>"&\\u202e']
        assert "<script>alert(1)" in pages.read(sound)
