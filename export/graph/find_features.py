"""The search for a network's features: what its last linear layer takes, and its step in 8 bits."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import soundfile
import soxr

from streamclf.checks.synthetic_sounds import write_sounds
from streamclf.core.card import MAX_FEATURE_WIDTH, Features
from streamclf.core.errors import ModelError
from streamclf.model.features import OUTPUT, append_features

MOST = 384
"""Most values that are kept as they are: 70 MB a day and source."""
REDUCED = 256
"""Number of values that more than `MOST` are added up to: 48 MB a day and source."""
HEADROOM = 1.25
"""Largest value that 8 bits hold, as a multiple of the largest one of the sounds tried."""
SOUNDS_S = 30.0
"""Length of the synthetic sounds."""
_PASSED = frozenset(["Cast", "Dropout", "Identity", "Sigmoid", "Softmax"])
"""Operators that may follow the last linear layer."""


def find_features(model: onnx.ModelProto, window_samples: int, sample_rate: int) -> Features | None:
    """Find the features of a network, and measure their range on synthetic sounds.

    Args:
        model: A whole graph, ``waveform (batch, window_samples)`` to one output; not changed.
        window_samples: Length of a window.
        sample_rate: In Hz.

    Returns:
        The features; None if the graph does not end in a linear layer, or not a wide enough one.
    """
    found = _last_linear_layer(model.graph)
    if found is None:
        return None
    tensor, width = found
    if not 2 <= width <= MAX_FEATURE_WIDTH:
        return None
    reduced = {"size": REDUCED, "width": width} if width > MOST else {"size": width}
    unscaled = Features(tensor=tensor, scale=1.0, **reduced)
    heard = _hear(model, unscaled, _windows(window_samples, sample_rate))
    largest = None if heard is None else float(np.abs(heard).max())
    if not largest or not np.isfinite(largest):
        return None
    scale = float(np.format_float_positional(largest * HEADROOM / 127, 3, fractional=False))
    return Features(tensor=tensor, scale=scale, **reduced)


def _last_linear_layer(graph: onnx.GraphProto) -> tuple[str, int] | None:
    """Return the name of what the last linear layer takes, and its number of values."""
    made_by = {name: node for node in graph.node for name in node.output}
    sizes = {value.name: list(value.dims) for value in graph.initializer}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type in _PASSED | {"Add"}:
        node = made_by.get(next((name for name in node.input if name in made_by), ""))
    if node is None or node.op_type not in ("Gemm", "MatMul"):
        return None
    weight = node.input[1]
    if weight not in sizes and weight in made_by:  # weights in 8 bits
        weight = made_by[weight].input[0]
    if len(sizes.get(weight, [])) != 2 or node.input[0] not in made_by:
        return None
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return node.input[0], sizes[weight][1 if transposed else 0]


def _hear(
    model: onnx.ModelProto, features: Features, windows: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32] | None:
    """Return the features of windows; None where the graph does not give them."""
    import onnxruntime

    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    try:
        append_features(graph, features, model.graph.output[0].name)
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        name, is_half = _input_of(session)
        rows = [
            session.run([OUTPUT], {name: window[np.newaxis].astype(is_half)})[0]
            for window in windows
        ]
    except (ModelError, *_runtime_errors()):
        return None
    return np.concatenate(rows)[:, -features.size :]


def _input_of(session: Any) -> tuple[str, type]:
    node = session.get_inputs()[0]
    return node.name, np.float16 if "float16" in node.type else np.float32


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return state.Fail, state.InvalidArgument, state.InvalidGraph, state.RuntimeException


def _windows(window_samples: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """Cut windows from synthetic sounds, ``(windows, window_samples)``."""
    sounds, rate = _make_sounds(SOUNDS_S)
    audio = soxr.resample(sounds, rate, sample_rate).astype(np.float32)
    if audio.size < window_samples:
        audio = np.tile(audio, -(-window_samples // audio.size))
    starts = range(0, audio.size - window_samples + 1, window_samples)
    return np.stack([audio[start : start + window_samples] for start in starts])


@functools.cache
def _make_sounds(seconds: float) -> tuple[npt.NDArray[np.float32], int]:
    """Make synthetic sounds, ``(samples,)``, once a process; return their rate in Hz, too."""
    with tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
        path = Path(folder) / "sounds.wav"
        write_sounds(path, seconds, seed=1)
        sounds, rate = soundfile.read(path, dtype="float32")
    return sounds.mean(axis=1), rate
