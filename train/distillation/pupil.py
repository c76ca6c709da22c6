"""The networks that learn from EfficientAT, with heads for its outputs.

`StreamedPupil` has the teacher's own layers, made for streams, and begins with their weights.
`Pupil` has layers like pocket's, wider, and begins with random ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.distillation.heard import N_HINTS, FrontEnd
from train.nets.efficientat import N_FEATURES, EfficientAT
from train.nets.pocket_network import WINDOW_SAMPLES, PocketBody, PocketNet
from train.nets.streamed_network import StreamedMel, StreamedNet

WIDE = (48, 96, 192, 256, 448, 512, 640)
"""Channels of the layers; `train.nets.pocket_network.WIDTHS` are the bundled model's."""

HOP = 3
"""Steps of 0.1 s between a pupil's windows in a crop."""

SMALLEST_SPREAD = 0.01


class Pupil(nn.Module):
    """Layers like pocket's, with heads.

    Features are said behind the last level, hints behind the one before; labels by the teacher's
    own head, which learns on, from the features that the pupil says.

    Attributes:
        body: What is kept.
        head: What says labels of features.
    """

    layers = "pocket"
    hints_kept = True

    def __init__(self, widths: Sequence[int] = WIDE) -> None:
        super().__init__()
        self.body = PocketBody(2, widths)
        *_, middle, last = self.body.level_channels
        self.features = nn.Linear(2 * last, N_FEATURES)
        self.hints = nn.Linear(2 * middle, N_HINTS)
        self.head = EfficientAT().classifier
        self.register_buffer("mean", torch.zeros(N_FEATURES + N_HINTS))
        self.register_buffer("spread", torch.ones(N_FEATURES + N_HINTS))
        self.n_frames = self.make_front_end().n_frames(WINDOW_SAMPLES)
        with torch.no_grad():
            levels = self.body.eval().levels(torch.zeros(1, 64, self.n_frames))
        self.train()
        self.spans = [level.shape[2] for level in levels]

    @staticmethod
    def make_front_end() -> FrontEnd:
        """Its front end, which learns nothing."""
        return PocketNet(2).front_end

    def begin(self, teacher: EfficientAT) -> None:
        """Take over what the teacher's weights give."""
        self.head.load_state_dict(teacher.classifier.state_dict())

    def windows(self, spectra: Tensor, hop: int = HOP) -> list[tuple[Tensor, Tensor]]:
        """Mean and maximum, ``(batch, windows, channels)`` each, of each level over each window."""
        pairs = []
        for level, span in zip(self.body.levels(spectra), self.spans, strict=True):
            frames = level.unfold(2, span, hop)
            pairs.append((frames.mean(dim=3).transpose(1, 2), frames.amax(dim=3).transpose(1, 2)))
        n = min(mean.shape[1] for mean, _ in pairs)
        return [(mean[:, :n], highest[:, :n]) for mean, highest in pairs]

    def forward(self, spectra: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch * windows, 384 + 272 + 527)``.

        Scaled features and hints, logits.
        """
        return self._say(self.windows(spectra))

    def listen(self, spectra: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        """What names are fitted to, and logits, of windows ``hop`` steps of 0.1 s apart.

        Args:
            spectra: ``(1, mels, frames)``.
            hop: Steps.

        Returns:
            ``(windows, channels)`` and ``(windows, 527)``.
        """
        pairs = self.windows(spectra, hop)
        means, maxima = zip(*pairs, strict=True)
        features = torch.cat([*means, *maxima], dim=2)[0]
        return features, self._say(pairs)[:, N_FEATURES + N_HINTS :]

    def _say(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        *_, middle, last = [torch.cat(pair, dim=2).flatten(0, 1) for pair in pairs]
        features, hints = self.features(last), self.hints(middle)
        said = features * self.spread[:N_FEATURES] + self.mean[:N_FEATURES]
        return torch.cat([features, hints, self.head(said)], dim=1)

    def measure(self, said: Tensor) -> None:
        """Scale what is to be said by what a teacher said of windows: ``(windows, 384 + 272)``."""
        measure(self, said)


class StreamedPupil(nn.Module):
    """The teacher's layers, made for streams (`train.nets.streamed_network`), and its head.

    Attributes:
        body: The layers.
        head: What says labels of features.
        names: What says the names of a labelled set (`train.distillation.names`), where there is
            one.
    """

    layers = "teacher"
    hints_kept = False

    def __init__(self, n_names: int = 0) -> None:
        super().__init__()
        network = StreamedNet()
        self.body, self.head = network.body, network.head
        self.names = nn.Linear(N_FEATURES, n_names) if n_names else None
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("spread", torch.ones(N_FEATURES))

    @staticmethod
    def make_front_end() -> FrontEnd:
        """Its front end, which learns nothing."""
        return StreamedMel()

    def begin(self, teacher: EfficientAT) -> None:
        """Take over the teacher's weights."""
        network = StreamedNet(copy.deepcopy(teacher))
        self.body.load_state_dict(network.body.state_dict())
        self.head.load_state_dict(network.head.state_dict())

    def forward(self, spectra: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch * windows, 384 + names + 527)``.

        Scaled features, logits of names, logits of AudioSet's labels.
        """
        features = self.windows(spectra, HOP).flatten(0, 1)
        with torch.autocast(features.device.type, enabled=False):
            names = [] if self.names is None else [self.names(features)]
            scaled = (features - self.mean) / self.spread
            return torch.cat([scaled, *names, self.head(features)], dim=1)

    def windows(self, spectra: Tensor, hop: int) -> Tensor:
        """``(batch, windows, 384)``, windows ``hop`` steps of 0.1 s apart."""
        frames = self.body(spectra).float().unfold(2, self.body.n_window_frames, hop)
        return frames.mean(dim=3).transpose(1, 2)

    def listen(self, spectra: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        """What names are fitted to, and logits, as of `Pupil.listen`."""
        features = self.windows(spectra, hop)[0]
        return features, self.head(features)

    def measure(self, said: Tensor) -> None:
        """Scale what is to be said by what a teacher said of windows: ``(windows, 384)``."""
        measure(self, said)


AnyPupil = Pupil | StreamedPupil
PUPILS: dict[str, type[AnyPupil]] = {kind.layers: kind for kind in (StreamedPupil, Pupil)}
"""By the name of their layers."""


def measure(pupil: AnyPupil, said: Tensor) -> None:
    """Scale what a pupil is to say by what its teacher said of windows."""
    pupil.mean.copy_(said.mean(dim=0))
    pupil.spread.copy_(said.std(dim=0).clamp(min=SMALLEST_SPREAD))


def make_pupil(config: dict[str, object]) -> AnyPupil:
    """The pupil that a run's ``config.json`` describes, with random weights."""
    kind = PUPILS[str(config.get("layers", Pupil.layers))]
    if kind is Pupil:
        return Pupil(config["widths"])  # type: ignore[arg-type]
    return StreamedPupil(len(config.get("names", ())))  # type: ignore[arg-type]
