"""Where a training runs: processor, one card or several, and in what precision."""

from __future__ import annotations

import logging
import os
import sys

import torch
from lightning_fabric import Fabric

from streamclf.core.errors import UsageError


def make_fabric(accelerator: str, precision: str, devices: int = 1) -> Fabric:
    """Lightning Fabric on as many devices as asked for, one process each.

    From here on all processes run the same command; those beside the first are silent.

    Args:
        accelerator: ``auto``, ``cpu``, ``cuda``.
        precision: As Fabric names it; ``tf32`` rounds the factors of products to 10 bits on cards
            that can; ``auto`` is ``tf32`` on a card and ``32-true`` elsewhere.
        devices: Several train by DDP: each takes its share of every batch.

    Raises:
        UsageError: There is no such accelerator or precision, or there are fewer devices.
    """
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
        raise UsageError(
            f"--accelerator {accelerator} --devices {devices} --precision {precision}: {error}"
        ) from error
    if fabric.global_rank:
        # What they would say, the first one says.
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    return fabric
