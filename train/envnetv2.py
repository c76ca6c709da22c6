"""EnvNet-v2: EnvNet at 44.1 kHz, deeper, the network of the between-class learning paper.

Y. Tokozume, Y. Ushiku, T. Harada, "Learning from Between-class Examples for Deep Sound
Recognition", ICLR 2018; schedules as in the authors' code. Crops, mixing and the strong
augmentation are EnvNet's (`train.envnet`).

Published error, standard, BC, BC and strong: ESC-50 25.6 %, 18.2 %, 15.1 %; ESC-10 14.2 %,
10.6 %, 8.6 %; UrbanSound8K 30.9 %, 23.4 %, 21.7 %.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from torch import Tensor, nn

from train.envnet import EnvNetRecipe, EnvNetSystem, conv, hidden

N_HIDDEN = 4096
WARM_UP_EPOCHS = 10


class EnvNetV2(nn.Module):
    """The network; no convolution has padding or bias."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # Filters over the waveform; their output (batch, 64, 1, 260) then becomes an image.
        self.stem = nn.Sequential(
            *conv(1, 32, (1, 64), (1, 2)), *conv(32, 64, (1, 16), (1, 2)), nn.MaxPool2d((1, 64))
        )
        self.layers = nn.Sequential(
            *conv(1, 32, (8, 8)),
            *conv(32, 32, (8, 8)),
            nn.MaxPool2d((5, 3)),
            *conv(32, 64, (1, 4)),
            *conv(64, 64, (1, 4)),
            nn.MaxPool2d((1, 2)),
            *conv(64, 128, (1, 2)),
            *conv(128, 128, (1, 2)),
            nn.MaxPool2d((1, 2)),
            *conv(128, 256, (1, 2)),
            *conv(256, 256, (1, 2)),
            nn.MaxPool2d((1, 2)),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            *hidden(256 * 10 * 8, N_HIDDEN),
            *hidden(N_HIDDEN, N_HIDDEN),
            nn.Linear(N_HIDDEN, n_classes),
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 66650)`` in [-1, 1] -> ``(batch, classes)``."""
        picture = self.stem(waveform[:, None, None, :]).transpose(1, 2)
        return self.head(self.layers(picture))


class EnvNetV2System(EnvNetSystem):
    """Trains `EnvNetV2`."""

    name = "envnetv2"
    title = "EnvNet-v2, a network on raw waveforms at 44.1 kHz (Tokozume et al. 2018)"
    sample_rate = 44100
    window_samples = 66650

    @classmethod
    def published(cls, data_name: str) -> EnvNetRecipe:
        """The published recipe for a data set; for other sets that for ESC-50."""
        recipe = replace(super().published(data_name), epochs=600)
        if data_name == "esc10":
            return recipe
        epochs = 600 if data_name == "urbansound8k" else 1000
        return replace(
            recipe,
            epochs=epochs,
            learning_rate=0.1,
            drops=(0.3, 0.6, 0.9),
            warm_up=WARM_UP_EPOCHS / epochs,
        )

    def build(self, n_classes: int) -> EnvNetV2:
        """Build the network with new weights."""
        return EnvNetV2(n_classes)


SYSTEM = EnvNetV2System

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("envnetv2"))
