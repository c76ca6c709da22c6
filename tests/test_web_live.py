"""The pages Now and Health of the real program in a real browser."""

import asyncio
import contextlib
import os
import re
import signal
import socket

import numpy as np
import prepared
import pytest
import toys
from chromium import DESK, PHONE, Chromium, needs_chromium
from live_runs import PATIENCE_S

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(tmp_path, tone_model, write_wav, port):
    """Start `streamclf serve` over sounds, or over sources; those that still run are killed."""
    processes = []
    folders = {name: str(tmp_path / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME")}

    def start(*sources):
        lines = [f'model = "{tone_model}"', f'store = "{tmp_path / "box.db"}"']
        for name, source in sources:
            lines += ["[[sources]]", f'name = "{name}"', f'url = "{source}"']
        settings = tmp_path / "settings.toml"
        settings.write_text("\n".join(lines))
        command = ["serve", "--config", settings]
        with (tmp_path / "serve.log").open("a") as log:
            processes.append(
                prepared.begin(
                    *command, "--port", port,
                    env={**os.environ, **folders}, stdout=log, stderr=log,
                )
            )  # fmt: skip
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


async def open_when_served(browser, process, port, path=""):
    """Open a page as soon as it is served."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert process.poll() is None, "it does not serve"
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.1)
    await browser.go(f"http://127.0.0.1:{port}/{path}")


LIVE = "document.querySelector('#connection')?.dataset.state === 'live'"
SOUNDING = "document.querySelector('#sounding').textContent"
CARD = "document.querySelector('#sources [data-source=\"yard\"]')"


def shows(selector, text):
    """Whether an element has a text."""
    return f"document.querySelector({selector!r}).textContent.includes({text!r})"


def colours_in(selector):
    """How many colours a picture has."""
    return f"""(() => {{
        const canvas = document.querySelector({selector!r});
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(data.buffer)).size;
    }})()"""


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (DESK, True)])
def test_now_moves_and_goes_on_after_the_server_was_killed(serve, write_wav, port, size, dark):
    sound = np.concatenate([toys.tone(1000, 6), toys.silence(4), toys.tone(440, 600)])
    source = ("yard", f"sim:{write_wav(sound)}?overflow=7,0.5")

    async def look():
        async with Chromium(size, dark=dark) as browser:
            process = serve(source, ("hall", "http://127.0.0.1:1/none"))
            await open_when_served(browser, process, port)
            await browser.until(LIVE)
            await browser.until(f"{CARD}?.dataset.state === 'heard'")
            await browser.until(shows("#sounding", "middle"))
            counting = await browser.ask(SOUNDING)
            await browser.until(f"{SOUNDING} !== {counting!r}")
            told = await browser.text("#told")
            await browser.until(f"{colours_in('#sources canvas')} > 5")
            await browser.until(f"{CARD}?.querySelector('.db').textContent.includes('−10 dB')")
            await browser.until(shows("#ended", "middle"))
            await browser.until(
                "document.querySelector('#troubles').textContent.includes('0.50 s')"
            )
            hall = await browser.text("#sources [data-source='hall']")
            width = await browser.ask("document.documentElement.scrollWidth")

            process.send_signal(signal.SIGKILL)
            process.wait()
            await browser.until(
                "document.querySelector('#connection').textContent.includes('recon')"
            )
            process = serve(source)
            await browser.until(LIVE)
            await browser.until(shows("#sounding", "middle"))
            await browser.until("!document.querySelector('#sources [data-source=\"hall\"]')")
            once = await browser.ask("document.querySelectorAll('#sources > *').length")
            await browser.until(shows("#sounding", "low"))
            return counting, told, hall, width, once, browser.said

    counting, told, hall, width, once, said = asyncio.run(look())
    assert re.search(r"middle\s+for \d+ s · yard", counting)
    assert told.strip() == "middle began, yard"
    assert "lost, tried again and again" in hall
    assert width == size[0]  # nothing hangs over at the side
    assert once == 1
    assert not [line for line in said if "ERR_CONNECTION" not in line and "ERR_INCOMPL" not in line]


def test_a_hidden_page_draws_nothing_and_shows_all_again_later(serve, write_wav, port):
    """Another tab lies in front of it; then it is looked at again."""
    sound = np.concatenate([toys.tone(1000, 4), toys.silence(4), toys.tone(440, 600)])
    hide = """(hidden) => {
        Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }"""

    async def look():
        async with Chromium() as browser:
            process = serve(("yard", f"sim:{write_wav(sound)}"))
            await open_when_served(browser, process, port)
            await browser.until(LIVE)
            await browser.until(f"{colours_in('#sources canvas')} > 5")
            drawn = "document.querySelector('#sources canvas').toDataURL()"
            shown = f"[{drawn}, document.querySelector('#sources .level').innerText]"
            # In one step: between two of them the page draws.
            before = await browser.ask(f"({hide})(true), {shown}")
            await browser.until(shows("#ended", "middle"))
            hidden = await browser.ask(shown)
            await browser.ask(f"({hide})(false)")
            await browser.until(f"{drawn} !== {before[0]!r}")
            return before[0] == hidden[0], before[1] == hidden[1], browser.said

    assert asyncio.run(look()) == (True, True, [])


def test_without_script_the_page_is_whole_and_says_how_it_moves_on(serve, write_wav, port):
    path = write_wav(toys.tone(1000, 600))

    async def look():
        async with Chromium(PHONE, script=False) as browser:
            process = serve(("yard", f"sim:{path}"))
            await open_when_served(browser, process, port)
            while "middle" not in await browser.ask(SOUNDING):
                await asyncio.sleep(0.2)
                await browser.go(f"http://127.0.0.1:{port}/")
            return await browser.text("main"), browser.said

    text, said = asyncio.run(look())
    assert "allow scripts and it moves by itself" in text
    assert re.search(r"Middle\s+for \d+ s · yard", text)
    assert not said


@pytest.mark.parametrize(("size", "dark"), [(PHONE, True), (DESK, False)])
def test_health_counts_up(serve, write_wav, port, size, dark):
    path = write_wav(toys.tone(1000, 600))

    async def look():
        async with Chromium(size, dark=dark) as browser:
            process = serve(("yard", f"sim:{path}"))
            await open_when_served(browser, process, port, "health")
            await browser.until(LIVE)
            # The page may be there before its sources are.
            heard = "document.querySelector('[data-key=\"yard/heard\"]')?.textContent"
            before = await browser.until(heard)
            await browser.until(f"{heard} !== {before!r}")
            width = await browser.ask("document.documentElement.scrollWidth")
            return await browser.text("main"), width, browser.said

    text, width, said = asyncio.run(look())
    assert "The source is heard, and nothing was lost since the start." in text
    assert "Room on the disk" in text
    assert width == size[0]
    assert not said


@pytest.mark.parametrize("path", ["", "health"])
def test_everything_on_a_page_has_a_name(serve, write_wav, port, path):
    """What somebody who cannot see hears of it: each control, meter and picture has a name."""
    wav = write_wav(toys.tone(1000, 600))

    async def look():
        async with Chromium() as browser:
            process = serve(("yard", f"sim:{wav}"))
            await open_when_served(browser, process, port, path)
            await browser.until(LIVE)
            # Before it is heard, a source shows no meter.
            await browser.until(
                "document.querySelector('[data-source=\"yard\"]')?.dataset.state === 'heard'"
            )
            tree = await browser.tell("Accessibility.getFullAXTree")
            return tree["nodes"]

    nodes = [node for node in asyncio.run(look()) if not node.get("ignored")]
    named = {"link", "button", "meter", "image", "img", "article", "navigation", "heading"}
    roles = {node["role"]["value"].lower() for node in nodes}
    nameless = [
        node
        for node in nodes
        if node["role"]["value"].lower() in named and not node.get("name", {}).get("value")
    ]
    assert not nameless
    assert {"link", "heading", "status"} <= roles
    if not path:
        assert {"meter", "article"} <= roles
