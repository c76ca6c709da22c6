"""Ctrl-C, taken at a step's end."""

from __future__ import annotations

import signal
import sys

import torch
from lightning_fabric import Fabric


class Interrupt:
    """Ctrl-C asks the loop to stop at the end of its step; a second one stops at once."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.asked = fabric, False

    def __enter__(self) -> Interrupt:
        self._former = signal.getsignal(signal.SIGINT)
        try:
            signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread: whoever runs us there handles it
            self._former = None
        return self

    def was_asked(self) -> bool:
        """Whether any of the processes was: they stop behind the same step."""
        if self.fabric.world_size == 1:
            return self.asked
        asked = torch.tensor(float(self.asked), device=self.fabric.device)
        return bool(self.fabric.all_reduce(asked, reduce_op="sum") > 0)

    def __exit__(self, *_: object) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping after this step, once more to stop at once", file=sys.stderr)
