"""Tracing a run's network as an ONNX graph, in which everything from the waveform on is inside."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from torch import nn

INPUT = "waveform"


def make_graph(network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
    """Trace the network: ``waveform (batch, window_samples)`` -> ``output (batch, classes)``."""
    example = torch.zeros(2, window_samples)
    # The exporter logs and warns about its internals, which does not help a user.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # Without the records that only a training needs, an eighth of the time is saved.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                external_data=False,
                input_names=[INPUT],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    model = program.model_proto
    _forget_origins(model)
    return model


def _forget_origins(model: onnx.ModelProto) -> None:
    """Delete the exporter's notes at every node: file names and stack traces of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.graph.doc_string = ""
    model.doc_string = ""
