"""Windows -> scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from streamclf.errors import CardError, ModelError
from streamclf.model import Model
from streamclf.records import Change, Gap, Notice, Scores, Window

Array = npt.NDArray[np.float32]


class Classifier:
    """A model's session as a function from waveforms to scores.

    Args:
        model: An open model. It is run once here, on silence, which warms it up and shows
            whether its output fits its card.

    Raises:
        CardError: The output has another number of classes than the card has labels.
        ModelError: The graph fails on a window of its own size.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.card = model.card
        silence = np.zeros((1, self.card.window_samples), dtype=np.float32)
        n_outputs = self._run(silence).shape[1]
        if n_outputs != len(self.card.labels):
            raise CardError(
                f"{model.path}: the graph gives {n_outputs} scores, the card names "
                f"{len(self.card.labels)} labels: correct --labels or the card"
            )

    def score(self, waveforms: Array) -> Array:
        """Classify a batch.

        Args:
            waveforms: ``(windows, window_samples)`` float32 in [-1, 1].

        Returns:
            ``(windows, classes)`` float32: probabilities, or a regression's values.
        """
        return activate(self._run(waveforms), self.card.activation, self.card.temperature)

    def _run(self, waveforms: Array) -> Array:
        size = {"single": 1}.get(self.model.layout, self.model.fixed_batch)
        if size is None and self.model.provider in ("cuda", "tensorrt"):
            # They prepare anew for each shape: a last batch is filled up to a power of two.
            size = 1 << (len(waveforms) - 1).bit_length()
        if size is None:
            return self._run_batch(waveforms)
        parts = []
        for start in range(0, len(waveforms), size):
            part = waveforms[start : start + size]
            padding = np.zeros((size - len(part), part.shape[1]), dtype=np.float32)
            parts.append(self._run_batch(np.concatenate([part, padding]))[: len(part)])
        return np.concatenate(parts)

    def _run_batch(self, waveforms: Array) -> Array:
        model = self.model
        shaped = {"batch": waveforms, "batch-channel": waveforms[:, np.newaxis]}.get(
            model.layout, waveforms[0]
        )
        if model.input_type == "tensor(float16)":
            shaped = shaped.astype(np.float16)
        try:
            (output,) = model.session.run([model.output_name], {model.input_name: shaped})
        except Exception as error:  # ONNX Runtime raises types of its own that share no base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{model.path}: the graph fails on a window of {waveforms.shape[1]} samples: "
                f"{reason}"
            ) from error
        return self._as_rows(np.asarray(output, dtype=np.float32), len(waveforms))

    def _as_rows(self, output: Array, n_windows: int) -> Array:
        if self.model.layout == "single":
            # One window may come back as several frames, as YAMNet's does.
            frames = output.reshape(-1, output.shape[-1])
            return np.asarray(frames.mean(axis=0, keepdims=True))
        if output.ndim < 1 or output.shape[0] != n_windows:
            raise ModelError(
                f"{self.model.path}: a batch of {n_windows} gave an output of shape "
                f"{output.shape}, which must begin with the batch size"
            )
        return output.reshape(n_windows, -1)


def activate(logits: Array, activation: str, temperature: float = 1.0) -> Array:
    """Turn logits ``(windows, classes)`` into scores of the same shape."""
    if activation == "none":
        return logits
    scaled = logits / np.float32(temperature)
    if activation == "sigmoid":
        # Written with tanh, which does not overflow.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scaled)), dtype=np.float32)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def classify(
    items: Iterable[Window | Gap | Notice | Change],
    score: Callable[[Array], Array],
    batch_size: int,
) -> Iterator[Scores | Gap | Notice | Change]:
    """Score windows in batches, keeping the order of everything.

    Args:
        items: Windows, gaps, notices and changes.
        score: Turns ``(windows, window_samples)`` into ``(windows, classes)``.
        batch_size: Windows at once; 1 scores each as soon as it is there.
    """
    batch: list[Window] = []
    for item in items:
        if isinstance(item, Window):
            batch.append(item)
            if len(batch) < batch_size:
                continue
        yield from _scores(batch, score)
        batch = []
        if not isinstance(item, Window):
            yield item
    yield from _scores(batch, score)


def _scores(batch: list[Window], score: Callable[[Array], Array]) -> Iterator[Scores]:
    if not batch:
        return
    values = score(np.stack([window.waveform for window in batch]))
    for window, row in zip(batch, values, strict=True):
        yield Scores(window.position, window.n_samples, row)
