"""YAMNet as a teacher: what it makes of a sound, before and behind its last layer.

M. Plakal, D. Ellis: YAMNet, https://github.com/tensorflow/models/tree/master/research/audioset/yamnet
(Apache-2.0), trained on AudioSet. It is run from its TFLite file by ai-edge-litert.
"""

from __future__ import annotations

import hashlib
import warnings
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.base.errors import DatasetError, UsageError

SAMPLE_RATE = 16000
HEARD_SAMPLES = 15_600
N_FEATURES = 1024
N_SCORES = 521

HINTS = {"layer6": 512, "layer9": 1024, "layer12": 1024}
"""Layers whose maps say of ESC-50's classes what the last one's do not (research/trials.md), and
how many values of each are taught: its maps' means over frequency, of each the mean over time, then
of each the maximum."""

N_HINTS = sum(HINTS.values())
N_SAID = N_FEATURES + N_HINTS + N_SCORES

STARTS = tuple(accumulate(HINTS.values(), initial=N_FEATURES))
"""Where in what it says each hint begins, and then the scores."""


class Yamnet:
    """The teacher, opened from its file.

    Attributes:
        about: What ``config.json`` should say of it.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            UsageError: ai-edge-litert is not installed.
            DatasetError: The file is missing, or is no YAMNet.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UsageError(
                f"{path}: needs ai-edge-litert to run; pip install ai-edge-litert"
            ) from error
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            with warnings.catch_warnings():
                # All tensors are kept, as the features are none of the outputs; it warns of that.
                warnings.simplefilter("ignore")
                self._net = Interpreter(
                    str(path), num_threads=1, experimental_preserve_all_tensors=True
                )
            self._net.allocate_tensors()
            (heard,) = self._net.get_input_details()
            (scores,) = self._net.get_output_details()
            features = [
                tensor["index"]
                for tensor in self._net.get_tensor_details()
                if tuple(tensor["shape"]) == (1, N_FEATURES) and "Mean" in tensor["name"]
            ]
            hints = [
                tensor["index"]
                for layer, n_values in HINTS.items()
                for tensor in self._net.get_tensor_details()
                if f"/{layer}/pointwise_conv/relu" in tensor["name"]
                and 2 * tensor["shape"][-1] == n_values
            ]
            shapes = (
                tuple(heard["shape"].tolist()),
                tuple(scores["shape"].tolist()),
                (len(features), len(hints)),
            )
            if shapes != ((HEARD_SAMPLES,), (1, N_SCORES), (1, len(HINTS))):
                raise ValueError(f"takes {shapes[0]} and gives {shapes[1]}")
        except (OSError, ValueError, RuntimeError) as error:
            raise DatasetError(
                f"{path}: no usable YAMNet: {error}; expected is the TFLite file that takes "
                f"({HEARD_SAMPLES},) samples and gives (1, {N_SCORES}) scores"
            ) from error
        self._input, self._scores = heard["index"], scores["index"]
        self._features, self._hints = features[0], hints
        self.about = {"name": "YAMNet", "file": path.name, "sha256": digest}

    def hear(self, waveforms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What it makes of windows.

        Args:
            waveforms: ``(batch, samples)`` in [-1, 1] at 16 kHz, `HEARD_SAMPLES` or more; of longer
                ones it hears the first and the last stretch and means both, of maxima it takes the
                higher one.

        Returns:
            ``(batch, N_SAID)``: features, then what each of `HINTS` says, then scores.
        """
        starts = sorted({0, waveforms.shape[1] - HEARD_SAMPLES})
        said = np.zeros((len(waveforms), N_SAID), np.float32)
        features, *hints, scores = np.split(said, STARTS, axis=1)  # views
        for row, waveform in enumerate(waveforms):
            for start in starts:
                self._net.set_tensor(self._input, waveform[start : start + HEARD_SAMPLES])
                self._net.invoke()
                features[row] += self._net.get_tensor(self._features)[0] / len(starts)
                for hint, tensor in zip(hints, self._hints, strict=True):
                    maps = self._net.get_tensor(tensor)[0].mean(axis=1)
                    means, highest = np.split(hint[row], 2)
                    means += maps.mean(axis=0) / len(starts)
                    np.maximum(highest, maps.max(axis=0), out=highest)
                scores[row] += self._net.get_tensor(self._scores)[0] / len(starts)
        return said
