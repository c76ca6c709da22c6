"""What tests of live runs share: words awaited, processes that listen, and how long to wait."""

from __future__ import annotations

import queue
import subprocess
import threading

import prepared

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
        process = prepared.begin(
            "listen", *arguments,
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


class Process:
    """A command in a process of its own, and the lines that it says."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.process = prepared.begin(
            *arguments,
            **{
                "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                "text": True, **options,
            },
        )  # fmt: skip
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))

    def until(self, part: str) -> str:
        while True:
            self.said.append(self._lines.get(timeout=PATIENCE_S))
            if part in self.said[-1]:
                return self.said[-1]

    def end(self, sent: int) -> int:
        self.process.send_signal(sent)
        return self.wait()

    def wait(self) -> int:
        self.process.wait(PATIENCE_S)
        self._thread.join()
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.wait()
        self.process.stdout.close()
        self.process.stderr.close()
