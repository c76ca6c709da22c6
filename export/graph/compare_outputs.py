"""Comparison of a graph's outputs in ONNX Runtime with the network's in torch."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from export.errors import ExportError

TOLERANCE = 1e-4
"""Largest difference allowed between two logits."""

LARGE = 10.0
"""Logits above this may differ in proportion, as float32 has seven digits."""


def compare(
    network: nn.Module,
    model: onnx.ModelProto,
    window_samples: int,
    seed: int | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Run torch and ONNX Runtime on new random input of several levels, down to silence.

    They get a loud window by itself, then three quieter ones at once.

    Args:
        network: The reference.
        model: The graph to compare with it.
        window_samples: Length of the input.
        seed: Seed of the input; another one each time if not given.
        tolerance: Largest difference allowed.

    Returns:
        The largest difference; where logits are above `LARGE`, relative to them.

    Raises:
        ExportError: The graph does not run, or differs by more than ``tolerance``.
    """
    import onnxruntime

    random = np.random.default_rng(seed)
    worst = 0.0
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        for levels in ((0.5,), (0.05, 1e-4, 0.0)):
            waveform = random.uniform(-1, 1, (len(levels), window_samples))
            waveform = (waveform * np.array(levels)[:, None]).astype(np.float32)
            with torch.inference_mode():
                expected = network(torch.from_numpy(waveform)).numpy()
            (given,) = session.run(None, {session.get_inputs()[0].name: waveform})
            if given.shape != expected.shape:
                raise ExportError(
                    f"the graph gives {given.shape} where the network gives {expected.shape}; "
                    "nothing was written: its forward() must keep the batch in front"
                )
            # NaN on either side counts as an infinite difference, below.
            largest = np.abs(expected).max(axis=tuple(range(1, expected.ndim)), keepdims=True)
            difference = (np.abs(given - expected) / np.maximum(1.0, largest / LARGE)).max()
            worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise ExportError(
            f"the graph does not run: {error}; nothing was written: does the network use layers "
            "that ONNX lacks?"
        ) from error
    if worst > tolerance:
        raise ExportError(
            f"torch and ONNX Runtime differ by {worst:.2g}, the limit is {tolerance:.0e}; "
            "nothing was written: does a layer draw at random, or differ in ONNX?"
        )
    return worst
