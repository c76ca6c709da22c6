# ruff: noqa: E402
"""Networks small enough to be exported in many forms, and clips that they know."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn

from train.datasets.prepared import REGRESSION, Clip, ClipSet
from train.nets.log_mel import LogMel

WINDOW = 4000


class TinyNet(nn.Module):
    """Log-mel, two convolutions with BatchNorm, a mean and a linear layer."""

    def __init__(self, n_outputs=2):
        super().__init__()
        torch.manual_seed(1)
        self.front_end = LogMel(8000, 128, 64, 16)
        self.layers = nn.Sequential(
            nn.Conv1d(16, 32, 3), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 32, 3), nn.ReLU()
        )
        self.layers[1].running_mean.uniform_(-1, 1)
        self.output = nn.Linear(32, n_outputs)
        self.eval()

    def forward(self, waveform):
        return self.output(self.layers(self.front_end(waveform)).mean(dim=2))


class WaveformNet(nn.Module):
    """Convolutions over the waveform itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Conv1d(1, 16, 8, 4), nn.ReLU(), nn.Conv1d(16, 512, 8, 4), nn.ReLU()
        )
        self.output = nn.Linear(512, 3)

    def forward(self, waveform):
        return self.output(self.layers(waveform[:, None]).mean(dim=2))


def make_clips(n_clips=40, task="single-label"):
    """Tones of two frequencies at many levels; of a regression the value is the tone's."""
    random = np.random.default_rng(1)
    targets = np.arange(n_clips) % 2
    time = np.arange(2 * WINDOW) / 8000
    sounds = [
        10 ** random.uniform(-2, -0.3) * np.sin(2 * np.pi * (400 + 1200 * target) * time)
        + random.normal(0, 1e-3, time.size)
        for target in targets
    ]
    samples = np.round(np.concatenate(sounds) * 32767).astype(np.int16)
    clips = tuple(
        Clip(f"{k}", k // 2 % 2, float(t) if task == REGRESSION else int(t), f"{k}", k * 2 * WINDOW,
             2 * WINDOW)
        for k, t in enumerate(targets)
    )  # fmt: skip
    labels = ("value",) if task == REGRESSION else ("low", "high")
    return ClipSet("tones", 8000, labels, clips, samples, "CC0", "nobody", "here", task=task)


def fitted(clips, n_outputs=2):
    """A tiny network whose last layer knows the clips."""
    network = TinyNet(n_outputs)
    windows = torch.from_numpy(np.stack([clips.waveform(k)[:WINDOW] for k in range(40)]))
    with torch.no_grad():
        maps = network.layers(network.front_end(windows)).mean(dim=2)
        wanted = torch.from_numpy(clips.targets)[:, None].float()
        wanted = wanted if n_outputs == 1 else 4 * torch.cat([1 - wanted, wanted], dim=1)
        ridge = maps.T @ maps + 0.1 * torch.eye(32)
        network.output.weight.copy_(torch.linalg.solve(ridge, maps.T @ wanted).T)
        network.output.bias.zero_()
    return network
