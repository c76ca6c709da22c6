"""A run's network as an ONNX graph: one file, everything from the waveform on inside."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import onnx
import torch
from torch import nn

from train.errors import RunError
from train.runs import RunFolder
from train.system import find_system

INPUT = "waveform"


def rebuild(run: RunFolder, config: dict[str, Any]) -> nn.Module:
    """The run's network with its weights, on the CPU, ready to be used.

    Raises:
        RunError: The network is unknown, or the weights are missing or of another one.
    """
    system_type = find_system(str(config.get("network")))
    try:
        fields = system_type.default_recipe().as_json() | config["recipe"]
        system = system_type(system_type.recipe_type.from_json(fields))
        network = system.build(len(config["labels"]))
        weights, _ = run.read_tensors("weights.safetensors")
        network.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.path}: weights and config.json don't fit together: {error}; train anew"
        ) from error
    return network.eval()


def make_graph(network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
    """Trace the network: ``waveform (batch, window_samples)`` -> ``output (batch, classes)``."""
    example = torch.zeros(2, window_samples)
    # The exporter logs and warns about its own workings; none of it is for whoever exports.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
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
    """Drop what the exporter notes at every node: file names and stacks of this machine."""
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
