"""Tracing a run's network as an ONNX graph, in which everything from the waveform on is inside."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

INPUT = "waveform"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def make_graph(network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
    """Trace the network: ``waveform (batch, window_samples)`` -> ``output (batch, classes)``."""
    # The exporter logs and warns about its internals, which does not help a user.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # Without the records that only a training needs, an eighth of the time is saved.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = export_program(simplify(network), window_samples, output)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    model = program.model_proto
    _forget_origins(model)
    return model


def simplify(network: nn.Module) -> nn.Module:
    """Copy a network for a faster trace: the copy has fewer layers and says the same.

    Each BatchNorm that follows a convolution in a `nn.Sequential` is folded into it, and layers
    write to no tensor in place. Weights that stay the same are shared with the network.
    """
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    network = copy.deepcopy(network, shared)
    for module in network.modules():
        if isinstance(getattr(module, "inplace", None), bool):
            module.inplace = False
        if isinstance(module, nn.Sequential):
            for index, (layer, norm) in enumerate(pairwise(list(module))):
                if isinstance(layer, _CONVOLUTIONS) and isinstance(norm, _BATCH_NORMS):
                    module[index] = fuse_conv_bn_eval(layer, norm)
                    module[index + 1] = nn.Identity()
    return network


def export_program(
    network: nn.Module, window_samples: int, output: str, *, optimize: bool = True
) -> torch.onnx.ONNXProgram:
    """Trace a network and translate its operators.

    The exporter would trace every network a second time to replace operators that ONNX lacks, which
    takes half of the time. Here it does so only if there are any, or if one writes in place.
    """
    shapes = ({0: torch.export.Dim("batch")},)
    example = torch.zeros(2, window_samples)
    program = torch.export.export(network, (example,), dynamic_shapes=shapes)
    operators = {node.target for node in program.graph.nodes if node.op == "call_function"}
    replace_operators = program.run_decompositions

    def replace_if_needed(table: dict[Any, Callable[..., Any]]) -> torch.export.ExportedProgram:
        if all(each not in table and _is_functional(each) for each in operators):
            return program
        return replace_operators(table)

    program.run_decompositions = replace_if_needed  # type: ignore[method-assign, assignment]
    exported = torch.onnx.export(
        program,
        dynamo=True,
        external_data=False,
        input_names=[INPUT],
        output_names=[output],
        dynamic_shapes=shapes,  # for the name alone
        custom_translation_table=_translations(),
        optimize=optimize,
        verbose=False,
    )
    assert exported is not None  # as always with dynamo=True
    return exported


def _is_functional(operator: Any) -> bool:
    """Whether an operator writes to none of its inputs."""
    return isinstance(operator, torch._ops.OpOverload) and not operator._schema.is_mutable


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations of operators that ONNX has, and that the exporter would replace by others."""
    from onnxscript import opset18

    def batch_norm(
        maps: Any, weight: Any, bias: Any, mean: Any, variance: Any,
        training: bool, momentum: float, eps: float, cudnn_enabled: bool,
    ) -> Any:  # fmt: skip
        return opset18.BatchNormalization(maps, weight, bias, mean, variance, epsilon=eps)

    def square(values: Any) -> Any:
        return opset18.Mul(values, values)

    aten = torch.ops.aten
    return {aten.batch_norm.default: batch_norm, aten.square.default: square}


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
