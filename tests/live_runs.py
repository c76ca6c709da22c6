"""What tests of live runs share: words awaited, processes that listen, and how long to wait."""

from __future__ import annotations

import queue
import subprocess
import sys

PATIENCE_S = 60


class Words:
    """What outputs tell, awaited."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._new: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __call__(self, message: str) -> None:
        self.told.append(message)
        self._new.put(message)

    def until(self, part: str) -> str:
        while True:
            message = self._new.get(timeout=PATIENCE_S)
            if part in message:
                return message


class Listeners:
    """Starts processes that listen, and ends them."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen] = []

    def __call__(self, *arguments: object, **options: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamclf", "listen", *map(str, arguments)],
            **{
                "text": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                "stderr": subprocess.PIPE, **options,
            },
        )  # fmt: skip
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
