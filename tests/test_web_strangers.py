"""What anybody may send to the page: broken forms, odd headers, many slow bodies."""

import gzip
import http.client
import json
import socket
import time
from contextlib import ExitStack, suppress

import pytest
from aiohttp import web
from live_runs import PATIENCE_S
from pages import PASSWORD, Browser, make_context
from serving import Heard

from streamclf.core.log import LOGGER
from streamclf.web.bodies import MAX_BODY, MAX_FORM_OF_STRANGERS
from streamclf.web.connections import Connections
from streamclf.web.server import WebServer
from streamclf.web.visitors_log import EVERY_S, make_log

FORM = "application/x-www-form-urlencoded"
PARTS = b'--B\r\nContent-Disposition: form-data; name="csrf"%s\r\n\r\n%s\r\n--B--\r\n'


@pytest.fixture
def serve(tmp_path):
    with ExitStack() as stack:

        def start(connections=None, **options):
            options.setdefault("password", PASSWORD)
            return stack.enter_context(WebServer(make_context(tmp_path, **options), connections))

        yield start


@pytest.fixture
def log():
    heard = Heard()
    LOGGER.addHandler(heard)
    yield heard.words
    LOGGER.removeHandler(heard)


def send(server, data, *, most=65_536):
    """Send bytes as they are; returns what comes back until the end."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.sendall(data)
        got = b""
        while len(got) < most and (more := raw.recv(65_536)):
            got += more
    return got


def post(server, kind, body, *more):
    lines = [
        "POST /login HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: close",
        f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more,
    ]  # fmt: skip
    return send(server, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)


# Bodies.


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=" + "b" * 100, b"x"),
        ("multipart/form-data; boundary=B", b"--B\r\n\r\n"),
        ("multipart/form-data; boundary=B", PARTS % (b"", b"\xff")),
        ("multipart/form-data; boundary=B", PARTS % (b'; filename="../../x"', b"x")),
        ("multipart/form-data; boundary=B",
         PARTS % (b"\r\nContent-Transfer-Encoding: none", b"x")),
        (f"{FORM}; charset=none", b"csrf=x"),
        (f"{FORM}; charset=hex", b"csrf=x"),
        (f"{FORM}; charset=utf-16", b"csrf=x"),
        (FORM, b"csrf=\xff"),
        (FORM, b"csrf=%ff%00&password=%ed%a0%80"),
        (FORM, b"&&;=;%=%%"),
        (FORM, b""),
        ("\xff/\xff; x=\"", b"{}"),
        (";" * 8000, b"csrf=x"),
    ],
)  # fmt: skip
def test_a_broken_form_is_a_form_without_token_and_no_line_in_the_log(
    serve, log, monkeypatch, kind, body
):
    def read_for_a_second(self):
        raise AssertionError("aiohttp takes a second for a type of 8 kB")

    monkeypatch.setattr(web.Request, "content_type", property(read_for_a_second))
    assert post(serve(), kind, body).startswith(b"HTTP/1.1 403 ")
    assert not log.told


def test_a_form_of_too_many_fields_is_refused(serve, log):
    assert post(serve(), FORM, b"a&" * 5000).startswith(b"HTTP/1.1 400 ")
    assert not log.told


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_refused(serve, log, encoding):
    server = serve()
    for body in (gzip.compress(b"csrf=" + b"x" * 10_000_000), b"no " + encoding.encode()):
        answer = post(server, FORM, body, f"Content-Encoding: {encoding}")
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert b"send it as it is" in answer
    assert not [line for line in log.told if "/login" in line]


def test_a_stranger_sends_little(serve):
    """256 places of 1 MB each would be more than a small machine has to spare."""
    server = serve()
    little = b"password=" + b"x" * (MAX_FORM_OF_STRANGERS - 9)
    assert post(server, FORM, little).startswith(b"HTTP/1.1 403 ")
    assert post(server, FORM, little + b"x").startswith(b"HTTP/1.1 413 ")
    chunked = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: {FORM}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    assert send(server, chunked.encode(), most=15).startswith(b"HTTP/1.1 411 ")
    browser = Browser(server)
    browser.log_in()
    token = browser.session()["csrf"]
    answer = browser.ask(
        "/events/act", "POST", b"x=" + b"x" * (MAX_BODY - 2), Content_Type=FORM, X_CSRF_Token=token
    )
    assert answer.status == 303


def test_the_longest_password_fits_in_what_a_stranger_may_send(serve):
    password = "\U0001f408" * 1024
    browser = Browser(serve(password=password))
    assert browser.log_in(password, following="/events?" + "x" * 8000).status == 303


def test_bodies_that_do_not_come_take_nobodys_place(serve):
    connections = Connections(limit=20)
    server = serve(connections)
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: {FORM}\r\n"
        "Content-Length: 9000\r\nExpect: 100-continue\r\n\r\n"
    ).encode()
    slow = []
    try:
        for _ in range(40):
            slow.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE_S))
            slow[-1].sendall(head)
            assert slow[-1].recv(12) == b"HTTP/1.1 100"  # the body is waited for
        for _ in range(20):
            assert Browser(server).ask("/login").status == 200
        assert len(connections) <= 20
    finally:
        for each in slow:
            each.close()


def test_a_body_that_comes_slowly_is_taken_all_the_same(serve):
    server = serve(password=None)
    browser = Browser(server)
    body = f"csrf={browser.session()['csrf']}&act=".encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/events/act")
    for key, value in {
        "Content-Type": FORM, "Content-Length": str(len(body)),
        "Cookie": "; ".join(f"{key}={value}" for key, value in browser.cookies.items()),
    }.items():  # fmt: skip
        connection.putheader(key, value)
    connection.endheaders()
    for at in range(0, len(body), 20):
        time.sleep(0.02)
        connection.send(body[at : at + 20])
    assert connection.getresponse().status == 303
    connection.close()


def test_requests_whose_answers_nobody_fetches_are_not_taken_without_end(serve):
    """Each would be some kilobytes of memory. aiohttp sees to that from version 3.14.1 on."""
    server, most = serve(), 30_000_000
    request = f"GET /static/style.css HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        raw.settimeout(1.0)
        with suppress(TimeoutError):
            while sent < most:
                sent += raw.send(request * 1000)
    assert sent < most
    assert Browser(server).ask("/login").status == 200


# Headers and paths.


@pytest.mark.parametrize("path", ["/static/" + "x" * 300, "/static" + "/x" * 3000])
def test_a_path_that_is_too_long_leads_nowhere(serve, log, path):
    answer = Browser(serve(password=None)).ask(path, Accept="*/*")
    assert (answer.status, json.loads(answer.text)["error"]) == (404, "There is no such page.")
    assert not log.told


# The log.


def test_broken_requests_fill_no_log(serve, log):
    server = serve()
    for _ in range(50):
        assert send(server, b"GET / HTTP/1.1\r\nno header\r\n\r\n")[:12] == b"HTTP/1.0 400"
    assert len(log.told) == 1


def test_lines_that_were_left_out_are_counted(log):
    clock = [100.0]
    lines = make_log(lambda: clock[0])
    for _ in range(5):
        lines.error("Error handling request from %s", "192.168.1.77")
    clock[0] += EVERY_S
    lines.error("Unhandled exception")
    told = "warning: the page: a request was broken or cut off:"
    assert log.told == [
        f"{told} Error handling request from 192.168.1.77",
        f"{told} Unhandled exception, and 4 more since the last one",
    ]
