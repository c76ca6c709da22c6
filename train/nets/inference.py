"""Inference over clips: as the user gets it, and by the published protocol.

Both average scores (softmax; a regression's values), never logits, over all windows, quiet ones
included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from streamclf.core.card import Fill
from streamclf.pipeline.short_audio import fill_window, short_audio_weight
from train.datasets.prepared import ClipSet
from train.nets.layers import inference_batch_size

HOP_S = 0.5
"""Seconds between the starts of two windows, the default of `streamclf`."""

N_CROPS = 10


@dataclass(frozen=True)
class WindowLogits:
    """The outputs of a network for the windows of a set of clips.

    Attributes:
        logits: ``(windows, classes)`` float32; a regression's values ``(windows, 1)``.
        clip: ``(windows,)``, index of the clip of each window, in order.
        targets: ``(clips,)``, classes; a regression's float32 target values.
        weight: ``(windows,)``, the factor by which `streamclf` multiplies the scores of each
            window, below 1 for a clip shorter than a window; 1 for all if not given.
    """

    logits: npt.NDArray[np.float32]
    clip: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32] | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the targets are values, not classes."""
        return self.targets.dtype.kind == "f"

    def scores(self, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """``(windows, classes)``: weighted softmax, or a regression's values."""
        if self.is_regression:
            return self.logits.astype(np.float64)
        scores = softmax(self.logits, temperature)
        return scores if self.weight is None else scores * self.weight[:, None]

    def clip_scores(self, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """``(clips, classes)``: mean of the scores of all windows of each clip."""
        sums = np.zeros((len(self.targets), self.logits.shape[1]))
        np.add.at(sums, self.clip, self.scores(temperature))
        return sums / np.bincount(self.clip, minlength=len(self.targets))[:, None]

    def clip_accuracy(self, temperature: float = 1.0) -> float:
        """Part of the clips that are recognised by their averaged scores."""
        return float((self.clip_scores(temperature).argmax(axis=1) == self.targets).mean())

    def clip_error(self) -> float:
        """Mean absolute error of the clips' averages, in a regression."""
        return float(np.abs(self.clip_scores()[:, 0] - self.targets).mean())

    def window_accuracy(self) -> float:
        """Part of the single windows that are recognised as their clip's class."""
        return float((self.logits.argmax(axis=1) == self.targets[self.clip]).mean())


def softmax(logits: np.ndarray, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Softmax of logits along the last axis, in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def window_starts(n_samples: int, window_samples: int, hop_samples: int) -> list[int]:
    """Starts of windows that cover a whole recording; the last window ends at its end."""
    last = max(0, n_samples - window_samples)
    return [*range(0, last, hop_samples), last]


def run_windows(
    network: nn.Module,
    clips: ClipSet,
    window_samples: int,
    hop_s: float = HOP_S,
    *,
    fill: Fill = "mirror",
) -> WindowLogits:
    """Run a network over windows every ``hop_s`` seconds, mixed down, as `streamclf file` does.

    Args:
        network: In any mode.
        clips: The clips.
        window_samples: Length of the network's input.
        hop_s: Seconds between the starts of two windows.
        fill: `System.fill` of the network.
    """
    hop_samples = round(hop_s * clips.sample_rate)

    def windows(waveform: np.ndarray) -> list[np.ndarray]:
        if len(waveform) < window_samples:
            return [fill_window(waveform, window_samples, fill)]
        starts = window_starts(len(waveform), window_samples, hop_samples)
        return [waveform[start : start + window_samples] for start in starts]

    outputs = _run(network, clips, windows)
    weights = [short_audio_weight(clip.n_samples, window_samples, fill) for clip in clips.clips]
    weight = np.array(weights, dtype=np.float32)[outputs.clip]
    return outputs if (weight == 1).all() else replace(outputs, weight=weight)


def run_crops(
    network: nn.Module, clips: ClipSet, crops: Callable[[np.ndarray], list[np.ndarray]]
) -> WindowLogits:
    """Run a network over the crops of its published protocol (`System.crops`)."""
    return _run(network, clips, crops)


def ten_crops(
    waveform: np.ndarray, window_samples: int, pad: int | None = None
) -> list[np.ndarray]:
    """Ten crops of a clip, as EnvNet's authors take them.

    Zeros at both ends are trimmed, ``pad`` zeros are put there instead, and the crops are spread
    evenly from end to end.

    Args:
        waveform: ``(samples,)``.
        window_samples: Length of a crop.
        pad: Zeros at either end, ``window_samples // 2`` as published if not given.
    """
    padded = np.pad(trim_zeros(waveform), window_samples // 2 if pad is None else pad)
    padded = np.pad(padded, (0, max(0, window_samples - len(padded))))
    stride = (len(padded) - window_samples) // (N_CROPS - 1)
    return [padded[k * stride : k * stride + window_samples] for k in range(N_CROPS)]


def trim_zeros(waveform: np.ndarray) -> np.ndarray:
    """Trim the exact zeros at both ends; a silent clip keeps one sample."""
    sounding = np.flatnonzero(waveform)
    return waveform[sounding[0] : sounding[-1] + 1] if sounding.size else waveform[:1]


def _run(
    network: nn.Module,
    clips: ClipSet,
    split: Callable[[np.ndarray], list[np.ndarray]],
) -> WindowLogits:
    """Run windows in batches; the network's mode is put back afterwards."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    logits, owners = [], []
    with torch.inference_mode():
        for windows, batch_owners in _batches(clips, split, inference_batch_size(device)):
            batch = torch.from_numpy(np.stack(windows)).to(device)
            logits.append(network(batch).float().cpu().numpy())
            owners += batch_owners
    network.train(was_training)
    return WindowLogits(np.concatenate(logits), np.array(owners, dtype=np.int64), clips.targets)


def _batches(
    clips: ClipSet, split: Callable[[np.ndarray], list[np.ndarray]], batch_size: int
) -> Iterator[tuple[list, list[int]]]:
    windows, owners = [], []
    for index in range(len(clips.clips)):
        waveform = clips.waveform(index)
        # The network has one input channel, as in streamclf.
        mono = waveform if waveform.ndim == 1 else waveform.mean(axis=0)
        for window in split(mono):
            windows.append(window)
            owners.append(index)
            if len(windows) == batch_size:
                yield windows, owners
                windows, owners = [], []
    if windows:
        yield windows, owners
