"""First paint and weight of each page, and live listening, as a real browser measures them.

    python benchmarks/first_paint.py [--runs 5]

Chromium opens the pages of a small store on loopback, at the size of a phone, with an empty cache.
Its own performance entries say when it painted first and how much it fetched. Then it plays the
sound of a source, and its clock says how late that is: the time to the first sound, and half a
second of silence that comes first.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import toys
from chromium import PHONE, Chromium
from histories import make_history
from lives import stream
from pages import PASSWORD, make_context

from streamclf.core.records import Block
from streamclf.web.hub import LiveHub
from streamclf.web.live_sound import LEAD_S
from streamclf.web.server import WebServer

PAGES = ("/", "/day", "/day?days=7", "/events", "/sounds", "/sound?label=dog", "/health")
RATE = 48_000
PAINT = """(() => {
    const first = performance.getEntriesByName('first-contentful-paint')[0];
    const fetched = [...performance.getEntriesByType('navigation'),
                     ...performance.getEntriesByType('resource')];
    return first && [first.startTime, fetched.reduce((sum, each) => sum + each.transferSize, 0),
                     fetched.length];
})()"""
PRESS = "document.querySelector('.hear a').click()"


def feed(hub: LiveHub, ended: threading.Event) -> None:
    """Feed a source as a microphone does."""
    sink = hub.sink("yard")
    sink.begin(stream())
    tone, position, began = toys.tone(1000, 0.1, RATE), 0, time.monotonic()
    while not ended.is_set():
        block = Block(position, tone[None], RATE)
        sink.measure(block)
        sink.hear(block)
        position = block.end
        ended.wait(max(began + position / RATE - time.monotonic(), 0))


def encode() -> float:
    """Seconds of a processor for a second of noise at 44.1 kHz, which is resampled."""
    ears = LiveHub()
    ears.may_be_heard = lambda name: True
    sink = ears.sink("yard")
    sink.begin(stream())
    sound = ears.sound("yard")
    assert sound is not None
    sound.enter()
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 4410)).astype(np.float32)
    sound.make()
    used = time.process_time()
    for number in range(90):
        sink.measure(Block(4410 * number, noise, 44_100))
        sound.make()
    return (time.process_time() - used) / 9.0


async def measure(port: int, runs: int) -> None:
    base = f"http://127.0.0.1:{port}"
    async with Chromium(PHONE) as browser:
        await browser.go(base)
        await browser.ask(
            f"document.querySelector('#password').value = {PASSWORD!r};"
            "document.querySelector('form').requestSubmit(); 0"
        )
        await browser.until("!!document.querySelector('#sources')")
        print(f"{'':<20} {'first paint, ms':>16} {'again, ms':>10} {'kB':>6} {'files':>6}")
        for path in PAGES:
            cold, warm = [], []
            for _ in range(runs):
                for kept, found in ((False, cold), (True, warm)):
                    if not kept:
                        await browser.tell("Network.clearBrowserCache")
                    await browser.go("about:blank#")
                    await browser.tell("Page.navigate", url=base + path)
                    found.append(await browser.until(PAINT))
            paint, n_bytes, n_files = (statistics.median(each) for each in zip(*cold, strict=True))
            again = statistics.median(each[0] for each in warm)
            print(f"{path:<20} {paint:>16.0f} {again:>10.0f} {n_bytes / 1e3:>6.1f} {n_files:>6.0f}")
        late = []
        for _ in range(runs):
            await browser.go(base)
            await browser.until("document.querySelector('#connection').dataset.state === 'live'")
            asked = time.monotonic()
            await browser.tell("Runtime.evaluate", expression=PRESS, userGesture=True)
            played = await browser.until("document.querySelector('.hear audio')?.currentTime")
            late.append(time.monotonic() - asked - played + LEAD_S)
        print(f"its encoder: {100 * encode():.1f} % of a core while anybody listens")
        print(f"live sound: {statistics.median(late):.1f} s from the microphone to the ear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    hub, ended = LiveHub(), threading.Event()
    hub.may_be_heard = lambda name: True
    feeding = threading.Thread(target=feed, args=(hub, ended))
    feeding.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            make_history(Path(folder))
            context = make_context(Path(folder), password=PASSWORD)
            with WebServer(replace(context, hub=hub)) as server:
                asyncio.run(measure(server.port, runs))
    finally:
        ended.set()
        feeding.join()


if __name__ == "__main__":
    main()
