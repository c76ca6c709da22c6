"""Windows of power in mel bands: cut from whole clips, coloured, laid over noise; on the device.

A front end that learns nothing is run once over all clips; what is done to a window afterwards is
done to powers in mel bands, where sounds add up and gains multiply.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.audio.augment import cut, draw_gains, to_device
from train.audio.noise import make_noise
from train.datasets.prepared import FULL_SCALE, ClipSet
from train.nets.log_mel import LogMel
from train.pocket_parts.noise_training import Before

QUIET = 1e-4
"""Windows whose loudest frame is this far (-40 dB) below the clip's are not cut."""

N_NOISES = 128
NOISE_S = 6.0
NOISE_POWER = (-8.0, -1.0)
"""Decades of a frame's power where there is noise alone."""


@dataclass
class Powers:
    """Clips as power in mel bands, with silence in front of and behind each.

    Attributes:
        power: ``(clips, mels, frames)``.
        margin: Frames of silence at either end.
        inner: For each clip the frames at which a window begins that lies within it.
        edges: The same of windows that reach into the silence, but hold some of the sound.
    """

    power: Tensor
    margin: int
    inner: list[np.ndarray]
    edges: list[np.ndarray]

    @classmethod
    def of(
        cls, clips: ClipSet, front_end: LogMel, n_frames: int, n_heard: int, device: torch.device
    ) -> Powers:
        """Run the front end over clips.

        Args:
            clips: Of one channel.
            front_end: Whose power is taken.
            n_frames: Of a window.
            n_heard: Frames of the clip that a window reaching beyond it must still hold.
            device: Where the powers shall lie.
        """
        rows = torch.from_numpy(clips.matrix()).split(64)
        powers = [front_end.power_by_fft(row.to(device).float() / FULL_SCALE) for row in rows]
        margin = n_frames - n_heard
        power = F.pad(torch.cat(powers), (margin, margin))
        starts = loud_starts(power, n_frames)
        last = power.shape[2] - margin - n_frames
        inner = [own[(own >= margin) & (own <= last)] for own in starts]
        edges = [own[(own < margin) | (own > last)] for own in starts]
        # A clip shorter than a window has none within it, a loud one whole none at its edges.
        inner = [near if len(near) else own for near, own in zip(inner, starts, strict=True)]
        edges = [far if len(far) else own for far, own in zip(edges, starts, strict=True)]
        return cls(power, margin, inner, edges)

    def draw_starts(
        self, indices: np.ndarray, random: np.random.Generator, edge_share: float
    ) -> np.ndarray:
        """``(batch,)``: where a window of each clip begins, some of them at the clips' edges."""
        at_edge = random.random(len(indices)) < edge_share
        return np.array(
            [
                random.choice((self.edges if edge else self.inner)[index])
                for index, edge in zip(indices, at_edge, strict=True)
            ]
        )

    def cut(self, indices: np.ndarray, starts: np.ndarray, n_frames: int) -> Tensor:
        """``(batch, mels, n_frames)``."""
        return cut(self.power, indices, starts, n_frames)


@dataclass
class PowerMaterial:
    """What batches are cut from.

    Attributes:
        powers: The clips.
        noises: Made ones, as powers.
        labels: ``(clips, places, classes)``: the label of a window that begins at ``place``
            times ``label_hop``.
        targets: ``(clips,)``: classes.
        label_hop: Frames from one place to the next.
        front_end: For its logarithm.
        n_frames: Of a window.
        before: What a network said before it went on, which stands for the labels.
    """

    powers: Powers
    noises: Tensor
    labels: Tensor
    targets: Tensor
    label_hop: float
    front_end: LogMel
    n_frames: int
    before: Before | None = None

    def loudest(self, indices: np.ndarray) -> Tensor:
        """``(clips,)``: the power of the loudest frame of each of some clips."""
        return self.powers.power[to_device(indices, self.labels)].sum(dim=1).amax(dim=1)

    @property
    def n_windows(self) -> int:
        """Of a clip, one every ``label_hop`` frames."""
        clip_frames = self.powers.power.shape[2] - 2 * self.powers.margin
        return 1 + max(0, int((clip_frames - self.n_frames) / self.label_hop))

    def start_of(self, number: int) -> int:
        """The frame at which a window of a clip begins."""
        return self.powers.margin + round(number * self.label_hop)

    def middles(self, n_most: int | None = None) -> Tensor:
        """``(windows, mels, frames)``: the middle window of each clip.

        Args:
            n_most: Of so many clips at most, from all over the set.
        """
        power = self.powers.power
        begin = (power.shape[2] - self.n_frames) // 2
        step = 1 if n_most is None else -(-len(power) // n_most)
        return self.front_end.compress(power[::step, :, begin : begin + self.n_frames])


def loud_starts(power: Tensor, n_frames: int) -> list[np.ndarray]:
    """For each clip the frames at which a window begins that holds some of its sound.

    Args:
        power: ``(clips, mels, frames)``; many clips of ESC-50 end in digital silence.
        n_frames: Of a window.
    """
    loudness = power.sum(dim=1)
    if loudness.shape[1] < n_frames:
        loudness = F.pad(loudness, (0, n_frames - loudness.shape[1]))
    loudest = F.max_pool1d(loudness[:, None], n_frames, stride=1)[:, 0]
    audible = (loudest >= QUIET * loudest.amax(dim=1, keepdim=True)).cpu().numpy()
    return [np.flatnonzero(row) for row in audible]


def make_noises(front_end: LogMel, sample_rate: int, device: torch.device) -> Tensor:
    """``(N_NOISES, mels, frames)``: made noises as powers, the same ones each time."""
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
    """``(n, mels, n_frames)``: stretches whose mean frame has a power of 1 in all.

    Args:
        noises: From `make_noises`.
        n: How many.
        n_frames: Of each.
        random: The source of chance.
        rows: ``(n,)``: of which noise each is; drawn unless given.
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
    """Lay noise under some of the windows.

    Args:
        power: ``(batch, mels, frames)``.
        noise: The same shape, from `draw_noise`.
        random: The source of chance.
        share: Part of the windows that get any.
        snr_db: From and to: the loudest frame's power over the noise's mean frame.
    """
    loudest = power.sum(dim=1).amax(dim=1)
    ratios = 10 ** (-random.uniform(*snr_db, len(power)) / 10)
    ratios *= random.random(len(power)) < share
    return power + noise * (loudest * to_device(ratios, power))[:, None, None]


def quieten(power: Tensor, random: np.random.Generator, share: float, deepest_db: float) -> Tensor:
    """Make some of the windows quieter, by anything up to ``deepest_db``.

    Args:
        power: ``(batch, mels, frames)``, with all that is heard in them.
        random: The source of chance.
        share: Part of the windows.
        deepest_db: How much quieter, at most.
    """
    levels = draw_gains(random, len(power), -deepest_db, 0.0) ** 2
    levels[random.random(len(power)) >= share] = 1
    return power * to_device(levels, power)[:, None, None]


def shift_bands(power: Tensor, shifts: np.ndarray) -> Tensor:
    """Move each window's spectrum up by some bands, which is a change of pitch; 0 fills in."""
    bands = torch.arange(power.shape[1], device=power.device)
    lines = (bands - to_device(shifts, power)[:, None])[:, :, None]
    inside = (lines >= 0) & (lines < len(bands))
    return power.gather(1, lines.clamp(0, len(bands) - 1).expand(power.shape)) * inside


def colour(
    power: Tensor, random: np.random.Generator, deviation_db: float, n_knots: int = 6
) -> Tensor:
    """Pass each window through a filter of its own: random gains, linear in dB between knots."""
    knots = to_device(random.normal(0, deviation_db, (len(power), 1, n_knots)), power)
    gains = F.interpolate(knots, power.shape[1], mode="linear", align_corners=True)[:, 0]
    return power * 10 ** (gains[:, :, None] / 10)
