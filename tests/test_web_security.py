"""The page's gate: whom it answers, by which name, with which token, and how long it waits."""

import hashlib
import json
import os
import socket
import stat
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest
from aiohttp import web
from live_runs import PATIENCE_S
from pages import PASSWORD, Browser, make_context
from serving import Heard
from stores import make_store

from streamclf.core.errors import StoreError, UsageError
from streamclf.core.log import LOGGER
from streamclf.web import attempts as pauses
from streamclf.web.app import build_app
from streamclf.web.attempts import Attempts
from streamclf.web.bodies import MAX_BODY
from streamclf.web.connections import Connections
from streamclf.web.ended_sessions import EndedSessions
from streamclf.web.hub import LiveHub
from streamclf.web.keys import KeyFile, Keys, set_password
from streamclf.web.options import PageOptions
from streamclf.web.security import OPEN_PATHS
from streamclf.web.server import WebServer
from streamclf.web.sessions import LASTS_S, Sessions
from streamclf.web.static_files import FOLDER, marked, static_mark
from streamclf.web.viewer import Viewer, may_name

NEIGHBOUR = "192.168.1.77"


@pytest.fixture
def serve(tmp_path):
    """Starts a page whose options a test chooses, with pages of the test's own beside the real."""
    with ExitStack() as stack:

        def start(*, password=None, connections=None, **options):
            context = make_context(tmp_path, password=password, **options)
            server = WebServer(context, connections, build_with_probes)
            return stack.enter_context(server)

        yield start


def build_with_probes(context, connections):
    """The application with a page that breaks, one that writes, and an event stream."""
    app = build_app(context, connections)
    pages = app
    written = []

    async def break_down(request):
        raise ValueError("secret of the inside")

    async def write(request):
        written.append(await request.read())
        return web.json_response(len(written))

    async def stream(request):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        return answer

    for name, method, handler in [
        ("break", "GET", break_down), ("write", "POST", write), ("stream", "GET", stream)
    ]:  # fmt: skip
        pages.router.add_route(method, f"/api/probe/{name}", handler)
    return app


@pytest.fixture
def log():
    """The log's lines."""
    heard = Heard()
    LOGGER.addHandler(heard)
    yield heard.words
    LOGGER.removeHandler(heard)


# Where it is.


@pytest.mark.parametrize(
    "options",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.168.1.5"},
        {"host": "house.example"},
        {"proxies": ("127.0.0.1",)},
        {"public_url": "https://house.example"},
    ],
)
def test_a_page_that_others_can_reach_needs_a_password(serve, options):
    with pytest.raises(UsageError, match="it has no password: set one by `streamclf serve --set-"):
        serve(**options)


def test_this_machine_alone_needs_no_password(serve):
    browser = Browser(serve())
    assert browser.session()["needs_password"] is False
    assert "logout" not in browser.ask("/health").text
    assert browser.ask("/login").status == 303  # to the first page


def test_a_port_that_is_taken_is_told_in_one_line(serve, tmp_path):
    first = serve()
    context = make_context(tmp_path)
    object.__setattr__(context.options, "port", first.port)
    with pytest.raises(UsageError, match=rf"^--port {first.port}: .* choose another --port, or 0"):
        WebServer(context).__enter__()


def test_an_unknown_address_is_told_in_one_line(serve):
    with pytest.raises(UsageError, match=r"^--host nowhere\.invalid: is unknown"):
        serve(password=PASSWORD, host="nowhere.invalid")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": -1}, "--port -1: must be from 1 to 65535, or 0 for no page"),
        ({"port": 65_536}, "--port 65536: must be from 1 to 65535, or 0 for no page"),
        ({"host": " "}, "--host: is empty"),
        ({"base_path": "/a/../b"}, "--base-path /a/../b: must be of letters"),
        ({"base_path": "/a b"}, "--base-path /a b: must be of letters"),
        ({"proxies": ("proxy.example",)}, "--proxy proxy.example: must be an address"),
        ({"public_url": "house.example"}, "--public-url house.example: must be such as https://"),
        ({"public_url": "ftp://house.example"}, "--public-url ftp://house.example: must be such"),
        ({"public_url": "https://x:99999"}, "--public-url https://x:99999: must be such as"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError) as error:
        PageOptions(**options)
    assert str(error.value).startswith(message)


# By which name.


@pytest.mark.parametrize(
    ("host", "named", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8787", True),
        ("127.0.0.1", "localhost:8787", True),
        ("127.0.0.1", "LocalHost", True),
        ("127.0.0.1", "[::1]:8787", True),
        ("127.0.0.1", "evil.example:8787", False),
        ("127.0.0.1", "127.0.0.1.evil.example:8787", False),
        ("127.0.0.1", "localhost:8787@evil.example:8787", False),
        ("127.0.0.1", "evil.example/localhost:8787", False),
        ("127.0.0.1", "localhost:x", False),
        ("127.0.0.1", "192.168.1.5:8787", False),
        ("127.0.0.1", "", False),
        ("box.lan", "box.lan:8787", True),
        ("192.168.1.5", "192.168.1.5:8787", True),
        ("0.0.0.0", "192.168.1.5:8787", True),
        ("::", "[fe80::1]:8787", True),
        ("0.0.0.0", "evil.example:8787", False),
        ("0.0.0.0", f"{socket.gethostname()}:8787", True),
        ("0.0.0.0", f"{socket.gethostname().partition('.')[0]}.local:8787", True),
    ],
)
def test_only_names_of_its_own_are_answered(host, named, allowed):
    viewer = Viewer("127.0.0.1", named, "http", "", False, False)
    assert may_name(viewer, PageOptions(host=host)) is allowed


@pytest.mark.parametrize("path", ["/", "/login", "/static/style.css", "/api/probe/stream", "/x"])
def test_a_foreign_name_is_refused_whatever_is_asked_for(serve, path):
    browser = Browser(serve(), host="evil.example:8787")
    answer = browser.ask(path)
    assert answer.status == 403
    assert "The name evil.example:8787 is not this page" in answer.text
    assert not browser.cookies


def test_the_public_name_is_answered(serve):
    server = serve(password=PASSWORD, public_url="https://house.example/sounds")
    assert Browser(server, host="house.example").ask().status == 200
    assert Browser(server, host="other.example").ask().status == 403
    assert server.url == "https://house.example/sounds"


@pytest.mark.parametrize(
    "host", ["[::1]:8787", "[::1]", "LOCALHOST", "localhost:", "127.0.0.1:80", "[::ffff:127.0.0.1]"]
)
def test_its_own_names_are_answered_however_they_are_written(serve, host):
    assert Browser(serve(), host=host).ask("/api/session").status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost.", "127.0.0.1.", "127.1", "2130706433", "0x7f000001", "localhost, evil.example",
        "localhost/", "localhost#", "localhost?", "user@localhost", "[localhost]", "localhost:1:2",
        "localhost:99999", "0.0.0.0", "[::]", "\xff", "localhost\t.evil.example",
    ],
)  # fmt: skip
def test_what_only_looks_like_its_own_name_is_refused(serve, host):
    assert Browser(serve(), host=host).ask("/api/session").status in (400, 403)


def test_a_public_name_with_an_umlaut_is_answered(serve):
    server = serve(password=PASSWORD, public_url="https://h\u00f6ren.example")
    assert Browser(server, host="xn--hren-5qa.example").ask().status == 200


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example",
        "https://evil.example",
        "http://a:b@127.0.0.1",
        "ftp://[::2]",
        "http://x@y",
    ],
)
def test_a_first_line_with_a_foreign_name_is_refused(serve, target):
    browser = Browser(serve())
    assert browser.ask(f"{target}/api/session", Accept="*/*").status == 403
    own = browser.ask(f"https://{browser.host}/api/session")
    assert own.status == 200
    assert "secure" not in browser.set_cookies[0].lower()  # whoever asks says nothing of that


# From which page.


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"]
)
@pytest.mark.parametrize(
    ("path", "method"), [("/api/probe/stream", "GET"), ("/api/probe/write", "POST")]
)
def test_another_origin_is_refused(serve, origin, path, method):
    browser = Browser(serve())
    token = browser.session()["csrf"]
    answer = browser.ask(path, method, Origin=origin, X_CSRF_Token=token, Accept="*/*")
    assert (answer.status, answer.headers["Content-Type"]) == (
        403,
        "application/json; charset=utf-8",
    )
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_another_site_loads_nothing_from_here(serve):
    browser = Browser(serve())
    for path in ("/static/style.css", "/api/probe/stream"):
        for site in ("cross-site", "same-site"):
            assert browser.ask(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert browser.ask(path, Sec_Fetch_Site="same-origin").status == 200
    # A link on another page leads here all the same.
    assert (
        browser.ask("/login", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 303
    )


def test_its_own_page_is_answered(serve):
    browser = Browser(serve())
    own = f"http://{browser.host}"
    assert browser.ask("/api/probe/stream", Origin=own).body == b"data: 1\n\n"
    token = browser.session()["csrf"]
    answer = browser.ask("/api/probe/write", "POST", b"{}", Origin=own, X_CSRF_Token=token)
    assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_each_unsafe_method_needs_the_sessions_token(serve, method):
    server = serve()
    browser, other = Browser(server), Browser(server)
    stolen = other.session()["csrf"]
    browser.session()
    for token in ("", "x", stolen, "\u00fc"):
        headers = {"X_CSRF_Token": token} if token else {}
        assert browser.ask("/api/probe/write", method, b"{}", **headers).status == 403
    own = browser.session()["csrf"]
    answer = browser.ask("/api/probe/write", method, b"{}", X_CSRF_Token=own)
    assert answer.status == (200 if method == "POST" else 405)
    browser.cookies.clear()  # the token alone says nothing
    assert browser.ask("/api/probe/write", method, b"{}", X_CSRF_Token=own).status == 403


def test_a_form_sends_the_token_as_a_field(serve):
    browser = Browser(serve())
    assert browser.post("/api/probe/write", token="").status == 403
    assert browser.post("/api/probe/write", label="dog").status == 200


# With which password.


def test_the_gate_stands_in_front_of_everything(serve):
    server = serve(password=PASSWORD)
    browser = Browser(server)
    for resource in build_with_probes(server._context, None).router.resources():
        if (path := resource.canonical) in OPEN_PATHS:
            continue
        path = path.replace("{", "").replace("}", "")
        first = browser.ask(path)
        assert first.status == (401 if path.startswith("/api/") else 303), path
        assert "login" in first.headers.get("Location", "login")
        browser.session()
        for method in ("POST", "PUT", "DELETE", "HEAD"):
            token = browser.session()["csrf"]
            answer = browser.ask(path, method, X_CSRF_Token=token, Accept="*/*")
            assert answer.status == 401, (method, path)
    closed = [each for each in FOLDER.rglob("*") if each.is_file()]
    closed = [each.relative_to(FOLDER).as_posix() for each in closed]
    for name in closed:
        if f"/static/{name}" not in OPEN_PATHS:
            for link in (f"/static/{name}", marked(f"/static/{name}")):
                assert browser.ask(link, Accept="*/*").status == 401, link
    assert browser.ask("/not/there", Accept="*/*").status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static/../static/vendor", "/login/../api/probe/stream", "//login", "/login%2f",
        "/static/style.css/../../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
        "/static/%252e%252e/app.py", "/LOGIN", "/static/style.css%00.js",
    ],
)  # fmt: skip
def test_a_path_with_dots_leads_nowhere(serve, path):
    browser = Browser(serve(password=PASSWORD))
    assert browser.ask(path, Accept="*/*").status in (400, 401, 404)
    browser.log_in()
    answer = browser.ask(path, Accept="*/*")
    assert answer.status in (400, 403, 404, 200)
    assert b"build_app" not in answer.body


def test_the_right_password_opens_and_leads_on(serve):
    browser = Browser(serve(password=PASSWORD))
    asked = browser.ask("/events?label=dog%20bark")
    assert asked.headers["Location"] == "./login?next=%2Fevents%3Flabel%3Ddog%2520bark"
    before = dict(browser.cookies)
    answer = browser.log_in(following="/events?label=dog%20bark")
    assert answer.headers["Location"] == "./events?label=dog%20bark"
    assert browser.cookies != before  # a session that somebody knew before is not logged in
    assert browser.ask("/api/probe/stream").status == 200
    browser.cookies = before
    assert browser.ask("/api/probe/stream").status == 401


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)",
        "/javascript:alert(1)", "///evil.example", "\r\nX: y",
    ],
)  # fmt: skip
def test_a_login_leads_to_pages_of_its_own_alone(serve, following):
    browser = Browser(serve(password=PASSWORD))
    answer = browser.log_in(following=following)
    assert answer.status == 303
    assert answer.headers["Location"].startswith("./")
    assert "\\" not in answer.headers["Location"]
    assert "X" not in answer.headers


@pytest.mark.parametrize(
    "following",
    [
        "/../other",
        "..",
        "/a/../../../other?x=/y",
        "/%2e%2e/other",
        "/.%2E/other",
        "/..\\other",
        "./x",
    ],
)
def test_a_login_leads_to_no_page_beside_these(serve, following):
    """Under a base path or behind a proxy, others have pages on the same host."""
    browser = Browser(serve(password=PASSWORD))
    assert browser.log_in(following=following).headers["Location"] == "./"


def test_a_login_keeps_dots_that_lead_nowhere(serve):
    browser = Browser(serve(password=PASSWORD))
    answer = browser.log_in(following="/events?label=..&source=/a/../b")
    assert answer.headers["Location"] == "./events?label=..&source=/a/../b"


def test_a_wrong_password_opens_nothing(serve, log):
    browser = Browser(serve(password=PASSWORD))
    for wrong in ("", "correct horse", PASSWORD + "x", PASSWORD.upper(), "x" * 5000):
        Browser(serve_again(browser)).log_in(wrong)
        assert browser.ask("/api/probe/stream").status == 401
    assert all(PASSWORD not in line and "horse" not in line for line in log.told)
    assert "warning: the page: wrong password from 127.0.0.1" in log.told[0]


def serve_again(browser):
    """What `Browser` needs of a server."""

    class Known:
        port = browser.port

    return Known


def test_five_wrong_passwords_make_a_pause_that_the_right_one_has_to_wait_for(serve):
    browser = Browser(serve(password=PASSWORD))
    for _ in range(pauses.FREE):
        assert browser.log_in("wrong").status == 401
    answer = browser.log_in()
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= pauses.FIRST_PAUSE_S
    assert "Too many wrong passwords: wait" in answer.text
    assert browser.ask("/api/probe/stream").status == 401


def test_many_passwords_at_once_are_looked_at_no_more_often(serve, monkeypatch):
    looked, matches = [], Keys.matches
    monkeypatch.setattr(
        Keys, "matches", lambda self, said: looked.append(said) or matches(self, said)
    )
    server = serve(password=PASSWORD)
    threads = [threading.Thread(target=lambda: Browser(server).log_in("wrong")) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(looked) == pauses.FREE


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_pauses_grow_and_are_forgotten():
    clock = Clock()
    tried = Attempts(clock)
    for _ in range(pauses.FREE):
        assert tried.begin(NEIGHBOUR) == 0
    lengths = []
    for _ in range(6):
        lengths.append(tried.begin(NEIGHBOUR))
        clock.now += lengths[-1]
        assert tried.begin(NEIGHBOUR) == 0
    assert lengths == [60, 120, 240, 480, 900, 900]
    assert tried.begin("10.0.0.1") == 0  # another address does not wait
    clock.now += pauses.FORGET_S + 1
    for _ in range(pauses.FREE - 1):
        assert tried.begin(NEIGHBOUR) == 0


def test_addresses_without_number_do_not_help():
    tried = Attempts(Clock())
    let = sum(tried.begin(f"10.0.{i // 250}.{i % 250}") == 0 for i in range(5000))
    assert let == pauses.FREE_OF_ALL
    tried = Attempts(Clock())
    let = sum(tried.begin(f"2001:db8::{i:x}") == 0 for i in range(100))
    assert let == pauses.FREE


@pytest.mark.parametrize("n_strangers", [1, 3])
def test_few_strangers_keep_nobody_else_waiting(n_strangers):
    """Whoever goes on for ever is slowed down, and that is all."""
    clock = Clock()
    tried = Attempts(clock)
    for day_s in range(0, 24 * 3600, 10):
        clock.now = 1000.0 + day_s
        for i in range(n_strangers):
            tried.begin(f"10.6.6.{i}")
        if day_s > 3600 and day_s % 1800 == 0:
            assert tried.begin(NEIGHBOUR) == 0
            tried.forgive(NEIGHBOUR)
            tried._known.clear()


def test_nobody_keeps_those_out_who_were_in_before():
    clock = Clock()
    tried = Attempts(clock)
    assert tried.begin(NEIGHBOUR) == 0
    tried.forgive(NEIGHBOUR)
    let = sum(tried.begin(f"10.0.{i // 250}.{i % 250}") == 0 for i in range(5000))
    assert let == pauses.FREE_OF_ALL
    assert 0 < tried.begin("192.168.1.78") <= pauses.PAUSE_OF_ALL_S
    for _ in range(pauses.FREE):
        assert tried.begin(NEIGHBOUR) == 0
    assert tried.begin(NEIGHBOUR) > 0  # for wrong ones of its own it waits like everybody
    clock.now += pauses.PAUSE_OF_ALL_S
    assert tried.begin("192.168.1.78") == 0
    assert tried.begin("192.168.1.79") > 0
    assert len(tried._counts) <= 1000


def test_a_new_password_ends_the_pauses(serve, tmp_path):
    browser = Browser(serve(password=PASSWORD))
    for _ in range(pauses.FREE):
        browser.log_in("wrong")
    assert browser.log_in().status == 429
    set_password(tmp_path / "page.json", "another password")
    assert browser.log_in("another password").status == 303


def test_the_right_password_forgives_what_its_address_got_wrong():
    tried = Attempts(Clock())
    for _ in range(10 * pauses.FREE_OF_ALL):
        assert tried.begin(NEIGHBOUR) == 0
        tried.forgive(NEIGHBOUR)


def test_a_logged_out_session_opens_nothing(serve):
    browser = Browser(serve(password=PASSWORD))
    browser.log_in()
    stolen = dict(browser.cookies)
    assert browser.session()["may_log_out"] is True
    assert 'action="./logout"' in browser.ask("/health").text
    assert browser.post("/logout").headers["Location"] == "./login"
    for cookies in (browser.cookies, stolen):
        browser.cookies = dict(cookies)
        assert browser.ask("/api/probe/stream").status == 401


def test_a_logged_out_session_stays_so_after_a_restart(tmp_path):
    context = make_context(tmp_path, password=PASSWORD)
    with WebServer(context) as server:
        browser = Browser(server)
        browser.log_in()
        stays = Browser(server)
        stays.log_in()
        stolen = dict(browser.cookies)
        browser.post("/logout")
    if os.name == "posix":
        ended = tmp_path / "page-ended.txt"
        assert stat.S_IMODE(ended.stat().st_mode) == 0o600
    with WebServer(context) as server:
        for known, status in ((stolen, 401), (stays.cookies, 200)):
            browser = Browser(server)
            browser.cookies = dict(known)
            assert browser.ask("/api/live", "HEAD").status == status


def test_a_logout_in_one_process_counts_in_another(tmp_path):
    path, clock = tmp_path / "ended.txt", Clock()
    here, there = EndedSessions(path, clock), EndedSessions(path, clock)
    here.add("a", 2000)
    assert "a" in there
    there.add("b", 3000)
    assert "b" in here
    assert "c" not in here


def test_the_file_of_logouts_stays_small(tmp_path, monkeypatch):
    path, clock = tmp_path / "ended.txt", Clock()
    monkeypatch.setattr("streamclf.web.ended_sessions.LARGEST", 200)
    ended = EndedSessions(path, clock)
    for number in range(100):
        clock.now = 10.0 * number
        ended.add(f"session-{number:03}", round(clock.now) + 50)
    assert path.stat().st_size < 300
    again = EndedSessions(path, clock)
    assert "session-099" in again
    assert "session-010" not in again


def test_a_logout_that_cannot_be_noted_holds_as_long_as_the_process(tmp_path, log):
    (tmp_path / "ended.txt").mkdir()
    ended = EndedSessions(tmp_path / "ended.txt", Clock())
    ended.add("a", 1000)
    assert "a" in ended
    assert "a logout cannot be noted: is a directory" in log.told[0]


@pytest.mark.parametrize("name", ["style.css", "now.js"])
def test_a_browser_keeps_style_and_scripts(serve, name):
    browser = Browser(serve())
    fresh = browser.ask(marked(f"/static/{name}"), Accept="*/*")
    assert fresh.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for link in (f"/static/{name}", f"/static/0123456789ab/{name}"):
        other = browser.ask(link, Accept="*/*")
        assert other.body == fresh.body
        assert other.headers["Cache-Control"] == "private, no-cache"
        again = browser.ask(link, Accept="*/*", If_None_Match=other.headers["ETag"])
        assert (again.status, again.body) == (304, b"")


def test_before_the_store_is_there_a_page_says_so_and_comes_by_itself(tmp_path):
    context = replace(make_context(tmp_path), hub=LiveHub())
    with WebServer(context) as server:
        browser = Browser(server)
        for path in ("/day", "/events", "/sounds"):
            early = browser.ask(path)
            assert (early.status, early.headers["Retry-After"]) == (503, "2")
            assert "streamclf is starting" in early.text
            assert '<meta http-equiv="refresh" content="2">' in early.text
        assert browser.ask("/").status == browser.ask("/health").status == 200
        answer = browser.ask("/api/events", Accept="application/json")
        assert json.loads(answer.text)["error"].startswith("The store is being opened")
        context.store.touch()  # as it is for a moment while it is made
        assert browser.ask("/day").status == 503
        context.store.unlink()
        make_store(context.store, [])
        assert browser.ask("/day").status == 200
    # Where nothing makes one, it is a mistake, and no start.
    context.store.unlink()
    with WebServer(replace(context, hub=None)) as server:
        assert "refresh" not in Browser(server).ask("/day").text


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"HELO box\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_in_the_pages_own_words(serve, said):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(said + b"\r\n\r\n")
        answer = b""
        with suppress(ConnectionError):
            while piece := raw.recv(10_000):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head[9:12] == b"400"
    assert json.loads(body) == {"error": "This is no request that can be read."}
    assert b"Server: streamclf" in head
    for word in (b"aiohttp", b"Python", b"Expected"):
        assert word not in answer


def test_a_new_password_ends_all_sessions_at_once(serve, tmp_path):
    browser = Browser(serve(password=PASSWORD))
    browser.log_in()
    assert browser.ask("/api/probe/stream").status == 200
    set_password(tmp_path / "page.json", "another password")
    assert browser.ask("/api/probe/stream").status == 401
    assert browser.log_in().status == 401
    assert browser.log_in("another password").status == 303


@pytest.mark.parametrize("how", ["log out", "new password"])
def test_an_event_stream_ends_with_its_session(serve, tmp_path, monkeypatch, how):
    monkeypatch.setattr("streamclf.web.security.CHECK_S", 0.05)
    server = serve(password=PASSWORD)
    browser = Browser(server)
    browser.log_in()
    cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(
            f"GET /api/live HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        assert raw.recv(15).startswith(b"HTTP/1.1 200 ")
        if how == "log out":
            browser.post("/logout")
        else:
            set_password(tmp_path / "page.json", "another password")
        with suppress(ConnectionError):
            while raw.recv(10_000):
                pass


def test_a_session_outlasts_the_process(tmp_path):
    context = make_context(tmp_path, password=PASSWORD)
    with WebServer(context, build=build_with_probes) as server:
        browser = Browser(server)
        browser.log_in()
    with WebServer(context, build=build_with_probes) as server:
        browser.port = server.port
        browser.host = f"127.0.0.1:{server.port}"
        assert browser.ask("/api/probe/stream").status == 200


def test_a_password_that_is_taken_away_closes_a_page_that_needs_it(serve, tmp_path):
    browser = Browser(serve(password=PASSWORD, proxies=("10.0.0.1",)))
    browser.log_in()
    (tmp_path / "page.json").unlink()
    answer = browser.ask("/api/probe/stream", Accept="*/*")
    assert answer.status == 403
    assert "set one by `streamclf serve --set-password`" in answer.text


def test_cookies_are_changed_by_nobody():
    sessions, keys = Sessions(), Keys("s" * 64)
    value = sessions.write(sessions.begin("guest"), keys)
    assert sessions.read(value, keys) is not None
    name, until, kind, signature = value.split(".")
    forged = [
        f"{name}.{until}.owner.{signature}", f"{name}.9{until}.{kind}.{signature}",
        f"{name}.{until}.{kind}.", f"{name}.{until}.{kind}", signature, "...", "", "\u00fc" * 9,
        value + "0", value * 100, value[:-1] + ("0" if value[-1] != "0" else "1"),
    ]  # fmt: skip
    for each in forged:
        assert sessions.read(each, keys) is None
    assert sessions.read(value, Keys("s" * 64, "changed")) is None


def test_a_session_ends_after_its_time():
    clock = Clock()
    sessions, keys = Sessions(clock), Keys("s" * 64)
    value = sessions.write(sessions.begin("owner"), keys)
    clock.now += LASTS_S - 1
    assert sessions.read(value, keys).is_owner
    clock.now += 1
    assert sessions.read(value, keys) is None


def test_cookies_are_kept_from_scripts_and_other_sites(serve):
    browser = Browser(serve(password=PASSWORD))
    browser.log_in()
    (cookie,) = browser.set_cookies
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "samesite=lax", "path=/", f"max-age={LASTS_S}"} <= parts
    assert "secure" not in parts


# The file of the keys.


def test_the_keys_are_read_by_their_owner_alone(tmp_path):
    path = tmp_path / "folder" / "page.json"
    set_password(path, PASSWORD)
    text = path.read_text()
    assert PASSWORD not in text
    assert json.loads(text)["password"].count("$") == 1
    first = json.loads(text)
    set_password(path, PASSWORD)
    second = json.loads(path.read_text())
    assert first["password"] != second["password"]  # another salt
    assert [each.name for each in path.parent.iterdir()] == ["page.json"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        assert KeyFile(path).keys.matches(PASSWORD)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_guessing_passwords_of_a_stolen_file_takes_16_mb_each(tmp_path, true_passwords):
    path = tmp_path / "page.json"
    set_password(path, PASSWORD)
    assert KeyFile(path).keys.matches(PASSWORD)
    salt, _, left = json.loads(path.read_text())["password"].partition("$")
    assert left == hashlib.scrypt(PASSWORD.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()


@pytest.mark.skipif(os.name != "posix", reason="files have no such owners")
def test_keys_that_root_makes_belong_to_the_owner_of_the_store(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda file, user, group: given.append((user, group)))
    set_password(tmp_path / "page.json", PASSWORD)
    assert given == [(tmp_path.stat().st_uid, tmp_path.stat().st_gid)]


@pytest.mark.parametrize("password", ["short", "", "x" * 1025])
def test_a_password_has_a_sensible_length(tmp_path, password):
    with pytest.raises(UsageError, match=rf"has {len(password)} characters, must have 8 to 1024"):
        set_password(tmp_path / "page.json", password)
    assert not (tmp_path / "page.json").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"secret": "short", "password": null}', "\0", '{"secret": 1}']
)
def test_a_broken_file_of_keys_opens_nothing(tmp_path, text):
    context = make_context(tmp_path, password=PASSWORD, proxies=("10.0.0.1",))
    with WebServer(context, build=build_with_probes) as server:
        browser = Browser(server)
        browser.log_in()
        (tmp_path / "page.json").write_text(text)
        assert browser.ask("/api/probe/stream").status == 503
    with pytest.raises(StoreError, match="holds no keys of the page: delete it"):
        WebServer(context).__enter__()


def test_keys_that_cannot_be_kept_are_told_at_the_start(tmp_path):
    (tmp_path / "page.json").mkdir()
    with pytest.raises(StoreError, match=r"page\.json: cannot be read or written: "):
        WebServer(make_context(tmp_path)).__enter__()


def test_without_a_password_none_is_right():
    assert not Keys("s" * 64).matches("")
    assert not Keys("s" * 64).matches("None")


# Behind a proxy.


def test_forwarded_headers_of_a_stranger_say_nothing(serve):
    server = serve(password=PASSWORD, proxies=("10.0.0.1",))
    browser = Browser(server, X_Forwarded_Host="evil.example", X_Forwarded_Proto="https",
                      X_Ingress_Path="/api/hassio_ingress/x", X_Forwarded_Prefix="/y")  # fmt: skip
    browser.log_in()
    (cookie,) = browser.set_cookies
    assert "Path=/;" in cookie + ";"
    assert "secure" not in cookie.lower()
    answer = browser.ask("/api/probe/stream")
    assert answer.status == 200
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    # Each request of another sender is counted for this machine: no header gives it new tries.
    codes = [
        Browser(server, X_Forwarded_For=f"10.1.1.{i}").log_in("wrong").status for i in range(7)
    ]
    assert codes == [401] * 5 + [429] * 2


def test_a_proxy_without_a_name_is_refused_where_there_is_no_password(serve):
    server = serve()
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "X-Ingress-Path"):
        answer = Browser(server).ask("/static/style.css", **{header: "10.0.0.7"})
        assert answer.status == 403
        assert "name the proxy by --proxy" in answer.text


def test_a_named_proxy_tells_who_asks_and_by_which_name(serve):
    server = serve(
        password=PASSWORD, proxies=("127.0.0.0/8", "10.0.0.1"), public_url="https://house.example"
    )
    browser = Browser(
        server, host="upstream:8787", X_Forwarded_Host="house.example", X_Forwarded_Proto="https"
    )
    headers = {"X_Forwarded_For": f"6.6.6.6, {NEIGHBOUR}, 10.0.0.1"}
    token = browser.session()["csrf"]
    answer = browser.ask(
        "/login", "POST", f"csrf={token}&password={PASSWORD.replace(' ', '+')}".encode(),
        Content_Type="application/x-www-form-urlencoded", Origin="https://house.example", **headers,
    )  # fmt: skip
    assert answer.status == 303
    assert "; secure" in browser.set_cookies[0].lower()
    assert browser.ask("/api/probe/stream", Origin="https://house.example").status == 200
    assert browser.ask("/api/probe/stream", Origin="http://house.example").status == 403
    assert browser.ask("/login", X_Forwarded_Host="evil.example").status == 403


@pytest.mark.parametrize(
    ("said", "hosts", "allowed"),
    [
        ("house.example", "house.example", True),
        ("house.example:443", "house.example", True),
        ("upstream, house.example", "house.example", True),  # the first one is the sender's own
        ("house.example, evil.example", "house.example", False),
        ("house.example\r\nX-Forwarded-Host: evil.example", "house.example", False),
        ("evil.example\r\nX-Forwarded-Host: house.example", "house.example", True),
    ],
)
def test_what_a_sender_says_for_a_proxy_counts_for_nothing(serve, said, hosts, allowed):
    server = serve(password=PASSWORD, proxies=("127.0.0.1",), public_url=f"https://{hosts}")
    browser = Browser(server)
    lines = (
        f"GET /api/session HTTP/1.1\r\nHost: {browser.host}\r\nX-Forwarded-Host: {said}\r\n"
        f"X-Forwarded-Proto: ftp, https\r\nOrigin: https://{hosts}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(lines.encode())
        assert raw.recv(12) == (b"HTTP/1.1 200" if allowed else b"HTTP/1.1 403")


def test_of_two_named_proxies_the_farther_one_is_believed(serve):
    server = serve(
        password=PASSWORD, proxies=("127.0.0.1", "10.0.0.0/8"), public_url="https://house.example"
    )
    browser = Browser(
        server, X_Forwarded_For=f"{NEIGHBOUR}, 10.0.0.9", X_Forwarded_Proto="https, http",
        X_Forwarded_Host="evil.example, house.example, inner:8080",
    )  # fmt: skip
    assert browser.ask("/api/session", Origin="https://house.example").status == 200
    assert "; secure" in browser.set_cookies[0].lower()


def test_a_named_proxy_counts_wrong_passwords_by_who_asks(serve, log):
    server = serve(password=PASSWORD, proxies=("127.0.0.1",))
    for i in range(6):
        browser = Browser(server, X_Forwarded_For=f"{i}.6.6.6, {NEIGHBOUR}")
        assert browser.log_in("wrong").status == (401 if i < 5 else 429)
    assert Browser(server, X_Forwarded_For="192.168.1.78").log_in("wrong").status == 401
    assert f"wrong password from {NEIGHBOUR}" in log.told[0]


def test_a_line_of_ones_own_before_the_proxys_gives_no_new_tries(serve):
    """Some proxies, HAProxy for one, add a line of their own and leave the sender's as it is."""
    server = serve(password=PASSWORD, proxies=("127.0.0.1",))
    for i in range(6):
        browser = Browser(server, X_Forwarded_For=f"{i}.6.6.6", x_forwarded_for=NEIGHBOUR)
        assert browser.log_in("wrong").status == (401 if i < 5 else 429)


def test_ingress_shows_the_page_in_a_frame_under_its_own_path(serve):
    server = serve(password=PASSWORD, proxies=("127.0.0.1",))
    browser = Browser(
        server, X_Forwarded_Host="home.example:8123", X_Ingress_Path="/api/hassio_ingress/abc"
    )
    token = browser.session()["csrf"]
    browser.ask(
        "/login", "POST", f"csrf={token}&password={PASSWORD.replace(' ', '+')}".encode(),
        Content_Type="application/x-www-form-urlencoded", Origin="http://home.example:8123",
    )  # fmt: skip
    assert "Path=/api/hassio_ingress/abc;" in browser.set_cookies[0] + ";"
    answer = browser.ask("/api/probe/stream")
    assert answer.status == 200
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    for path in ("/a;b", "//evil.example", "/a\u00fc", "/a/../b c"):
        browser.ask("/login", X_Ingress_Path=path.encode("utf-8").decode("latin-1"))
        browser.cookies.clear()
        browser.ask("/login", X_Ingress_Path=path.encode("utf-8").decode("latin-1"))
        assert "Path=/;" in browser.set_cookies[0] + ";"


def test_all_pages_stand_under_the_base_path(serve):
    server = serve(password=PASSWORD, base_path="house/sounds/")
    browser = Browser(server)
    assert server.url.endswith("/house/sounds/")
    assert browser.ask("/house/sounds").headers["Location"] == "sounds/"
    assert browser.ask("/house/sounds/").headers["Location"] == "./login?next=%2F"
    asked = browser.ask("/house/sounds/events/7?x=1")
    assert asked.headers["Location"] == "../login?next=%2Fevents%2F7%3Fx%3D1"
    page = browser.ask("/house/sounds/login")
    assert f'href="./static/{static_mark()}/style.css"' in page.text
    assert browser.ask("/house/sounds/static/style.css").status == 200
    for path in ("/static/style.css", "/login", "/house/soundslogin", "/house"):
        assert browser.ask(path, Accept="*/*").status == 401
    assert all("Path=/house/sounds" in each for each in browser.set_cookies)


# What each answer says.


@pytest.mark.parametrize(
    "path",
    ["/login", "/static/style.css", "/api/session", "/api/probe/stream", "/x", "/api/probe/break"],
)
def test_each_answer_binds_the_browser(serve, path):
    answer = Browser(serve()).ask(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; object-src 'none'; base-uri 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert not [key for key in answer.headers if key.startswith("Access-Control")]
    assert answer.headers["Server"] == "streamclf"


def test_a_mistake_shows_nothing_of_the_inside(serve, log):
    browser = Browser(serve())
    for accept in ("*/*", "text/html"):
        answer = browser.ask("/api/probe/break", Accept=accept)
        assert answer.status == 500
        for word in ("secret", "ValueError", "Traceback", ".py"):
            assert word not in answer.text
    assert "error: the page: /api/probe/break: ValueError: secret of the inside" in log.told[0]


def test_errors_are_small_pages_or_json(serve):
    browser = Browser(serve())
    page = browser.ask("/nothing<script>")
    assert (page.status, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing here" in page.text
    assert "<script>" not in page.text
    assert json.loads(browser.ask("/nothing", Accept="*/*").text) == {
        "error": "There is no such page."
    }
    assert browser.ask("/login", "PUT", X_CSRF_Token=browser.session()["csrf"]).status == 405


# How long and how much.


def test_ten_megabytes_are_refused_before_they_are_sent(serve):
    server = serve()
    browser = Browser(server)
    browser.session()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(
            f"POST /api/probe/write HTTP/1.1\r\nHost: {browser.host}\r\n"
            "Content-Length: 10000000\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_whose_length_is_not_told_has_a_limit_all_the_same(serve):
    server = serve()
    browser = Browser(server)
    token = browser.session()["csrf"]
    cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(
            f"POST /api/probe/write HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {cookie}\r\n"
            f"X-CSRF-Token: {token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(MAX_BODY // 0x10000 + 2):
            raw.sendall(chunk)
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_slow_connections_hold_up_nobody_and_are_closed(serve):
    connections = Connections(first_request_s=2.0)
    server = serve(connections=connections)
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        for each in slow[:100]:
            each.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert Browser(server).ask("/static/style.css").status == 200
        for each in slow:
            each.settimeout(PATIENCE_S)
            with suppress(ConnectionError):
                assert each.recv(1) == b""
        assert Browser(server).ask("/static/style.css").status == 200
    finally:
        for each in slow:
            each.close()


def test_a_full_house_closes_what_is_idle_and_not_what_is_answered(serve):
    connections = Connections(limit=20)
    server = serve(connections=connections)
    slow = []
    try:
        for _ in range(60):
            slow.append(socket.create_connection(("127.0.0.1", server.port)))
            if len(slow) % 20 == 0:
                assert Browser(server).ask("/static/style.css").status == 200
        deadline = time.monotonic() + PATIENCE_S
        while len(connections) > 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(connections) <= 20
    finally:
        for each in slow:
            each.close()


def test_an_end_waits_for_no_event_stream(tmp_path):
    started = threading.Event()

    def build(context, connections):
        app = build_app(context, connections)

        async def endless(request):
            import asyncio

            answer = web.StreamResponse()
            await answer.prepare(request)
            started.set()
            await asyncio.sleep(10 * PATIENCE_S)
            return answer

        app.router.add_get("/endless", endless)
        return app

    with WebServer(make_context(tmp_path), build=build) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.sendall(f"GET /endless HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert started.wait(PATIENCE_S)
    assert not server._thread.is_alive()
    raw.close()
