"""Thresholds and rules tried on the past, on the page and over its API."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
from judged import BEGUN, ask_backtest, make_backtest_context, make_box
from live_runs import PATIENCE_S
from pages import PASSWORD, Browser, make_context
from stores import Run, make_store
from test_web_api import _Api

from streamclf.model.options import ModelOptions
from streamclf.runs import background_work
from streamclf.teach.judged_past import JudgedPast
from streamclf.web.context import WebContext
from streamclf.web.options import PageOptions
from streamclf.web.server import WebServer


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return make_box(tmp_path_factory.mktemp("box"))


@pytest.fixture
def page(box, monkeypatch):
    monkeypatch.setattr(background_work, "NICENESS", 0)  # the tests beside it would hold it up
    context = make_backtest_context(box)
    with WebServer(context) as server:
        yield Browser(server), _Api(server), context.backtester


def wait(backtester):
    """Wait until the past is judged; returns the task."""
    until = time.monotonic() + PATIENCE_S
    while backtester.task.goes_on:
        assert time.monotonic() < until
        time.sleep(0.02)
    return backtester.task


def test_the_page_tells_what_the_command_tells(streamclf, box, page):
    """As often, at the same times, with what was told then."""
    browser, api, backtester = page
    assert "Try it" in browser.ask("/backtest").text
    answer = browser.post("/backtest", label="Dog", at="0.2", days="14")
    assert (answer.status, answer.headers["Location"]) == (303, "./backtest?label=Dog&at=0.2")
    assert wait(backtester).problem == ""
    text = browser.ask("/backtest?label=Dog&at=0.2").text
    assert "In the past (60 minutes) it would have been told 3 times" in text
    assert "Told then: once." in text
    assert text.count('class="event"') == 3
    assert text.count("told then as dog") == 1
    assert re.search(r'value="0.2" aria-pressed="true">0.20<span class="tag">3 times<', text)
    assert "0.80, the model&#39;s own</button>" in text
    told = api.get("backtest")["task"]
    out = ask_backtest(streamclf, box, "--threshold", "0.2", "--format", "jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (told["count"], told["then"], told["state"], told["past_hours"]) == (3, 1, "judged", 1.0)
    assert [each["onset"] for each in told["would"]] == [e["onset"] for e in lines[::-1]]
    assert [each["time"] for each in told["would"]] == [e["time"] for e in lines[::-1]]
    assert ["event" in each for each in told["would"]] == [False, True, False]
    # What was tried before stands beside its threshold.
    browser.post("/backtest", label="Dog", at="p0.9")
    assert wait(backtester).order.precision == 0.9
    text = browser.ask("/backtest?label=Dog&at=p0.9").text
    assert "it would not have been told" in text
    assert ">3 times</span>" in text


def test_the_page_asks_a_rule(page):
    browser, api, backtester = page
    assert "<option>dogs</option>" in browser.ask("/backtest").text
    assert "away" not in browser.ask("/backtest").text
    browser.post("/backtest", rule="dogs", at="0.2")
    assert wait(backtester).problem == ""
    text = browser.ask("/backtest?rule=dogs&at=0.2").text
    assert "the rule dogs would have told 2 times" in text  # 17 minutes apart, twice
    assert '<p class="small">yard: dog (maybe) since ' in text
    told = api.send("backtest", {"rule": "nobody", "threshold": 0.2})["task"]
    assert told["order"]["rule"] == "nobody"
    assert wait(backtester).problem == ""
    told = api.get("backtest")["task"]
    assert told["count"] == len(told["would"]) > 0
    assert "onset" not in told["would"][0]
    assert "would have told" in browser.ask("/backtest?rule=nobody&at=0.2").text


@pytest.mark.parametrize(("order", "said"), [
    ({}, "Label: is empty: name a sound, or a rule."),
    ({"label": "dogg"}, "Dogg: is no label of pocket (did you mean dog?)"),
    ({"label": "dog", "threshold": 2}, "Threshold 2: must be from 0 to 1."),
    ({"label": "dog", "precision": 2}, "Precision 2"),
    ({"label": "dog", "precision": 0.9, "threshold": 0.2}, "give one of them"),
    ({"label": "dog", "days": 400}, "is not as `BacktestOrderRecord` is"),
    ({"label": "dog", "model": "none"}, "Model none: no source is heard with it"),
    ({"rule": "away"}, "Rule away: is none of the settings: dogs, nobody."),
])  # fmt: skip
def test_an_order_that_makes_no_sense_is_refused(page, order, said):
    _, api, backtester = page
    assert said in api.send("backtest", order, 400)["error"]
    assert backtester.task is None


def test_a_new_order_takes_the_place_of_the_one_that_goes_on(page, monkeypatch):
    """And one can be stopped: neither holds up the page."""
    browser, api, backtester = page
    go, begun = threading.Event(), threading.Event()
    judge = JudgedPast.events

    def events(self, past):
        begun.set()
        assert go.wait(PATIENCE_S)
        yield from judge(self, past)

    monkeypatch.setattr(JudgedPast, "events", events)
    browser.post("/backtest", label="dog", at="0.3")
    first = backtester.task
    assert begun.wait(PATIENCE_S)
    text = browser.ask("/backtest?label=dog&at=0.3").text
    assert 'http-equiv="refresh"' in text
    assert "0 % of the past is judged" in text
    assert api.get("backtest")["task"]["state"] == "judging"
    assert backtester.begin(first.order) is first
    browser.post("/backtest", label="dog", at="0.2")
    second = backtester.task
    assert "something else was asked for" in first.problem
    assert "Something else is being tried" in browser.ask("/backtest?label=dog").text
    go.set()
    assert wait(backtester) is second
    assert second.answer.n_events == 3
    assert first.answer is None
    go.clear()
    browser.post("/backtest", label="dog", at="0.5")
    assert api.send("backtest/stop")["task"]["problem"] == "it was stopped"
    go.set()
    assert "It was stopped." in browser.ask("/backtest?label=dog&at=0.5").text


def test_another_model_can_be_chosen_where_one_heard_nothing(box):
    names = [ModelOptions("wide"), ModelOptions("pocket")]
    with WebServer(WebContext(box / "s.db", PageOptions(port=0), models=lambda: names)) as server:
        text = Browser(server).ask("/backtest?label=dog").text
        assert "cannot be compared with those of wide 4: name the model that heard them." in text
        assert '<option value="pocket">pocket</option>' in text
        assert "cannot be" not in Browser(server).ask("/backtest?label=dog&model=pocket").text


def test_a_page_with_nothing_to_try_says_why_in_one_line(tmp_path):
    make_store(tmp_path / "store.db", [Run("yard", BEGUN, 60, [("dog", 5.0)])])
    with WebServer(make_context(tmp_path, password=PASSWORD)) as server:
        stranger = Browser(server)
        assert stranger.post("/backtest", label="dog").status == 401
        assert stranger.ask("/backtest").status == 303  # to the login
        browser = Browser(server)
        browser.log_in()
        assert "This page cannot try the past" in browser.ask("/backtest?label=dog").text
        assert browser.post("/backtest", label="dog").status == 400
        assert browser.post("/backtest", token="wrong", label="dog").status == 403
    context = WebContext(
        tmp_path / "store.db", PageOptions(port=0), models=lambda: [ModelOptions("pocket")]
    )
    with WebServer(context) as server:
        text = Browser(server).ask("/backtest").text
        assert "no features are kept yet: serve keeps them from its start on" in text
        assert "Try it</button>" not in text
        assert "Model</span>" not in text
    assert context.backtester.task is None
