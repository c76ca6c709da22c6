"""What takes a toy run its time, made once: graphs of networks and the noises of pocket."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import torch
from filelock import FileLock
from torch import nn

from export.graph.export_graph import make_graph
from train.pocket_parts.mel_power import make_noises


class TracedGraphs:
    """`make_graph` that traces no network twice, not even in another process of the session.

    A trace takes seconds. What is handed out is a copy, for exports go on changing their graph.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def make_graph(self, network: nn.Module, window_samples: int, output: str) -> onnx.ModelProto:
        """The graph of the network, traced now or before."""
        name = describe_network(network, window_samples, output)
        path = self.folder / f"{name}.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                path.write_bytes(make_graph(network, window_samples, output).SerializeToString())
        return onnx.load(path)


class MadeNoises:
    """`make_noises` that makes the same noises once: they are most of pocket's shortest runs."""

    def __init__(self) -> None:
        self._made: dict[str, torch.Tensor] = {}

    def make_noises(
        self, front_end: nn.Module, sample_rate: int, device: torch.device
    ) -> torch.Tensor:
        """The noises, made now or before."""
        name = describe_network(front_end, sample_rate, str(device))
        if name not in self._made:
            self._made[name] = make_noises(front_end, sample_rate, device)
        return self._made[name].clone()


def describe_network(network: nn.Module, *more: object) -> str:
    """A digest of all that a trace depends on: classes, attributes and each number."""
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
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
