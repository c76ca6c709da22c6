"""The page of real runs: `serve`, `listen --web`, the password, and audio that never waits."""

import http.client
import io
import json
import os
import pty
import signal
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlencode

import av
import numpy as np
import prepared
import pytest
import toys
from live_runs import PATIENCE_S, Process
from pages import PASSWORD, Browser
from test_imports import modules_after

from streamclf.store.database import connect_to_read

MODULES = {"aiohttp", "jinja2", "streamclf.web.app", "streamclf.web.server"}


class At:
    """Where a page is, for `Browser`."""

    def __init__(self, port):
        self.port = port


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def start():
    started = []

    def begin(*arguments, **options):
        started.append(Process(*arguments, **options))
        return started[-1]

    yield begin
    for process in started:
        process.close()


@pytest.fixture
def sound(tmp_path, write_wav):
    """A live source that never ends."""
    return ["--source", f"sim:{write_wav(toys.tone(1000, 20))}", "--loop"]


@pytest.fixture
def serve(start, sound, tmp_path, tone_model):
    def begin(*arguments):
        port = free_port()
        run = start(
            "serve", *sound, "--name", "yard", "--model", tone_model, "--store",
            tmp_path / "box.db", "--port", port, *arguments,
        )  # fmt: skip
        return run, At(port)

    return begin


def test_serve_shows_a_page_and_ends_as_before(serve, tmp_path):
    run, at = serve()
    assert run.until("the page is at").endswith(f"the page is at http://127.0.0.1:{at.port}/")
    run.until("yard: listening")
    browser = Browser(at)
    assert browser.ask("/").status == 200
    assert "yard" in browser.ask("/").text
    assert browser.session()["needs_password"] is False
    assert Browser(at, host="evil.example").ask("/").status == 403
    assert browser.ask("/healthz").text == "alive\n"
    assert 'streamclf_source_up{source="yard"} 1.0' in browser.ask("/metrics").text
    assert run.end(signal.SIGTERM) == 130
    assert [line for line in run.said if "heard" in line]
    if os.name == "posix":
        keys = tmp_path / "box.db-page.json"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600


def test_serve_without_a_port_shows_no_page(start, sound, tmp_path, tone_model):
    store = tmp_path / "box.db"
    run = start("serve", *sound, "--model", tone_model, "--store", store, "--port", 0)
    run.until("listening")
    assert run.end(signal.SIGTERM) == 130
    assert not [line for line in run.said if "page" in line]
    assert not (tmp_path / "box.db-page.json").exists()


def test_a_port_that_is_taken_ends_serve_at_once(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run, _ = serve("--port", taken.getsockname()[1])
        assert run.wait() == 2
    assert "error: --port" in run.said[-1]
    assert "choose another --port, or 0 for no page" in run.said[-1]


def test_two_hundred_slow_connections_leave_the_audio_alone(serve, tmp_path):
    run, at = serve()
    run.until("listening")
    slow = []
    try:
        for _ in range(200):
            slow.append(socket.create_connection(("127.0.0.1", at.port), PATIENCE_S))
            slow[-1].sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n")
        assert Browser(at).ask("/").status == 200
        assert run.end(signal.SIGTERM) == 130
    finally:
        for each in slow:
            each.close()
    connection = connect_to_read(tmp_path / "box.db")
    ((elapsed, heard, gaps),) = connection.execute(
        "SELECT elapsed_samples, heard_samples, gap_samples FROM runs"
    )
    connection.close()
    assert elapsed == heard > 0
    assert gaps == 0


def test_no_attack_costs_audio(serve, tmp_path):
    """What a stranger can send, each in some number at once, while a source is heard."""
    set_password(tmp_path / "box.db", f"{PASSWORD}\n")
    run, at = serve("--host", "0.0.0.0")
    run.until("listening")
    host = f"Host: 127.0.0.1:{at.port}\r\n"
    form = "Content-Type: application/x-www-form-urlencoded\r\n"
    attacks = [
        f"GET /login HTTP/1.1\r\n{host}\r\n" * 40,
        f"POST /login HTTP/1.1\r\n{host}{form}Content-Length: 60000\r\n\r\ncsrf=",
        f"POST /login HTTP/1.1\r\n{host}Content-Type: {';' * 8000}\r\nContent-Length: 1\r\n\r\nx",
        f"POST /login HTTP/1.1\r\n{host}{form}Content-Length: 60000\r\n\r\n{'a&' * 30_000}",
        f"POST /x HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n" + "1;" + "x" * 60_000,
        f"GET /static/style.css HTTP/1.1\r\n{host}\r\n" * 200,  # whose answers nobody reads
        f"GET / HTTP/1.1\r\n{host}broken\r\n\r\n",
        f"CONNECT x:1 HTTP/1.1\r\n{host}\r\n" + "x" * 60_000,
        f"GET /api/live HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ]
    with ExitStack() as stack:
        for attack in attacks * 12:
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", at.port), PATIENCE_S))
            raw.setblocking(False)
            with suppress(OSError):
                raw.send(attack.encode())
        with ThreadPoolExecutor(20) as pool:
            codes = list(pool.map(lambda _: Browser(at).log_in("wrong").status, range(20)))
        assert sorted(set(codes)) == [401, 429]
        assert Browser(at).ask("/login").status == 200
        assert run.end(signal.SIGTERM) == 130
    assert len([line for line in run.said if "the page: a request was broken" in line]) <= 1
    assert not [line for line in run.said if "error" in line]
    connection = connect_to_read(tmp_path / "box.db")
    ((elapsed, heard, gaps),) = connection.execute(
        "SELECT elapsed_samples, heard_samples, gap_samples FROM runs"
    )
    connection.close()
    assert elapsed == heard > 0
    assert gaps == 0


def test_listen_shows_the_same_page_and_remembers_as_long_as_it_runs(
    start, write_wav, tone_model, tmp_path
):
    port = free_port()
    # A browser reads a line break in another way where it stands in a page's attribute.
    path = write_wav(toys.tone(1000, 20)).rename(tmp_path / "a\rb<b>.wav")
    env = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    run = start(
        "listen", "--source", f"sim:{path}", "--loop", "--model", tone_model, "--web", port, env=env
    )
    run.until(f"the page is at http://127.0.0.1:{port}/")
    run.until("listening to")
    browser = Browser(At(port))
    for path in ("/", "/health", "/login"):
        assert browser.ask(path).status in (200, 303)
    health = json.loads(browser.ask("/api/health", Accept="*/*").text)
    assert [each["state"] for each in health["sources"]] == ["heard"]
    live = json.loads(browser.ask("/api/sources", Accept="*/*").text)
    name = f"sim:{tmp_path}/a\\rb<b>.wav"
    assert [each["name"] for each in health["sources"]] == [name]
    assert [each["source"] for each in live["sources"]] == [name]
    assert 'b&lt;b&gt;.wav"' in browser.ask("/").text
    assert run.end(signal.SIGINT) == 130
    assert not list((tmp_path / "temporary").iterdir())


def test_listen_keeps_what_it_heard_where_a_store_is_named(start, sound, tone_model, tmp_path):
    port, store = free_port(), tmp_path / "mine.db"
    run = start("listen", *sound, "--model", tone_model, "--web", port, "--store", store)
    run.until("listening to")
    assert Browser(At(port)).ask("/").status == 200
    assert run.end(signal.SIGINT) == 130
    assert store.exists()


# The password.


def set_password(store, said, **options):
    return prepared.run(
        "serve", "--set-password", "--store", store,
        input=said, text=True, capture_output=True, timeout=PATIENCE_S, **options,
    )  # fmt: skip


def test_a_password_of_standard_input_opens_the_page_to_others(serve, tmp_path):
    done = set_password(tmp_path / "box.db", f"{PASSWORD}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "the page has a new password, which counts at once" in done.stderr
    assert PASSWORD not in done.stderr
    assert not (tmp_path / "box.db").exists()
    run, at = serve("--host", "0.0.0.0")
    run.until("listening")
    browser = Browser(at)
    assert browser.ask("/").status == 303
    assert browser.log_in().status == 303
    assert browser.ask("/").status == 200
    assert run.end(signal.SIGTERM) == 130
    assert not [line for line in run.said if PASSWORD in line]


def test_a_password_that_is_too_short_is_one_line(tmp_path):
    done = set_password(tmp_path / "box.db", "short\n")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "streamclf: error: the password has 5 characters, must have 8 to 1024: choose another one"
    ]


@pytest.mark.skipif(os.name != "posix", reason="the system has no pseudo terminals")
@pytest.mark.parametrize(("second", "code"), [(PASSWORD, 0), ("something else", 2)])
def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path, second, code):
    ours, theirs = pty.openpty()
    shown = []
    try:
        run = prepared.begin(
            "serve", "--set-password", "--store", tmp_path / "box.db",
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

        def read():
            while True:
                try:
                    data = os.read(ours, 1000)
                except OSError:
                    return
                if not data:
                    return
                shown.append(data.decode())

        reader = threading.Thread(target=read)
        reader.start()
        for prompt, answer in [("Password of the page: ", PASSWORD), ("The same again: ", second)]:
            while prompt not in "".join(shown):
                assert run.poll() is None
                reader.join(0.05)
            os.write(ours, f"{answer}\n".encode())
        assert run.wait(PATIENCE_S) == code
        reader.join(PATIENCE_S)
    finally:
        os.close(ours)
    text = "".join(shown)
    assert PASSWORD not in text
    assert ("the two passwords differ" in text) == (code == 2)


def test_check_and_set_password_do_not_go_together(streamclf):
    result = streamclf("serve", "--check", "--set-password")
    assert (result.code, "give one of them" in result.err) == (2, True)


# What it costs those who have no page.


@pytest.mark.parametrize("module", ["cli.main", "cli.listen", "cli.serve", "cli.file", "cli.page"])
def test_commands_without_a_page_import_nothing_of_it(module):
    assert not modules_after(f"import streamclf.{module}") & MODULES


@pytest.mark.parametrize("command", ["serve", "listen"])
def test_privacy_keeps_everybody_from_listening_live(command, start, sound, tone_model, tmp_path):
    store, port = tmp_path / "box.db", free_port()
    assert set_password(store, f"{PASSWORD}\n").returncode == 0
    shown = {"serve": ["--port", port, "--name", "yard"], "listen": ["--web", port, "--no-ui"]}
    run = start(
        command, *sound, "--model", tone_model, "--store", store, "--privacy", "speech",
        *shown[command],
    )  # fmt: skip
    run.until("the page is at")
    browser = Browser(At(port))
    assert browser.log_in().status == 303
    run.until("listening")
    (source,) = json.loads(browser.ask("/api/sources").text)["sources"]
    assert not source["may_be_heard"]
    link = f"/media/live.mp3?{urlencode({'source': source['source']})}"
    assert browser.ask(link, Accept="audio/*").status == 403
    assert run.end(signal.SIGTERM) == 130


@pytest.mark.parametrize("command", ["serve", "listen"])
def test_whoever_has_the_password_may_listen_live(command, start, sound, tone_model, tmp_path):
    store, port = tmp_path / "box.db", free_port()
    assert set_password(store, f"{PASSWORD}\n").returncode == 0
    shown = {"serve": ["--port", port, "--name", "yard"], "listen": ["--web", port, "--no-ui"]}
    run = start(command, *sound, "--model", tone_model, "--store", store, *shown[command])
    run.until("the page is at")
    browser = Browser(At(port))
    assert browser.log_in().status == 303
    run.until("listening")
    (source,) = json.loads(browser.ask("/api/sources").text)["sources"]
    assert source["may_be_heard"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    cookies = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
    link = f"/media/live.mp3?{urlencode({'source': source['source']})}"
    connection.request("GET", link, headers={"Cookie": cookies})
    answer = connection.getresponse()
    assert answer.status == 200
    with av.open(io.BytesIO(answer.read(40_000)), format="mp3") as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    connection.close()
    assert np.abs(heard).max() == pytest.approx(0.3, abs=0.05)  # the tone, and no silence alone
    assert run.end(signal.SIGTERM) == 130
