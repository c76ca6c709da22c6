"""Learning to say under noise what one says without: a network goes on from itself.

It hears windows of its clips, mixed in pairs; what it said of them before, without noise, is what
it is to say under noise, however quiet both are, and what its last layer is given is to stay the
same as well. (Recordings made to be heard are loud; what a microphone hears often lies 30 dB
lower.) No label is asked: a few thousand of these make layers forget what they learned by imitation
(`train.pocket_parts.last_layer`). It ends on the way from where it began to where it got to:
between the two what is heard of loud sounds without noise and what is heard of quiet ones and
through noise trade places, and after a third of the way there is most of both.

Sources: a teacher that hears clean inputs, a student that hears noisy ones and began as its copy:
Q. Xie et al., "Self-training with Noisy Student", CVPR 2020; weights between two, M. Wortsman et
al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.nets.layers import Body

THROUGH_NOISE: Any = {
    "epochs": 50, "learning_rate": 1e-3, "weight_decay": 0.02, "warm_up": 0.1, "noise_share": 0.8,
    "snr_db": (0.0, 30.0), "quiet_share": 0.6, "widest_mels": 4, "widest_frames": 3,
    "kept_share": 0.65,
}  # fmt: skip
"""Of the recipe what differs from training by labels."""

SMALLEST_SPREAD = 1e-3


class Hearer(nn.Module):
    """A network's body that tells what its last layer is given, too."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes + channels)``: logits, then channels."""
        heard = self.body.pooled(features)
        return torch.cat([self.body.output(self.body.dropout(heard)), heard], dim=1)


class Before:
    """What a network said before it went on.

    Attributes:
        n_classes: How many it names.
    """

    def __init__(self, body: Body, features: Tensor) -> None:
        """Take its layers over.

        Args:
            body: A copy, which learns no more.
            features: ``(windows, mels, frames)`` to measure how far channels spread.
        """
        self._hearer = Hearer(body).eval().requires_grad_(False)
        self.n_classes = body.output.out_features
        heard = torch.cat([self._hearer.body.pooled(part) for part in features.split(64)])
        self._spread = heard.std(dim=0).clamp(min=SMALLEST_SPREAD)

    def say(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes + channels)``: probabilities, channels."""
        said = self._hearer(features)
        said[:, : self.n_classes] = said[:, : self.n_classes].softmax(dim=1)
        return said

    def loss(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Divergence of the names plus the square error of the channels; means over the batch.

        Args:
            given: ``(batch, classes + channels)`` of a `Hearer`.
            wanted: From `say`; channels of nan are asked for nothing.
        """
        names, channels = given.split((self.n_classes, given.shape[1] - self.n_classes), dim=1)
        said, heard = wanted[:, : self.n_classes], wanted[:, self.n_classes :]
        heard = torch.where(heard.isnan(), channels.detach(), heard)
        error = ((channels - heard) / self._spread).square().mean()
        return F.kl_div(F.log_softmax(names, dim=1), said, reduction="batchmean") + error
