"""Pages of a store of a million events: seconds from a request to its answer.

    python benchmarks/page.py [--events 1000000] [--labels 1000] [--runs 5] [--store FILE]

The store is the one of `benchmarks/heard.py` with more labels: a year of three sources. The server
runs in this process; each page is asked for in turn, and the medians are told. A store named by
--store is made once, and kept.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path

from heard import fill

from streamclf.web.context import WebContext
from streamclf.web.options import PageOptions
from streamclf.web.server import WebServer

PAGES = (
    "/login", "/day", "/day?days=7", "/events", "/events?label=label_07", "/events?label=label_999",
    "/events?score=0.95", "/events?score=1", "/events?hour=3", "/events?reviewed=right",
    "/events?clip=1", "/events?source=source+1", "/sounds", "/sounds?days=365",
    "/sound?label=label_07", "/sound?label=label_07&days=365", "/api/events", "/api/days",
    "/api/levels", "/api/labels",
)  # fmt: skip


def ask(port: int, path: str) -> tuple[float, float, int]:
    """Wall and CPU seconds of an answer, and its bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began, used = time.perf_counter(), time.process_time()
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status in (200, 303), (path, answer.status)
    return time.perf_counter() - began, time.process_time() - used, len(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "streamclf.db"
        if not store.exists():
            fill(store, options.events, options.labels)
        found: dict[str, list[tuple[float, float, int]]] = {path: [] for path in PAGES}
        with WebServer(WebContext(store, PageOptions(port=0))) as server:
            for _ in range(options.runs):
                for path in PAGES:
                    found[path].append(ask(server.port, path))
    print(f"{options.events:,} events, {options.labels:,} labels")
    print(f"{'':<34} {'wall, s':>8} {'CPU, s':>8} {'kB':>6}   (medians of {options.runs})")
    for path, each in found.items():
        wall, cpu, size = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"{path:<34} {wall:>8.2f} {cpu:>8.2f} {size / 1e3:>6.0f}")


if __name__ == "__main__":
    main()
