"""The pages of the store in a real browser: on a phone and at a desk, light and dark."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import av
import numpy as np
import pytest
import toys
from axe import SERIOUS, load_axe
from chromium import DESK, PHONE, Chromium, needs_chromium
from histories import CLIP_S, NOW, TODAY, make_history
from judged import make_backtest_context, make_box
from lives import Feed, make_health, make_target
from pages import PASSWORD, make_context
from stores import Heard, Run, make_store

from streamclf.web.hub import LiveHub
from streamclf.web.pages import day, events, sounds, teach, unknown
from streamclf.web.server import WebServer

pytestmark = [pytest.mark.slow, needs_chromium]
PAGES = {
    "/day": ["Today", "What, and when", "crackling fire", "How loud", "the microphone was away"],
    "/day?days=7": ["20 November to 26 November", "All sounds"],
    "/day?date=2026-11-24": ["All was quiet."],
    "/events": ["Events", "6 events", "sounds now", "it was hen", "Its sound made room"],
    "/events?label=dog&date=2026-11-26": ["2 events", "Only dog, Today"],
    "/sounds": ["3 sounds", "crackling fire", "Heard before that"],
    "/unknown": ["0 groups", "No unknown sound is remembered."],
    "/teach": ["Sounds that somebody named", "hen", "Labels that were wrong", "wrong once"],
    "/backtest": ["Try it on the past", "This page cannot try the past"],
    "/teach?name=hen": ["1 example", "This page cannot teach", "it was hen", "teach it"],
    "/sound?label=dog": ["Day by day", "By hour of the day", "Another threshold"],
}

BROKEN = r"""(() => {
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.checkVisibility() || node.parentElement.closest(".unseen")) continue;
    for (const word of node.data.matchAll(/\S{1,16}(?!\S)/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
      if (lines.size > 1) found.push(word[0]);
    }
  }
  return found;
})()"""
"""Words, and times such as 07:00–08:00, that go over the end of a line."""


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Starts a server of the store; called again, it starts the next one after a restart."""
    for module in (day, events, sounds, teach, unknown):
        monkeypatch.setattr(module, "now", lambda: NOW)
    make_history(tmp_path)
    return lambda: WebServer(make_context(tmp_path))


def see(
    serve: Callable[[], WebServer],
    look: Callable[[Chromium, str], Awaitable[None]],
    **options: object,
) -> None:
    """Look at the pages with a browser."""

    async def run(address: str) -> None:
        async with Chromium(**options) as browser:
            await look(browser, address)
            assert browser.said == []

    with serve() as server:
        asyncio.run(run(f"http://127.0.0.1:{server.port}"))


def pixels(png: bytes) -> np.ndarray:
    """Pixels ``(height, width, 3)``."""
    with av.open(io.BytesIO(png)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_pages_are_read_and_seen(serve, size):
    """Light, and dark as soon as the system is."""
    axe = load_axe()

    async def look(browser: Chromium, address: str) -> None:
        for path, words in PAGES.items():
            await browser.go(address + path)
            await browser.ask(f"{axe}; 0")
            for dark in (False, True):
                await browser.darken(dark)
                await look_at(browser, path, words, size, dark=dark)

    see(serve, look, size=size)


async def look_at(
    browser: Chromium, path: str, words: list[str], size: tuple[int, int], *, dark: bool
) -> None:
    """Read a page, look at its picture, and ask axe, which is loaded."""
    text = await browser.text("main")
    assert [word for word in words if word not in text] == [], path
    wide = await browser.ask("document.documentElement.scrollWidth")
    assert wide <= size[0], f"{path} is wider than the screen"
    assert await browser.ask(BROKEN) == [], path
    shown = pixels(await browser.picture())
    assert shown.shape[:2] == (size[1], size[0])
    shown = shown[::2, ::2]  # every fourth pixel shows it as well
    ground = np.median(shown.reshape(-1, 3), axis=0).mean()
    assert (ground < 60) == dark
    # Each colour as one number: rows of three take a hundred times as long.
    colours = shown.astype(np.int32) @ (1 << 16, 1 << 8, 1)
    assert len(np.unique(colours)) > 60  # it is drawn
    assert await browser.ask(SERIOUS) == [], path


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_of_the_present_are_read_and_seen(tmp_path, size, dark):
    """With targets that fail, audio that was lost, and a password to ask for."""
    axe, hub = load_axe(), LiveHub(now=lambda: 0.0)  # nothing is late
    for name in ("bedroom", "kitchen"):
        feed = Feed(hub, name)
        feed.lose(1.5)
        feed.hear(toys.tone(1000, 1))
        feed.score(0.01, 0.9, 0.06, 0.05)
        feed.begin("low", 1.0)
    hub.may_be_heard = lambda name: name == "bedroom"
    health = {**make_health(), "targets": [make_target("hook"), make_target("mqtt", "mqtt")]}
    context = make_context(tmp_path, password=PASSWORD)
    context = replace(context, hub=hub, health=lambda: health)

    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/login")
        await browser.ask(f"{axe}; 0")
        await look_at(browser, "/login", ["Password of this page"], size, dark=dark)
        await browser.ask(
            f"document.querySelector('[name=password]').value = '{PASSWORD}';"
            "document.querySelector('[name=password]').form.requestSubmit(); 0"
        )
        await browser.until("document.querySelector('#sources') !== null")
        for path, words in [
            ("/", ["low tone", "Listen live", "did not take the sound", "The broker takes no"]),
            ("/health", ["The source is heard", "Messages to hook", "Broker", "takes no messages"]),
        ]:
            await browser.go(address + path)
            await browser.ask(f"{axe}; 0")
            await look_at(browser, path, words, size, dark=dark)

    see(lambda: WebServer(context), look, size=size, dark=dark)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_threshold_is_tried_on_the_past(tmp_path, size):
    """By one press on a step, on a page that has no script; what came of it is seen and read."""
    axe, context = load_axe(), make_backtest_context(make_box(tmp_path))

    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/backtest?label=dog")
        await browser.ask("document.querySelector('[name=at][value=\"0.2\"]').click()")
        await browser.until("document.body?.innerText.includes('it would have been told 3 times')")
        await browser.ask(f"{axe}; 0")
        words = ["0.20", "3 times", "Told then: once.", "told then as dog", "not stored"]
        await look_at(browser, "/backtest", words, size, dark=False)
        small = """[...document.querySelectorAll("main button, main input, main select")]
          .filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 43)
          .map(each => each.outerHTML.slice(0, 100))"""
        assert await browser.ask(small) == []

    see(lambda: WebServer(context), look, size=size)


def test_many_events_of_an_hour_fit_their_field_of_a_phone(serve, tmp_path):
    barks = [Heard("dog", 60 + 10 * number) for number in range(124)]
    make_store(tmp_path / "store.db", [Run("yard", TODAY + timedelta(hours=5), 3600, barks)])
    too_wide = """[...document.querySelectorAll(".map td a")]
      .filter(each => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight)
      .map(each => each.innerText)"""

    async def look(browser: Chromium, address: str) -> None:
        for path in ("/day", "/day?days=7"):
            await browser.go(address + path)
            assert "12" in await browser.text(".map")
            assert await browser.ask(too_wide) == [], path

    see(serve, look, size=PHONE)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_names_of_everyday_sounds_are_not_cut_off(tmp_path, size):
    hub = LiveHub()
    labels = ["door_wood_knock", "washing_machine", "door_wood_creaks"]
    names = {"door_wood_knock": "door, wood knock", "door_wood_creaks": "door, wood creaks"}
    for name in ("bedroom", "kitchen", "hall"):
        feed = Feed(hub, name, labels=labels, display_names=names, thresholds={labels[0]: 0.5})
        feed.hear(toys.tone(1000, 1))
        feed.score(0.9, 0.06, 0.05)
    cut = """[...document.querySelectorAll(".sounds .what")]
      .filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"""

    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address)
        assert "washing machine" in await browser.text("#sources")
        assert await browser.ask(cut) == []

    see(lambda: WebServer(replace(make_context(tmp_path), hub=hub)), look, size=size, script=False)


def test_what_axe_looks_for_it_finds(serve):
    """Else the test above could not fail."""

    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        await browser.ask(f"{load_axe()}; document.body.append(document.createElement('button'))")
        (found,) = await browser.ask(SERIOUS)
        assert found.startswith("button-name")

    load_axe()
    see(serve, look)


def test_controls_are_big_enough_for_a_thumb(serve):
    small = """[...document.querySelectorAll("button, .button, nav a, input, select, summary")]
      .filter(each => each.checkVisibility() && each.type !== "checkbox")
      .filter(each => each.getBoundingClientRect().height < 43)
      .map(each => each.outerHTML.slice(0, 100))"""

    async def look(browser: Chromium, address: str) -> None:
        for path in PAGES:
            await browser.go(address + path)
            assert await browser.ask(small) == [], path

    see(serve, look, size=PHONE)


def test_a_clip_is_played_with_its_picture(serve):
    audio = "document.querySelector('#event-2 audio')"

    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        await browser.ask("document.querySelector('#event-2').focus()")
        for kind in ("keyDown", "keyUp"):  # a real key: only people may start a sound
            await browser.tell("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", text=" ")
        await browser.until(f"{audio}.currentTime > 0.2")
        assert await browser.ask(f"{audio}.duration") == pytest.approx(CLIP_S, abs=0.1)
        await browser.until("document.querySelector('#event-2 .clip-picture img').naturalWidth > 0")
        where = "parseFloat(document.querySelector('#event-2 .clip-picture i').style.left)"
        await browser.until(f"{where} > 5")

    see(serve, look, size=PHONE)


def press(key: str) -> str:
    event = f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true, cancelable: true}})"
    return f"document.activeElement.dispatchEvent({event}); 0"


def test_keys_review_and_a_review_survives_a_restart(serve):
    tags = "document.querySelector('#event-{} .tags').innerText"

    async def say(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        for key in "jj":
            await browser.ask(press(key))
        assert await browser.ask("document.activeElement.id") == "event-3"
        await browser.ask(press("j"))
        await browser.ask(press("y"))
        await browser.until(f"{tags.format(2)} === 'right'")
        await browser.ask(press("y"))
        await browser.until(f"{tags.format(2)} === ''")
        await browser.ask(press("n"))
        await browser.until(f"{tags.format(2)} === 'wrong'")
        await browser.ask(press("w"))
        await browser.ask("document.activeElement.value = 'crackling fire'; 0")
        await browser.ask("document.activeElement.form.requestSubmit()")
        await browser.until(f"{tags.format(2)} === 'it was crackling fire\\nteach it'")
        way = await browser.ask("document.querySelector('#event-2 .tags a').getAttribute('href')")
        assert way == "./teach?name=crackling%20fire"
        await browser.ask(press("s"))
        await browser.until(f"{tags.format(2)}.includes('kept')")

    async def read(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        shown = await browser.text("#event-2 .tags")
        assert shown.split("\n") == ["it was crackling fire", "teach it", "kept"]

    see(serve, say)
    see(serve, read)


def test_several_are_chosen_and_changed_at_once(serve):
    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        assert not await browser.ask("document.getElementById('actions').checkVisibility()")
        for event in (2, 4):
            await browser.ask(f"document.querySelector('#event-{event} [name=id]').click()")
        assert "2 chosen" in await browser.text("#actions")
        await browser.ask("document.querySelector('#actions [value=right]').click()")
        await browser.until("document.querySelectorAll('.event.right').length === 3")
        assert "2 of 6 events changed." in await browser.text("#said")
        # Deleting asks first, and takes the players away.
        await browser.ask("window.confirm = () => true; 0")
        await browser.ask("document.querySelector('#event-2 [name=id]').click()")
        await browser.ask("document.querySelector('#actions [data-act=delete]').click()")
        await browser.until("!document.querySelector('#event-2 audio')")
        assert "Its sound was deleted." in await browser.text("#event-2")

    see(serve, look, size=PHONE)


def test_all_of_it_works_without_script(serve):
    async def look(browser: Chromium, address: str) -> None:
        await browser.go(address + "/events")
        await browser.ask("document.querySelector('#event-2 [data-act=right]').click()")
        await browser.until("document.body?.innerText.includes('1 event marked as right.')")
        await browser.ask("document.querySelector('#event-4 [name=id]').click()")
        await browser.ask("document.querySelector('#event-3 [name=id]').click()")
        await browser.ask("document.querySelector('#actions [value=wrong]').click()")
        await browser.until("document.body?.innerText.includes('2 events marked as wrong.')")
        await browser.ask("document.querySelector('#event-4 .more').open = true; 0")
        await browser.ask("document.querySelector('#event-4 .was input[name=label]').value = 'owl'")
        await browser.ask("document.querySelector('#event-4 .was button').click()")
        await browser.until("document.body?.innerText.includes('it was owl')")
        await browser.go(address + "/day")
        await browser.ask("document.querySelector('td a[href*=\"label=dog\"]').click()")
        await browser.until("document.body?.innerText.includes('Only dog, Today')")

    see(serve, look, size=PHONE, script=False)
