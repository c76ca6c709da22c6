"""Noise training: a network learns to say under noise what it said without noise.

The training continues from a finished run. The network gets windows of its clips, mixed in pairs,
quieter and under noise. Its targets are its own earlier outputs for the same windows without noise;
the input of its last layer is to stay the same as well. (Recordings are made to be loud; the same
sounds at a microphone often lie 30 dB lower.) No labels are used: a few thousand of them make
layers forget what they learned by imitation (`train.pocket_parts.last_layer`). The result lies
between the weights at the beginning and at the end. Between the two, the accuracy on loud sounds
without noise is traded for the accuracy on quiet sounds and under noise; after a third of the way
most of both is there.

Sources: a teacher with clean inputs and a student with noisy ones that begins as its copy: Q. Xie
et al., "Self-training with Noisy Student", CVPR 2020; weights between two, M. Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.nets.layers import Body

NOISE_TRAINING_RECIPE: Any = {
    "epochs": 50, "learning_rate": 1e-3, "weight_decay": 0.02, "warm_up": 0.1, "noise_share": 0.8,
    "snr_db": (0.0, 30.0), "quiet_share": 0.6, "widest_mels": 4, "widest_frames": 3,
    "kept_share": 0.65,
}  # fmt: skip
"""Fields of the recipe that differ from training by labels."""

SMALLEST_SPREAD = 1e-3


class BodyWithFeatures(nn.Module):
    """A network's body that returns the input of its last layer, too."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes + channels)``: logits, then channels."""
        pooled = self.body.pooled(features)
        return torch.cat([self.body.output(self.body.dropout(pooled)), pooled], dim=1)


class EarlierSelf:
    """The network as it was before noise training, which gives the targets.

    Attributes:
        n_classes: Number of its classes.
    """

    def __init__(self, body: Body, features: Tensor) -> None:
        """Take the layers over.

        Args:
            body: A copy of the network's body, which learns no more.
            features: ``(windows, mels, frames)`` to measure the spread of the channels on.
        """
        self._network = BodyWithFeatures(body).eval().requires_grad_(False)
        self.n_classes = body.output.out_features
        pooled = torch.cat([self._network.body.pooled(part) for part in features.split(64)])
        self._spread = pooled.std(dim=0).clamp(min=SMALLEST_SPREAD)

    def predict(self, features: Tensor) -> Tensor:
        """Targets for windows: ``(batch, classes + channels)`` probabilities, then channels.

        Args:
            features: ``(batch, mels, frames)``.
        """
        targets = self._network(features)
        targets[:, : self.n_classes] = targets[:, : self.n_classes].softmax(dim=1)
        return targets

    def loss(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Divergence of the class probabilities plus the square error of the channels; batch means.

        Args:
            given: ``(batch, classes + channels)`` of a `BodyWithFeatures`.
            wanted: From `predict`; channels of nan have no error.
        """
        logits, channels = given.split((self.n_classes, given.shape[1] - self.n_classes), dim=1)
        scores, earlier = wanted[:, : self.n_classes], wanted[:, self.n_classes :]
        earlier = torch.where(earlier.isnan(), channels.detach(), earlier)
        error = ((channels - earlier) / self._spread).square().mean()
        return F.kl_div(F.log_softmax(logits, dim=1), scores, reduction="batchmean") + error
