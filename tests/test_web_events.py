"""The stream of what sounds now, over a real server: whole, gap-free, and bounded for the slow."""

import asyncio
import contextlib
import http.client
import json
import socket
import time
from dataclasses import replace

import aiohttp
import pytest
import toys
from live_runs import PATIENCE_S
from lives import Feed, events, make_health, make_target, until
from pages import make_context

from streamclf.runs.health import LiveState
from streamclf.web import live
from streamclf.web.connections import Connections
from streamclf.web.health_texts import verdict
from streamclf.web.hub import KEPT_MESSAGES, LiveHub, server_sent
from streamclf.web.live_source import LONGEST_NOTICE
from streamclf.web.server import WebServer


@pytest.fixture
def hub():
    return LiveHub()


@pytest.fixture
def yard(hub):
    return Feed(hub)


@pytest.fixture
def fare():
    """How the process fares, which a test may change."""
    return make_health()


@pytest.fixture
def serve(tmp_path, hub, fare):
    """Start servers of the hub, and end those that a failed test leaves."""
    with contextlib.ExitStack() as stack:

        def start(connections=None, of=hub, **options):
            context = replace(make_context(tmp_path, **options), hub=of, health=lambda: fare)
            return stack.enter_context(WebServer(context, connections))

        yield start


@contextlib.asynccontextmanager
async def looking(server, query="", **headers):
    """Look on: the events of a stream."""
    async with aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{server.port}/api/live{query}"
        async with asyncio.timeout(PATIENCE_S), session.get(address, headers=headers) as response:
            assert response.status == 200
            yield events(response)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE_S))


def test_whoever_comes_first_gets_everything_as_it_is(serve, hub, yard):
    yard.hear(toys.tone(1000, 1))
    yard.begin("low", 0.2)

    async def look():
        async with looking(serve()) as told:
            reset = await anext(told)
            pictures = await anext(told)
            frames = await until(told, "frames")
            return reset, pictures, frames

    reset, pictures, frames = run(look())
    assert (reset.kind, reset.id) == ("reset", hub.newest_id)
    assert [event["label"] for event in reset.data["sources"][0]["open"]] == ["low"]
    assert (pictures.kind, pictures.id) == ("pictures", "")
    assert pictures.data["yard"]["runs"] == [[0, 10]]
    assert frames.id == ""
    assert frames.data["sources"][0]["source"] == "yard"


@pytest.mark.parametrize("way", ["header", "address", "both"])
def test_who_comes_back_gets_what_it_missed_and_nothing_twice(serve, hub, yard, way):
    server = serve()

    async def look():
        async with looking(server) as told:
            first = (await until(told, "reset")).id
            yard.begin("low", 1.0)
            seen = (await until(told, "began")).id
        yard.end("low", 1.0)
        yard.note("meanwhile")
        query = {"header": "", "address": f"?after={seen}", "both": f"?after={first}"}[way]
        headers = {} if way == "address" else {"Last-Event-ID": seen}
        async with looking(server, query, **headers) as told:
            numbered = []
            while len(numbered) < 3:
                event = await anext(told)
                numbered += [event.kind] if event.id else []
                if event.kind == "notice":
                    yard.note("one more")
        return numbered

    assert run(look()) == ["ended", "notice", "notice"]


def test_after_a_start_of_the_server_there_is_a_whole_picture_first(serve, yard):
    server = serve()

    async def look():
        async with looking(server, **{"Last-Event-ID": "0123abcd-17"}) as told:
            return await anext(told)

    assert run(look()).kind == "reset"


def test_everything_has_an_id_in_its_order_for_each_of_many_viewers(serve, hub, yard):
    server = serve()

    async def look():
        seen = []
        async with looking(server) as told:
            await until(told, "reset")
            ready.release()
            while len(seen) < 100:
                event = await anext(told)
                if event.id:
                    seen.append((event.id, event.kind))
        return seen

    async def look_all():
        nonlocal ready
        ready = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(look()) for _ in range(20)]
        for _ in tasks:
            await ready.acquire()
        for number in range(50):
            await asyncio.to_thread(yard.begin, "low", number)
            await asyncio.to_thread(yard.end, "low", number)
        return await asyncio.gather(*tasks)

    ready = None
    seen = run(look_all())
    run_id = hub.newest_id.partition("-")[0]
    expected = [(f"{run_id}-{2 + number}", ("began", "ended")[number % 2]) for number in range(100)]
    assert all(each == expected for each in seen)


def test_levels_come_only_when_they_have_changed(serve, yard, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.3)
    server = serve()

    async def look():
        async with looking(server) as told:
            await until(told, "frames")
            kinds = [(await anext(told)).kind for _ in range(3)]
            yard.score(0.0, 1.0, 0.0, 0.0)
            yard.hear(toys.tone(1000, 1))
            frames = await until(told, "frames")
        return kinds, frames.data["sources"][0]["runs"]

    kinds, runs = run(look())
    assert kinds == ["alive"] * 3
    assert runs == [[0, 10]]


def test_nothing_beats_without_viewers(serve, hub, yard, monkeypatch):
    """The hub is asked while somebody looks, and never afterwards."""
    asked = []
    frames = hub.frames
    monkeypatch.setattr(hub, "frames", lambda: asked.append(1) or frames())
    server = serve()

    async def look():
        async with looking(server) as told:
            await until(told, "frames")
        async with aiohttp.ClientSession() as session:
            n_before = -1
            while n_before != len(asked):  # it takes a moment until the server knows
                n_before = len(asked)
                yard.hear(toys.tone(1000, 1))
                await asyncio.sleep(3 / live.FRAMES_PER_S)
                async with session.get(f"http://127.0.0.1:{server.port}/api/health") as answer:
                    assert answer.status == 200

    run(look())
    assert asked


def test_a_slow_viewer_holds_up_nobody_and_fills_no_memory(serve, hub, yard, monkeypatch):
    """One that reads nothing for a long time gets the whole picture in place of what it missed."""
    monkeypatch.setattr(live, "FRAMES_PER_S", 50)
    monkeypatch.setattr(live, "STUCK_S", PATIENCE_S)  # it is slow, not stuck
    server = serve()
    n_notes = 20 * KEPT_MESSAGES
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())

    async def look():
        async with looking(server) as told:
            await until(told, "reset")
            for number in range(n_notes):
                yard.note(f"{number} {'x' * LONGEST_NOTICE}")
                if number % (KEPT_MESSAGES // 2) == 0:
                    # The quick viewer reads all that there is before more comes.
                    while (await until(told, "notice")).data["message"].split()[0] != str(number):
                        pass

    run(look())
    received = b""
    slow.settimeout(PATIENCE_S)
    while hub.newest_id.encode() not in received:
        more = slow.recv(1 << 20)
        assert more, "the server let the viewer go"
        received += more
    slow.close()
    assert received.count(b"event: reset") >= 2
    assert received.count(b"event: notice") < n_notes / 2


def test_a_viewer_who_reads_nothing_any_more_is_let_go(serve, hub, yard, monkeypatch):
    monkeypatch.setattr(live, "STUCK_S", 0.3)
    monkeypatch.setattr(live, "FRAMES_PER_S", 50)
    monkeypatch.setattr(live, "MOST_VIEWERS", 1)
    server = serve()
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", server.port))
    stuck.sendall(f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    stuck.recv(100)

    async def look():
        async with aiohttp.ClientSession() as session:
            address = f"http://127.0.0.1:{server.port}/api/live"
            async with session.get(address) as refused:
                assert refused.status == 503
                assert "1 viewers look on already" in await refused.text()
            while True:
                for number in range(KEPT_MESSAGES // 2):
                    yard.note(f"{number} {'x' * LONGEST_NOTICE}")
                await asyncio.sleep(2 / live.FRAMES_PER_S)
                async with session.get(address) as answer:
                    if answer.status == 200:
                        return

    run(look())
    stuck.close()


def test_streams_outlast_the_time_that_idle_connections_have(serve, yard):
    server = serve(Connections(first_request_s=0.2, idle_s=0.2))

    async def look():
        async with looking(server) as told:
            until_s = time.monotonic() + 1.0
            while time.monotonic() < until_s:
                yard.hear(toys.tone(1000, 0.1))
                await until(told, "frames")

    run(look())


def test_streams_end_with_the_server(serve, yard):
    server = serve()

    async def look():
        async with looking(server) as told:
            await until(told, "reset")
            await asyncio.to_thread(server.__exit__, None, None, None)
            with contextlib.suppress(aiohttp.ClientError):
                async for _ in told:
                    pass

    run(look())


def test_under_a_base_path_all_is_there_as_well(serve, yard):
    server = serve(base_path="/sounds")

    async def look():
        async with aiohttp.ClientSession() as session:
            base = f"http://127.0.0.1:{server.port}/sounds"
            async with session.get(f"{base}/api/live") as answer:
                assert (await anext(events(answer))).kind == "reset"
            for path in ("/", "/health"):
                async with session.get(f"{base}{path}") as answer:
                    assert 'data-live="./api/live"' in await answer.text()

    run(look())


async def get(server, path):
    address = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 200
        return await answer.text()


def test_sources_and_health_are_there_as_json(serve, hub, yard, fare):
    yard.hear(toys.tone(1000, 1))
    yard.begin("low", 0.2)
    server = serve()
    sources = json.loads(run(get(server, "/api/sources")))
    assert [source["source"] for source in sources["sources"]] == ["yard"]
    assert sources["sources"][0]["open"][0]["label"] == "low"
    assert json.loads(run(get(server, "/api/health"))) == fare


def test_the_first_page_is_whole_without_script(serve, hub):
    yard = Feed(hub, sureness={"low": [0.5, 0.7], "middle": [0.95]})
    yard.hear(toys.tone(1000, 1))
    yard.score(0.0, 0.7, 0.1, 0.0)
    yard.begin("low", 0.2)
    yard.end("middle", 0.2, length_s=3.5)
    yard.lose(0.5, "source lost")
    yard.note("<b>bold</b>")
    yard.hear(toys.tone(1000, 1, level=0.1))
    Feed(hub, "hall")
    hub.state_of = lambda name: LiveState("lost" if name == "hall" else "heard", 0.5, "")
    text = " ".join(run(get(serve(), "/")).split())
    for part in (
        "<strong>low tone</strong>", "<h2>yard</h2>", "<h2>hall</h2>", "listening",
        "lost, tried again and again", "Never heard yet.", "−20 dB<", "maybe · 3.5 s · yard",
        '<span class="quiet">likely · ', '<span class="much">likely</span>', "How sure is that?",
        "0.50 s lost: the microphone or stream was away", "&lt;b&gt;bold&lt;/b&gt;",
        "allow scripts and it moves by itself",
    ):  # fmt: skip
        assert part in text, part
    assert "<b>" not in text


def test_a_calibrated_source_tells_sound_pressure(serve, hub, yard):
    yard.hear(toys.tone(1000, 1, level=0.1))
    hub.state_of = lambda name: LiveState("heard", 0.5, "", 94.0)
    assert ">74 dB SPL<" in run(get(serve(), "/"))
    (source,) = json.loads(run(get(serve(), "/api/sources")))["sources"]
    assert (source["level"], source["calibration_db"]) == (-20.0, 94.0)


def test_a_page_of_nothing_says_so(serve):
    text = run(get(serve(of=None), "/"))
    assert "Nothing is listened to." in text


def test_health_is_told_in_words(serve, fare):
    text = " ".join(run(get(serve(), "/health")).split())
    for part in (
        "The source is heard, and 2.5 s of sound were lost since the start.", "1 h 01 min",
        "35.0 GB", "2.3 MB", "3.4 % of a core", "1,234", "tones 1",
        "every 0.5 s, busy for 1.2 % of the time", "1.1 s a day fast (12 ppm)",
        "2.5 s in 3 gaps: the computer did not take the sound in time (2.0 s), the microphone or "
        "stream was away (0.50 s)",
    ):  # fmt: skip
        assert part in text, part
    assert 'class="trouble"' not in text


def test_troubles_are_told_first(serve, fare):
    fare["sources"][0] |= {
        "state": "lost", "overload": "a second takes 2 s", "hop_s": 1.0, "n_unwritten": 2,
    }  # fmt: skip
    fare["store"]["disk_free_bytes"] = 100_000_000
    server = serve()
    text = run(get(server, "/health"))
    for part in (
        "The source is not heard, and 2.5 s of sound were lost since the start so far.",
        "yard is lost: nothing is heard of it.",
        "The computer is too slow for yard: it looks every 1 s instead of every 0.5 s.",
        "2 results of yard could not be written.", "The disk is nearly full: 100 MB are left.",
    ):  # fmt: skip
        assert part in text, part
    now = run(get(server, "/"))
    assert "The disk is nearly full" in now
    assert "yard is lost" not in now  # its own panel says so


def test_troubles_come_to_who_looks_and_go_again(serve, fare, monkeypatch):
    monkeypatch.setattr(live, "HEALTH_EVERY_S", 0.0)
    server = serve()

    async def look():
        async with looking(server) as told:
            at_first = await until(told, "troubles")
            fare["targets"] = [make_target("hook")]
            failing = await until(told, "troubles")
            fare["targets"] = []
            return at_first, failing, await until(told, "troubles")

    at_first, failing, mended = run(look())
    assert at_first.data == mended.data == {"texts": []}
    (text,) = failing.data["texts"]
    assert text.startswith("hook takes no messages: ")


def test_a_source_that_is_away_has_not_lost_nothing(serve, fare):
    (yard,) = fare["sources"]
    fare["sources"] = [
        yard | {"lost_s": 0.0},
        yard | {"name": "hall", "lost_s": 0.0, "state": "lost"},
    ]
    text = " ".join(run(get(serve(), "/health")).split())
    assert "1 of 2 sources is heard." in text
    assert "nothing was lost" not in text
    lost = yard | {"lost_s": 0.0, "state": "lost"}
    assert verdict({"sources": [lost]}) == "The source is not heard."
    assert verdict({"sources": [lost | {"lost_s": 2.0}, lost]}) == (
        "None of the 2 sources is heard, and 2.0 s of sound were lost since the start so far."
    )
    assert verdict({"sources": [yard, yard, lost]}).startswith("2 of 3 sources are heard")


def test_a_source_without_a_signal_is_a_trouble(serve, fare):
    fare["sources"][0] |= {"state": "silent", "silent_since": "2026-11-26T09:05:00+00:00"}
    text = " ".join(run(get(serve(), "/health")).split())
    for part in (
        "The source is not heard", 'data-state="silent"', ">no signal<", "yard has had no signal "
        "since 26 Nov, 09:05: only digital silence comes from it. Is it muted, or unplugged?",
    ):  # fmt: skip
        assert part in text, part


def test_targets_of_messages_have_a_line_of_their_own(serve, fare):
    hook = {
        **make_target("hook"), "state": "fine", "trouble": "", "waiting": 0, "n_sent": 1234,
        "last_sent": "2026-11-21T10:00:00+01:00",
    }  # fmt: skip
    phone = {**make_target("phone", "apprise"), "where": "ntfy", "n_failed": 3, "n_lost": 4}
    fare["targets"], fare["rules"] = [hook, phone], {"n_rules": 1, "n_told": 9, "n_lost": 7}
    server = serve()
    text = " ".join(run(get(server, "/health")).split())
    for part in (
        "Messages to hook", "https://h/*** (a webhook)", "1,234, the last on 21 Nov, 10:00",
        'data-target="phone" data-state="failing"', "none so far",
        "3 given up, 4 lost because too many waited",
        *(troubles := [
            "phone takes no messages: no answer within 30 s. 2 messages wait and are tried again.",
            "4 messages to phone were lost: too many waited.",
            "The rules could not keep up: 7 of what was heard were left out.",
        ]),
    ):  # fmt: skip
        assert part in text, part
    assert "hook takes no messages" not in text
    now = " ".join(run(get(server, "/")).split())
    assert all(part in now for part in troubles)


def test_the_broker_is_told_of_in_sentences(serve, fare):
    broker = {
        **make_target("mqtt", "mqtt"), "where": "box:1883, below streamclf/1", "waiting": 1,
        "trouble": "box:1883: is the broker running?", "n_lost": 1,
    }  # fmt: skip
    fare["targets"], fare["rules"] = [broker], {"n_rules": 1, "n_told": 9, "n_lost": 1}
    text = " ".join(run(get(serve(), "/health")).split())
    for part in (
        "<h2>Broker</h2>", "box:1883, below streamclf/1 (MQTT)",
        "The broker takes no messages: box:1883: is the broker running? 1 message waits and is",
        "1 message to the broker was lost: too many waited.",
        "The rules could not keep up: 1 of what was heard was left out.",
    ):  # fmt: skip
        assert part in text, part
    assert "Messages to mqtt" not in text


def test_a_number_that_is_none_breaks_no_json(serve, fare, hub, yard):
    """JSON has no NaN: browsers and most programs refuse a whole answer that holds one."""
    fare["sources"][0] |= {"load": float("nan"), "drift_ppm": float("inf")}
    fare["more"] = float("nan")
    yard.hear(toys.tone(1000, 1))
    yard.score(0.1, float("nan"), 0.2, 0.1)
    server = serve()

    def refuse(text):
        raise AssertionError(f"{text} in JSON")

    async def look():
        health = json.loads(await get(server, "/api/health"), parse_constant=refuse)
        assert (health["more"], health["sources"][0]["load"]) == (None, None)
        json.loads(await get(server, "/api/sources"), parse_constant=refuse)
        async with looking(server, "?of=health") as told:
            assert (await anext(told)).kind == "health"

    run(look())
    assert b'"level":null' in server_sent("frames", {"level": float("nan")})


def test_health_goes_on_by_itself(serve, fare, monkeypatch):
    monkeypatch.setattr(live, "HEALTH_EVERY_S", 0.2)
    server = serve()

    async def look():
        async with looking(server, "?of=health") as told:
            before = await anext(told)
            fare["uptime_s"] = 7322.0
            while (after := await until(told, "health")).data["texts"] == before.data["texts"]:
                pass
        return before.data["texts"]["process/uptime"], after.data["texts"]["process/uptime"]

    assert run(look()) == ("1 h 01 min", "2 h 02 min")


def test_the_head_of_a_stream_takes_no_place(serve):
    server = serve()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    for method, path in [("HEAD", "/api/live"), ("GET", "/api/session")]:
        connection.request(method, path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:1]) == (200, b"" if method == "HEAD" else b"{")
    connection.close()
