"""The JSON API of the store: what it answers is what its description says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from histories import NOW, make_history
from pages import Browser, make_context

from streamclf.web import asking
from streamclf.web.app import build_app
from streamclf.web.description import OPERATIONS, openapi
from streamclf.web.server import WebServer

DESCRIBED = json.loads(
    (Path(__file__).parents[1] / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8")
)


@pytest.fixture(autouse=True)
def _present(monkeypatch):
    monkeypatch.setattr(asking, "now", lambda: NOW)


@pytest.fixture
def api(tmp_path):
    make_history(tmp_path)
    with WebServer(make_context(tmp_path)) as server:
        yield _Api(server)


class _Api(Browser):
    def get(self, path: str, status: int = 200) -> Any:
        """An answer, held against the description."""
        answer = self.ask(f"/api/{path}", Accept="application/json")
        return self._check(answer, "get", f"/api/{path.partition('?')[0]}", status)

    def send(self, path: str, body: Any = None, status: int = 200) -> Any:
        """Order something."""
        token = json.loads(self.ask("/api/session").text)["csrf"]
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.ask(
            f"/api/{path}", "POST", sent, Content_Type="application/json", X_CSRF_Token=token,
            Accept="application/json", Origin=f"http://{self.host}",
        )  # fmt: skip
        return self._check(answer, "post", f"/api/{path}", status)

    def _check(self, answer, method: str, path: str, status: int) -> Any:
        assert answer.status == status, answer.text
        assert answer.headers["Content-Type"].startswith("application/json")
        value = json.loads(answer.text)
        described = DESCRIBED["paths"][re.sub(r"/\d+", "/{id}", path)][method]["responses"]
        response = described[str(status)]
        if "$ref" in response:
            response = DESCRIBED["components"]["responses"]["Error"]
        schema = response["content"]["application/json"]["schema"]
        strict = json.loads(json.dumps(DESCRIBED["components"]))
        for each in strict["schemas"].values():
            each["additionalProperties"] = False  # so that no field is left out of the description
        jsonschema.validate(value, {**schema, "components": strict})
        return value


def test_each_operation_is_there_and_each_one_that_is_there_is_described(tmp_path):
    make_history(tmp_path)
    app = build_app(make_context(tmp_path))
    there = {
        (route.method, re.sub(r"{id:[^}]*}", "{id}", route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    programs = {each for each in there if each[1].startswith(("/api/", "/media/"))}
    assert programs == {(each.method, each.path) for each in OPERATIONS}
    assert json.loads(json.dumps(openapi())) == DESCRIBED


def test_the_description_is_valid_json_schema():
    for schema in DESCRIBED["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
        for name, field in schema["properties"].items():
            described = "description" in field or "$ref" in field or field.get("type") == "array"
            assert described, name
    ids = [each["operationId"] for path in DESCRIBED["paths"].values() for each in path.values()]
    assert len(set(ids)) == len(ids)


def test_events_are_listed_page_by_page(api):
    seen, answer = [], api.get("events?limit=2")
    assert "newer" not in answer
    while True:
        seen += [event["id"] for event in answer["events"]]
        if "older" not in answer:
            break
        answer = api.get(f"events?limit=2&older={answer['older']}")
    assert seen == [4, 3, 2, 1, 5, 6]
    assert [e["id"] for e in api.get(f"events?limit=2&newer={answer['newer']}")["events"]] == [2, 1]


def test_an_event_tells_all_that_is_known_of_it(api):
    assert api.get("events/3")["event"] == {
        "id": 3,
        "event": api.get("events/3")["event"]["event"],
        "label": "cat",
        "name": "house cat",
        "source": "yard",
        "model": "pocket 8",
        "time": "2026-11-26T07:30:10.000+01:00",
        "onset": 27010.0,
        "offset": 27013.0,
        "score": 0.5,
        "state": "ended",
        "verdict": "wrong",
        "said": "hen",
        "said_name": "hen",
        "clip": {
            "id": 3, "there": True, "bytes": api.get("clips/3")["clip"]["bytes"], "kept": False,
            "url": "media/clips/3",
        },
    }  # fmt: skip
    owl = api.get("events/6")["event"]
    assert owl["recording"] == "/recordings/site/night.wav"
    assert "time" not in owl
    assert api.get("events/5")["event"]["clip"]["gone"] == "limit"
    assert "offset" not in api.get("events/4")["event"]


def test_the_address_of_a_clip_leads_to_its_audio(api):
    clip = api.get("clips/1")["clip"]
    answer = api.ask(f"/{clip['url']}")
    assert answer.headers["Content-Type"] == "audio/flac"
    assert len(answer.body) == clip["bytes"]


@pytest.mark.parametrize("path", ["events/99", "events/999999999999999999", "clips/99", "clips/0"])
def test_what_is_not_there_is_told(api, path):
    assert "The store has no" in api.get(path, 404)["error"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("events?limit=0", "Limit 0: must be from 1 to 500."),
        ("events?limit=1e3", "Limit 1e3: must be"),
        ("events?label=doog", "did you mean dog?"),
        ("events?source=attic", "Source attic: the store has no source of this name."),
        ("events?older=x", "Position x: must be two numbers"),
        ("days?from=2020-01-01&to=2026-01-01", "must be from 1 to 366 days"),
        ("levels?date=now", "must be a day"),
    ],
)
def test_questions_that_make_no_sense_are_told(api, path, said):
    assert said in api.get(path, 400)["error"]


def test_a_review_is_written_and_taken_back(api):
    event = api.send("events/2/review", {"verdict": "wrong", "label": "owl"})["event"]
    assert (event["verdict"], event["said"]) == ("wrong", "owl")
    event = api.send("events/2/review", {"verdict": "right"})["event"]
    assert event["verdict"] == "right"
    assert "said" not in event
    assert "verdict" not in api.send("events/2/review", {"verdict": None})["event"]
    assert "no event 99" in api.send("events/99/review", {"verdict": "right"}, 404)["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"verdict": "maybe"}', b"{}", b'{"verdict": "right", "x": 1}',
     b'{"verdict": "right", "label": "owl"}', b"[" * 100_000],
)  # fmt: skip
def test_orders_that_make_no_sense_are_told(api, body):
    assert api.send("events/2/review", body, 400)["error"]
    assert "verdict" not in api.get("events/2")["event"]


def test_a_clip_is_kept_and_deleted(api):
    assert api.send("events/1/keep", {"kept": True})["event"]["clip"]["kept"]
    assert api.send("events/1/delete")["result"] == "kept"
    assert not api.send("events/1/keep", {"kept": False})["event"]["clip"]["kept"]
    answer = api.send("events/1/delete")
    assert answer["result"] == "gone"
    assert answer["event"]["clip"]["gone"] == "deleted"
    assert api.send("events/1/delete")["result"] == "none"
    assert "has no clip" in api.send("events/1/keep", {"kept": True}, 404)["error"]
    assert "no event 99" in api.send("events/99/delete", None, 404)["error"]


def test_days_levels_and_labels(api):
    days = api.get("days")
    assert (days["first"], days["step_hours"], len(days["times"])) == ("2026-11-26", 1, 24)
    assert {each["label"]: sum(each["events"]) for each in days["labels"]} == {
        "dog": 2, "cat": 1, "crackling_fire": 1,
    }  # fmt: skip
    assert days["gaps"] == [
        {"source": "yard", "cause": "device lost", "time": "2026-11-26T03:00:00", "seconds": 240.0}
    ]
    week = api.get("days?from=2026-11-20&to=2026-11-26")
    assert [sum(each["events"]) for each in week["labels"]] == [3, 1, 1]
    assert week["hours_heard"][:5] == [0, 0, 0, 0, 24]
    levels = api.get("levels?date=2026-11-25")["levels"]
    assert levels[7] == {
        "source": "yard", "time": "2026-11-25T07:00", "laeq": 55.0, "la10": 60.0, "la90": 50.0,
        "lamax": 70.0, "hours_heard": 1.0,
    }  # fmt: skip
    labels = api.get("labels")
    assert labels["first"] == "2026-10-28"
    assert [(each["label"], each["events"]) for each in labels["labels"]] == [
        ("dog", 3), ("cat", 1), ("crackling_fire", 1),
    ]  # fmt: skip
    assert labels["labels"][0]["last"] == "2026-11-26T07:30:00+01:00"
