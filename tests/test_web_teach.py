"""Teaching on the page: from what people said of events to a model file, and groups of unknowns."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from histories import NOW, TODAY, make_history
from kept import keep_features
from live_runs import PATIENCE_S
from pages import PASSWORD, Browser, make_context
from stores import Heard, Run, make_store
from test_teach import RATE, RINGS_S, ring, write
from test_web_api import _Api

from streamclf.core.card import Taught
from streamclf.core.errors import UsageError
from streamclf.dashboard.attached.client import PageClient
from streamclf.dashboard.attached.days import RemoteDays
from streamclf.dashboard.past.days import PastDays
from streamclf.model.model_file import Model
from streamclf.model.options import ModelOptions
from streamclf.runs import background_work
from streamclf.runs.teacher import Order, Teacher, add_named, find_moments
from streamclf.store.database import connect, transaction
from streamclf.store.reviews import review_event
from streamclf.teach.backtest import PastEvent
from streamclf.teach.kept_moments import parse_moment
from streamclf.teach.teaching import Sound, find_reviewed
from streamclf.web import asking
from streamclf.web.pages import teach, unknown
from streamclf.web.server import WebServer

SIX_S = 6 * 3600.0


def say(store, said: dict[int, str], verdict: str = "wrong") -> None:
    """Say of events what they were."""
    with closing(connect(store)) as connection, transaction(connection):
        for row, label in said.items():
            review_event(connection, row, verdict, label, 1)


def wait(teacher: Teacher) -> str:
    """Wait until it has learned; returns why it has not."""
    until = time.monotonic() + PATIENCE_S
    while teacher.task.goes_on:
        assert time.monotonic() < until
        time.sleep(0.05)
    return teacher.task.problem


def test_two_reviews_on_the_page_become_a_model_that_names_the_sound(
    streamclf, tmp_path, monkeypatch
):
    monkeypatch.setattr(background_work, "NICENESS", 0)  # the tests beside it would hold it up
    random = np.random.default_rng(1)
    minute = random.normal(0, 0.003, 60 * RATE)
    for begin in RINGS_S:
        sound = 0.5 * ring(2.6)
        minute[round(begin * RATE) :][: sound.size] += sound
    store = tmp_path / "store.db"
    heard = streamclf(
        "file", write(tmp_path / "20261126_060000.wav", minute), "--store", store,
        "--clips", tmp_path / "clips", "--features", tmp_path / "store.features",
        "--model", "pocket", "--only", "siren", "--threshold", "0.2",  # it is not sure of a tone
    )  # fmt: skip
    assert heard.code == 0, heard.err
    with closing(connect(store)) as connection:
        rows = connection.execute("SELECT id, onset FROM events ORDER BY onset").fetchall()
    near = [row for row, onset in rows if min(abs(onset / RATE - s) for s in RINGS_S) < 2]
    assert len(near) == len(RINGS_S)
    first, second = near
    context = replace(make_context(tmp_path), models=lambda: [ModelOptions("pocket")])
    place = "/teach?name=my+phone"
    with WebServer(context) as server:
        browser = Browser(server)
        assert "nobody has said" in browser.ask(place).text
        browser.post("/events/act", act=f"was:{first}", label="my phone")
        assert 'href="./teach?name=my+phone">teach it</a>' in browser.ask("/events").text
        before = browser.ask(place).text
        assert "1 example" in before
        answer = browser.post("/teach", name="my phone", at_most="10")
        assert (answer.status, answer.headers["Location"]) == (303, f".{place}")
        assert wait(context.teacher) == ""
        after = browser.ask(place).text
        assert "Learned from 1 example" in after
        assert "it would have been heard" in after
        found = re.findall(r'name="mark-(\d+)" value="(\w+)"( checked)?', after)
        assert {row for row, *_ in found} == {str(first), str(second)}
        assert (str(first), "yes", " checked") in found
        assert f"{context.teacher.path}" in after
        taught = Model(tmp_path / "store-taught.onnx").card
        assert len(taught.taught["my phone"].examples) == 1
        # What was not it is told apart, and is so when it is taught again later.
        browser.post("/teach", name="my phone", **{f"mark-{second}": "no"})
        assert wait(context.teacher) == ""
        assert context.teacher.task.learned.n_against == 1
        origin = Model(tmp_path / "store-taught.onnx").card.taught["my phone"]
        with closing(connect(store)) as connection:
            reviewed = find_reviewed(connection, Sound("my phone"), "my phone")
            kept = add_named(connection, reviewed, origin.against, ())
        assert [event.row for event in kept] == [second]
        assert f'name="mark-{first}" value="yes" checked' in browser.ask(place).text
        assert Model(tmp_path / "store-taught.onnx").card.labels[-1] == "my phone"
        # Programs do the same, also by moments whose clips are gone.
        with closing(connect(store)) as connection, transaction(connection):
            connection.execute("DELETE FROM clips WHERE event_id = ?", (second,))
        api = _Api(server)
        task = api.get("teach")["task"]
        assert task["state"] == "learned"
        (moment,) = (m["moment"] for m in task["past"] if abs(m["onset"] - RINGS_S[1]) < 2)
        assert api.send("teach", {"name": "my phone", "moments": ["x"]}, 400)
        for wrong, why in [
            ({"name": " "}, "Name: is empty"),
            ({"yes": [999_999]}, "Event 999999: the store has none"),
            ({"no": [2**64]}, "is not as `TeachOrder` is"),
        ]:
            refused = api.send("teach", {"name": "my phone", **wrong}, 400)
            assert why in refused["error"]
        assert "Name: is empty" in api.send("teach/forget", {"name": " "}, 400)["error"]
        api.send("teach", {"name": "gong", "moments": ["attic@2026-01-01T00:00:00.000Z+1.0s"]})
        assert "nothing is kept any more of the moments" in wait(context.teacher)
        api.send("teach", {"name": "my phone", "moments": [moment]})
        assert wait(context.teacher) == ""
        answer = api.get("teach")
        assert answer["taught"][0]["examples"][-1] == moment
        assert answer["task"]["examples"] == 2
        text = browser.ask(place).text
        marks = re.findall(r'name="moment-([^"]+)" value="(\w+)"( checked)?', text)
        assert [kind for name, kind, checked in marks if checked and "@" in name] == ["yes"]
        assert find_moments(
            Model(context.teacher.path).card.taught["my phone"], Order("", 3.0)
        ) == (
            [parse_moment(moment)],
            [],
        )
        assert "Forget it" in text
        # The dashboard teaches the same, here and over the page.
        learned = context.teacher.task.learned
        far = RemoteDays(PageClient(server.url)).teach("my phone")
        monkeypatch.setattr(Teacher, "teach", lambda self, order: learned)
        near = PastDays(store, context.models).teach("my phone")
        assert far.lines == near.lines
        assert near.lines[0].startswith("my phone: learned from 2 examples, found in ")
        assert "it would have been heard " in near.lines[1]
        assert [each.event.row for each in far.entries] == [each.event.row for each in near.entries]
        assert {first, second} >= {each.event.row for each in near.entries} > set()
        answer = browser.post("/teach/forget", name="My phone")
        assert answer.headers["Location"] == ".." + place + "&done=forgot-1"
        assert "1 taught sound forgotten" in browser.ask(f"{place}&done=forgot-1").text
        assert api.get("teach")["taught"] == []
        assert "was not taught" in api.send("teach/forget", {"name": "my phone"}, 400)["error"]
    assert "my phone" not in Model(tmp_path / "store-taught.onnx").card.labels


@pytest.mark.parametrize(("sound", "reviewed"), [("bell", "dog cat"), ("not dog", "dog")])
def test_each_moment_can_be_marked_also_where_a_label_is_corrected(tmp_path, sound, reviewed):
    """By a review where one says it, else by the features that were kept of the moment."""
    begun = NOW - timedelta(hours=2)
    heard = [Heard("animal", 9.5, 3.0), ("dog", 10.0), ("cat", 30.0)]  # two labels of one sound
    store = make_store(tmp_path / "s.db", [Run("yard", begun, 60, heard)])
    (tmp_path / "x.flac").write_bytes(b"fLaC")
    with closing(connect(store)) as connection:
        with transaction(connection):
            connection.execute(
                "INSERT INTO clips (event_id, folder, path, bytes, written_us) "
                "SELECT id, ?, 'x.flac', 4, 1 FROM events",
                (str(tmp_path),),
            )
        labels = dict(connection.execute("SELECT id, label FROM events"))
        past = [
            PastEvent("yard", at_s, at_s + 2, round((begun.timestamp() + at_s) * 1e6), 0.9)
            for at_s in (10.0, 30.0, 50.0)
        ]
        silences = ("dog",) if sound == "not dog" else ()
        examples = [SimpleNamespace(row=row) for row, label in labels.items() if label == "dog"]
        learned = SimpleNamespace(
            sound=Sound(sound, silences), card=SimpleNamespace(sample_rate=RATE),
            reviewed=SimpleNamespace(examples=[] if silences else examples),
            made=SimpleNamespace(lesson=SimpleNamespace(past_events=past), taught=Taught([], [])),
        )  # fmt: skip
        rows = teach._describe_past(connection, learned, None, {}, TODAY.date())
    fields = [row["field"].partition("-") for row in rows]
    by_review = {labels[int(name)] for kind, _, name in fields if kind == "mark"}
    assert by_review == set(reviewed.split())
    marked = [labels[int(row["field"].partition("-")[2])] for row in rows if row["mark"] == "yes"]
    assert marked == ([] if silences else ["dog"])
    moments = [name for kind, _, name in fields if kind == "moment"]
    assert len(by_review) + len(moments) == 3
    assert all(parse_moment(name) is not None for name in moments)


def test_each_model_that_listens_can_be_taught(tmp_path):
    """A file for each; one that was taught here and listens is taught on."""
    make_history(tmp_path)
    names = ["pocket", "wide"]
    context = replace(make_context(tmp_path), models=lambda: [ModelOptions(n) for n in names])
    teacher, first = context.teacher, tmp_path / "store-taught.onnx"
    second = tmp_path / "store-taught-wide.onnx"
    assert (teacher.path_of(), teacher.path_of("pocket")) == (first, first)
    assert teacher.path_of("wide") == second
    assert teacher.find_base("wide")[1].name == "wide"
    with WebServer(context) as server:
        page = Browser(server).ask("/teach?name=hen&model=wide").text
        assert '<option value="wide" selected>wide</option>' in page
        assert 'name="model" value="wide"' in page
        api = _Api(server)
        assert api.get("teach?model=wide")["model"] == str(second)
        assert api.get("teach")["models"] == names
        assert "no source is heard with it" in api.get("teach?model=none", 400)["error"]
        wrong = api.send("teach", {"name": "hen", "model": "none"}, 400)
        assert "name one of pocket, wide" in wrong["error"]
    names[:] = [str(second), str(first)]
    assert (teacher.path_of(), teacher.path_of(str(first))) == (second, first)
    assert teacher.hears_with_it()


def test_only_who_may_review_teaches(tmp_path):
    make_history(tmp_path)
    context = make_context(tmp_path, password=PASSWORD)
    context = replace(context, models=lambda: [ModelOptions("pocket")])
    with WebServer(context) as server:
        stranger = Browser(server)
        for path, fields in [
            ("/teach", {"name": "hen"}),
            ("/unknown", {"name": "hen", "events": "1"}),
        ]:
            assert stranger.post(path, **fields).status == 401
            assert stranger.ask(path).status == 303  # to the login
        browser = Browser(server)
        assert browser.log_in().status == 303
        assert browser.post("/teach", token="wrong", name="hen").status == 403
        assert browser.post("/unknown", token="wrong", name="x", events="1").status == 403
    assert context.teacher.task is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/teach?name=fox", "1 example"),
        ("/teach?name=hen", 'correct the label that they had: <a href="./teach?name=dog">'),
        ("/teach?name=gnu", "nobody has said of an event that it was gnu"),
        ("/teach?name=dog", "What was called wrong is learned"),
        ("/teach?name=goose", "none of its events has a sound to play any more"),
        ("/teach", "Labels that were wrong"),
    ],
)
def test_the_page_tells_what_it_would_learn_from(tmp_path, path, said):
    say(make_history(tmp_path), {2: "hen", 3: "fox", 5: "goose"})
    context = replace(make_context(tmp_path), models=lambda: [ModelOptions("pocket")])
    with WebServer(context) as server:
        assert said in Browser(server).ask(path).text


def test_a_page_without_models_says_why_it_cannot_teach(tmp_path, tone_model):
    make_history(tmp_path)
    context = make_context(tmp_path)
    with WebServer(context) as server:
        browser = Browser(server)
        assert "This page cannot teach" in browser.ask("/teach").text
        assert "This page cannot teach" in browser.ask("/teach?name=hen").text
        assert browser.post("/teach", name="hen").status == 303
        assert context.teacher.task is None
        assert browser.post("/teach", name=" ").status == 400
        assert browser.ask(f"/teach?name={'x' * 200}").status == 400
    with pytest.raises(UsageError, match="names no features"):
        Teacher(context.store, lambda: [ModelOptions(name=str(tone_model))]).find_base()


def test_one_sound_is_learned_at_a_time_and_failures_are_told(tmp_path, monkeypatch):
    make_history(tmp_path)
    context = replace(make_context(tmp_path), models=lambda: [ModelOptions("pocket")])
    teacher, go = context.teacher, threading.Event()

    def learn(order):
        assert go.wait(PATIENCE_S)
        raise UsageError("an example is silent")

    monkeypatch.setattr(teacher, "_learn", learn)
    with WebServer(context) as server:
        browser = Browser(server)
        browser.post("/teach", name="hen")
        page = browser.ask("/teach?name=hen").text
        assert "It is being learned" in page
        assert 'http-equiv="refresh"' in page
        assert not teacher.begin(Order("gnu", 3.0))
        assert "hen is being learned: one sound at a time." in browser.ask("/teach?name=gnu").text
        go.set()
        assert wait(teacher) == "an example is silent"
        page = browser.ask("/teach?name=hen").text
        assert "It was not learned. An example is silent." in page
        assert "refresh" not in page
        monkeypatch.setattr(teacher, "_learn", lambda order: 1 // 0)
        assert teacher.begin(Order("hen", 3.0))
        assert "mistake in streamclf" in wait(teacher)


def test_a_taught_model_of_another_model_is_left_alone(tmp_path):
    make_history(tmp_path)
    names = ["pocket"]
    teacher = Teacher(
        tmp_path / "store.db", lambda: [ModelOptions(name=str(each)) for each in names]
    )
    pocket = Model("pocket")
    teacher.path.write_bytes(pocket.path.read_bytes())
    base, card = teacher.find_base()
    assert (base.name, card.labels) == (str(teacher.path), pocket.card.labels)
    assert not teacher.hears_with_it()
    names[:] = [teacher.path]
    assert teacher.hears_with_it()
    names[:] = ["wide"]
    with pytest.raises(UsageError, match="was taught from another model"):
        teacher.find_base()


@pytest.fixture
def unknowns(tmp_path, monkeypatch):
    """Five mornings with a sound at six, two with another, and one that nothing is like."""
    for module in (asking, teach, unknown):
        monkeypatch.setattr(module, "now", lambda: NOW)
    runs = []
    for day in range(5):
        begun = TODAY - timedelta(days=day) + timedelta(seconds=SIX_S)
        kinds = ["gate", "horn"][: 2 if day < 2 else 1] + (["bang"] if day == 4 else [])
        sounds = [(kind, 100.0 * n + 100, 100.0 * n + 103) for n, kind in enumerate(kinds)]
        runs.append(Run("yard", begun, 600, [Heard("unknown", s[1], 3) for s in sounds]))
        keep_features(tmp_path / "store.features", "yard", begun, 600, sounds)
    return make_store(tmp_path / "store.db", runs)


def test_unknown_sounds_are_grouped_and_a_name_counts_for_the_group(tmp_path, unknowns):
    with WebServer(make_context(tmp_path)) as server:
        browser, api = Browser(server), _Api(server)
        told = api.get("unknown")
        assert [len(each["events"]) for each in told["groups"]] == [5, 2]
        assert told["groups"][0]["usual_hour"] == 6
        assert (told["alone"], told["unkept"]) == (1, 0)
        assert len(api.get("unknown?limit=1")["groups"]) == 1
        api.get("unknown?limit=0", 400)
        page = browser.ask("/unknown").text
        assert "Heard 5 times, mostly around 06:00" in page
        events = re.search(r'name="events" value="([\d,]+)"', page)[1]
        answer = browser.post("/unknown", name="the gate", events=events)
        assert answer.headers["Location"] == "./teach?name=the+gate&done=named-5"
        assert "5 events named." in browser.ask("/teach?name=the+gate&done=named-5").text
        assert [len(each["events"]) for each in api.get("unknown")["groups"]] == [2]
        said = api.get("events?reviewed=wrong")["events"]
        assert {each["said"] for each in said} == {"the gate"}
        assert len(said) == 5


def test_what_is_no_group_is_refused(tmp_path, unknowns):
    with WebServer(make_context(tmp_path)) as server:
        browser = Browser(server)
        for fields in [
            {"name": "gate", "events": "1,x"},
            {"name": "gate", "events": ""},
            {"name": " ", "events": "1"},
            {"name": "Unknown", "events": "1"},
            {"name": "gate", "events": ",".join(map(str, range(1, 5000)))},
        ]:
            assert browser.post("/unknown", **fields).status == 400
        assert json.loads(browser.ask("/api/events?reviewed=wrong").text)["events"] == []
