"""Mixtures that are made and heard as they are needed, on a device, instead of kept in shards.

On a GPU the teacher hears faster than a disk gives what it heard. So every step learns from
mixtures that nothing has learned from before: worker processes decide what is in them
(`train.audio.tracks`), the device makes them (`train.audio.tracks_on_device`) and the teacher hears
them there. What a step gets follows from the seed and its number, whatever the number of workers.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train.audio.tracks import Tracks
from train.audio.tracks_on_device import Mixer, PlanBatch, Upsampler, collate, draw_filters
from train.distillation.heard import AT_ONCE, PER_SHARD, FrontEnd, hear_columns
from train.nets.efficientat import SAMPLE_RATE, EfficientAT

AHEAD = 4
"""Batches that each worker prepares ahead."""


class Plans(Dataset[PlanBatch]):
    """What the mixtures of each step are made of.

    Attributes:
        tracks: What they are drawn from.
        seed: Of all chance, with the step's number.
        batch: Mixtures of a step.
        filtered: Part of the tracks that are filtered.
    """

    def __init__(self, tracks: Tracks, seed: int, batch: int, filtered: float) -> None:
        self.tracks, self.seed, self.batch, self.filtered = tracks, seed, batch, filtered

    def __getitem__(self, step: int) -> PlanBatch:
        """Plans of a step."""
        random = np.random.default_rng((self.seed, 5, step))
        plans = [self.tracks.plan(random) for _ in range(self.batch)]
        made = collate(plans, self.tracks.n_samples)
        return made | draw_filters(random, len(made["rows"]), self.filtered)


class DeviceEar:
    """The teacher and the pupil's front end on a device.

    Attributes:
        network: The teacher.
        front_end: The pupil's.
        hints: Whether maps on the teacher's way are wanted, too.
        device: Where they are.
    """

    def __init__(
        self, network: EfficientAT, front_end: FrontEnd, device: torch.device, *, hints: bool
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)
        self.front_end, self.hints, self._kind = front_end.to(device), hints, device.type
        self.device = device
        self._upsample: Upsampler | None = None

    @torch.no_grad()
    def hear(self, waveforms: Tensor, sample_rate: int) -> dict[str, Tensor]:
        """Mixtures of ten seconds: their spectra and what the teacher says, as a shard has them.

        Args:
            waveforms: ``(batch, samples)`` in [-1, 1].
            sample_rate: Of the pupil, half the teacher's.

        Returns:
            ``spectra`` ``(batch, mels, frames)``, ``features`` ``(batch, N_COLUMNS, 384)`` and
            maybe ``hints`` ``(batch, N_COLUMNS, 272)``, all float32.
        """
        if 2 * sample_rate != SAMPLE_RATE:
            raise ValueError(f"the sample rate is {sample_rate}, must be {SAMPLE_RATE // 2}")
        spectra = self.front_end.compress(self.front_end.power_by_fft(waveforms))
        if self._upsample is None:
            self._upsample = Upsampler(waveforms.shape[1], waveforms.device)
        higher = self._upsample(waveforms)
        # Half precision has three digits, of which a mean over columns needs two.
        with torch.autocast(self._kind, torch.float16, enabled=self._kind == "cuda"):
            features, hints = hear_columns(self.network, higher)
        heard = {"spectra": spectra, "features": features.float()}
        return heard | {"hints": hints.float()} if self.hints else heard


class Fresh:
    """An endless set of mixtures, heard as they are needed.

    Attributes:
        tracks: What they are drawn from.
        seed: Of all chance.
        ear: What hears them.
        teacher: The teacher's file.
        front_end: The pupil's.
    """

    def __init__(
        self, tracks: Tracks, seed: int, mixer: Mixer, ear: DeviceEar, teacher: Path
    ) -> None:
        self.tracks, self.seed, self.ear, self.teacher = tracks, seed, ear, teacher
        self.front_end, self._mixer = ear.front_end, mixer

    def batches(
        self, first: int, batch: int, filtered: float, n_workers: int
    ) -> Iterator[dict[str, Tensor]]:
        """What is heard in each step from a step on, without end.

        Args:
            first: The step.
            batch: Mixtures of a step.
            filtered: Part of the tracks that are filtered.
            n_workers: Processes that decide what is in them; 0 for none but this one.
        """
        on_gpu = self._mixer.device.type == "cuda"
        plans = DataLoader(
            Plans(self.tracks, self.seed, batch, filtered),
            batch_size=None,
            sampler=itertools.count(first),  # type: ignore[arg-type]
            num_workers=n_workers,
            prefetch_factor=AHEAD if n_workers else None,
            pin_memory=on_gpu,
            worker_init_fn=_leave_interrupts,
        )
        for made in plans:
            yield self._hear(made)

    def get(self, number: int) -> dict[str, Tensor]:
        """The mixtures of a shard of `train.distillation.heard.Heard`, heard here."""
        random = np.random.default_rng((self.seed, number))
        parts = []
        for _ in range(PER_SHARD // AT_ONCE):
            plans = [self.tracks.plan(random) for _ in range(AT_ONCE)]
            parts.append(self._hear(collate(plans, self.tracks.n_samples)))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _hear(self, made: PlanBatch) -> dict[str, Tensor]:
        with torch.no_grad():
            waveforms = self._mixer.mix(made)
        return self.ear.hear(waveforms, self.tracks.clips.sample_rate)


def _leave_interrupts(_: int) -> None:
    # Ctrl-C goes to all processes; the one that learns ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
