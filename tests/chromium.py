"""Debian's Chromium, driven over the DevTools protocol, for tests of the pages."""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE_S = 60
PHONE, DESK = (390, 844), (1280, 800)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LEAN = (
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-extensions", "--disable-component-extensions-with-background-pages",
    "--disable-features=OptimizationHints,SpareRendererForSitePerProcess,Translate,"
    "WebUIOmniboxAimPopup,WebUIOmniboxPopup",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
"""Leaves out of the browser what is not of the page. For each page, the address line alone would
open four pages of its own for what it suggests: two thirds of what a page takes."""
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


class PageLeftError(Exception):
    """The browser went to another page while this one was asked."""


class ScriptError(AssertionError):
    """An expression raised an error in the page."""


class Chromium:
    """A page of a browser, which keeps nothing of other pages: no cookie, no cache.

    Args:
        size: Width and height of the page, in pixels.
        dark: Whether the system is dark.
        script: Whether the page may run scripts.

    Attributes:
        said: Errors of the page.
    """

    def __init__(
        self, size: tuple[int, int] = DESK, *, dark: bool = False, script: bool = True
    ) -> None:
        self.said: list[str] = []
        self._size, self._dark, self._script = size, dark, script

    async def __aenter__(self) -> Chromium:
        width, height = self._size
        async with contextlib.AsyncExitStack() as stack:
            address = await _Process.find()
            self._session = await stack.enter_async_context(aiohttp.ClientSession())
            browser = await stack.enter_async_context(_Connection(self._session, address))
            # Ends with the connection, and with it the page and all that was kept for it.
            own = await browser.tell("Target.createBrowserContext", disposeOnDetach=True)
            page = await browser.tell(
                "Target.createTarget", url="about:blank", width=width, height=height,
                browserContextId=own["browserContextId"],
            )  # fmt: skip
            address = f"{address.partition('/devtools/')[0]}/devtools/page/{page['targetId']}"
            connection = _Connection(self._session, address, self._hear)
            self._page = await stack.enter_async_context(connection)
            for domain in ("Page", "Runtime", "Log"):
                await self.tell(f"{domain}.enable")
            await self.tell(
                "Emulation.setDeviceMetricsOverride", width=width, height=height,
                deviceScaleFactor=1, mobile=width < 600,
            )  # fmt: skip
            await self.darken(self._dark)
            await self.tell("Emulation.setScriptExecutionDisabled", value=not self._script)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def darken(self, dark: bool) -> None:
        """Let the system be dark, or light."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])

    async def go(self, address: str) -> None:
        """Open a page, and wait until it is there."""
        await self.tell("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def tell(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        return await self._page.tell(method, **params)

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page, also where the page itself may run no script.

        Raises:
            PageLeftError: The browser went to another page meanwhile.
            ScriptError: It raised an error.
        """
        answer = await self.tell(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "result" not in answer:
            raise PageLeftError(expression)
        if "exceptionDetails" in answer:
            raise ScriptError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def text(self, selector: str = "body") -> str:
        """What somebody reads in an element."""
        return str(await self.ask(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value.

        One that raises an error, because an element is not there yet, is not true yet.
        """
        last: object = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                value = None
                while not value:
                    try:
                        last = value = await self.ask(expression)
                    except (PageLeftError, ScriptError) as error:
                        last = error
                    if not value:
                        await asyncio.sleep(0.1)
        except TimeoutError as error:
            text = await self.text()
            raise AssertionError(
                f"{expression} never came, at last it was {last!r}: {text}\n{self.said}"
            ) from error
        return value

    async def picture(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """A picture of the page as PNG, in a file too if a path is given."""
        shot = await self.tell(
            "Page.captureScreenshot", captureBeyondViewport=whole, optimizeForSpeed=True
        )
        data = base64.b64decode(shot["data"])
        if path is not None:
            await asyncio.to_thread(path.write_bytes, data)
        return data

    def _hear(self, said: dict[str, Any]) -> None:
        if said["method"] == "Runtime.exceptionThrown":
            details = said["params"]["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description", str(details)))
        elif said["method"] == "Log.entryAdded":
            entry = said["params"]["entry"]
            if entry["level"] == "error":
                self.said.append(f"{entry['text']} {entry.get('url', '')}".strip())


class _Connection:
    """A connection to the browser, or to a page of it.

    Args:
        session: What connects.
        address: Of the other side.
        hear: Called with each message that answers nothing.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        hear: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._session, self._address, self._hear = session, address, hear
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> _Connection:
        self._socket = await self._session.ws_connect(self._address, max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._reader

    async def tell(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result.

        Raises:
            ConnectionError: The browser has ended, or its page.
            TimeoutError: It does not answer; the next page is one of another browser.
        """
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": number, "method": method, "params": params})
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait([answer, self._reader], return_when="FIRST_COMPLETED")
        except TimeoutError:
            _Process.end()
            raise
        finally:
            del self._answers[number]
        if not answer.done():
            raise ConnectionError(f"the browser ended during {method}")
        return answer.result()

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            answer = self._answers.get(said.get("id"))
            if answer is not None:
                answer.set_result(said.get("result", {}))
            elif "method" in said:
                self._hear(said)


class _Process:
    """The browser of this process, for one page after another: to start it takes half a second."""

    _now: _Process | None = None

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._folder = tempfile.TemporaryDirectory(prefix="streamclf-chromium-")
        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={self._folder.name}", "--remote-debugging-port=0", *LEAN,
                "about:blank",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @classmethod
    async def find(cls) -> str:
        """The address at which it answers, once it does."""
        if cls._now is not None and cls._now._process.poll() is not None:
            cls.end()
        if cls._now is None:
            cls._now = cls()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(FileNotFoundError, ValueError):
                    told = Path(cls._now._folder.name, "DevToolsActivePort").read_text()
                    port, path = told.splitlines()
                    return f"ws://127.0.0.1:{port}{path}"
                assert cls._now._process.poll() is None, "the browser does not start"
                await asyncio.sleep(0.05)

    @classmethod
    def end(cls) -> None:
        """Let it end."""
        now, cls._now = cls._now, None
        if now is None:
            return
        now._process.terminate()
        try:
            now._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            now._process.kill()
            now._process.wait()
        for _ in range(50):  # its children write for a moment longer
            try:
                now._folder.cleanup()
                break
            except OSError:
                time.sleep(0.1)


atexit.register(_Process.end)
