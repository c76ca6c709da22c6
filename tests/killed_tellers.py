"""Processes that tell and are killed, one after another on one store: a script, because it forks.

    python tests/killed_tellers.py FOLDER KILLS SEED

Every second one is killed at the moment at which the store has the end of an event and no rule has
heard of it. It prints a JSON object: the number of kills, of events, and what was found wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from stored import BEGAN, RATE, block, made_stream, rows

from streamclf.core.records import EventBegan, SoundEvent
from streamclf.notify.cut_events import find_left_events, read_cut_events
from streamclf.notify.notifier import Notifier
from streamclf.notify.options import NotifyPlan
from streamclf.notify.rules import Rule
from streamclf.notify.store_history import StoreHistory
from streamclf.store.store import Store

KILLS_PER_STORE = 10
LONGEST_S = 0.05
PATIENCE_S = 60.0
COOLDOWN_S = 1.5
RULES = (
    Rule("begins"), Rule("ends", on="end"), Rule("seldom", labels=("dog",), cooldown=COOLDOWN_S),
)  # fmt: skip
EVENT_S = 0.1


class Teller:
    """A process that hears events, notes them and tells of them."""

    def __init__(self, path: Path, number: int) -> None:
        left = find_left_events(path)
        self.store = Store(path, report=lambda line: None, live=True)
        self.notifier = Notifier(
            NotifyPlan(RULES, ()), path, StoreHistory(path), report=lambda line: None
        )
        self.notifier.start(read_cut_events(path, left))
        self.memory, self.view = self.store.sink(), self.notifier.sink("mic")
        stream = made_stream(
            run=f"r{number}", started=BEGAN + timedelta(seconds=1000 * number)
        )  # fmt: skip
        self.memory.begin(stream)
        self.view.begin(stream)
        self._position = 0

    def hear(self, label: str, between: Callable[[], None] = lambda: None) -> None:
        """Hear an event; something may happen between the note of its end and what is told."""
        n_samples, onset = round(EVENT_S * RATE), self._position
        self._position += n_samples
        began = EventBegan(label, onset, 0.6, onset + n_samples // 2)
        ended = SoundEvent(label, onset, self._position - 10, 0.9)
        self.memory.hear(block(onset, n_samples))
        for result in (began, ended):
            self.memory.write(result)
            if result is ended:
                between()
            self.view.write(result)

    def flush(self) -> None:
        """Wait until all is noted."""
        assert self.notifier._outbox.flush(PATIENCE_S)

    def die_untold(self) -> None:
        """End as soon as the store has all, without a word."""
        self.store.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        for each in (self.memory, self.view, self.notifier, self.store):
            each.close()


def tell(path: Path, number: int, n_events: int | None, ready: int) -> None:
    """Hear events until the kill, or kill itself after so many of them."""
    teller = Teller(path, number)
    os.write(ready, b".")
    heard = 0
    while True:
        heard += 1
        teller.hear("dog" if heard % 2 else "cat", teller.die_untold if heard == n_events
                    else lambda: None)  # fmt: skip
        if not heard % 50:  # live, audio comes no faster than it sounds
            teller.flush()


def in_a_child(work: Callable[[int], None], after_s: float | None = None) -> int:
    """Fork, and kill the child so long after it is ready; returns its status."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(writing)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        pipe.read(1)
        if after_s is not None:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def settle(path: Path, number: int, ready: int) -> None:
    """Start and end as one does that is not killed."""
    Teller(path, number).close()


def find_faults(path: Path) -> list[str]:
    """Return what was told not once, or out of turn."""
    found = rows(
        path,
        "SELECT label || '-' || onset || '@' || token, label, onset_us FROM events "
        "JOIN runs ON runs.id = run_id WHERE events.state != 'open'",
    )
    told = Counter(rows(path, "SELECT rule, event FROM messages"))
    wrong = [f"{rule} {event}: {n} times" for (rule, event), n in told.items() if n > 1]
    wrong += [
        f"{rule} {event}: never"
        for event, _, _ in found
        for rule in ("begins", "ends")
        if not told[rule, event]
    ]
    last_us = 0
    for onset_us, event in sorted(
        (onset, event) for event, label, onset in found if label == "dog"
    ):
        due = onset_us - last_us >= COOLDOWN_S * 1e6
        if due is not bool(told["seldom", event]):
            wrong.append(f"seldom {event}: {'never' if due else 'too soon'}")
        last_us = onset_us if due else last_us
    return wrong


def main(folder: Path, n_kills: int, seed: int) -> None:
    """Kill tellers, and print what was found."""
    moments, wrong, n_heard = random.Random(seed), [], 0
    for kill in range(n_kills):
        path = folder / f"{kill // KILLS_PER_STORE}.db"
        by_itself = kill % 2 == 0
        n_events = moments.randint(1, 60) if by_itself else None
        after_s = None if by_itself else moments.uniform(0, LONGEST_S)
        status = in_a_child(partial(tell, path, kill, n_events), after_s)
        assert os.WIFSIGNALED(status), "it ended by itself"
        if (kill + 1) % KILLS_PER_STORE == 0 or kill + 1 == n_kills:
            assert in_a_child(partial(settle, path, n_kills)) == 0
            wrong += find_faults(path)
            n_heard += rows(path, "SELECT count(*) FROM events")[0][0]
    print(json.dumps({"kills": n_kills, "events": n_heard, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
