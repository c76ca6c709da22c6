"""Outputs of a teacher for mixtures, kept on disk: computed once, used in many epochs.

EfficientAT takes longer for ten seconds than the network that learns from it. So mixtures are made
and heard once, some hundreds a file (a shard): their spectra as the pupil takes them, and what the
teacher says of every 0.32 s of them, with all ten seconds around. Which mixtures a shard holds
follows from the seed and its number, so that shards may be made in any order, by any process, while
others are read already; each appears whole or not at all.

Spectra are kept in steps of `SPECTRUM_STEP`, a byte each.

Hearing ten seconds and asking of 1.5 s of them is also the better question: its maps, averaged
over those 1.5 s, name 86.8 % of the windows of ESC-50's fold 4 (logistic regression; clips of 5 s,
twice), where the window alone, repeated, names 78.7 %.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from train.audio.tracks import Tracks
from train.base.errors import DatasetError
from train.nets.efficientat import SAMPLE_RATE, EfficientAT, open_efficientat
from train.nets.log_mel import LogMel
from train.nets.pocket_network import WINDOW_SAMPLES, PocketNet
from train.nets.streamed_network import StreamedMel

PER_SHARD = 256
AT_ONCE = 8

COLUMN_S = 0.32
"""Seconds from one column of its last maps to the next; the first one's middle is at 0."""

N_COLUMNS = 32
HINT_LAYER = 12
"""Index of the convolution after which the maps are twice as fine in time."""

N_HINTS = 272
STEP_S = 0.1
"""The pupil's windows begin at multiples of it."""

SPECTRUM_STEP = 0.1
"""Nepers of power (0.4 dB) in one step of a spectrum that is kept."""

FrontEnd = LogMel | StreamedMel


@dataclass
class Heard:
    """A folder of shards.

    Attributes:
        folder: Where they lie.
        tracks: What mixtures are drawn from; None where all shards are there.
        teacher: Its file.
        seed: Of the mixtures, with a shard's number.
        front_end: The pupil's.
        hints: Whether maps on the teacher's way are kept, too.
    """

    folder: Path
    tracks: Tracks | None
    teacher: Path
    seed: int
    front_end: FrontEnd = field(default_factory=lambda: PocketNet(2).front_end)
    hints: bool = True
    _ear: Ear | None = None

    def path(self, number: int) -> Path:
        """Path of a shard."""
        return self.folder / f"{number:05d}.safetensors"

    def get(self, number: int) -> dict[str, Tensor]:
        """A shard, made if it is not there.

        Raises:
            DatasetError: It is not there, and there is nothing to make it of.

        Returns:
            ``spectra`` ``(PER_SHARD, mels, frames)`` as bytes (`decode_spectra`), and as float16
            ``features`` ``(PER_SHARD, N_COLUMNS, 384)`` and, if they are kept, ``hints``
            ``(PER_SHARD, N_COLUMNS, 272)``.
        """
        path = self.path(number)
        if not path.exists():
            self.make(number)
        return load_file(path)

    def make(self, number: int) -> None:
        """Mix a shard, ask the teacher, write it."""
        if self.tracks is None:
            raise DatasetError(
                f"{self.path(number)}: is not there; python -m train.distil --only-hear makes it"
            )
        if self._ear is None:
            self._ear = Ear(self.teacher, self.front_end, hints=self.hints)
        random = np.random.default_rng((self.seed, number))
        parts = []
        for _ in range(PER_SHARD // AT_ONCE):
            waveforms = self.tracks.draw(random, AT_ONCE)
            parts.append(self._ear.hear(waveforms, self.tracks.clips.sample_rate))
        shard = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{number:05d}-{os.getpid()}"
        save_file(shard, partial)
        partial.replace(self.path(number))


class Ear:
    """The teacher and the pupil's front end."""

    def __init__(self, teacher: Path, front_end: FrontEnd, *, hints: bool = True) -> None:
        self.network, self.digest = open_efficientat(teacher)
        self.front_end, self.hints = front_end, hints

    @torch.inference_mode()
    def hear(self, waveforms: np.ndarray, sample_rate: int) -> dict[str, Tensor]:
        """Mixtures of ten seconds: their spectra and what the teacher says, as shards keep them.

        Args:
            waveforms: ``(batch, samples)`` in [-1, 1].
            sample_rate: Of the pupil.
        """
        at_16 = torch.from_numpy(waveforms)
        spectra = self.front_end.compress(self.front_end.power_by_fft(at_16))
        higher = [soxr.resample(row, sample_rate, SAMPLE_RATE) for row in waveforms]
        features, hints = hear_columns(self.network, torch.from_numpy(np.stack(higher)))
        heard = {"spectra": encode_spectra(spectra), "features": features.half()}
        return heard | {"hints": hints.half()} if self.hints else heard


def encode_spectra(spectra: Tensor) -> Tensor:
    """Spectra, any shape, as bytes."""
    return (spectra / SPECTRUM_STEP).round().clamp(0, 255).to(torch.uint8)


def decode_spectra(kept: Tensor) -> Tensor:
    """Spectra of bytes, float32; those that were not kept stay as they are."""
    if kept.is_floating_point():
        return kept
    return kept.float() * SPECTRUM_STEP


def hear_columns(network: EfficientAT, waveforms: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of the teacher for each 0.32 s of ten seconds, before their mean.

    Args:
        network: The teacher.
        waveforms: ``(batch, samples)`` at 32 kHz.

    Returns:
        ``(batch, columns, 384)``: features, whose mean its head takes; and ``(batch, columns,
        272)``: the widest maps of a block before, each the mean over frequency.
    """
    with torch.autocast(waveforms.device.type, enabled=False):
        maps = network.front_end(waveforms)[:, None]
    hints = maps
    for number, layer in enumerate(network.features):
        if number == HINT_LAYER:
            expand, depthwise, squeeze, project = layer.block
            inner = squeeze(depthwise(expand(maps)))
            hints = inner.mean(dim=2)
            inner = project(inner)
            maps = maps + inner if layer.adds else inner
        else:
            maps = layer(maps)
    features = maps.mean(dim=2).transpose(1, 2)
    # Its columns lie twice as close: the mean of the neighbours of every second one.
    hints = F.avg_pool1d(F.pad(hints, (1, 1), mode="replicate"), 3, stride=2).transpose(1, 2)
    return features[:, :N_COLUMNS], hints[:, :N_COLUMNS]


def column_weights(n_starts: int) -> Tensor:
    """``(n_starts, N_COLUMNS)``: how much of windows 0.1 s apart each column covers."""
    begins = torch.arange(n_starts)[:, None] * STEP_S
    ends = begins + WINDOW_SAMPLES / 16000
    middles = torch.arange(N_COLUMNS) * COLUMN_S
    shared = torch.minimum(ends, middles + COLUMN_S / 2) - torch.maximum(
        begins, middles - COLUMN_S / 2
    )
    weights = shared.clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
