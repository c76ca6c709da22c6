"""A runner of archives some of whose items end their worker or fail; for workers on Ray."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from streamclf.archive.manifest import Item
from streamclf.archive.on_ray import OpenRunner
from streamclf.archive.run_item import ItemReport, Runner


@dataclass(frozen=True)
class OpenPoisoned(OpenRunner):
    """Opens a runner that some items are poison to.

    Attributes:
        deadly: Items that kill the process that hears them.
        wrong: Items that raise what no runner should.
        pause_s: Time that each item takes more.
    """

    deadly: frozenset[int] = frozenset()
    wrong: frozenset[int] = frozenset()
    pause_s: float = 0.0

    def __call__(self) -> Any:
        return _Poisoned(super().__call__(), self)


class _Poisoned:
    def __init__(self, runner: Runner, poison: OpenPoisoned) -> None:
        self._runner, self._poison = runner, poison
        self.run, self.stop = runner.run, runner.stop

    def run_item(self, item: Item) -> ItemReport:
        time.sleep(self._poison.pause_s)
        if item.number in self._poison.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if item.number in self._poison.wrong:
            raise ValueError("nothing\nfits, https://user:secret@host/")
        return self._runner.run_item(item)
