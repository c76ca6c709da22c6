"""`streamclf attach`: a running `serve` in the terminal, over its page."""

import asyncio
import contextlib
import os
import pty
import re
import signal
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import prepared
import pytest
import soundfile
import toys
from dashboards import drive, messages_of, text_of
from live_runs import PATIENCE_S, Process
from lives import Feed
from pages import PASSWORD, make_context
from stores import Heard, Run, make_store
from test_dashboard_sound import Shop
from test_web_runs import free_port

from streamclf.core.errors import SinkError, UsageError
from streamclf.dashboard.attached.app import AttachedDashboard, describe_health, describe_state
from streamclf.dashboard.attached.client import PageClient, PageError, PasswordError, Stop
from streamclf.dashboard.attached.days import RemoteDays
from streamclf.dashboard.attached.server_sent import ServerSent, read_events
from streamclf.dashboard.attached.state import RemoteSource, RemoteState
from streamclf.dashboard.history import Entry
from streamclf.dashboard.past.days import PastDays
from streamclf.dashboard.widgets.current_labels import CurrentLabels
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.past_events import PastEventList
from streamclf.store.database import connect, connect_to_read, transaction
from streamclf.web.hub import LiveHub
from streamclf.web.keys import set_password
from streamclf.web.server import WebServer


@pytest.fixture
def hub():
    return LiveHub()


@pytest.fixture
def serve(tmp_path, hub):
    """Start servers of the hub, and end those that a failed test leaves."""
    with contextlib.ExitStack() as stack:

        def start(port=0, **options):
            context = make_context(tmp_path, **options)
            health = {"version": "8", "uptime_s": 3661.0, "cpu_percent": 3.4, "sources": []}
            placed = replace(context.options, port=port)
            context = replace(context, hub=hub, health=lambda: health, options=placed)
            server = stack.enter_context(WebServer(context))
            return server, f"http://127.0.0.1:{server.port}/"

        yield start


def attached(app, script, size=(100, 30)):
    """Run the app, and end its thread."""

    async def guarded(pilot):
        try:
            await script(pilot)
        finally:
            app.stop()

    app.listener = app  # which `drive` stops
    drive(app, guarded, size)


async def until(pilot, whether):
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not whether():
        assert asyncio.get_running_loop().time() < deadline, text_of(pilot.app)
        await pilot.pause(0.05)


def test_events_are_read_line_by_line():
    stream = (
        b"retry: 2000\n\n"
        b"event: pictures\ndata: {}\n\n"
        b"id: a-1\nevent: began\ndata: one\ndata: two\n\n"
        b": a comment\n\n"
        b"event: frames\r\ndata:three\r\n\r\n"
        b"id: a-2\nevent: ended\ndata: cut o"
    )
    assert list(read_events(stream.splitlines(keepends=True), "a-0")) == [
        ServerSent("pictures", "{}", "a-0"),
        ServerSent("began", "one\ntwo", "a-1"),
        ServerSent("frames", "three", "a-1"),
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:secret@box:8787/", "holds a password"),
        ("ftp://box/", "must be the address of a page"),
        ("http://box:99999/", "must be the address of a page"),
        ("http://box/?a=1", "must be the address of a page"),
        ("", "must be the address of a page"),
    ],
)
def test_an_address_that_is_none_is_refused(url, said):
    with pytest.raises(UsageError, match=said) as caught:
        PageClient(url)
    assert "secret" not in str(caught.value)


def test_an_address_may_leave_out_what_goes_without_saying():
    assert PageClient("box:8787").url == "http://box:8787/"
    assert PageClient("https://sounds.example/ears").url == "https://sounds.example/ears/"


def test_a_page_without_a_password_answers_at_once(serve):
    _, url = serve()
    client = PageClient(url)
    assert not client.needs_password()
    assert client.ask("/api/health")["version"] == "8"


def test_a_password_opens_a_session_and_a_wrong_one_does_not(serve):
    _, url = serve(password=PASSWORD)
    client = PageClient(url)
    assert client.needs_password()
    with pytest.raises(PasswordError, match="attach anew"):
        client.ask("/api/health")
    with pytest.raises(PasswordError, match="not the page's password"):
        client.log_in("a wrong one")
    client.log_in(PASSWORD)
    assert not client.needs_password()
    assert client.ask("/api/health")["version"] == "8"
    first = next(iter(client.stream("", Stop())))
    assert first.kind == "reset"


def test_a_session_that_ended_is_begun_again(serve):
    _, url = serve(password=PASSWORD)
    client = PageClient(url)
    client.log_in(PASSWORD)
    client._cookies.clear()
    assert client.ask("/api/health")["version"] == "8"


def test_a_password_that_was_changed_is_tried_once(serve, tmp_path):
    _, url = serve(password=PASSWORD)
    client = PageClient(url)
    client.log_in(PASSWORD)
    set_password(tmp_path / "page.json", "another password")
    with pytest.raises(PasswordError, match="not the page's password"):
        client.ask("/api/health")
    with pytest.raises(PasswordError, match="attach anew"):
        client.ask("/api/health")


def test_a_page_below_a_path_is_found(serve):
    _, url = serve(base_path="/ears")
    assert PageClient(f"{url}ears").ask("/api/health")["version"] == "8"
    with pytest.raises(PageError):
        PageClient(url).ask("/api/health")


def test_nobody_at_the_address_is_a_line():
    with pytest.raises(PageError, match="nothing answers there"):
        PageClient(f"http://127.0.0.1:{free_port()}/").needs_password()


def test_what_the_hub_tells_is_what_the_widgets_get(hub):
    yard, state = Feed(hub), RemoteState()
    yard.hear(toys.tone(1000, 1))
    yard.begin("low", 0.2)
    frames = hub.frames()
    state.take("reset", hub.snapshot())
    state.take("pictures", hub.pictures())
    state.take("frames", {"now": 5000, "sources": frames})
    name = next(iter(state.sources))
    shown = state.snapshot(name)
    assert [each.number for each in hub._sources[name]._audio.columns()] == [
        round(column.time_s * 10) for column in shown.columns
    ]
    assert shown.level.rms_db == pytest.approx(shown.level.peak_db - 3.01, abs=0.3)
    assert [each.ongoing for each in shown.entries] == [True]
    assert shown.counts == [("low tone", 1)]
    before = [column.time_s for column in shown.columns]
    state.take("pictures", hub.pictures())  # the same again adds nothing
    assert [column.time_s for column in state.snapshot(name).columns] == before


def test_stored_events_come_before_those_that_were_told():
    state = RemoteState()
    state.take("reset", {"now": 0, "sources": [{"source": "yard"}], "ended": [], "troubles": []})
    told = {"source": "yard", "id": "b@r", "name": "b", "onset": 2000, "score": 0.5, "length_s": 1,
            "sureness": "sure"}  # fmt: skip
    state.take("ended", told)
    record = {
        "source": "yard", "event": "b@r", "name": "b", "time": "1970-01-01T00:00:02+00:00",
        "onset": 2.0, "offset": 3.0, "score": 0.5, "state": "ended", "sureness": "so so",
    }  # fmt: skip
    older = {**record, "event": "a@r", "name": "a", "time": "1970-01-01T00:00:01+00:00"}
    state.take_stored([record, older, {**older, "source": "unknown"}, {"source": "yard"}])
    entries: list[Entry] = state.snapshot("yard").entries
    # A word that this version does not know is none.
    assert [(each.label, each.onset_s, each.offset_s, each.sureness) for each in entries] == [
        ("a", 1.0, 2.0, None),
        ("b", 2.0, 3.0, "sure"),
    ]


def test_health_is_told_in_words():
    source = {
        "name": "yard", "model": "tones", "hop_s": 0.5, "lost_s": 2.5, "n_events": 3,
        "overload": "",
    }  # fmt: skip
    health = {"version": "1", "uptime_s": 61, "cpu_percent": 3.4, "sources": [source]}
    assert describe_health(health, "yard") == [
        "2.5 s lost", "tones, hop 0.5 s", "3 events", "serve 1, up 1 min 01 s", "3 % of a core",
    ]  # fmt: skip
    health["targets"] = [
        {"name": "bell", "kind": "exec", "state": "fine", "waiting": 0},
        {"name": "hook", "kind": "webhook", "state": "failing", "waiting": 2},
        {"name": "mqtt", "kind": "mqtt", "state": "failing", "waiting": 1},
    ]
    assert describe_health(health, "yard")[:3] == [
        "hook TAKES NO MESSAGES", "THE BROKER TAKES NO MESSAGES", "2.5 s lost",
    ]  # fmt: skip


def test_a_page_that_goes_and_comes_back_goes_on(serve, hub, tmp_path):
    yard = Feed(hub)
    yard.hear(toys.tone(1000, 1))
    server, url = serve()
    app = AttachedDashboard(PageClient(url))

    async def script(pilot):
        await until(pilot, lambda: f"● {url}" in text_of(app))
        yard.begin("low", 0.2)
        await until(pilot, lambda: len(app.query_one(EventList).shown) == 1)
        server.__exit__(None, None, None)
        await until(pilot, lambda: "NO CONNECTION" in text_of(app))
        assert "nothing answers there; trying again" in text_of(app) or "has ended" in text_of(app)
        yard.end("low", 0.2, 0.8)
        serve(port=server.port)
        await until(pilot, lambda: f"● {url}" in text_of(app))
        await until(pilot, lambda: not app.query_one(EventList).shown[0].ongoing)
        assert len(app.query_one(EventList).shown) == 1

    attached(app, script)


def has_line(app, place, pattern):
    """Whether one of these lines of the screen looks like this."""
    return any(re.search(pattern, line) for line in text_of(app).splitlines()[place])


def test_a_running_serve_in_the_terminal(tmp_path, tone_model, write_wav):
    port = free_port()
    sound = write_wav(toys.tone(1000, 20))
    (tmp_path / "box.toml").write_text(
        f"model = '{tone_model}'\n"
        f"[[sources]]\nname = 'yard'\nurl = 'sim:{sound}'\nloop = true\n"
        f"[[sources]]\nname = 'gate'\nurl = 'sim:{sound}'\nloop = true\n"
    )
    run = Process(
        "serve", "--config", tmp_path / "box.toml", "--store", tmp_path / "box.db", "--port", port
    )
    app = AttachedDashboard(PageClient(f"http://127.0.0.1:{port}/"))

    async def script(pilot):
        now = app.query_one(CurrentLabels)
        await until(pilot, lambda: "▲ middle" in text_of(app).replace("›", ""))
        await until(pilot, lambda: "nothing lost" in text_of(app))
        await until(pilot, lambda: app.query_one(EventList).shown)
        await until(pilot, lambda: "middle" in now.shown)
        # What is drawn by itself is awaited by itself.
        for place, pattern in [
            (slice(1), rf"● http://127.0.0.1:{port}/ │ ▸yard -?\d+ dB │ gate -?\d+ dB"),
            (slice(None), "level.*dBFS|dBFS.*level"),
            (slice(None), "▀"),
            (slice(-2, -1), r"nothing lost │ tones\S*, hop \S+ s │ \d+ events? │ serve "),
            (slice(-1, None), "n Next source"),
        ]:
            await until(pilot, partial(has_line, app, place, pattern))
        await pilot.press("n")
        await until(pilot, lambda: "▸gate" in text_of(app))

    try:
        run.until("the page is at")
        run.until("gate: listening")
        attached(app, script)
        assert run.end(signal.SIGTERM) == 130
    finally:
        run.close()


def test_attach_needs_a_terminal_and_an_address():
    run = Process("attach", "http://127.0.0.1:1/")
    assert run.wait() == 2
    assert "attach needs a terminal" in run.said[-1]
    run.close()


def test_the_password_is_asked_on_the_terminal_or_read_from_the_environment(serve):
    _, url = serve(password=PASSWORD)
    for env, typed in [({}, b"a wrong one\n"), ({"STREAMCLF_PASSWORD": "a wrong one"}, b"")]:
        ours, theirs = pty.openpty()
        run = None
        try:
            run = prepared.begin(
                "attach", url,
                stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                env={**os.environ, "TERM": "xterm", **env},
            )  # fmt: skip
            os.close(theirs)
            said = b""
            while b"not the page's password" not in said:
                said += os.read(ours, 4096)
                if typed and b"Password of" in said:
                    os.write(ours, typed)
                    typed = b""
            assert run.wait(PATIENCE_S) == 1
            assert (b"Password of" in said) == (not env)
        finally:
            if run is not None:
                run.kill()
                run.wait()
            os.close(ours)


# The days of its store.


@pytest.fixture
def history(tmp_path):
    """Yesterday with three events, of which the first has a clip; five days ago one."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    store = make_store(
        tmp_path / "store.db",
        [
            Run("yard", yesterday - timedelta(days=4), 3600.0, [Heard("rain", 60.0)],
                display_names={"crackling_fire": "Fire, crackling"}),
            Run("yard", yesterday, 7200.0, [
                Heard("dog", 60.0, 2.5, 0.81), Heard("dog", 3700.0, 3.0, 0.62),
                Heard("crackling_fire", 4000.0, None, 0.9, state="cut"),
            ]),
            Run("yard", today, 60.0),
        ],
    )  # fmt: skip
    soundfile.write(tmp_path / "dog.flac", toys.tone(700, 0.3), toys.RATE)
    connection = connect(store)
    with transaction(connection):
        connection.execute(
            "INSERT INTO clips (event_id, folder, path, bytes, written_us) "
            "SELECT id, ?, 'dog.flac', 1, 1 FROM events WHERE label = 'dog' ORDER BY id LIMIT 1",
            (str(tmp_path),),
        )
    connection.close()
    return store, yesterday.date()


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_days_over_the_page_are_those_of_the_store(serve, history, password):
    """Each answer is what the store itself would say."""
    store, day = history
    _, url = serve(password=password)
    client = PageClient(url)
    if password:
        client.log_in(password)
    far, near = RemoteDays(client), PastDays(store)
    for asked in (None, day, day - timedelta(days=1), day - timedelta(days=4)):
        here, there = near.day(asked), far.day(asked)
        assert (there.day, there.today, there.before) == (here.day, here.today, here.before)
        for field in ("begins", "step_h", "labels", "n_events", "totals"):
            assert getattr(there.table, field) == getattr(here.table, field), field
        assert there.table.heard_h == pytest.approx(here.table.heard_h, abs=1e-3)
        assert all(there.name(label) == here.name(label) for label in here.table.labels)
    for hour, label in [(None, None), (0, None), (1, "dog"), (5, None)]:
        here, there = (each.events(day, hour, label).entries for each in (near, far))
        for one, other in zip(here, there, strict=True):
            for field in ("row", "source", "label", "time", "highest_score", "state", "verdict"):
                assert getattr(other.event, field) == getattr(one.event, field), field
            for field in ("onset_s", "offset_s"):
                assert getattr(other.event, field) == getattr(one.event, field)
            assert (other.clip is None) == (one.clip is None)
    newest, *_, oldest = far.events(day, None, None).entries
    np.testing.assert_allclose(far.load_audio(oldest)[0], near.load_audio(oldest)[0], atol=1e-6)
    with pytest.raises(SinkError, match="no clip was saved"):
        far.load_audio(newest)
    assert far.review(oldest.event.row, "right").event.verdict == "right"
    changed = far.review(oldest.event.row, "wrong", "fire, CRACKLING")
    assert (changed.event.verdict, changed.said_label) == ("wrong", "Fire, crackling")
    (said,) = [each for each in near.events(day, None, None).entries if each.said_label]
    assert said.said_label == "crackling_fire"
    assert far.review(oldest.event.row, None).event.verdict is None
    with pytest.raises(PageError, match="has no event 999"):
        far.review(999, "right")


def test_attach_shows_days_plays_clips_and_writes_reviews(serve, history):
    store, day = history
    _, url = serve()
    shop = Shop()
    app = AttachedDashboard(PageClient(url), open_loudspeaker=shop)

    async def script(pilot):
        await pilot.press("y")
        await until(pilot, lambda: getattr(app.screen, "shown", None))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: app.screen.shown.day == day)
        await until(pilot, lambda: len(app.screen.query_one(PastEventList).entries) == 3)
        await until(pilot, lambda: "Fire, crackling" in text_of(app))
        await pilot.press("tab", "down", "down", "enter")
        await until(pilot, lambda: shop.sound.size >= 0.3 * toys.RATE)
        await pilot.press("y")
        await until(pilot, lambda: "✓ right" in text_of(app))
        await pilot.press("up", "w", *"hen", "enter")
        await until(pilot, lambda: "(it was hen)" in text_of(app))
        await pilot.press("up", "enter")
        await until(pilot, lambda: len(messages_of(app)) == 2)
        assert messages_of(app) == [
            "x teaches hen, from all events that were it",
            "crackling_fire: no clip was saved: --clips FOLDER saves them",
        ]
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)

    attached(app, script, (120, 40))
    connection = connect_to_read(store)
    said = connection.execute("SELECT verdict, label FROM reviews ORDER BY id").fetchall()
    connection.close()
    assert said == [("right", None), ("wrong", "hen")]


def test_a_page_that_is_not_understood_is_a_line(serve, history, monkeypatch):
    _, url = serve()
    client = PageClient(url)
    monkeypatch.setattr(client, "ask", lambda path: {"last": "2026-11-26"})
    for question in (lambda far: far.day(None), lambda far: far.events(date.today(), None, None)):
        with pytest.raises(PageError, match="is serve of another version"):
            question(RemoteDays(client))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"state": "heard", "level": -20.4, "calibration_db": 94.0}, "74 dB SPL"),
        ({"state": "heard", "level": -20.4, "calibration_db": None}, "-20 dB"),
        ({"state": "heard", "level": -20.4}, "-20 dB"),  # a page of an earlier version
        ({"state": "heard", "level": None, "calibration_db": 94.0}, ""),
        ({"state": "lost", "level": None, "calibration_db": 94.0}, "NO AUDIO"),
        ({"state": "silent", "level": -96.0}, "NO SIGNAL"),
    ],
)
def test_a_calibrated_source_tells_sound_pressure(frame, said):
    assert describe_state(RemoteSource("yard", frame)) == said
