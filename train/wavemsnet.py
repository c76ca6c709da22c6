"""WaveMsNet: three filter banks of different time scales over the raw waveform, then a log-mel map.

B. Zhu, C. Wang, F. Liu, J. Lei, Z. Lu, Y. Peng, "Learning Environmental Sounds with Multi-scale
Convolutional Neural Network", IJCNN 2018. Training has two phases::

    python -m train.wavemsnet --phase 1 --data ESC-50 --save runs/first
    python -m train.wavemsnet --phase 2 --from runs/first --data ESC-50 --save runs/second

In phase 1 the back end gets the waveform map twice. In phase 2 a log-mel map replaces the second
one, the branches over the waveform are frozen and the rest continues to learn.

``--front-end fixed`` learns no filters over the waveform: the first convolution of each branch is a
bank of Hann-windowed cosines, their frequencies evenly on the ERB scale
(`train.nets.log_mel.wavelets`; the kernels are too short for gammatones). The comparison shows what
learning the filters is worth.

Published accuracy: ESC-10 93.75 %, ESC-50 79.10 %, trained on three folds, with the epoch chosen
on the same fold that the accuracy is reported for.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from train.base.errors import RunError, UsageError
from train.datasets.prepared import ClipSet
from train.envnet import EnvNetRecipe, EnvNetSystem, hidden
from train.nets.log_mel import LogMel, OverWaveform, wavelets
from train.run_folder.reproduce import list_commands
from train.run_folder.run import CONFIG, WEIGHTS, RunFolder

SAMPLE_RATE = 44100
WINDOW_SAMPLES = 66150
N_FFT, HOP_LENGTH, N_MELS = 2048, 150, 96
N_FILTERS = 32
N_HIDDEN = 4096
BRANCHES = ((11, 1, 5, 150), (51, 5, 25, 30), (101, 10, 50, 15))
"""Kernel, stride and padding of the first convolution, and the pool, of each time scale."""

LOG_FULL_SCALE = 18.0
"""The logarithm's value at full scale; divided by it, the map lies between about 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class WaveMsRecipe(EnvNetRecipe):
    """The recipe's fields for WaveMsNet.

    Attributes:
        phase: 1, or 2 with the log-mel map.
        filters: Whether the first convolutions are ``learned`` or ``fixed``.
    """

    phase: Literal[1, 2] = 1
    filters: Literal["learned", "fixed"] = "learned"


class WaveMsNet(nn.Module):
    """The network of either phase; both have the same weights."""

    def __init__(self, n_classes: int, phase: int = 1, filters: str = "learned") -> None:
        super().__init__()
        self.phase = phase
        self.branches = nn.ModuleList(_branch(*sizes) for sizes in BRANCHES)
        pad = (N_FFT - HOP_LENGTH) // 2  # 441 frames, each around its 150 samples
        self.front_end = LogMel(SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS, f_min=0.0, pad=pad)
        self.layers = nn.Sequential(
            *_conv(2, 64), nn.MaxPool2d((3, 11)),
            *_conv(64, 128), nn.MaxPool2d(2),
            *_conv(128, 256), nn.MaxPool2d(2),
            *_conv(256, 256), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(),
            *hidden(256 * 4 * 5, N_HIDDEN),
            nn.Linear(N_HIDDEN, n_classes),
        )
        if filters == "fixed":
            for branch in self.branches:
                _fix_filters(branch[0])
        if phase == 2:
            self.branches.requires_grad_(False)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 66150)`` in [-1, 1] -> ``(batch, classes)``."""
        learned = torch.cat([branch(waveform[:, None]) for branch in self.branches], dim=1)
        second = learned
        if self.phase == 2:
            second = self.front_end(waveform) / LOG_FULL_SCALE
        return self.head(self.layers(torch.stack([learned, second], dim=1)))

    def train(self, mode: bool = True) -> WaveMsNet:
        """Set the mode as in any module; in phase 2 the branches' statistics stay as they are."""
        super().train(mode)
        if self.phase == 2:
            self.branches.eval()
        return self


class WaveMsSystem(EnvNetSystem):
    """Trains `WaveMsNet`; crops are EnvNet's, without zeros around the clip."""

    name = "wavemsnet"
    title = "WaveMsNet, waveform filters of three time scales (Zhu et al. 2018)"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    recipe_type = WaveMsRecipe
    pad: ClassVar[int | None] = 0

    first_weights: dict[str, Tensor] | None = None

    @classmethod
    def published(cls, data_name: str) -> WaveMsRecipe:
        """The published recipe, for either phase and any data set."""
        return WaveMsRecipe(
            epochs=160,
            batch_size=32,
            optimiser="sgd",
            learning_rate=0.01,
            weight_decay=5e-4,
            schedule="steps",
            drops=(60 / 160, 120 / 160, 140 / 160),
        )

    @classmethod
    def variants(cls) -> dict[str, WaveMsRecipe]:
        """Both phases, and fixed filters."""
        recipe = cls.default_recipe()
        return {
            "phase 1": recipe,
            "phase 2": replace(recipe, phase=2),
            "fixed": replace(recipe, filters="fixed"),
        }

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--phase``, ``--from`` and ``--front-end``, beside EnvNet's own options."""
        super().add_options(parser)
        add = parser.add_argument
        add("--phase", type=int, choices=(1, 2), default=1, help="2 adds the log-mel map (1)")
        add("--from", type=Path, dest="first", metavar="RUN", help="of phase 2: the phase 1 run")
        add(
            "--front-end",
            choices=("learned", "fixed"),
            default="learned",
            help="filters over the waveform: learned, or band-passes (learned)",
        )

    @classmethod
    def check_options(cls, options: Namespace) -> None:
        """Check that phase 2 starts from a run, and phase 1 from none.

        Raises:
            UsageError: It is not so; the message says the way out.
        """
        if not options.resume and (options.phase == 2) != (options.first is not None):
            raise UsageError(
                f"--phase {options.phase} {'needs' if options.phase == 2 else 'has no'} --from: "
                "--phase 1 makes a run, --phase 2 --from RUN goes on from it"
            )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over the phase, and in phase 2 the first run's weights.

        Raises:
            UsageError: The first run is of another network or data.
            RunError: The first run cannot be read.
        """
        if options.resume:
            return {}
        super().configure(options, clips)
        self.recipe = replace(self.recipe, phase=options.phase, filters=options.front_end)
        if options.first is None:
            return {}
        run = RunFolder.open(options.first)
        if "cross_validation" in run.read_json(CONFIG):
            run = RunFolder.open(options.first / f"fold-{options.test_fold}")
        return self._take_first(run, clips)

    def _take_first(self, run: RunFolder, clips: ClipSet) -> dict[str, Any]:
        config = run.read_json(CONFIG)
        try:
            data, recipe = config["data"], config["recipe"]
            if (config["network"], config["labels"]) != (self.name, list(clips.labels)):
                raise UsageError(
                    f"--from {run.path}: a run of {config['network']} with "
                    f"{len(config['labels'])} classes; give one of wavemsnet --phase 1 with these "
                    f"{len(clips.labels)}"
                )
            # Otherwise phase 1 might have learned clips that phase 2 is evaluated on.
            if (data["origin"], data["folds"]) != (clips.origin, list(clips.folds)):
                raise UsageError(
                    f"--from {run.path}: was trained on folds {data['folds']} of {data['name']}; "
                    f"both phases take the same, not {list(clips.folds)} of {clips.name}"
                )
            self.recipe = replace(self.recipe, filters=recipe["filters"])
            about = {
                "first_run": run.path.name,
                "first_epochs": recipe["epochs"],
                "first": {"commands": list_commands(config)},
            }
        except KeyError as error:
            raise RunError(f"{run.path / CONFIG}: lacks {error}; train phase 1 anew") from error
        self.first_weights, _ = run.read_tensors(WEIGHTS)
        return about

    def build(self, n_classes: int) -> WaveMsNet:
        """Build the network, with new weights or those of the first phase."""
        network = WaveMsNet(n_classes, self.recipe.phase, self.recipe.filters)
        if self.first_weights is not None:
            network.load_state_dict(self.first_weights)
        return network

    def front_end(self, network: WaveMsNet) -> nn.Module:
        """The branch of the longest kernels, up to its pool."""
        return OverWaveform(network.branches[-1][:-1])


def _fix_filters(conv: nn.Conv1d) -> None:
    kernels = torch.from_numpy(wavelets(SAMPLE_RATE, conv.out_channels, conv.kernel_size[0]))
    with torch.no_grad():
        conv.weight.copy_(kernels[:, None])
        conv.bias.zero_()
    conv.requires_grad_(False)


def _branch(size: int, stride: int, padding: int, pool: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(1, N_FILTERS, size, stride, padding),
        nn.BatchNorm1d(N_FILTERS),
        nn.ReLU(),
        nn.Conv1d(N_FILTERS, N_FILTERS, 11, padding=5),
        nn.BatchNorm1d(N_FILTERS),
        nn.ReLU(),
        nn.MaxPool1d(pool),
    )


def _conv(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1)
    return [conv, nn.BatchNorm2d(n_outputs), nn.ReLU()]


SYSTEM = WaveMsSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("wavemsnet"))
