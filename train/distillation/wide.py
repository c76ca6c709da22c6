"""The pupil as a network to listen with: AudioSet's labels of 1.5 s, several at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.base.errors import RunError
from train.distillation.pupil import AnyPupil, Pupil, make_pupil
from train.nets.efficientat import N_FEATURES
from train.nets.pocket_network import PocketNet
from train.nets.streamed_network import StreamedNet
from train.run_folder.run import CONFIG, RunFolder

AGREEMENT = "agreement.json"
"""What `train.agreement` writes: thresholds, and how far the run agrees with its teacher."""

PUPIL = "pupil.safetensors"
"""The layers with their heads; the layers alone are the run's weights, as of `train.imitate`."""


def make_wide(pupil: AnyPupil) -> nn.Module:
    """What listens: a waveform's logits."""
    if isinstance(pupil, Pupil):
        return Wide(pupil)
    network = StreamedNet()
    network.body, network.head = pupil.body, pupil.head
    return network


class Wide(nn.Module):
    """Front end, pocket's layers, the heads that say features and then labels; no hints."""

    def __init__(self, pupil: Pupil) -> None:
        super().__init__()
        self.front_end = PocketNet(2).front_end
        self.body, self.head = pupil.body, pupil.head
        # The scale of the features goes into the layer that says them.
        self.features = nn.Linear(pupil.features.in_features, N_FEATURES)
        spread, mean = pupil.spread[:N_FEATURES], pupil.mean[:N_FEATURES]
        with torch.no_grad():
            self.features.weight.copy_(pupil.features.weight * spread[:, None])
            self.features.bias.copy_(pupil.features.bias * spread + mean)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] at 16 kHz -> ``(batch, 527)`` logits."""
        last = self.body.levels(self.front_end(waveform))[-1]
        both = torch.cat([last.mean(dim=2), last.amax(dim=2)], dim=1)
        return self.head(self.features(both))


def read_pupil(run: RunFolder) -> AnyPupil:
    """The pupil of a run of `train.distil` that has ended.

    Raises:
        RunError: It has not, or is a run of something else.
    """
    if not (run.path / PUPIL).exists():
        raise RunError(
            f"{run.path}: has no {PUPIL}: it is no run of train.distil, or has not ended; go on "
            "with --resume"
        )
    pupil = make_pupil(run.read_json(CONFIG))
    pupil.load_state_dict(run.read_tensors(PUPIL)[0])
    return pupil.eval()
