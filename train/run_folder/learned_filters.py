"""What a learned front end listens to, epoch by epoch: its answers to sines.

A filter that is followed by others, by ReLU and by pooling has no kernel one could look at; what
it answers to a sine of each frequency can be measured all the same.

One sine is not enough. A filter with a stride hears a sine of ``sample_rate / stride`` at the same
place of its period each time, and answers to the phase instead of the frequency: answers are means
over phases. At half the rate a sine may be all zeros: the frequencies stop below.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from train.nets.contract import System
from train.nets.log_mel import hz_to_mel, mel_to_hz
from train.run_folder.run import RunFolder

FILTERS = "filters.safetensors"
LOWEST_HZ, HIGHEST_HZ = 10.0, 8000.0
HIGHEST_PART = 0.475
"""Of the sample rate: a twentieth below the frequency that cannot be told from its mirror image."""
N_FREQUENCIES = 96
N_PHASES = 8
SINE_S = 0.05
N_FRAMES = 60
"""Of the film, at most."""


def sine_frequencies(sample_rate: int) -> npt.NDArray[np.float64]:
    """``(96,)`` in Hz, evenly on the mel scale, up to 8 kHz or a little below half the rate."""
    highest = min(HIGHEST_HZ, HIGHEST_PART * sample_rate)
    return mel_to_hz(np.linspace(*hz_to_mel(np.array([LOWEST_HZ, highest])), N_FREQUENCIES))


def measure_filters(system: System, network: nn.Module) -> npt.NDArray[np.float32] | None:
    """``(filters, frequencies)``: the mean magnitude of each filter's answers to each sine.

    The mean is over time and over `N_PHASES` phases, evenly over a period. Nothing where the
    network has no learned front end.
    """
    front_end = system.front_end(network)
    if front_end is None:
        return None
    time = np.arange(round(SINE_S * system.sample_rate)) / system.sample_rate
    turns = sine_frequencies(system.sample_rate)[:, None] * time
    device = next(network.parameters()).device
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    answers = torch.tensor(0.0)
    with torch.inference_mode():
        for phase in np.arange(N_PHASES) / N_PHASES:
            sines = torch.from_numpy(0.5 * np.sin(2 * np.pi * (turns + phase))).float().to(device)
            parts = [_magnitude(front_end(part)) for part in sines.split(16)]
            answers = answers + torch.cat(parts).cpu() / N_PHASES
    for module, training in modes:
        module.training = training
    return answers.T.numpy()


def _magnitude(answers: torch.Tensor) -> torch.Tensor:
    """``(batch, filters, ..., time)`` -> ``(batch, filters)``."""
    return answers.float().abs().flatten(2).mean(dim=2)


class FilterFilm:
    """Keeps the answers of some epochs in the run folder: a few kilobytes each."""

    def __init__(self, system: System, run: RunFolder, n_epochs: int, *, resume: bool) -> None:
        self.system, self.run = system, run
        self.every = max(1, round(n_epochs / N_FRAMES))
        self.frequencies = sine_frequencies(system.sample_rate)
        self.epochs, self.frames = [], []
        if resume and (run.path / FILTERS).exists():
            epochs, frames, frequencies = read_film(run)
            # What an earlier version measured otherwise is no part of this film.
            if np.allclose(frequencies, self.frequencies):
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
        tensors = {
            "epochs": np.array(self.epochs),
            "answers": np.stack(self.frames),
            "frequencies": self.frequencies,
        }
        self.run.write_tensors(FILTERS, tensors)


def read_film(
    run: RunFolder,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """The epochs that were kept, ``(epochs, filters, frequencies)`` of them, and these in Hz.

    Raises:
        RunError: The file is missing or damaged.
    """
    tensors, _ = run.read_tensors(FILTERS)
    found = {name: tensor.numpy() for name, tensor in tensors.items()}
    # The first runs have sines evenly in octaves up to 8 kHz, and do not say so.
    n_frequencies = found["answers"].shape[2]
    frequencies = found.get("frequencies", np.geomspace(LOWEST_HZ, HIGHEST_HZ, n_frequencies))
    return found["epochs"], found["answers"], frequencies
