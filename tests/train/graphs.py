"""What takes a toy run its time: made once, as graphs and noises are, or less of it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch._export.utils
from filelock import FileLock
from torch import nn

from export.graph import export_graph
from export.graph.export_graph import export_program, make_graph
from train.audio.noise import make_noise
from train.datasets.prepared import ClipSet
from train.nets.contract import System
from train.nets.inference import WindowLogits, run_crops
from train.pocket_parts.mel_power import make_noises
from train.run_folder.learned_filters import measure_filters

NARROW = (8, 16, 32, 48, 96, 128, 384)
"""Channels of a pocket that learns as much from a few dozen batches, in a third of the time."""


class TracedGraphs:
    """`make_graph` that traces no kind of network twice, in whichever process of the session.

    A trace takes seconds, and depends on what a network is made of; its weights are put in
    afterwards, before the graph is optimised. The graph of the same network with the same weights
    is optimised once. Exports compare what comes of it with the network, as they always do.
    `test_network_contract` traces each network that there is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def make_graph(self, network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
        """The graph of the network, made now or before."""
        same = describe_network(network, window_samples, output, numbers=True)
        path = self.folder / f"{same}.optimised.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                onnx.save(self._optimise(network, window_samples, output), path)
        return onnx.load(path)

    def _optimise(self, network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
        """The graph of the network, of a trace made now or before."""
        import onnx_ir  # takes longer to import than most tests

        kind = describe_network(network, window_samples, output, numbers=False)
        path = self.folder / f"{kind}.onnx"

        def export_once(
            network: nn.Module, window_samples: int, output: str
        ) -> torch.onnx.ONNXProgram:
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    program = export_program(network, window_samples, output, optimize=False)
                    onnx_ir.save(program.model, path)
            model = onnx_ir.load(path)
            for name, value in {**dict(network.named_parameters()),
                                **dict(network.named_buffers())}.items():  # fmt: skip
                if name in model.graph.initializers:
                    tensor = onnx_ir.tensor(value.detach().numpy(), name=name)
                    model.graph.initializers[name].const_value = tensor
            program = torch.onnx.ONNXProgram(model, None)
            program.optimize()
            return program

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export_graph, "export_program", export_once)
            return trace(network, window_samples, output)


def trace(network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
    """`make_graph` in less time."""
    registry, read_once = registry_reader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "from_torchlib", read_once)
        patch.setattr(torch._export.utils, LIST_OPERATORS, operator_lister())
        return make_graph(network, window_samples, output)


def trace_something() -> None:
    """Trace a small network: the first trace of a process takes two seconds more than others."""
    trace(nn.Sequential(nn.Linear(8, 2), nn.ReLU()).eval(), 8, "logits")


LIST_OPERATORS = "_collect_all_valid_cia_ops_for_namespace"


@functools.cache
def operator_lister() -> Callable:
    """How torch lists operators that consist of others: once a process, not thrice a trace."""
    return functools.cache(getattr(torch._export.utils, LIST_OPERATORS))


@functools.cache
def registry_reader() -> tuple[type, staticmethod]:
    """The exporter's registry of operators, and how to read it once a process, not once a trace.

    It takes a fifth of the time of a short trace. Imported here, as few tests trace anything.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    return ONNXRegistry, staticmethod(functools.cache(ONNXRegistry.from_torchlib))


class MadeNoises:
    """Noises that are made once for all workers of the session: most of the shortest runs.

    What is handed out is a copy, and a generator goes on as if it had drawn them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._made: dict[str, torch.Tensor] = {}
        self._waveforms: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}

    def make_noise(
        self, random: np.random.Generator, n_samples: int, sample_rate: int
    ) -> np.ndarray:
        """`train.audio.noise.make_noise`, made now or before."""
        name = f"{random.bit_generator.state} {n_samples} {sample_rate}"
        if name not in self._waveforms:
            path = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}.npz"
            if not path.exists():
                noise = make_noise(random, n_samples, sample_rate)
                state = json.dumps(random.bit_generator.state)
                partial = path.with_name(f"{os.getpid()}-{path.name}")
                np.savez(partial, noise=noise, state=state)
                partial.replace(path)
            with np.load(path) as made:
                self._waveforms[name] = made["noise"], json.loads(made["state"].item())
        noise, state = self._waveforms[name]
        random.bit_generator.state = state
        return noise.copy()

    def make_noises(
        self, front_end: nn.Module, sample_rate: int, device: torch.device
    ) -> torch.Tensor:
        """`train.pocket_parts.mel_power.make_noises`, made now or before."""
        name = describe_network(front_end, sample_rate, str(device), numbers=True)
        if name not in self._made:
            path = self._folder / f"{name}.npy"
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    np.save(path, make_noises(front_end, sample_rate, device).cpu().numpy())
                self._made[name] = torch.from_numpy(np.load(path)).to(device)
        return self._made[name].clone()


def run_few_crops(network: nn.Module, clips: ClipSet, crops: Callable) -> WindowLogits:
    """`train.nets.inference.run_crops`, of which the usual ten are two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.nets.inference.N_CROPS", 2)
        return run_crops(network, clips, crops)


def measure_filters_roughly(system: System, network: nn.Module) -> np.ndarray | None:
    """`train.run_folder.learned_filters.measure_filters` of one phase, where it takes eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.run_folder.learned_filters.N_PHASES", 1)
        return measure_filters(system, network)


def describe_network(network: nn.Module, *more: object, numbers: bool) -> str:
    """A digest of all that a trace depends on: classes, attributes, names and shapes.

    With ``numbers`` it is of each weight too.
    """
    digest = hashlib.sha256(repr(more).encode())
    for name, module in network.named_modules():
        kind = type(module)
        plain = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str | tuple | None)
        }
        about = f"{name} {kind.__module__}.{kind.__qualname__} {sorted(plain.items())}"
        digest.update(about.encode())
        for key, tensor in (*module.named_parameters("", False), *module.named_buffers("", False)):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            if numbers:
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
