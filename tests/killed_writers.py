"""Writers of a store that are killed at random moments: a script, because it forks.

    python tests/killed_writers.py FOLDER KILLS SEED

It prints a JSON object: the number of kills, of rows that were acknowledged, and what was found
wrong. One interpreter forks all writers, so that a kill costs milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from stored import block, faults, hear_gap, made_stream, rows

from streamclf.core.records import EventBegan, SoundEvent
from streamclf.store.store import Store

KILLS_PER_STORE = 20
LONGEST_S = 0.04


def write(path: Path, run: str, told: int) -> None:
    """Write a stream as fast as it goes, and tell what the store has acknowledged."""
    store = Store(path, report=lambda line: None, live=True)
    sink = store.sink()
    sink.begin(made_stream(run=run))
    position = 0
    while True:
        for label in ("dog", "cat"):
            onset = position
            sink.hear(block(position, 700))
            position += 700
            sink.write(EventBegan(label, onset, 0.6, position))
            store.flush()
            os.write(told, f"begin {run} {label} {onset}\n".encode())
            sink.hear(block(position, 300))
            position += 300
            if label == "cat":
                position = hear_gap(sink, position, 61_000)
            sink.write(SoundEvent(label, onset, onset + 900, 0.9))
            store.flush()
            os.write(told, f"end {run} {label} {onset}\n".encode())


def kill_a_writer(path: Path, run: str, after_s: float, *, begun: bool = False) -> list[str]:
    """Start a writer, kill it, and return what it told.

    Args:
        path: The store.
        run: Name of the writer's run.
        after_s: Seconds until the kill.
        begun: Count them from its first row on, however long the start takes.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            write(path, run, writing)
        finally:
            os._exit(1)  # a writer ends by its kill alone
    os.close(writing)
    with open(reading) as pipe:  # noqa: PTH123 - a descriptor
        first = pipe.readline() if begun else ""
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        told = (first + pipe.read()).splitlines()
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        told.append("broke off by itself")
    return told


def compare(path: Path, told: list[str]) -> list[str]:
    """Return what was acknowledged and is not there."""
    found = {}
    for run, label, onset, offset, state in rows(
        path,
        "SELECT token, label, onset, offset, events.state FROM events "
        "JOIN runs ON run_id = runs.id",
    ):
        found[f"{run} {label} {onset}"] = state
        if state == "ended" and offset != onset + 900:
            return [f"{run} {label} {onset} ends at {offset}"]
    wrong = []
    for line in told:
        kind, _, event = line.partition(" ")
        state = found.get(event)
        if state is None or (kind == "end" and state != "ended"):
            wrong.append(f"{line}: is {state}")
    return wrong


def main(folder: Path, n_kills: int, seed: int) -> None:
    """Kill writers, and print what was found."""
    moments = random.Random(seed)
    # Once here, what the writers would each load for themselves.
    with Store(folder / "first.db", report=print, live=True) as store:
        store.sink().begin(made_stream())
    wrong: list[str] = []
    told: list[str] = []
    n_told = n_cut = 0
    for kill in range(n_kills):
        path = folder / f"{kill // KILLS_PER_STORE}.db"
        after_s = moments.uniform(0, LONGEST_S)
        told += kill_a_writer(path, f"r{kill}", after_s, begun=kill % 2 == 0)
        if path.exists() and path.stat().st_size:
            wrong += [f"kill {kill}: {fault}" for fault in faults(path)]
        if (kill + 1) % KILLS_PER_STORE == 0:
            said: list[str] = []
            with closing(Store(path, report=said.append, live=True)):
                pass  # the next start closes what is open
            wrong += [line for line in said if "damaged" in line]
            wrong += [f"after kill {kill}: {fault}" for fault in faults(path)]
            wrong += [f"after kill {kill}: {missing}" for missing in compare(path, told)]
            n_cut += rows(path, "SELECT count(*) FROM events WHERE state = 'cut'")[0][0]
            wrong += [f"{n} open" for (n,) in rows(path, "SELECT count(*) FROM runs WHERE state = "
                                                   "'open'") if n]  # fmt: skip
            n_told, told = n_told + len(told), []
    print(json.dumps({"kills": n_kills, "told": n_told, "cut": n_cut, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
