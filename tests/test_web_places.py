"""Questions to the store from many pages at once: nobody waits for another's for ever."""

import json
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from histories import make_history
from live_runs import PATIENCE_S
from pages import PASSWORD, Browser, make_context

from streamclf.store import browse
from streamclf.web import api, asking, places
from streamclf.web.filters import MOST_CHOSEN
from streamclf.web.server import WebServer


@pytest.fixture
def server(tmp_path):
    make_history(tmp_path)
    context = make_context(tmp_path, password=PASSWORD, proxies=("127.0.0.1",))
    with WebServer(context) as started:
        yield started


@pytest.fixture
def browser(server):
    """Somebody who is logged in, at another address than `other`."""
    return log_in(server, "192.168.1.5")


def log_in(server, address):
    browser = Browser(server, X_Forwarded_For=address)
    browser.log_in()
    return browser


class Long:
    """Questions that take as long as a test wants."""

    def __init__(self, monkeypatch):
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.n_at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        find_page = browse.find_page

        def find_slowly(*arguments, **options):
            with self._lock:
                self.n_at_once += 1
                self.most_at_once = max(self.most_at_once, self.n_at_once)
            self.begun.release()
            assert self.may_end.wait(PATIENCE_S)
            with self._lock:
                self.n_at_once -= 1
            return find_page(*arguments, **options)

        monkeypatch.setattr(api, "find_page", find_slowly)


def test_one_viewer_does_not_take_all_places(server, browser, monkeypatch):
    long, other = Long(monkeypatch), log_in(server, "192.168.1.6")
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(browser.ask, "/api/events") for _ in range(10)]
        for _ in range(places.AT_ONCE_OF_ONE):
            assert long.begun.acquire(timeout=PATIENCE_S)
        for path in ("/", "/health", "/api/health", "/day", "/sounds", "/api/events/1"):
            assert other.ask(path).status == 200
        assert long.most_at_once == places.AT_ONCE_OF_ONE
        others = [pool.submit(other.ask, "/api/events") for _ in range(2)]
        for _ in range(places.AT_ONCE - places.AT_ONCE_OF_ONE):
            assert long.begun.acquire(timeout=PATIENCE_S)
        for path in ("/", "/health"):  # which ask nothing of the store
            assert other.ask(path).status == 200
        long.may_end.set()
        assert {each.result().status for each in [*asked, *others]} == {200}
    assert long.most_at_once <= places.AT_ONCE


def test_who_waits_too_long_is_told_so(browser, monkeypatch):
    long = Long(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(browser.ask, "/api/events") for _ in range(places.AT_ONCE_OF_ONE)]
        for _ in asked:
            assert long.begun.acquire(timeout=PATIENCE_S)
        monkeypatch.setattr(places, "WAIT_S", 0.05)
        answer = browser.ask("/day", Accept="*/*")
        assert answer.status == 503
        assert json.loads(answer.text)["error"].startswith("Too many questions are being answered")
        long.may_end.set()
        assert {each.result().status for each in asked} == {200}
    assert browser.ask("/day").status == 200


def endless(store: sqlite3.Connection, *arguments, **options):
    store.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    ).fetchone()


def test_a_question_that_takes_too_long_ends(browser, monkeypatch):
    monkeypatch.setattr(api, "find_page", endless)
    monkeypatch.setattr(asking, "LONGEST_S", 0.2)
    answer = browser.ask("/api/events", Accept="*/*")
    assert (answer.status, json.loads(answer.text)) == (
        503,
        {"error": "This takes longer than 0.2 s: ask for fewer days."},
    )


def test_a_question_ends_with_the_interest_in_it(server, browser, monkeypatch):
    ended = threading.Event()

    def ask_for_ever(store, *arguments, **options):
        try:
            endless(store)
        finally:
            ended.set()

    monkeypatch.setattr(api, "find_page", ask_for_ever)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        cookies = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
        head = f"GET /api/events HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {cookies}\r\n\r\n"
        raw.sendall(head.encode())
        time.sleep(0.1)
    assert ended.wait(PATIENCE_S)


def test_a_question_ends_with_the_server(tmp_path, monkeypatch):
    make_history(tmp_path)
    begun = threading.Event()

    def ask_for_ever(store, *arguments, **options):
        begun.set()
        endless(store)

    monkeypatch.setattr(api, "find_page", ask_for_ever)
    with WebServer(make_context(tmp_path)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Browser(server).ask, "/api/events")
        assert begun.wait(PATIENCE_S)
        server.__exit__(None, None, None)
        assert not server._thread.is_alive()
        asked.exception(PATIENCE_S)


def test_few_labels_and_sources_are_chosen_at_once(browser):
    for key in ("label", "source"):
        query = "&".join([f"{key}=dog"] * (MOST_CHOSEN + 1))
        answer = browser.ask(f"/api/events?{query}", Accept="*/*")
        assert answer.status == 400
        assert f"{key.capitalize()}: 51 are chosen, at most 50 are possible" in answer.text
    commas = browser.ask("/api/events?label=" + "dog," * MOST_CHOSEN + "dog", Accept="*/*")
    assert commas.status == 400
    few = browser.ask("/api/events?" + "&".join(["label=dog"] * MOST_CHOSEN), Accept="*/*")
    assert few.status == 200
