"""Ctrl-C during training, handled at the end of a step."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Interrupt:
    """A context in which Ctrl-C lets the loop stop after its step; a second one stops at once."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.requested = fabric, False

    def __enter__(self) -> Interrupt:
        self._former = signal.getsignal(signal.SIGINT)
        try:
            signal.signal(signal.SIGINT, self._request)
        except ValueError:  # not in the main thread, where the caller handles Ctrl-C
            self._former = None
        return self

    def was_requested(self) -> bool:
        """Whether any of the processes was asked to stop; all of them stop after the same step."""
        if self.fabric.world_size == 1:
            return self.requested
        requested = torch.tensor(float(self.requested), device=self.fabric.device)
        return bool(self.fabric.all_reduce(requested, reduce_op="sum") > 0)

    def __exit__(self, *_: object) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _request(self, *_: object) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping after this step, once more to stop at once", file=sys.stderr)
