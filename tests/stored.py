"""What tests of the store share: streams that are made, and questions to the file."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from streamclf.core.records import Block, EventBegan, Gap, SoundEvent, StreamStarted
from streamclf.store.check import check_store
from streamclf.store.sink import StoreSink

RATE = 1000
PATIENCE_S = 60
BEGAN = datetime(2026, 7, 1, 4, 30, 50, tzinfo=UTC)


def made_stream(**changes: object) -> StreamStarted:
    """A live stream of 1000 samples a second."""
    fields = {"started": BEGAN, "run": "r1", "live": True, **changes}
    return StreamStarted("mic", RATE, ["dog", "cat"], "single-label", **fields)


def block(position: int, n_samples: int) -> Block:
    return Block(position, np.broadcast_to(np.float32(0), (1, n_samples)), RATE)


def hear_event(
    sink: StoreSink, position: int, n_samples: int = 1000, label: str = "dog", score: float = 0.7
) -> int:
    """Hear audio with one event in it; returns its end."""
    sink.hear(block(position, n_samples))
    sink.write(EventBegan(label, position, score, position + n_samples // 2))
    sink.write(SoundEvent(label, position, position + n_samples // 2, score))
    return position + n_samples


def hear_gap(sink: StoreSink, position: int, n_samples: int) -> int:
    """Miss audio; returns the end of the gap."""
    sink.hear(Gap(position, n_samples, RATE, "overflow"))
    return position + n_samples


def rows(store: Path, question: str) -> list[tuple]:
    """Ask a store."""
    with closing(sqlite3.connect(store, timeout=PATIENCE_S)) as connection:
        return connection.execute(question).fetchall()


def change(store: Path, statement: str, *values: object) -> None:
    """Change rows behind the back of who writes the store."""
    with closing(sqlite3.connect(store, timeout=PATIENCE_S)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement, values)


def onsets(store: Path) -> list[int]:
    return [onset for (onset,) in rows(store, "SELECT onset FROM events ORDER BY onset")]


def faults(store: Path) -> list[str]:
    """What does not add up."""
    return check_store(store).faults


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@contextmanager
def mounted_disk(folder: Path) -> Iterator[Path]:
    """Have a disk of a megabyte; skips the test where none can be mounted."""
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(folder: Path) -> Path:
    """Leave no room on a disk; returns the file that takes it."""
    other = folder / "other"
    with suppress(OSError), other.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return other
