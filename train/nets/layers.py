"""Layers of networks, and measurements of a network's size and cost."""

from __future__ import annotations

from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def inference_batch_size(device: torch.device) -> int:
    """How many windows to run together for inference.

    On a processor the number is small, so that what layers hand on stays in its cache. `pocket`
    takes half the time that it takes with 128 windows at once; no other network measured takes
    more.
    """
    return 16 if device.type == "cpu" else 128


class Body(Protocol):
    """Layers with a last, linear one after them."""

    output: nn.Linear

    def pooled(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, channels)``: the input of the last layer."""


class NamedLayers(nn.Module):
    """Layers that end in ``output``, a linear one that names what they hear.

    Attributes:
        output: The last layer.
        dropout: Before it.
        frozen: Whether all layers but the last keep their weights.
    """

    output: nn.Linear
    dropout: nn.Dropout
    frozen: bool = False

    def pooled(self, features: Tensor) -> Tensor:
        """The input of the last layer: ``(batch, mels, frames)`` -> ``(batch, channels)``."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes)``."""
        return self.output(self.dropout(self.pooled(features)))

    def freeze_layers(self) -> None:
        """Let the last layer alone learn; the others keep their weights and statistics."""
        self.frozen = True
        self.requires_grad_(False)
        self.output.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode as in every module, but keep frozen layers in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for layers in self.children():
                if layers is not self.output and layers is not self.dropout:
                    layers.eval()
        return self


def count_parameters(network: nn.Module) -> int:
    """Number of parameters that are learned."""
    return sum(p.numel() for p in network.parameters())


def count_multiply_adds(network: nn.Module, window_samples: int) -> int:
    """Multiply-adds of one window, in all convolutions and products, fixed front ends included."""
    was_training = network.training
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, window_samples, device=next(network.parameters()).device))
    network.train(was_training)
    return counter.get_total_flops() // 2


def describe_layers(network: nn.Module, window_samples: int) -> str:
    """A table of the layers: shapes of one window, kernels, parameters, multiply-adds."""
    import torchinfo

    was_training = network.training
    table = torchinfo.summary(
        network,
        input_size=(1, window_samples),
        device=next(network.parameters()).device,
        depth=6,
        col_names=("input_size", "output_size", "kernel_size", "num_params", "mult_adds"),
        row_settings=("depth", "var_names"),
        verbose=0,
    )
    network.train(was_training)
    # Only the rows are kept: the sums below them leave out fixed front ends.
    rows = str(table).split("Total params:")[0].rstrip()
    return (
        f"{rows}\n\nA window of {window_samples:,} samples: "
        f"{count_multiply_adds(network, window_samples):,} multiply-adds in all convolutions and "
        f"products,\nfixed front ends included; {count_parameters(network):,} parameters.\n"
    )


def conv_block(n_inputs: int, n_outputs: int, stride: int = 1) -> list[nn.Module]:
    """A 3x3 convolution, BatchNorm and ReLU; padding and stride along frequency alone."""
    conv = nn.Conv2d(n_inputs, n_outputs, 3, stride=(stride, 1), padding=(1, 0), bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.BatchNorm2d(n_outputs), nn.ReLU(inplace=True)]


def separable_block(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    """A separable `conv_block`: 3x3 within each channel, then 1x1 across channels."""
    depthwise = nn.Conv2d(n_inputs, n_inputs, 3, padding=(1, 0), groups=n_inputs, bias=False)
    nn.init.kaiming_normal_(depthwise.weight, mode="fan_out", nonlinearity="linear")
    pointwise = nn.Conv2d(n_inputs, n_outputs, 1, bias=False)
    nn.init.kaiming_normal_(pointwise.weight, nonlinearity="relu")
    return [
        depthwise, nn.BatchNorm2d(n_inputs),
        pointwise, nn.BatchNorm2d(n_outputs), nn.ReLU(inplace=True),
    ]  # fmt: skip
