"""The search for the stem: where a graph can be cut so that overlapping windows share work.

It works by trial, without knowledge of layers: for each tensor that every path passes through, ONNX
Runtime shows whether its frames depend on where the window begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from export.errors import ExportError
from export.stem.dominators import find_dominators, nodes_between
from export.stem.trials import PLACES, Trials, UnshareableError, open_graph, run
from streamclf.core.card import Stem
from streamclf.core.errors import ModelError
from streamclf.model.stem import cut_graph

HOP_S = 0.5
"""The default hop."""
COARSEST_S = 0.1
"""Largest distance of window starts that the stem must allow."""
WORST_ROUNDING = 0.01
TOLERANCE = 1e-5
"""Largest difference between a logit by stem and head and one by the whole graph."""


@dataclass(frozen=True)
class Finding:
    """The result of a search for the stem.

    Attributes:
        stem: Where to cut; None if nowhere.
        note: Why there and no deeper, or why nowhere: one line.
    """

    stem: Stem | None
    note: str


def find_stem(
    model: onnx.ModelProto, window_samples: int, sample_rate: int, tolerance: float = TOLERANCE
) -> Finding:
    """Find the deepest tensor that windows can share, and prove that sharing changes nothing.

    Args:
        model: A whole graph, ``waveform (batch, window_samples)`` to one output; not changed.
        window_samples: Length of a window.
        sample_rate: In Hz.
        tolerance: Largest difference allowed between two logits.

    Raises:
        ExportError: A stem was found, but windows through it get other logits.
    """
    graph = cut_graph.load_graph(model.SerializeToString())
    trials = Trials(graph, window_samples)
    chain = find_dominators(graph.graph)
    stems: dict[str, Stem] = {}
    last, obstacle = graph.graph.input[0].name, ""
    for tensor in chain:
        try:
            stems[tensor] = trials.try_cut(tensor)
        except UnshareableError as error:
            nodes = nodes_between(graph.graph, last, tensor)
            obstacle = _explain(nodes, trials.axes.get(last), str(error))
            break
        last = tensor
    worked = [tensor for tensor in stems if trials.has_work_before(tensor)]
    fitting = [tensor for tensor in worked if _fits(stems[tensor].stride, sample_rate)]
    if not worked:
        return Finding(None, f"{obstacle}, before anything worth sharing")
    if not fitting:
        strides = ", ".join(sorted({f"{stems[t].stride / sample_rate:g}" for t in worked}))
        return Finding(None, f"no hop of {HOP_S:g} s fits its frames, which are {strides} s apart")
    stem = _deepen(trials, stems, fitting[-1], window_samples / (HOP_S * sample_rate))
    try:
        _prove(graph, model, stem, trials, tolerance)
    except ExportError:
        if not any("QuantizeLinear" in node.op_type for node in graph.graph.node):
            raise
        return Finding(None, "8 bits round the same audio in two ways, up to a step apart")
    return Finding(stem, obstacle)


def _fits(stride: int, sample_rate: int) -> bool:
    hop = HOP_S * sample_rate
    rounded = max(1, round(hop / stride)) * stride
    return stride <= COARSEST_S * sample_rate and abs(rounded - hop) <= WORST_ROUNDING * hop


def _deepen(trials: Trials, stems: dict[str, Stem], base: str, overlap: float) -> Stem:
    """Search deeper, after the last stride that fits, with dilations in place of strides.

    A layer that is dilated by a step runs at every place instead of every ``step``-th, but once
    instead of for every window. That pays as long as windows overlap more often than that.
    """
    stem = stems[base]
    names = list(stems)
    for tensor in names[names.index(base) + 1 :]:
        if stem.step > overlap and trials.has_convolution_between(stem.tensor, tensor):
            break
        try:
            stem = trials.try_dilated_cut(stems[base], stems[tensor])
        except (ModelError, UnshareableError):
            break
    return stem


def _prove(
    graph: onnx.ModelProto,
    model: onnx.ModelProto,
    stem: Stem,
    trials: Trials,
    tolerance: float,
) -> None:
    """Compare windows through stem and head with windows through the whole graph."""
    axis = trials.axes[stem.base or stem.tensor]
    session = open_graph(cut_graph.cut_stem(graph, stem, axis))
    head = onnx.ModelProto()
    head.CopyFrom(graph)
    kind = {"tensor(float)": 1, "tensor(float16)": 10}[session.get_outputs()[0].type]
    cut_graph.keep_head(head, stem.tensor, kind)
    second, whole = open_graph(head), open_graph(model)
    waveform = trials.probe(stem.stride)
    frames, span = run(session, waveform), (stem.frames - 1) * stem.step + 1
    for place in PLACES:
        start = place * stem.stride
        expected = run(whole, waveform[:, start : start + trials.window_samples])
        given = run(second, np.take(frames, range(place, place + span, stem.step), axis))
        difference = float(np.abs(given - expected).max())
        if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
            raise ExportError(
                f"windows that share {stem.tensor!r} get logits that differ by {difference:.2g}, "
                f"the limit is {tolerance:.0e}; nothing was written"
            )


def _explain(nodes: list[onnx.NodeProto], axis: int | None, otherwise: str) -> str:
    """Name the first node that keeps windows from sharing what follows."""
    for node in nodes:
        if _pads(node, axis):
            return f"{cut_graph.describe(node)} pads: its frames know where a window ends"
        if node.op_type.startswith(("Reduce", "Global")) or "Normalization" in node.op_type:
            return f"{cut_graph.describe(node)} takes the whole window together"
    name = cut_graph.describe(nodes[-1]) if nodes else "the graph"
    return f"{name} {otherwise}"


def _pads(node: onnx.NodeProto, axis: int | None) -> bool:
    """Whether a node pads along time."""
    if node.op_type == "Pad":
        return True
    pads = cut_graph.attribute(node, "pads")
    if axis is None or not 0 <= axis - 2 < len(pads) // 2:
        return any(pads)
    return any(pads[axis - 2 :: len(pads) // 2])
