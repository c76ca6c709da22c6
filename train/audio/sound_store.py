"""Stores of a set's sounds and labels, on the device where they fit.

A store holds waveforms, or mel spectra of whole clips that are computed once, for networks whose
own work is small beside the spectra. A window of such spectra begins at a frame. Its outermost
frames contain audio beside the window, where a single window would be mirrored; all others are what
the network's front end computes.
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

SPECTRA_PER_BATCH = 16
"""Clips whose spectra are computed together."""


class WaveformStore:
    """The waveforms of clips of any length, a batch at a time.

    They lie on the device as int16 where they fit (and unless ``whole`` is False). Otherwise each
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
        """Take some whole clips.

        Args:
            indices: ``(batch,)``.

        Returns:
            ``(batch, samples)`` float32 in [-1, 1) for one channel, ``(batch, channels, samples)``
            for more; as long as the longest of these clips, with zeros after the others.
        """
        longest = int(self.clips.lengths[indices].max())
        if self._whole is None:
            read = self.clips.stretches(indices, np.zeros_like(indices), longest)
            rows = torch.from_numpy(read).to(self.device)
        else:
            rows = self._whole.index_select(0, to_device(indices, self._whole))[..., :longest]
        return rows.float().mul_(1 / FULL_SCALE)


class SpectrumStore:
    """The mel spectra of clips of any length, a batch at a time.

    They lie on the device where they fit. Otherwise those of each batch are computed when it is
    cut. If no clip is longer than a window, each spectrum is stored twice, one after the other: a
    window that is shifted with wrap is then one stretch, which takes a third of the time.

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
        """Compute the spectra.

        Args:
            clips: The clips of a set.
            device: Where batches are wanted.
            front_end: Computes the power in each mel band.
            scale: Converts power to what a batch holds, for example its logarithm; it maps 0 to 0.
            n_window: Frames of the windows that `shifted` returns.
        """
        self.front_end, self.scale = front_end, scale
        self._sounds = WaveformStore(clips, device, whole=False)
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
            bounds = range(SPECTRA_PER_BATCH, len(frames), SPECTRA_PER_BATCH)
            parts = np.split(np.arange(len(frames)), bounds)
            self._whole = torch.cat([self._make(part) for part in parts])
            if self._twice:
                self._whole = torch.cat([self._whole, self._whole], dim=-1)

    def take(self, indices: np.ndarray) -> Tensor:
        """Take some whole clips.

        Args:
            indices: ``(batch,)``.

        Returns:
            ``(batch, mels, frames)`` float32 for one channel, ``(batch, channels, mels, frames)``
            for more; as many frames as the longest clip of the set has, or a window if that is
            more, with silence after the others.
        """
        if self._whole is None:
            return self._make(indices)
        kept = self._whole[..., : self._n_window] if self._twice else self._whole
        return kept.index_select(0, to_device(indices, kept))

    def shifted(self, indices: np.ndarray, places: np.ndarray, shifts: np.ndarray) -> Tensor:
        """Cut a window of each clip, shifted with wrap: `fit_length` of the result of `take`.

        Args:
            indices: ``(batch,)``.
            places: ``(batch,)`` in [0, 1), position among the possible ones.
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
        # All are padded to one length, so that a clip's frames do not depend on the other clips.
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
class TrainingData:
    """Clips with the labels that a network is to learn.

    Attributes:
        sounds: Their waveforms, or their spectra.
        labels: ``(clips, classes)`` probabilities; a regression's values ``(clips, 1)``.
        targets: ``(clips,)``, on the host.
    """

    sounds: WaveformStore | SpectrumStore
    labels: Tensor
    targets: np.ndarray

    def labels_of(self, indices: np.ndarray) -> Tensor:
        """Labels of some clips: ``(batch, classes)``."""
        return self.labels[to_device(indices, self.labels)]


def make_training_data(
    clips: ClipSet, device: torch.device, sounds: WaveformStore | SpectrumStore | None = None
) -> TrainingData:
    """Put a set's sounds (waveforms unless given) and its labels on the device."""
    targets = torch.from_numpy(clips.targets)
    if clips.task == REGRESSION:
        labels = targets[:, None]
    else:
        labels = F.one_hot(targets, len(clips.labels)).float()
    return TrainingData(sounds or WaveformStore(clips, device), labels.to(device), clips.targets)
