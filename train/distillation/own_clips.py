"""Streamed layers learn what their teacher says of the training clips themselves.

A run of `train.distil` has heard free sounds alone. What its layers hear in the clips that are to
be named can be brought nearer to what the teacher hears there, without any label: the features of
each window are to be those that the teacher has of it (`train.hear_clips`), however much quieter,
coloured or under noise the clip is. Labels would do harm: of a few thousand of them layers forget
more than they learn.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from torch import Tensor

from train.audio.augment import cut, to_device
from train.distillation.schooling import COLOUR_DB, NOISE_SHARE, QUIET_DB, QUIET_SHARE, SNR_DB
from train.nets.streamed_pocket import StreamedPocketBody
from train.pocket_parts.mel_power import MelPowerData, add_noise, colour, draw_noise, quieten

PASSES = 2
BATCH_SIZE = 16
RATE, WARM_UP, COOLING = 1e-3, 0.1, 0.6
"""Highest learning rate; parts of the steps in which it rises, and falls."""

WEIGHT_DECAY = 0.02
CLIP_NORM = 5.0
SMALLEST_SPREAD = 0.01
LONGEST_AVERAGE = 0.99
"""Decay of the averaged weights, which are kept; it is lower at the beginning."""


def learn_own_clips(
    body: StreamedPocketBody, data: MelPowerData, features: Tensor, clips: np.ndarray, seed: int
) -> None:
    """Let layers learn to say what a teacher says of clips; the last layer stays as it is.

    Args:
        body: The network, changed in place.
        data: The clips, as power.
        features: ``(clips, windows, channels)``, what the teacher says of windows `HOP_S` apart.
        clips: ``(clips,)``, rows of ``data`` that these are of.
        seed: Of everything drawn at random.
    """
    device = data.labels.device
    features = features.to(device)
    spread = features.flatten(0, 1).std(dim=0).clamp(min=SMALLEST_SPREAD)
    starts = [round(number * data.label_hop) for number in range(data.n_windows)]
    starts = starts[: features.shape[1]]
    was_frozen, body.frozen = body.frozen, False
    body.train().requires_grad_(True)
    learned = [value for name, value in body.named_parameters() if not name.startswith("output.")]
    optimiser = torch.optim.AdamW(learned, lr=RATE, weight_decay=WEIGHT_DECAY)
    average = {name: value.clone() for name, value in body.state_dict().items()}
    per_pass = max(1, len(clips) // BATCH_SIZE)
    n_steps, errors = PASSES * per_pass, []
    for step in range(n_steps):
        turn, place = divmod(step, per_pass)
        order = np.random.default_rng((seed, 5, turn)).permutation(len(clips))
        rows = np.array_split(order, per_pass)[place]
        random = np.random.default_rng((seed, 6, step))
        power = _change(data, clips[rows], starts[-1] + data.n_frames, random)
        said = body.windows(data.front_end.compress(power), starts)
        wanted = features[to_device(rows, data.labels), : len(starts)]
        loss = ((said - wanted) / spread).square().mean()
        for group in optimiser.param_groups:
            group["lr"] = RATE * _rate_at(step / n_steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, CLIP_NORM)
        optimiser.step()
        errors.append(float(loss.detach()))
        decay = min(LONGEST_AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in body.state_dict().items():
                if value.is_floating_point():
                    average[name].lerp_(value, 1 - decay)
    body.load_state_dict(average)
    if was_frozen:
        body.freeze_layers()
    body.eval()
    first, last = errors[: max(1, per_pass // 4)], errors[-max(1, per_pass // 4) :]
    print(f"what the teacher says of {len(clips)} clips: error {np.mean(first):.3f} at first, "
          f"{np.mean(last):.3f} after {n_steps} batches", file=sys.stderr)  # fmt: skip


def _change(
    data: MelPowerData, clips: np.ndarray, n_frames: int, random: np.random.Generator
) -> Tensor:
    """Clips as the layers heard sounds in their long training: coloured, under noise, quieter."""
    first = np.full(len(clips), data.mel_power.margin)
    power = colour(cut(data.mel_power.power, clips, first, n_frames), random, COLOUR_DB)
    n_times = -(-n_frames // data.noises.shape[2])
    noise = draw_noise(data.noises.repeat(1, 1, n_times), len(power), n_frames, random)
    power = add_noise(power, noise, random, NOISE_SHARE, SNR_DB)
    return quieten(power, random, QUIET_SHARE, QUIET_DB)


def _rate_at(progress: float) -> float:
    """Part of the highest learning rate at a point in [0, 1)."""
    rising = min(1.0, (progress + 1e-3) / WARM_UP)
    falling = max(0.0, (progress - 1 + COOLING) / COOLING)
    return rising * 0.5 * (1 + math.cos(math.pi * falling))
