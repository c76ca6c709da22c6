"""Cutting and changing sounds: whole batches at a time, on the device they lie on.

Chance comes as a ``numpy`` generator and is drawn on the host, a few numbers a clip, so that a
seed means the same on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def to_device(values: np.ndarray, like: Tensor) -> Tensor:
    """Drawn numbers as a tensor beside another; floating ones become float32."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if tensor.is_floating_point():
        tensor = tensor.float()
    return tensor.to(like.device, non_blocking=True)


def cut(sounds: Tensor, rows: np.ndarray, starts: np.ndarray, length: int) -> Tensor:
    """Cut one stretch out of each chosen sound.

    Args:
        sounds: ``(sounds, ..., time)``.
        rows: ``(batch,)``, which sound.
        starts: ``(batch,)``, where each stretch begins; it must lie within the sound.
        length: Of a stretch.

    Returns:
        ``(batch, ..., length)``.
    """
    # Views, copied at once: an index of them all takes three times as long.
    places = zip(rows.tolist(), starts.tolist(), strict=True)
    return torch.stack([sounds[row, ..., start : start + length] for row, start in places])


def crop_scaled(
    sounds: Tensor,
    begins: Tensor,
    ends: Tensor,
    places: Tensor,
    scales: Tensor,
    length: int,
    pad: int | None = None,
) -> Tensor:
    """Random crops of zero-padded, time-scaled waveforms, as EnvNet's authors cut them.

    Each sound is stretched by linear interpolation to ``1 / scale`` of its length, padded with
    zeros at both ends and cropped; all in one look-up.

    Args:
        sounds: ``(batch, samples)``, floating.
        begins: ``(batch,)``, first sample of the sound itself.
        ends: ``(batch,)``, one behind its last.
        places: ``(batch,)`` in [0, 1): where in the padded sound the crop lies.
        scales: ``(batch,)``: samples of the sound a sample of the crop; 1 leaves it as it is.
        length: Samples of a crop.
        pad: Zeros at either end, ``length // 2`` as published if not given. A sound that is
            shorter than a crop all the same lies somewhere in it, at the place among the possible.

    Returns:
        ``(batch, length)`` float32 at the scale of ``sounds``.
    """
    pad = length // 2 if pad is None else pad
    n_samples = ends - begins
    scaled = torch.floor(n_samples / scales)
    room = scaled + 2 * pad - length
    starts = torch.floor(places * (room.abs() + 1)) * room.sign() - pad
    steps = starts[:, None] + torch.arange(length, device=sounds.device)
    # 1 within the sound, 0 beyond: steps are whole numbers, and comparing takes four times as long.
    inside = (steps + 1).clamp_(0, 1).mul_((scaled[:, None] - steps).clamp_(0, 1))
    # Each lies between two samples of the sound; behind the last one it is the last.
    positions = torch.minimum(steps.mul_(scales[:, None]), (n_samples - 1)[:, None]).clamp_(min=0)
    index = positions.long().add_(begins[:, None])
    upper = F.pad(sounds, (0, 1))[:, 1:].gather(1, index)
    return sounds.gather(1, index).lerp_(upper, positions.frac_()).mul_(inside)


def fit_length(
    sounds: Tensor,
    lengths: Tensor,
    places: Tensor,
    length: int,
    shifts: Tensor | None = None,
) -> Tensor:
    """Cut a random stretch out of each longer sound, put each shorter one somewhere in silence.

    Then move it later, if asked to; what leaves at its end comes in at its beginning.

    Args:
        sounds: ``(batch, ..., samples)``.
        lengths: ``(batch,)``, of each sound itself.
        places: ``(batch,)`` in [0, 1): where among the possible places.
        length: Wanted.
        shifts: ``(batch,)``, in samples.

    Returns:
        ``(batch, ..., length)``.
    """
    room = lengths - length
    offsets = torch.floor(places * (room.abs() + 1)).long() * room.sign()
    steps = torch.arange(length, device=sounds.device)
    if shifts is not None:
        steps = (steps - shifts[:, None]) % length
    index = offsets[:, None] + steps
    inside = (index >= 0) & (index < lengths[:, None])
    shape = (len(sounds), *[1] * (sounds.ndim - 2), length)
    index = index.clamp(0, sounds.shape[-1] - 1).view(shape).expand(*sounds.shape[:-1], length)
    # A product: where() takes ten times as long to spread its mask.
    return sounds.gather(-1, index).mul_(inside.view(shape))


def draw_gains(random: np.random.Generator, n: int, low_db: float, high_db: float) -> np.ndarray:
    """``(n,)`` factors of amplitude, evenly spread in dB."""
    return 10 ** (random.uniform(low_db, high_db, n) / 20)


def mask_bands(
    features: Tensor, random: np.random.Generator, *, axis: int, widest: int, n_masks: int
) -> Tensor:
    """SpecAugment: fill bands of a spectrogram with its mean, in place.

    Args:
        features: ``(batch, ..., mels, frames)``; channels of a clip are masked alike. They are
            changed and returned.
        random: Draws width (0 to ``widest``) and place of each band, evenly.
        axis: 1 masks mels, 2 masks frames.
        widest: Of a band.
        n_masks: Bands a clip.

    Source: Park et al., "SpecAugment", Interspeech 2019.
    """
    return _fill_with_mean(features, _draw_bands(features, random, axis, widest, n_masks))


def mask_spectrum(
    features: Tensor,
    random: np.random.Generator,
    *,
    mels: tuple[int, int],
    frames: tuple[int, int],
) -> Tensor:
    """SpecAugment along both axes at once, as `mask_bands` along one, in place as there.

    Args:
        features: ``(batch, ..., mels, frames)``.
        random: As there.
        mels: Widest band and how many.
        frames: The same of the other axis.
    """
    first = _draw_bands(features, random, 1, *mels)
    second = _draw_bands(features, random, 2, *frames)
    return _fill_with_mean(features, torch.maximum(first, second))


def _draw_bands(
    features: Tensor, random: np.random.Generator, axis: int, widest: int, n_masks: int
) -> Tensor:
    """1 where bands lie, else 0; one axis as long as that of ``features``, the others 1."""
    n_batch, size = features.shape[0], features.shape[axis - 3]
    widths = random.integers(0, min(widest, size) + 1, (n_batch, n_masks))
    begins = np.floor(random.uniform(0, 1, (n_batch, n_masks)) * (size - widths + 1))
    lines = np.arange(size)
    masked = (lines >= begins[..., None]) & (lines < (begins + widths)[..., None])
    shape = [1] * features.ndim
    shape[0], shape[axis - 3] = n_batch, size
    return to_device(masked.any(axis=1).astype(np.float32), features).view(shape)


def _fill_with_mean(features: Tensor, mask: Tensor) -> Tensor:
    means = features.mean(dim=tuple(range(1, features.ndim)), keepdim=True)
    # The same as where(), in half the time: at weights of 0 and 1 it gives either to the last bit.
    return features.lerp_(means, mask.to(features.dtype))
