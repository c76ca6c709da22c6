"""How `pocket` cuts, changes and mixes a batch: powers in mel bands in, features and labels out."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from train.audio.augment import draw_gains, mask_bands, to_device
from train.audio.mixing import mixup
from train.pocket_parts.mel_power import (
    NOISE_POWER,
    PowerMaterial,
    Powers,
    add_noise,
    colour,
    draw_noise,
    quieten,
    shift_bands,
)
from train.pocket_parts.recipe import PocketRecipe


def draw_batch(
    recipe: PocketRecipe, material: PowerMaterial, indices: np.ndarray, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Windows of clips: coloured, mixed in pairs, over noise, masked; a few of noise alone.

    Of a network that learns to hear through noise the labels are what it said before of the windows
    without noise, as loud as the clips are, then what its last layer was given: nan where noise is
    alone.

    Args:
        recipe: What is done, and how often.
        material: What windows are cut from.
        indices: ``(batch,)``, the clips to take.
        random: The only source of chance.

    Returns:
        ``(batch, mels, frames)``, and ``(batch, classes)`` or ``(batch, classes + channels)``.
    """
    front_end = material.front_end
    power, starts = _cut(recipe, material.powers, indices, random, material.n_frames)
    places = np.rint((starts - material.powers.margin) / material.label_hop).astype(int)
    places = np.clip(places, 0, material.labels.shape[1] - 1)
    labels = material.labels[to_device(indices, power), to_device(places, power)]
    if recipe.mixup:
        power, labels = mixup(power, labels, random, recipe.mixup)
    if material.before is not None:
        labels = material.before.say(front_end.compress(power))
    noise = draw_noise(material.noises, len(power), power.shape[2], random)
    power = add_noise(power, noise, random, recipe.noise_share, recipe.snr_db)
    if recipe.quiet_share:
        power = quieten(power, random, recipe.quiet_share, recipe.quiet_db)
    n_alone = random.binomial(len(power), recipe.noise_alone)
    if n_alone:
        levels = to_device(10 ** random.uniform(*NOISE_POWER, n_alone), power)
        power[:n_alone] = noise[:n_alone] * levels[:, None, None]
        n_classes = material.labels.shape[2]
        labels[:n_alone] = math.nan
        labels[:n_alone, :n_classes] = 1 / n_classes
    features = front_end.compress(power)
    for axis, width in ((1, recipe.widest_mels), (2, recipe.widest_frames)):
        if width:
            features = mask_bands(features, random, axis=axis, widest=width, n_masks=2)
    return features, labels


def _cut(
    recipe: PocketRecipe,
    powers: Powers,
    indices: np.ndarray,
    random: np.random.Generator,
    n_frames: int,
) -> tuple[Tensor, np.ndarray]:
    """Windows of clips, at a pitch, colour and level of their own, and where they begin."""
    starts = powers.draw_starts(indices, random, recipe.edge_share)
    power = powers.cut(indices, starts, n_frames)
    if recipe.shift_bands:
        shifts = random.integers(-recipe.shift_bands, recipe.shift_bands + 1, len(indices))
        power = shift_bands(power, shifts)
    if recipe.colour_db:
        power = colour(power, random, recipe.colour_db)
    gains = draw_gains(random, len(indices), -recipe.gain_db, recipe.gain_db)
    return power * to_device(gains**2, power)[:, None, None], starts
