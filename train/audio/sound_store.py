"""What batches are cut from: a set's sounds and labels, as near to the network as they fit.

The sounds are waveforms, or, for networks whose own work is small beside the spectra of what they
hear, mel spectra of whole clips, made once. A cut then lies at a frame, and its outermost frames
see what lies beside the cut in the clip, where a window alone would be mirrored; everything
between is what the network's front end says of those samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.audio.augment import cut, fit_length, to_device
from train.datasets.prepared import (
    FULL_SCALE,
    MEMORY_SHARE,
    REGRESSION,
    ClipSet,
    fits_in_memory,
    free_memory,
)
from train.nets.log_mel import LogMel

AT_ONCE = 16
"""Clips whose spectra are made together."""


class Sounds:
    """The waveforms of clips of any length, a batch at a time.

    They lie on the device as int16 where they fit (and unless ``whole`` is False); otherwise each
    batch is read from disk.

    Attributes:
        lengths: ``(clips,)``, samples of each clip, on the device.
    """

    def __init__(self, clips: ClipSet, device: torch.device, *, whole: bool = True) -> None:
        self.clips, self.device = clips, device
        self.lengths = torch.from_numpy(clips.lengths).to(device)
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        fits = whole and fits_in_memory(clips, free)
        self._whole = torch.from_numpy(clips.matrix()).to(device) if fits else None

    def take(self, indices: np.ndarray) -> Tensor:
        """Some clips whole.

        Args:
            indices: ``(batch,)``.

        Returns:
            ``(batch, samples)`` float32 in [-1, 1) of one channel, ``(batch, channels, samples)``
            of more; as long as the longest of these clips, zeros behind the others.
        """
        longest = int(self.clips.lengths[indices].max())
        if self._whole is None:
            read = self.clips.stretches(indices, np.zeros_like(indices), longest)
            rows = torch.from_numpy(read).to(self.device)
        else:
            rows = self._whole.index_select(0, to_device(indices, self._whole))[..., :longest]
        return rows.float().mul_(1 / FULL_SCALE)


class Spectra:
    """The mel spectra of clips of any length, a batch at a time.

    They lie on the device where they fit; otherwise those of each batch are made when it is cut.
    Where no clip is longer than a window they lie there twice, one behind the other: a window that
    is shifted with wrap is then one stretch, which takes a third of the time.

    Attributes:
        lengths: ``(clips,)``, frames of each clip, on the device.
    """

    def __init__(
        self,
        clips: ClipSet,
        device: torch.device,
        front_end: LogMel,
        scale: Callable[[Tensor], Tensor],
        n_window: int = 0,
    ) -> None:
        """Make them.

        Args:
            clips: Of a set.
            device: Where batches are wanted.
            front_end: Gives the power in each mel.
            scale: What a batch shall hold instead of a power, say its logarithm; of nought nought.
            n_window: Frames of the windows that `shifted` is asked for.
        """
        self.front_end, self.scale = front_end, scale
        self._sounds = Sounds(clips, device, whole=False)
        hop_length = front_end.hop_length
        self._n_samples = -(-int(clips.lengths.max()) // hop_length) * hop_length
        frames = [max(1, front_end.n_frames(n)) for n in clips.lengths.tolist()]
        self.lengths = torch.tensor(frames, device=device)
        self._frames, self._n_window = np.array(frames), n_window
        self._twice = max(frames) <= n_window
        n_values = len(frames) * clips.channels * front_end.n_mels
        n_kept = 2 * n_window if self._twice else front_end.n_frames(self._n_samples)
        n_bytes = 4 * n_values * n_kept
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
        self._whole: Tensor | None = None
        if n_bytes <= free * MEMORY_SHARE:
            parts = np.split(np.arange(len(frames)), range(AT_ONCE, len(frames), AT_ONCE))
            self._whole = torch.cat([self._make(part) for part in parts])
            if self._twice:
                self._whole = torch.cat([self._whole, self._whole], dim=-1)

    def take(self, indices: np.ndarray) -> Tensor:
        """Some clips whole.

        Args:
            indices: ``(batch,)``.

        Returns:
            ``(batch, mels, frames)`` float32 of one channel, ``(batch, channels, mels, frames)``
            of more; as many frames as the longest clip of the set has, or a window if that is
            more, silence behind the others.
        """
        if self._whole is None:
            return self._make(indices)
        kept = self._whole[..., : self._n_window] if self._twice else self._whole
        return kept.index_select(0, to_device(indices, kept))

    def shifted(self, indices: np.ndarray, places: np.ndarray, shifts: np.ndarray) -> Tensor:
        """Windows of some clips, shifted with wrap: `fit_length` of what `take` gives.

        Args:
            indices: ``(batch,)``.
            places: ``(batch,)`` in [0, 1): where among the possible places.
            shifts: ``(batch,)``, in whole frames.

        Returns:
            ``(batch, ..., mels, n_window)``.
        """
        if self._whole is None or not self._twice:
            clips = self.take(indices)
            rows, steps = to_device(places, clips), to_device(shifts, clips)
            lengths = self.lengths[to_device(indices, clips)]
            return fit_length(clips, lengths, rows, self._n_window, steps)
        before = np.floor(places * (self._n_window - self._frames[indices] + 1)).astype(np.int64)
        return cut(self._whole, indices, -(before + shifts) % self._n_window, self._n_window)

    def _make(self, indices: np.ndarray) -> Tensor:
        sounds = self._sounds.take(indices)
        # One length for all, so that a clip's frames do not depend on who is beside it.
        waveform = F.pad(sounds, (0, self._n_samples - sounds.shape[-1]))
        with torch.no_grad():
            power = self.front_end.power_by_fft(waveform.flatten(0, -2))
        spectra = self.scale(power).unflatten(0, waveform.shape[:-1])
        if not self._twice:
            return spectra
        fitted = F.pad(spectra, (0, self._n_window - spectra.shape[-1]))
        lengths = self.lengths[to_device(indices, fitted)]
        inside = torch.arange(self._n_window, device=fitted.device) < lengths[:, None]
        return fitted * inside.view(len(fitted), *[1] * (fitted.ndim - 2), -1)


@dataclass
class Material:
    """Clips with what a network should say of them.

    Attributes:
        sounds: Their waveforms, or their spectra.
        labels: ``(clips, classes)`` probabilities; of a regression ``(clips, 1)`` values.
        targets: ``(clips,)``, on the host.
    """

    sounds: Sounds | Spectra
    labels: Tensor
    targets: np.ndarray

    def labels_of(self, indices: np.ndarray) -> Tensor:
        """``(batch, classes)``."""
        return self.labels[to_device(indices, self.labels)]


def make_material(
    clips: ClipSet, device: torch.device, sounds: Sounds | Spectra | None = None
) -> Material:
    """A set's sounds, waveforms unless given, and its labels, on the device."""
    targets = torch.from_numpy(clips.targets)
    if clips.task == REGRESSION:
        labels = targets[:, None]
    else:
        labels = F.one_hot(targets, len(clips.labels)).float()
    return Material(sounds or Sounds(clips, device), labels.to(device), clips.targets)
