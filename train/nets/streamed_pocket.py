"""The second network of `train.pocket`: the streamed layers of mn04_as, and names of one's own.

The layers of `train.nets.streamed_network`, which `train.distil` trains, give 384 features every
0.1 s. One linear layer names their mean over a window. The maximum, or the outputs of earlier
layers, add nothing here, unlike in `train.nets.pocket_network`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.nets.efficientat import N_FEATURES, EfficientAT
from train.nets.layers import NamedLayers
from train.nets.streamed_network import FRAMES_PER_STEP, StreamedBody, StreamedMel


class StreamedPocketBody(NamedLayers, StreamedBody):
    """The layers, with a last one for names.

    Their parameters have the names that `StreamedBody` gives them, so that a run of `train.distil`
    can be loaded as it is.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(EfficientAT())
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(N_FEATURES, n_classes)

    def pooled(self, features: Tensor) -> Tensor:
        """The input of the last layer: ``(batch, mels, frames)`` -> ``(batch, 384)``."""
        return StreamedBody.forward(self, features).mean(dim=2)

    def windows(self, features: Tensor, starts: Sequence[int]) -> Tensor:
        """`pooled` of some windows of longer stretches, which are heard once.

        Args:
            features: ``(batch, mels, frames)``.
            starts: Where windows begin, in frames: multiples of `FRAMES_PER_STEP`.

        Returns:
            ``(batch, windows, 384)``.
        """
        frames = StreamedBody.forward(self, features)
        begins = (start // FRAMES_PER_STEP for start in starts)
        parts = [frames[:, :, k : k + self.n_window_frames].mean(dim=2) for k in begins]
        return torch.stack(parts, dim=1)


class StreamedPocketNet(nn.Module):
    """The whole network: front end and body."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.front_end = StreamedMel()
        self.body = StreamedPocketBody(n_classes)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] at 16 kHz -> ``(batch, classes)``."""
        return self.body(self.front_end(waveform))
