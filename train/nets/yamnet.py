"""YAMNet as a teacher: its scores, and features from before its last layer.

M. Plakal, D. Ellis: YAMNet,
https://github.com/tensorflow/models/tree/master/research/audioset/yamnet (Apache-2.0), trained on
AudioSet. It is run from its TFLite file by ai-edge-litert.
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
INPUT_SAMPLES = 15_600
N_FEATURES = 1024
N_SCORES = 521

HINTS = {"layer6": 512, "layer9": 1024, "layer12": 1024}
"""Layers whose maps say something about ESC-50's classes that the last layer's do not
(research/trials.md), with the number of values that are taught of each: the maps' means over
frequency, of each the mean over time, then of each the maximum."""

N_HINTS = sum(HINTS.values())
N_OUTPUTS = N_FEATURES + N_HINTS + N_SCORES

STARTS = tuple(accumulate(HINTS.values(), initial=N_FEATURES))
"""Offsets of the hints in an output, and of the scores after them."""


class Yamnet:
    """The teacher, opened from its file.

    Attributes:
        about: Entries for ``config.json``.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

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
                # All tensors are kept, as the features are not among the outputs. The interpreter
                # warns about that.
                warnings.simplefilter("ignore")
                self._net = Interpreter(
                    str(path), num_threads=1, experimental_preserve_all_tensors=True
                )
            self._net.allocate_tensors()
            (waveform,) = self._net.get_input_details()
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
                tuple(waveform["shape"].tolist()),
                tuple(scores["shape"].tolist()),
                (len(features), len(hints)),
            )
            if shapes != ((INPUT_SAMPLES,), (1, N_SCORES), (1, len(HINTS))):
                raise ValueError(f"takes {shapes[0]} and gives {shapes[1]}")
        except (OSError, ValueError, RuntimeError) as error:
            raise DatasetError(
                f"{path}: no usable YAMNet: {error}; expected is the TFLite file that takes "
                f"({INPUT_SAMPLES},) samples and gives (1, {N_SCORES}) scores"
            ) from error
        self._input, self._scores = waveform["index"], scores["index"]
        self._features, self._hints = features[0], hints
        self.about = {"name": "YAMNet", "file": path.name, "sha256": digest}

    def predict(self, waveforms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the teacher on windows.

        Args:
            waveforms: ``(batch, samples)`` in [-1, 1] at 16 kHz, `INPUT_SAMPLES` or more. Longer
                windows are run twice, on their first and on their last `INPUT_SAMPLES`; the two
                outputs are averaged, and of maxima the higher is taken.

        Returns:
            ``(batch, N_OUTPUTS)``: features, then the values of each of `HINTS`, then scores.
        """
        starts = sorted({0, waveforms.shape[1] - INPUT_SAMPLES})
        outputs = np.zeros((len(waveforms), N_OUTPUTS), np.float32)
        features, *hints, scores = np.split(outputs, STARTS, axis=1)  # views
        for row, waveform in enumerate(waveforms):
            for start in starts:
                self._net.set_tensor(self._input, waveform[start : start + INPUT_SAMPLES])
                self._net.invoke()
                features[row] += self._net.get_tensor(self._features)[0] / len(starts)
                for hint, tensor in zip(hints, self._hints, strict=True):
                    maps = self._net.get_tensor(tensor)[0].mean(axis=1)
                    means, highest = np.split(hint[row], 2)
                    means += maps.mean(axis=0) / len(starts)
                    np.maximum(highest, maps.max(axis=0), out=highest)
                scores[row] += self._net.get_tensor(self._scores)[0] / len(starts)
        return outputs
