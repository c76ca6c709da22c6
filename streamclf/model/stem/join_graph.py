"""Joining of stem and head into one graph that also selects the frames of each window."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from streamclf.core.card import Stem
from streamclf.core.errors import ModelError
from streamclf.model.stem.cut_graph import cut_stem, keep_head

PLACES = "frames_of_windows"
"""Name of the input with the indices of each window's frames, ``(windows, frames)`` int64."""


def join_at_windows(model: Any, stem: Stem, axis: int, rank: int, element: int) -> bytes:
    """Build a graph that computes the outputs of windows from audio and `PLACES`.

    The audio is ``(1, samples)``. Each row of `PLACES` selects the frames of one window.

    Args:
        model: A model from `cut_graph.load_graph`; it is changed.
        stem: The stem whose tensor holds the frames.
        axis: Time axis of the stem's tensor, counted from 0.
        rank: Number of axes of that tensor.
        element: Number of its data type in ONNX.

    Returns:
        The bytes of the graph as an ONNX file.

    Raises:
        ModelError: The graph cannot be cut at the stem, or has a tensor with a reserved name.
    """
    front = cut_stem(model, stem, axis)
    keep_head(model, stem.tensor, element)
    every, row, cut, first = (f"{stem.tensor}/{name}" for name in ("every", "row", "cut", "first"))
    known = {name for part in (front, model) for node in part.graph.node for name in node.output}
    if taken := known & {every, row, cut, first, PLACES}:
        raise ModelError(f"the graph cannot be joined: it has a tensor {min(taken)!r} already")
    for node in front.graph.node:
        _rename(node.output, stem.tensor, every)
    # Shapes: (1, ..., time, ...), (..., time, ...), (..., windows, frames, ...), (windows, ...).
    others = [k for k in range(rank) if k != axis - 1]
    choosing = [
        helper.make_node("Gather", [every, first], [row], axis=0),
        helper.make_node("Gather", [row, PLACES], [cut], axis=axis - 1),
        helper.make_node("Transpose", [cut], [stem.tensor], perm=[axis - 1, *others]),
    ]
    made = {name for node in front.graph.node for name in node.output}
    behind = [node for node in model.graph.node if node.output[0] not in made]
    held = {value.name for value in front.graph.initializer}
    weights = [value for value in model.graph.initializer if value.name not in held]
    front.graph.node.extend([*choosing, *behind])
    front.graph.initializer.extend(
        [*weights, numpy_helper.from_array(np.array(0, np.int64), first)]
    )
    front.graph.input.append(helper.make_tensor_value_info(PLACES, TensorProto.INT64, None))
    del front.graph.output[:]
    front.graph.output.extend(model.graph.output)
    content: bytes = front.SerializeToString()
    return content


def _rename(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new
