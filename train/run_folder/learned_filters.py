"""The frequency responses of a learned front end, epoch by epoch.

A filter that is followed by other filters, by ReLU and by pooling has no kernel to look at. Its
response to a sine of each frequency can still be measured.

One phase of a sine is not enough. A filter with a stride meets a sine of ``sample_rate / stride``
at the same place of its period each time, and then responds to the phase instead of the frequency.
So responses are means over phases. At half the sample rate a sine may be all zeros, so the
frequencies stop below it.
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
"""Highest frequency as a part of the sample rate: a twentieth below the Nyquist frequency, where a
sine cannot be told from its mirror image."""
N_FREQUENCIES = 96
N_PHASES = 8
SINE_S = 0.05
MAX_SNAPSHOTS = 60
"""Most epochs whose responses are kept."""


def sine_frequencies(sample_rate: int) -> npt.NDArray[np.float64]:
    """``(96,)`` frequencies in Hz, evenly on the mel scale, up to 8 kHz or just below Nyquist."""
    highest = min(HIGHEST_HZ, HIGHEST_PART * sample_rate)
    return mel_to_hz(np.linspace(*hz_to_mel(np.array([LOWEST_HZ, highest])), N_FREQUENCIES))


def measure_filters(system: System, network: nn.Module) -> npt.NDArray[np.float32] | None:
    """Measure the mean magnitude of each filter's response to each sine.

    The mean is over time and over `N_PHASES` phases, spread evenly over a period.

    Returns:
        ``(filters, frequencies)``; None where the network has no learned front end.
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
    """Mean magnitude over time: ``(batch, filters, ..., time)`` -> ``(batch, filters)``."""
    return answers.float().abs().flatten(2).mean(dim=2)


class FilterHistory:
    """The responses at some of the epochs, kept in the run folder: a few kilobytes an epoch."""

    def __init__(self, system: System, run: RunFolder, n_epochs: int, *, resume: bool) -> None:
        self.system, self.run = system, run
        self.every = max(1, round(n_epochs / MAX_SNAPSHOTS))
        self.frequencies = sine_frequencies(system.sample_rate)
        self.epochs, self.frames = [], []
        if resume and (run.path / FILTERS).exists():
            epochs, frames, frequencies = read_filter_history(run)
            # Responses to other frequencies, from an earlier version, are not continued.
            if np.allclose(frequencies, self.frequencies):
                self.epochs, self.frames = epochs.tolist(), list(frames)

    def record(self, network: nn.Module, epoch: int, *, last: bool = False) -> None:
        """Measure and keep the responses of an epoch, if it is one of those to keep.

        Args:
            network: The network as it is now.
            epoch: Number of the epoch; 0 is before the first.
            last: Keep it in any case.
        """
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


def read_filter_history(
    run: RunFolder,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Read the kept responses.

    Returns:
        The epochs, their responses ``(epochs, filters, frequencies)``, and the frequencies in Hz.

    Raises:
        RunError: The file is missing or damaged.
    """
    tensors, _ = run.read_tensors(FILTERS)
    found = {name: tensor.numpy() for name, tensor in tensors.items()}
    # The first runs used sines evenly in octaves up to 8 kHz, and have no list of frequencies.
    n_frequencies = found["answers"].shape[2]
    frequencies = found.get("frequencies", np.geomspace(LOWEST_HZ, HIGHEST_HZ, n_frequencies))
    return found["epochs"], found["answers"], frequencies
