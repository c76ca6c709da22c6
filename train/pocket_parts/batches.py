"""Batches of `pocket`: cut from mel power, augmented and mixed; features and labels come out."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from train.audio.augment import draw_gains, mask_bands, to_device
from train.audio.between_class import mixup
from train.pocket_parts.mel_power import (
    MelPower,
    MelPowerData,
    add_noise,
    colour,
    draw_noise,
    quieten,
    shift_bands,
)
from train.pocket_parts.recipe import PocketRecipe


def draw_batch(
    recipe: PocketRecipe,
    training_data: MelPowerData,
    indices: np.ndarray,
    random: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Cut windows of clips: coloured, mixed in pairs, over noise, masked; a few are noise alone.

    In noise training (`train.pocket_parts.noise_training`) the labels are the outputs of the
    network as it was before, for the windows without noise at the clips' own levels: class
    probabilities, then the input of the last layer. The latter is nan for windows of noise alone.

    Args:
        recipe: Which augmentation, and how often.
        training_data: The data that windows are cut from.
        indices: ``(batch,)``, the clips to take.
        random: Source of all random numbers.

    Returns:
        ``(batch, mels, frames)``, and ``(batch, classes)`` or ``(batch, classes + channels)``.
    """
    front_end = training_data.front_end
    power, starts = _cut(recipe, training_data.mel_power, indices, random, training_data.n_frames)
    places = np.rint((starts - training_data.mel_power.margin) / training_data.label_hop).astype(
        int
    )
    places = np.clip(places, 0, training_data.labels.shape[1] - 1)
    labels = training_data.labels[to_device(indices, power), to_device(places, power)]
    if recipe.mixup:
        power, labels = mixup(power, labels, random, recipe.mixup)
    if training_data.earlier_self is not None:
        labels = training_data.earlier_self.predict(front_end.compress(power))
    noise = draw_noise(training_data.noises, len(power), power.shape[2], random)
    power = add_noise(power, noise, random, recipe.noise_share, recipe.snr_db)
    if recipe.quiet_share:
        power = quieten(power, random, recipe.quiet_share, recipe.quiet_db)
    n_alone = random.binomial(len(power), recipe.noise_alone)
    if n_alone:
        levels = training_data.noise_levels(n_alone, random)
        power[:n_alone] = noise[:n_alone] * levels[:, None, None]
        n_classes = training_data.labels.shape[2]
        labels[:n_alone] = math.nan
        labels[:n_alone, :n_classes] = 1 / n_classes
    features = front_end.compress(power)
    for axis, width in ((1, recipe.widest_mels), (2, recipe.widest_frames)):
        if width:
            features = mask_bands(features, random, axis=axis, widest=width, n_masks=2)
    return features, labels


def _cut(
    recipe: PocketRecipe,
    mel_power: MelPower,
    indices: np.ndarray,
    random: np.random.Generator,
    n_frames: int,
) -> tuple[Tensor, np.ndarray]:
    """Windows of clips, with random pitch, colour and level, and the frames where they begin."""
    starts = mel_power.draw_starts(indices, random, recipe.edge_share)
    power = mel_power.cut(indices, starts, n_frames)
    if recipe.shift_bands:
        shifts = random.integers(-recipe.shift_bands, recipe.shift_bands + 1, len(indices))
        power = shift_bands(power, shifts)
    if recipe.colour_db:
        power = colour(power, random, recipe.colour_db)
    gains = draw_gains(random, len(indices), -recipe.gain_db, recipe.gain_db)
    return power * to_device(gains**2, power)[:, None, None], starts
