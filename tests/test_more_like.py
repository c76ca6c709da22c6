"""More like this: on the page, in its API and on the dashboard, with and without features."""

from datetime import UTC, datetime, timedelta

import pytest
import toys
from dashboards import Script, drive, make_dashboard, messages_of, settle, text_of
from histories import NOW, TODAY, make_history
from kept import keep_features
from pages import Browser, make_context
from stores import Heard, Run, make_store
from test_web_api import _Api

from streamclf.core.unknown import UNKNOWN_LABEL
from streamclf.dashboard.attached.client import PageClient
from streamclf.dashboard.attached.days import RemoteDays
from streamclf.dashboard.past.days import Lessons, PastDays
from streamclf.dashboard.widgets.past_events import PastEventList
from streamclf.web import asking
from streamclf.web.pages import events, like
from streamclf.web.server import WebServer

SEVEN_S, LENGTH_S = 7 * 3600.0, 600.0


@pytest.fixture(autouse=True)
def _present(monkeypatch):
    for module in (asking, events, like):
        monkeypatch.setattr(module, "now", lambda: NOW)


@pytest.fixture
def history(tmp_path):
    """The known history, with features of ten minutes around the dog at 7:00 and the cat."""
    path = make_history(tmp_path)
    for begun, sounds in [
        (TODAY + timedelta(hours=6, minutes=55), [("dog", 300, 302.5), ("dog", 500, 503)]),
        (TODAY + timedelta(hours=7, minutes=25), [("dog", 300, 303), ("cat", 310, 313)]),
    ]:
        keep_features(tmp_path / "store.features", "yard", begun, LENGTH_S, sounds)
    return path


def test_the_page_shows_what_is_like_an_event_named_or_not(tmp_path, history):
    with WebServer(make_context(tmp_path)) as server:
        browser = Browser(server)
        page = browser.ask("/like?event=1").text
        listed = browser.ask("/events").text
    assert '/like?event=1"' in listed
    first, second = page.split("Moments that sound most like it")[1].split("<li")[1:3]
    assert "alike" in first
    assert "alike" in second
    assert {"no name" in first, "no name" in second} == {True, False}
    assert 'id="event-2"' in first + second  # the dog at 7:30


def test_a_review_on_the_page_leads_back_to_it(tmp_path, history):
    with WebServer(make_context(tmp_path)) as server:
        browser = Browser(server)
        token = browser.token("/like?event=1")
        answer = browser.post("/events/act", csrf=token, page="like", back="event=1", act="wrong:2")
    assert answer.status == 303
    assert answer.headers["Location"].endswith("like?event=1&done=wrong-1")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/like?event=5", 400, "no features of its time are kept"),
        ("/like?event=99", 404, "no event 99"),
        ("/like?event=x", 400, "must be the number of an event"),
        ("/like", 400, "must be the number of an event"),
    ],
)
def test_what_cannot_be_shown_is_told(tmp_path, history, path, status, said):
    with WebServer(make_context(tmp_path)) as server:
        answer = Browser(server).ask(path)
    assert answer.status == status
    assert said in answer.text


def test_the_api_answers_as_it_is_described(tmp_path, history):
    with WebServer(make_context(tmp_path)) as server:
        api = _Api(server)
        answer = api.get("events/1/like?limit=2")
        api.get("events/99/like", 404)
        api.get("events/5/like", 400)
        api.get("events/1/like?limit=0", 400)
    assert answer["event"]["id"] == 1
    assert len(answer["moments"]) == 2
    named = [each["event"]["id"] for each in answer["moments"] if "event" in each]
    assert named == [2]
    assert all(each["likeness"] > 0.5 for each in answer["moments"])


def test_the_dashboard_lists_what_is_like_an_event(tmp_path, tone_model):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begun = today - timedelta(days=3)
    dogs = [Heard("dog", 100.0), Heard("dog", 400.0), Heard("siren", 200.0)]
    store = make_store(tmp_path / "box.db", [
        Run("yard", begun, 600, dogs), Run("yard", today, 600, [Heard("dog", 50.0)]),
    ])  # fmt: skip
    sounds = [("dog", 100, 102), ("dog", 400, 402), ("siren", 200, 202)]
    keep_features(tmp_path / "box.features", "yard", begun, 600, sounds)
    keep_features(tmp_path / "box.features", "yard", today, 600, [("dog", 50, 52)])
    app = make_dashboard(tmp_path, tone_model, Script(toys.silence(1)), store=store)

    def listed():
        return app.screen.query_one(PastEventList).entries

    async def script(pilot):
        await pilot.press("y")
        await settle(pilot, lambda: getattr(pilot.app.screen, "shown", None))
        await settle(pilot, lambda: len(listed()) == 1)
        await pilot.press("tab", "m")
        await settle(pilot, lambda: len(listed()) == 2)
        assert [each.event.label for each in listed()] == ["dog", "dog"]
        assert "most like dog" in text_of(app)
        assert f"{begun:%d %b} 00:0" in text_of(app)

    drive(app, script, (120, 40))
    assert PastDays(store).like(99).entries == []


def test_the_dashboard_groups_unknown_sounds_and_names_and_teaches_them(
    tmp_path, tone_model, monkeypatch
):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    bells_s = (100.0, 200.0, 300.0)
    store = make_store(tmp_path / "box.db", [
        Run("yard", today, 600, [Heard(UNKNOWN_LABEL, s, 2.0) for s in (*bells_s, 400.0)]),
    ])  # fmt: skip
    sounds = [("bell", s, s + 2) for s in bells_s] + [("cat", 400.0, 402.0)]
    keep_features(tmp_path / "box.features", "yard", today, 600, sounds)
    app = make_dashboard(tmp_path, tone_model, Script(toys.silence(1)), store=store)
    taught = []

    def teach(self, name):
        taught.append((name, [each.name for each in self._models()]))
        return Lessons((f"{name}: learned",), [each.entry for each in groups])

    groups = PastDays(store).groups()
    monkeypatch.setattr(PastDays, "teach", teach)

    def listed():
        return app.screen.query_one(PastEventList).entries

    async def script(pilot):
        await pilot.press("y")
        await settle(pilot, lambda: getattr(pilot.app.screen, "shown", None))
        await settle(pilot, lambda: len(listed()) == 4)
        await pilot.press("tab", "x", "g")
        await settle(pilot, lambda: len(listed()) == 1)
        assert "unknown, all days: w names it" in text_of(app)
        assert "3 times, mostly at 00:00" in text_of(app)
        await pilot.press("w", *"bell", "enter")
        await settle(pilot, lambda: "it was bell" in text_of(app))
        await pilot.press("x")
        await settle(pilot, lambda: taught)
        await settle(pilot, lambda: "bell would have been heard" in text_of(app))
        await pilot.press("g")
        await settle(pilot, lambda: len(messages_of(app)) == 5)
        assert messages_of(app) == [
            "say first what it was (w), or that it was wrong (n)",
            "3 events named bell",
            "bell is being learned ...",
            "bell: learned",
            "no unknown sound came again: serve --unknown remembers them",
        ]

    drive(app, script, (120, 40))
    assert taught == [("bell", [str(tone_model)])]
    assert PastDays(store).groups() == []


def test_groups_over_the_page_are_those_of_the_store(tmp_path):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store = make_store(tmp_path / "store.db", [
        Run("yard", today, 600, [Heard(UNKNOWN_LABEL, s, 2.0) for s in (100.0, 200.0, 300.0)]),
    ])  # fmt: skip
    sounds = [("bell", s, s + 2) for s in (100.0, 200.0, 300.0)]
    keep_features(tmp_path / "store.features", "yard", today, 600, sounds)
    with WebServer(make_context(tmp_path)) as server:
        far = RemoteDays(PageClient(server.url))
        (there,), (here,) = far.groups(), PastDays(store).groups()
        assert (there.rows, there.note) == (here.rows, here.note)
        assert there.entry.event.row == here.entry.event.row
        assert far.name_group(there.rows, "bell") == 3
    assert PastDays(store).groups() == []
