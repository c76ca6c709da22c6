"""Windows of mel power: cut from whole clips, coloured, laid over noise; on the device.

A front end that learns nothing is run once over all clips. Windows are augmented as power in mel
bands, where sounds add up and gains multiply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.audio.augment import cut, draw_gains, to_device
from train.audio.noise import LOUDNESS, make_noise
from train.datasets.prepared import FULL_SCALE, ClipSet
from train.nets.log_mel import LogMel
from train.nets.streamed_network import StreamedMel
from train.pocket_parts.noise_training import EarlierSelf

QUIET = 1e-4
"""Windows whose loudest frame is this far (-40 dB) below the clip's are not cut."""

N_NOISES = 128
NOISE_S = 6.0
NOISE_DB = (-85.0, -15.0)
"""Level of noise alone in dB of full scale, from and to."""


SILENCE_LEVEL = math.log(2)
"""Windows in which no band reaches this are below the front end's floor: silence, on which no
network is run."""


@dataclass
class MelPower:
    """Clips as power in mel bands, with silence before and after each.

    Attributes:
        power: ``(clips, mels, frames)``.
        margin: Frames of silence at either end.
        inner: For each clip the start frames of windows within it.
        edges: For each clip the start frames of windows that reach into the silence, but hold some
            of the sound.
    """

    power: Tensor
    margin: int
    inner: list[np.ndarray]
    edges: list[np.ndarray]

    @classmethod
    def from_clips(
        cls,
        clips: ClipSet,
        front_end: LogMel | StreamedMel,
        n_frames: int,
        min_clip_frames: int,
        device: torch.device,
    ) -> MelPower:
        """Run the front end over clips.

        Args:
            clips: Clips of one channel.
            front_end: Computes the power.
            n_frames: Frames of a window.
            min_clip_frames: Frames of the clip that a window reaching beyond it must still hold.
            device: Device for the power.
        """
        rows = torch.from_numpy(clips.matrix()).split(64)
        parts = [front_end.power_by_fft(row.to(device).float() / FULL_SCALE) for row in rows]
        margin = n_frames - min_clip_frames
        power = F.pad(torch.cat(parts), (margin, margin))
        starts = audible_starts(power, n_frames)
        last = power.shape[2] - margin - n_frames
        inner = [own[(own >= margin) & (own <= last)] for own in starts]
        edges = [own[(own < margin) | (own > last)] for own in starts]
        # A clip shorter than a window has no inner windows, and some clips have no audible edge
        # windows. All of the clip's windows are used instead.
        inner = [near if len(near) else own for near, own in zip(inner, starts, strict=True)]
        edges = [far if len(far) else own for far, own in zip(edges, starts, strict=True)]
        return cls(power, margin, inner, edges)

    def draw_starts(
        self, indices: np.ndarray, random: np.random.Generator, edge_share: float
    ) -> np.ndarray:
        """Draw the start frame of a window of each clip: ``(batch,)``.

        Args:
            indices: ``(batch,)``, the clips.
            random: Source of random numbers.
            edge_share: Part of the windows that reach beyond their clip.
        """
        at_edge = random.random(len(indices)) < edge_share
        return np.array(
            [
                random.choice((self.edges if edge else self.inner)[index])
                for index, edge in zip(indices, at_edge, strict=True)
            ]
        )

    def cut(self, indices: np.ndarray, starts: np.ndarray, n_frames: int) -> Tensor:
        """Cut a window of each of some clips: ``(batch, mels, n_frames)``."""
        return cut(self.power, indices, starts, n_frames)


@dataclass
class MelPowerData:
    """The data that batches are cut from.

    Attributes:
        powers: The clips.
        noises: Made noises, as mel power.
        labels: ``(clips, places, classes)``, the label of a window that begins at frame
            ``place * label_hop``.
        targets: ``(clips,)``, classes.
        label_hop: Frames from one place to the next.
        front_end: Its logarithm turns power into features.
        n_frames: Frames of a window.
        earlier_self: The network as it was before noise training; its outputs replace the labels.
    """

    mel_power: MelPower
    noises: Tensor
    labels: Tensor
    targets: Tensor
    label_hop: float
    front_end: LogMel | StreamedMel
    n_frames: int
    earlier_self: EarlierSelf | None = None

    def noise_levels(self, n: int, random: np.random.Generator) -> Tensor:
        """Draw levels of windows of noise alone: ``(n,)``, factors for what `draw_noise` draws.

        Front ends differ in how much power a noise of one loudness has in them, so the level is
        relative to that of the made noises.
        """
        typical = self.noises.sum(dim=1).mean() / LOUDNESS**2
        return typical * to_device(10 ** (random.uniform(*NOISE_DB, n) / 10), self.noises)

    def peak_power(self, indices: np.ndarray) -> Tensor:
        """Power of the loudest frame of each of some clips: ``(clips,)``."""
        return self.mel_power.power[to_device(indices, self.labels)].sum(dim=1).amax(dim=1)

    @property
    def n_windows(self) -> int:
        """Windows of a clip, one every ``label_hop`` frames."""
        clip_frames = self.mel_power.power.shape[2] - 2 * self.mel_power.margin
        return 1 + max(0, int((clip_frames - self.n_frames) / self.label_hop))

    def start_of(self, number: int) -> int:
        """The start frame of a clip's window number ``number``."""
        return self.mel_power.margin + round(number * self.label_hop)

    def middle_windows(self, max_clips: int | None = None) -> Tensor:
        """The middle window of each clip, as features: ``(windows, mels, frames)``.

        Args:
            max_clips: Take at most so many clips, from all over the set.
        """
        power = self.mel_power.power
        begin = (power.shape[2] - self.n_frames) // 2
        step = 1 if max_clips is None else -(-len(power) // max_clips)
        return self.front_end.compress(power[::step, :, begin : begin + self.n_frames])


def audible_starts(power: Tensor, n_frames: int) -> list[np.ndarray]:
    """For each clip the start frames of windows that hold some of its sound.

    Args:
        power: ``(clips, mels, frames)``; many clips of ESC-50 end in digital silence.
        n_frames: Frames of a window.
    """
    loudness = power.sum(dim=1)
    if loudness.shape[1] < n_frames:
        loudness = F.pad(loudness, (0, n_frames - loudness.shape[1]))
    loudest = F.max_pool1d(loudness[:, None], n_frames, stride=1)[:, 0]
    audible = (loudest >= QUIET * loudest.amax(dim=1, keepdim=True)).cpu().numpy()
    return [np.flatnonzero(row) for row in audible]


def make_noises(front_end: LogMel | StreamedMel, sample_rate: int, device: torch.device) -> Tensor:
    """Make noises as mel power, ``(N_NOISES, mels, frames)``, the same ones each time."""
    random = np.random.default_rng(0)
    n_samples = round(NOISE_S * sample_rate)
    noises = np.stack([make_noise(random, n_samples, sample_rate) for _ in range(N_NOISES)])
    return front_end.power_by_fft(torch.from_numpy(noises).to(device))


def draw_noise(
    noises: Tensor,
    n: int,
    n_frames: int,
    random: np.random.Generator,
    rows: np.ndarray | None = None,
) -> Tensor:
    """Draw stretches of noise, ``(n, mels, n_frames)``, whose mean frame has a total power of 1.

    Args:
        noises: From `make_noises`.
        n: Number of stretches.
        n_frames: Frames of a stretch.
        random: Source of random numbers.
        rows: ``(n,)``, the noise of each stretch; drawn unless given.
    """
    if rows is None:
        rows = random.integers(0, len(noises), n)
    starts = random.integers(0, noises.shape[2] - n_frames + 1, n)
    stretches = cut(noises, rows, starts, n_frames)
    return stretches / stretches.sum(dim=1).mean(dim=1).clamp(min=1e-20)[:, None, None]


def add_noise(
    power: Tensor,
    noise: Tensor,
    random: np.random.Generator,
    share: float,
    snr_db: tuple[float, float],
) -> Tensor:
    """Add noise to some of the windows.

    Args:
        power: ``(batch, mels, frames)``.
        noise: The same shape, from `draw_noise`.
        random: Source of random numbers.
        share: Part of the windows that get noise.
        snr_db: The loudest frame's power over the noise's mean frame, from and to.
    """
    loudest = power.sum(dim=1).amax(dim=1)
    ratios = 10 ** (-random.uniform(*snr_db, len(power)) / 10)
    ratios *= random.random(len(power)) < share
    return power + noise * (loudest * to_device(ratios, power))[:, None, None]


def quieten(power: Tensor, random: np.random.Generator, share: float, deepest_db: float) -> Tensor:
    """Make some of the windows quieter, by up to ``deepest_db``.

    Args:
        power: ``(batch, mels, frames)``, noise included.
        random: Source of random numbers.
        share: Part of the windows.
        deepest_db: Largest attenuation.
    """
    levels = draw_gains(random, len(power), -deepest_db, 0.0) ** 2
    levels[random.random(len(power)) >= share] = 1
    return power * to_device(levels, power)[:, None, None]


def shift_bands(power: Tensor, shifts: np.ndarray) -> Tensor:
    """Shift each window's spectrum up by some bands, which raises its pitch; zeros fill the gap."""
    bands = torch.arange(power.shape[1], device=power.device)
    lines = (bands - to_device(shifts, power)[:, None])[:, :, None]
    inside = (lines >= 0) & (lines < len(bands))
    return power.gather(1, lines.clamp(0, len(bands) - 1).expand(power.shape)) * inside


def colour(
    power: Tensor, random: np.random.Generator, deviation_db: float, n_knots: int = 6
) -> Tensor:
    """Filter each window at random: gains drawn at knots, linear in dB between them.

    Args:
        power: ``(batch, mels, frames)``.
        random: Source of random numbers.
        deviation_db: Standard deviation of the gains at the knots.
        n_knots: Number of knots, evenly over the mel bands.
    """
    knots = to_device(random.normal(0, deviation_db, (len(power), 1, n_knots)), power)
    gains = F.interpolate(knots, power.shape[1], mode="linear", align_corners=True)[:, 0]
    return power * 10 ** (gains[:, :, None] / 10)
