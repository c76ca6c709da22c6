"""Removing what a graph does not need, by ONNX Runtime's own optimiser at its basic level.

The basic level folds constants and BatchNorms and drops unused nodes. The levels above it write
operators that only ONNX Runtime has, for the processor at hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from export.errors import ExportError


def prune(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify a graph: fewer nodes and constants, the same function; tensors keep their names.

    Raises:
        ExportError: ONNX Runtime cannot open the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
        path = Path(folder) / "pruned.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            pruned = onnx.load(path)
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise ExportError(
                f"the graph does not run: {error}; nothing was written: does the network use "
                "layers that ONNX lacks?"
            ) from error
    # ONNX Runtime lists every operator set it knows, used or not.
    used = {node.domain for node in pruned.graph.node}
    kept = [opset for opset in pruned.opset_import if opset.domain in used]
    del pruned.opset_import[:]
    pruned.opset_import.extend(kept)
    pruned.producer_name, pruned.producer_version = model.producer_name, model.producer_version
    return pruned
