"""CPU of the live page: `streamclf serve` without viewers, and with twenty of them.

Run ``python benchmarks/viewers.py``. A process hears simulated microphones with the bundled model;
viewers read its stream of events as browsers do. Without and with viewers are measured in turn in
the same process. Limit: 10 % of a core for twenty viewers, and no audio lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import numpy as np
import soundfile

RATE = 48_000
LIMIT_PERCENT = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--sources", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder), arguments))


async def measure(folder: Path, arguments: argparse.Namespace) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(folder, arguments.sources, port)
    base = f"http://127.0.0.1:{port}"
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await until_heard(session, base, arguments.sources)
            alone, viewed, n_bytes = [], [], 0
            for _ in range(arguments.rounds):
                alone.append(await load(process.pid, arguments.seconds))
                viewers = [
                    asyncio.create_task(view(session, base)) for _ in range(arguments.viewers)
                ]
                await asyncio.sleep(1.0)
                viewed.append(await load(process.pid, arguments.seconds))
                for viewer in viewers:
                    viewer.cancel()
                counts = await asyncio.gather(*viewers)
                n_bytes += sum(counts)
                assert all(counts), "a viewer got nothing"
            async with session.get(f"{base}/api/health") as answer:
                sources = (await answer.json())["sources"]
    finally:
        process.terminate()
        process.wait()
    lost_s = sum(source["lost_s"] for source in sources)
    heard_s = sum(source["heard_s"] for source in sources)
    per_viewer = n_bytes / arguments.rounds / arguments.viewers / (arguments.seconds + 1.0)
    more = statistics.median(viewed) - statistics.median(alone)
    print(f"{arguments.sources} sources, {heard_s:.0f} s heard, {lost_s:.2f} s lost")
    print(f"no viewer: {statistics.median(alone):.1f} % of a core ({listed(alone)})")
    print(f"{arguments.viewers} viewers: {statistics.median(viewed):.1f} % ({listed(viewed)})")
    print(f"more: {more:.1f} % of a core, limit {LIMIT_PERCENT:g} %")
    print(f"{per_viewer / 1000:.1f} kB/s a viewer")
    return 0 if more < LIMIT_PERCENT and not lost_s else 1


def start(folder: Path, n_sources: int, port: int) -> subprocess.Popen[bytes]:
    noise = np.random.default_rng(1).normal(0, 0.05, 60 * RATE).astype(np.float32)
    soundfile.write(folder / "noise.wav", noise, RATE)
    lines = [f'store = "{folder / "box.db"}"', f"port = {port}"]
    for number in range(n_sources):
        lines += ["[[sources]]", f'name = "room {number}"', f'url = "sim:{folder / "noise.wav"}"']
    settings = folder / "settings.toml"
    settings.write_text("\n".join(lines))
    return subprocess.Popen(
        [sys.executable, "-m", "streamclf", "serve", "--config", str(settings)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip


async def until_heard(session: aiohttp.ClientSession, base: str, n_sources: int) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{base}/api/health") as answer:
                sources = (await answer.json())["sources"]
            if len(sources) == n_sources and all(source["heard_s"] > 3 for source in sources):
                return
        await asyncio.sleep(0.2)


async def view(session: aiohttp.ClientSession, base: str) -> int:
    """Read the stream until it is cancelled; returns the bytes read."""
    n_bytes = 0
    with contextlib.suppress(asyncio.CancelledError):
        async with session.get(f"{base}/api/live") as answer:
            async for chunk in answer.content.iter_any():
                n_bytes += len(chunk)
    return n_bytes


async def load(pid: int, seconds: float) -> float:
    """CPU of a process over some seconds, in percent of one core."""
    before = cpu_s(pid)
    await asyncio.sleep(seconds)
    return 100 * (cpu_s(pid) - before) / seconds


def cpu_s(pid: int) -> float:
    """User and system CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listed(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
