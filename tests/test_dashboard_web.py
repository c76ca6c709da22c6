"""The dashboard in a browser: whom its server answers, what its page loads, what it starts."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

import aiohttp
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.dashboard.guarded_server import Addresses
from streamclf.dashboard.web import command_line

PORT = 8787


@pytest.mark.parametrize(
    ("host", "named", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8787", True),
        ("127.0.0.1", "localhost:8787", True),
        ("127.0.0.1", "LocalHost:8787", True),
        ("127.0.0.1", "[::1]:8787", True),
        ("127.0.0.1", "localhost", False),
        ("127.0.0.1", "localhost:80", False),
        ("127.0.0.1", "evil.example:8787", False),
        ("127.0.0.1", "127.0.0.1.evil.example:8787", False),
        ("127.0.0.1", "localhost:8787@evil.example:8787", False),
        ("127.0.0.1", "evil.example/localhost:8787", False),
        ("127.0.0.1", "localhost:x", False),
        ("127.0.0.1", "192.168.1.5:8787", False),
        ("127.0.0.1", "", False),
        ("box.lan", "box.lan:8787", True),
        ("192.168.1.5", "192.168.1.5:8787", True),
        ("192.168.1.5", "192.168.1.6:8787", False),
        ("0.0.0.0", "192.168.1.5:8787", True),
        ("::", "[fe80::1]:8787", True),
        ("0.0.0.0", "evil.example:8787", False),
        ("0.0.0.0", f"{socket.gethostname()}:8787", True),
        ("0.0.0.0", f"{socket.gethostname().partition('.')[0]}.local:8787", True),
    ],
)
def test_only_names_of_its_own_are_answered(host, named, allowed):
    assert Addresses(host, PORT).allow(named) is allowed


def test_the_usual_port_may_be_left_out():
    assert Addresses("127.0.0.1", 80).allow("localhost")
    assert Addresses("::1", PORT).url == "http://[::1]:8787"


@dataclass
class Page:
    """A dashboard that is served."""

    port: int
    folder: object

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def page(tmp_path_factory, tone_model):
    """A real server, started in a folder that holds what must not be run."""
    folder, port = tmp_path_factory.mktemp("page"), free_port()
    sound = folder / "sound.wav"
    soundfile.write(sound, toys.tone(1000, 120), toys.RATE)
    for name in ("streamclf", "textual", "typer"):
        (folder / f"{name}.py").write_text("open('was_run', 'w')\n")
    command = "import sys; sys.path[:] = filter(None, sys.path); "
    command += "from streamclf.cli.main import main; main()"
    arguments = ["listen", "--source", f"sim:{sound}", "--model", str(tone_model)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", command, *arguments, "--web", str(port)],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    yield Page(port, folder)
    os.killpg(server.pid, signal.SIGINT)
    server.wait(PATIENCE_S)
    assert f"the dashboard is at http://127.0.0.1:{port}" in (folder / "log").read_text()


def ask(page, path="/", **headers):
    """What a page is answered: status, headers, text."""

    async def go():
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{page.address}{path}", headers=headers) as answer:
                        return answer.status, answer.headers, await answer.text()
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.1)

    return asyncio.run(go())


def connect(page, **headers):
    """What a page's WebSocket is answered: 101 and its first bytes, or a status."""

    async def go():
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            address = f"{page.address}/ws?width=80&height=24"
            try:
                async with session.ws_connect(address, headers=headers) as found:
                    message = await found.receive()
                    return 101, message.data
            except aiohttp.WSServerHandshakeError as error:
                return error.status, b""

    return asyncio.run(go())


def test_a_page_is_shown_by_its_own_names_alone(page):
    for host in (f"127.0.0.1:{page.port}", f"localhost:{page.port}"):
        status, _, text = ask(page, Host=host)
        assert status == 200
        assert f'data-session-websocket-url="ws://{host}/ws"' in text
        assert f'src="http://{host}/static/js/textual.js"' in text
    for path in ("/", "/static/js/textual.js", "/ws"):
        status, _, text = ask(page, path, Host=f"evil.example:{page.port}")
        assert (status, text) == (
            403,
            f"Host is evil.example:{page.port}, not the dashboard's own: open {page.address}\n",
        )


def test_a_page_loads_nothing_from_elsewhere(page):
    _, headers, text = ask(page)
    assert "googleapis" not in text
    elsewhere = text.count("http://www.w3.org/")  # a name, not an address
    assert text.count("http://") == text.count(page.address + "/") + elsewhere
    assert "https://" not in text
    assert "xterm.css" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"]
)
def test_a_page_of_another_site_cannot_drive_the_dashboard(page, origin):
    ask(page)
    assert connect(page, Origin=origin) == (403, b"")
    status, _, text = ask(page, "/ws", Origin=origin)
    assert (status, text.count("\n")) == (403, 1)
    assert text.startswith(f"Origin is {origin}, not the dashboard's own")


def test_its_own_page_drives_the_dashboard(page):
    ask(page)
    status, data = connect(page, Origin=page.address)
    assert status == 101
    assert data
    host = f"localhost:{page.port}"
    assert connect(page, Host=host, Origin=f"http://{host}")[0] == 101
    assert connect(page, Host=host, Origin=page.address)[0] == 403
    assert not (page.folder / "was_run").exists()


ARGUMENTS = [
    r"C:\Program Files\Python\python.exe", "-m", "streamclf", "--source",
    "http://box/a?b=1&c=2", 'say "x"', "a|b", "(x)", "caf\u00e9", "",
]  # fmt: skip


def test_the_command_is_taken_apart_by_a_shell_as_it_was_put_together():
    line = command_line(ARGUMENTS, windows=False)
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    shown = subprocess.run(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} {line}",
        shell=True, check=True, capture_output=True,
    )  # fmt: skip
    assert json.loads(shown.stdout) == ARGUMENTS


def test_the_command_is_quoted_for_cmd_on_windows():
    assert command_line(ARGUMENTS, windows=True) == (
        r'"C:\Program Files\Python\python.exe" -m streamclf --source '
        r'"http://box/a?b=1&c=2" "say \"x\"" "a|b" "(x)" café ""'
    )
