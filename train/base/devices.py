"""The devices of a training: CPU, one GPU or several, and the precision they compute in."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import torch

from streamclf.core.errors import UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(accelerator: str, precision: str, devices: int = 1) -> Fabric:
    """Start Lightning Fabric on as many devices as asked for, one process for each.

    From here on all processes run the same command; all but the first are silent.

    Args:
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        precision: As Fabric names it. ``tf32`` rounds the factors of products to 10 bits on GPUs
            that can; ``auto`` is ``tf32`` on a GPU and ``32-true`` elsewhere.
        devices: Number of devices. Several train by DDP, each on its share of every batch.

    Raises:
        UsageError: The accelerator or precision does not exist, or there are fewer devices.
    """
    # Its import takes 1.5 s of CPU, which commands that do not train need not spend.
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    rounded = precision in ("auto", "tf32")
    torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cuda.matmul.allow_tf32 = rounded
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            strategy="ddp" if devices > 1 else "auto",
            precision="32-true" if rounded else precision,
        )
        fabric.launch()
    except (ValueError, RuntimeError, TypeError) as error:
        asked = f"--accelerator {accelerator} --devices {devices} --precision {precision}"
        if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
            raise UsageError(
                f"{asked}: torch finds no GPU here; without --accelerator it trains on the CPU"
            ) from error
        raise UsageError(f"{asked}: {error}") from error
    if fabric.global_rank:
        # The first process prints the same.
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    return fabric
