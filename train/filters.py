"""What a learned front end listens to, epoch by epoch: its answers to sines.

A filter that is followed by others, by ReLU and by pooling has no kernel one could look at; what
it answers to a sine of each frequency can be measured all the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from train.runs import RunFolder
from train.system import System

FILTERS = "filters.safetensors"
LOWEST_HZ, HIGHEST_HZ = 10.0, 8000.0
N_FREQUENCIES = 96
SINE_S = 0.125
N_FRAMES = 60
"""Of the film, at most."""


def sine_frequencies(sample_rate: int) -> npt.NDArray[np.float64]:
    """In Hz, evenly spaced in octaves, up to 8 kHz or half the rate."""
    highest = min(HIGHEST_HZ, sample_rate / 2)
    return np.geomspace(LOWEST_HZ, highest, N_FREQUENCIES)


def measure_filters(system: System, network: nn.Module) -> npt.NDArray[np.float32] | None:
    """``(filters, frequencies)``: the mean magnitude of each filter's answer to each sine.

    Nothing where the network has no learned front end.
    """
    front_end = system.front_end(network)
    if front_end is None:
        return None
    time = np.arange(round(SINE_S * system.sample_rate)) / system.sample_rate
    sines = 0.5 * np.sin(2 * np.pi * sine_frequencies(system.sample_rate)[:, None] * time)
    device = next(network.parameters()).device
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    with torch.inference_mode():
        parts = torch.from_numpy(sines).float().to(device).split(16)
        answers = torch.cat(
            [front_end(part).float().abs().flatten(2).mean(dim=2) for part in parts]
        )
    for module, training in modes:
        module.training = training
    return answers.T.cpu().numpy()


def _magnitude(answers: torch.Tensor) -> torch.Tensor:
    """``(batch, filters, ..., time)`` -> ``(batch, filters)``."""
    return answers.float().abs().flatten(2).mean(dim=2)


class FilterFilm:
    """Keeps the answers of some epochs in the run folder: a few kilobytes each."""

    def __init__(self, system: System, run: RunFolder, n_epochs: int, *, resume: bool) -> None:
        self.system, self.run = system, run
        self.every = max(1, round(n_epochs / N_FRAMES))
        self.epochs, self.frames = [], []
        if resume and (run.path / FILTERS).exists():
            epochs, frames = read_film(run)
            self.epochs, self.frames = epochs.tolist(), list(frames)

    def take(self, network: nn.Module, epoch: int, *, last: bool = False) -> None:
        """Take a frame if the epoch (0 is before the first) is one of those to keep."""
        if (epoch % self.every and not last) or epoch in self.epochs:
            return
        answers = measure_filters(self.system, network)
        if answers is None:
            return
        self.epochs.append(epoch)
        self.frames.append(answers.astype(np.float16))
        tensors = {"epochs": np.array(self.epochs), "answers": np.stack(self.frames)}
        self.run.write_tensors(FILTERS, tensors)


def read_film(run: RunFolder) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]:
    """The epochs that were kept, and ``(epochs, filters, frequencies)`` of them.

    Raises:
        RunError: The file is missing or damaged.
    """
    tensors, _ = run.read_tensors(FILTERS)
    return tensors["epochs"].numpy(), tensors["answers"].numpy()
