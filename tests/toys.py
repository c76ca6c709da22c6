"""Toy models and sounds whose right answers can be written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.core.card import METADATA_KEY, Card, Stem, Thresholds, format_card

RATE = 8000
WINDOW = 12_000  # 1.5 s
TONES = {"low": 440.0, "middle": 1000.0, "high": 2500.0}
LABELS = ["quiet", *TONES]


def tone(frequency: float, seconds: float, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """A sine, ``(samples,)`` float32."""
    times = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    """Zeros, ``(samples,)`` float32."""
    return np.zeros(round(seconds * rate), dtype=np.float32)


def toy_card(**changes: object) -> Card:
    """The card of the tone detector."""
    fields = {
        "name": "tones",
        "labels": LABELS,
        "sample_rate": RATE,
        "window_samples": WINDOW,
        "thresholds": Thresholds(on=0.5, off=0.4, max_gap=0.5),
        "training_data": "none",
        "licence": "MIT",
        **changes,
    }
    return Card(**fields)


def write_tone_detector(
    path: Path,
    card: Card | None = None,
    *,
    shape: tuple[object, ...] = ("batch", WINDOW),
    output: str = "logits",
    final: str | None = None,
    element: int = TensorProto.FLOAT,
) -> Path:
    """Write a model that measures the mean power of three tones against a constant.

    The logit of a tone is ``ln(power / 0.0225)``, that of ``quiet`` is 0: a tone at level 0.3 has
    power 0.045 and so a score of 2/3 in a window full of it, 1/2 in one that it fills by half.
    """
    kernel = 400  # 50 ms: all three tones make whole periods
    times = np.arange(kernel) / RATE
    waves = [f(2 * np.pi * hz * times) for hz in TONES.values() for f in (np.cos, np.sin)]
    kernels = (np.stack(waves) * (2 / kernel) / np.sqrt(2)).astype(np.float32)[:, np.newaxis]
    pairs = np.repeat(np.eye(3), 2, axis=0).astype(np.float32)
    nodes, tensors = _front(shape, element)
    tensors += [
        numpy_helper.from_array(kernels, "kernels"),
        numpy_helper.from_array(pairs, "pairs"),
        numpy_helper.from_array(np.array(1e-5, dtype=np.float32), "floor"),
        numpy_helper.from_array(np.array(0.0225, dtype=np.float32), "unit"),
        numpy_helper.from_array(np.array([0, 1, 0, 0], dtype=np.int64), "pads"),
    ]
    nodes += [
        helper.make_node("Conv", ["channels", "kernels"], ["waves"], strides=[160]),
        helper.make_node("Mul", ["waves", "waves"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["means"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["means", "pairs"], ["power"]),
        helper.make_node("Add", ["power", "floor"], ["floored"]),
        helper.make_node("Div", ["floored", "unit"], ["relative"]),
        helper.make_node("Log", ["relative"], ["tones"]),
        helper.make_node("Pad", ["tones", "pads"], ["all" if final else output]),
    ]
    if final:
        nodes.append(helper.make_node(final, ["all"], [output]))
    return _save(path, card, nodes, tensors, shape, element, [output, (None, len(LABELS))])


STEM = Stem("squares", 160, 73, receptive_field=400)
"""Where the tone detector can be cut."""
PICKY_WINDOW = 2000
PICKY_STEM = Stem("pooled", 40, 7, step=6, base="filtered", receptive_field=456)
"""Where the picky network can be cut: behind its strides of 40, 3 and 2."""


def write_picky_network(
    path: Path, card: Card | None = None, *, element: int = TensorProto.FLOAT
) -> Path:
    """Write a network without padding whose head weighs every frame by its own place.

    So its logits tell one window from the next by a sample, and strides from one another.
    """
    random = np.random.default_rng(1)
    nodes, tensors = _front(("batch", "samples"), element)
    sizes = {"first": (4, 1, 16), "second": (5, 4, 3), "weights": (35, len(LABELS))}
    tensors += [
        numpy_helper.from_array(random.normal(0, 1, size).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    tensors.append(numpy_helper.from_array(np.array([0, 35], dtype=np.int64), "row"))
    nodes += [
        helper.make_node("Conv", ["channels", "first"], ["waves"], strides=[40], kernel_shape=[16]),
        helper.make_node("Relu", ["waves"], ["filtered"]),
        helper.make_node("MaxPool", ["filtered"], ["maxima"], strides=[3], kernel_shape=[3]),
        helper.make_node("Conv", ["maxima", "second"], ["combined"], kernel_shape=[3]),
        helper.make_node("MaxPool", ["combined"], ["pooled"], strides=[2], kernel_shape=[2]),
        helper.make_node("Reshape", ["pooled", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    card = card or toy_card(
        window_samples=PICKY_WINDOW, activation="none", stem=PICKY_STEM, name="picky"
    )
    shape = ("batch", PICKY_WINDOW)
    return _save(path, card, nodes, tensors, shape, element, ["logits", (None, len(LABELS))])


def write_loudness_meter(path: Path, card: Card | None = None) -> Path:
    """Write a regression model whose value is the mean of the squared samples."""
    nodes = [
        helper.make_node("Mul", ["waveform", "waveform"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["value"], axes=[1], keepdims=1),
    ]
    shape = ("batch", WINDOW)
    card = card or toy_card(name="loudness", task="regression", activation="none", labels=["power"])
    return _save(path, card, nodes, [], shape, TensorProto.FLOAT, ["value", (None, 1)])


def _front(shape: tuple[object, ...], element: int) -> tuple[list, list]:
    """Nodes that bring any input layout to ``channels`` (batch, 1, samples) float32."""
    nodes = [helper.make_node("Cast", ["waveform"], ["floats"], to=TensorProto.FLOAT)]
    target = np.array([1, 1, -1] if len(shape) == 1 else [0, 1, -1], dtype=np.int64)
    nodes.append(helper.make_node("Reshape", ["floats", "target"], ["channels"]))
    return nodes, [numpy_helper.from_array(target, "target")]


def _save(path, card, nodes, tensors, shape, element, output) -> Path:
    name, output_shape = output
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("waveform", element, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, output_shape)],
        tensors,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    if card is not None:
        helper.set_model_props(model, {METADATA_KEY: format_card(card)})
    onnx.save(model, path)
    return path
