"""Weights and activations in 8 bits: static quantisation by ONNX Runtime, evaluated on clips.

The format is QDQ, U8S8, with a scale for each channel, and 7 bits for a weight, so that every
processor computes the same. The ranges come from windows of the clips that the network was trained
on. These stay float: the mel front end; in a network over waveforms the first layer; convolutions
within single maps, before maps are mixed; and everything after the means that follow the last
convolutions.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.graph.float_nodes import first_layers, mean_layers, mel_nodes, thin_layers
from streamclf.core.card import Fill
from train.datasets import ClipSet
from train.nets.inference import WindowLogits, run_windows

MAX_LOSS = 0.01
"""Largest loss of accuracy (for a regression: largest rise of the mean absolute error)."""

N_CALIBRATION = 256
"""Windows that the ranges are measured on."""

N_TIMED = 8
"""Windows in a batch when speed is compared."""


@dataclass(frozen=True)
class Quantised:
    """A graph in 8 bits, with its accuracy and speed.

    Attributes:
        model: The graph.
        outputs: Its outputs for the held-out clips.
        before: Accuracy of averaged windows in float32; a regression's mean absolute error.
        after: The same in 8 bits.
        speed: Speed relative to float32, on one thread of this machine.
    """

    model: onnx.ModelProto
    outputs: WindowLogits
    before: float
    after: float
    speed: float


def quantise_and_evaluate(
    model: onnx.ModelProto,
    training: ClipSet,
    held_out: ClipSet,
    window_samples: int,
    fill: Fill = "mirror",
) -> Quantised:
    """Quantise a graph and compare it with the original.

    Args:
        model: The graph in float32.
        training: Clips of the folds the network was trained on, for the ranges.
        held_out: Clips of the fold that decided nothing.
        window_samples: Length of the graph's input.
        fill: What fills the input where a clip is shorter.

    Raises:
        ExportError: 8 bits cost more than `MAX_LOSS`, or the graph cannot be quantised.
    """
    small = quantise_graph(model, draw_windows(training, window_samples))
    truth = run_windows(GraphNetwork(model), held_out, window_samples, fill=fill)
    outputs = run_windows(GraphNetwork(small), held_out, window_samples, fill=fill)
    if outputs.is_regression:
        before, after, loss = truth.clip_error(), outputs.clip_error(), 1.0
    else:
        before, after, loss = truth.clip_accuracy(), outputs.clip_accuracy(), -1.0
    if loss * (after - before) > MAX_LOSS + 1e-9:
        what = "mean absolute error rises" if outputs.is_regression else "accuracy falls"
        raise ExportError(
            f"--int8: {what} from {before:.1%} to {after:.1%} on {len(outputs.targets)} held-out "
            f"clips, {MAX_LOSS * 100:g} point is the limit: try --half; nothing was written"
        )
    windows = draw_windows(training, window_samples, N_TIMED)
    return Quantised(small, outputs, before, after, compare_speed(model, small, windows))


def draw_windows(
    clips: ClipSet, window_samples: int, n_windows: int = N_CALIBRATION
) -> npt.NDArray[np.float32]:
    """Draw a random window of each of ``n_windows`` clips: ``(n_windows, window_samples)``."""
    random = np.random.default_rng(1)
    indices = random.permutation(np.resize(random.permutation(len(clips.clips)), n_windows))
    windows = np.zeros((n_windows, window_samples), dtype=np.float32)
    for row, index in zip(windows, indices.tolist(), strict=True):
        waveform = clips.waveform(index)
        mono = waveform if waveform.ndim == 1 else waveform.mean(axis=0)
        start = random.integers(max(1, len(mono) - window_samples + 1))
        part = mono[start : start + window_samples]
        row[: len(part)] = part
    return windows


def compare_speed(
    model: onnx.ModelProto, other: onnx.ModelProto, windows: npt.NDArray[np.float32]
) -> float:
    """Measure the other graph's speed relative to the first's, in turns on this thread.

    Returns:
        The ratio of the best times.
    """
    sessions = [_open(model, n_threads=1), _open(other, n_threads=1)]
    best = [np.inf, np.inf]
    for _ in range(10):
        for index, session in enumerate(sessions):
            began = time.thread_time()
            session.run(None, {session.get_inputs()[0].name: windows})
            best[index] = min(best[index], time.thread_time() - began)
    return float(best[0] / best[1])


class GraphNetwork(nn.Module):
    """A graph as a torch module, for functions that take a network; it learns nothing."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.session = _open(model)
        self.place = nn.Parameter(torch.zeros(0))  # shows the device that it is on

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` -> ``(batch, classes)``."""
        (given,) = self.session.run(None, {self.session.get_inputs()[0].name: waveform.numpy()})
        return torch.from_numpy(given)


def update_accuracy(quantised: Quantised, accuracy: dict[str, Any]) -> dict[str, Any]:
    """Update a card's figures that 8 bits change."""
    before, after = round(quantised.before, 4), round(quantised.after, 4)
    # Figures that were measured in float32 alone are left out.
    kept = {name: value for name, value in accuracy.items() if name not in _OF_FLOAT32}
    if quantised.outputs.is_regression:
        kept.pop("interval_95", None)
        kept["mean_absolute_error"] = after
    protocol = "the same clips and windows in both, at a temperature of 1"
    return kept | {"int8": {"float32": before, "int8": after, "protocol": protocol}}


_OF_FLOAT32 = ("published_crops", "spearman", "area_under_curve")


def quantise_graph(model: onnx.ModelProto, windows: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """Quantise a graph with ranges measured on windows ``(windows, window_samples)``.

    Raises:
        ExportError: It cannot be quantised.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[Any] = iter(np.split(windows, max(1, len(windows) // 8)))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.rows, None)
            return None if batch is None else {model.graph.input[0].name: batch}

    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = node.name or f"node_{index}"
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser logs long advice on the root logger
    try:
        with tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                named,
                path,
                Reader(),
                per_channel=True,
                # On x86 ONNX Runtime converts signed activations to these, except where two layers
                # read them: there it computes in float32.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # 7 bits for weights: with 8, sums of products overflow on x86 without VNNI.
                reduce_range=True,
                nodes_to_exclude=sorted(
                    {
                        node.name
                        for layers in (mel_nodes, first_layers, thin_layers, mean_layers)
                        for node in layers(named.graph)
                    }
                ),
                # All 8 bits for the range above 0 that ReLU leaves: twice as many steps.
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
            return onnx.load(path)
    except Exception as error:  # onnxruntime.quantization raises exceptions of any type
        raise ExportError(f"--int8: the graph cannot be quantised: {error}: try --half") from error
    finally:
        root.setLevel(level)


def _open(model: onnx.ModelProto, n_threads: int = 0) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = n_threads, 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
