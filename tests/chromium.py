"""Debian's Chromium, driven over the DevTools protocol, for tests of the pages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE_S = 60
PHONE, DESK = (390, 844), (1280, 800)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


class PageLeftError(Exception):
    """The browser went to another page while this one was asked."""


class Chromium:
    """A browser with one page.

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
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Chromium:
        assert CHROMIUM is not None
        self._folder = tempfile.TemporaryDirectory(prefix="streamclf-chromium-")
        profile = Path(self._folder.name)
        width, height = self._size
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--window-size={width},{height}", f"--user-data-dir={profile}",
            "--remote-debugging-port=0", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._session = aiohttp.ClientSession()
        try:
            await self._connect(profile, width, height)
        except BaseException:  # nothing ends a context that was not entered
            await self._session.close()
            await self._end()
            raise
        return self

    async def _connect(self, profile: Path, width: int, height: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            port = await _first_line(profile / "DevToolsActivePort")
            pages: list[dict[str, Any]] = []
            while not pages:
                async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
                    pages = [page for page in await answer.json() if page["type"] == "page"]
            self._socket = await self._session.ws_connect(
                pages[0]["webSocketDebuggerUrl"], max_msg_size=0
            )
        self._reader = asyncio.create_task(self._read())
        await self.tell("Page.enable")
        await self.tell("Runtime.enable")
        await self.tell("Log.enable")
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])
        await self.tell("Emulation.setScriptExecutionDisabled", value=not self._script)

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        await self._end()

    async def _end(self) -> None:
        self._process.terminate()
        await self._process.wait()
        for _ in range(50):  # its children write for a moment longer
            try:
                self._folder.cleanup()
                break
            except OSError:
                await asyncio.sleep(0.1)

    async def go(self, address: str) -> None:
        """Open a page, and wait until it is there."""
        await self.tell("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def tell(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._answers[number]
        finally:
            del self._answers[number]

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page, also where the page itself may run no script.

        Raises:
            PageLeftError: The browser went to another page meanwhile.
        """
        answer = await self.tell(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "result" not in answer:
            raise PageLeftError(expression)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self, selector: str = "body") -> str:
        """What somebody reads in an element."""
        return str(await self.ask(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                value = None
                while not value:
                    with contextlib.suppress(PageLeftError):
                        value = await self.ask(expression)
                    if not value:
                        await asyncio.sleep(0.1)
        except TimeoutError as error:
            text = await self.text()
            raise AssertionError(f"{expression} never came: {text}\n{self.said}") from error
        return value

    async def picture(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """A picture of the page as PNG, in a file too if a path is given."""
        shot = await self.tell("Page.captureScreenshot", captureBeyondViewport=whole)
        data = base64.b64decode(shot["data"])
        if path is not None:
            await asyncio.to_thread(path.write_bytes, data)
        return data

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if said.get("id") in self._answers:
                self._answers[said["id"]].set_result(said.get("result", {}))
            elif said.get("method") == "Runtime.exceptionThrown":
                details = said["params"]["exceptionDetails"]
                self.said.append(details.get("exception", {}).get("description", str(details)))
            elif said.get("method") == "Log.entryAdded":
                entry = said["params"]["entry"]
                if entry["level"] == "error":
                    self.said.append(f"{entry['text']} {entry.get('url', '')}".strip())


async def _first_line(path: Path) -> str:
    """The first line of a file, once it is there."""
    while True:
        try:
            lines = (await asyncio.to_thread(path.read_text)).splitlines()
        except FileNotFoundError:
            lines = []
        if lines:
            return lines[0]
        await asyncio.sleep(0.1)
