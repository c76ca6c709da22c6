"""A model in two sessions: a stem over audio of any length, a head over windows of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Stem
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import ModelError

if TYPE_CHECKING:
    from streamclf.model.model_file import Model

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference between a logit by stem and head and one by the whole graph, at opening."""
COARSE_TOLERANCE = 2e-2
"""The same where the graph computes in halves, in integers, or on a device that rounds its inputs
(a GPU's TF32): there the same layer differs by as much between two shapes."""
STRETCH_S = 4.0
"""Seconds of audio that the stem hears at once, at most: more would take memory."""
STRETCH_FIELDS = 16
"""Or so many times what a frame hears, if that is more: what it hears is heard twice at each
stretch's end."""
ELEMENTS = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(double)": 11}
"""Types of numbers, as ONNX Runtime calls and as ONNX counts them."""


class SplitModel:
    """Stem and head of one model, in sessions of their own.

    Args:
        model: An open model whose card names a stem.

    Attributes:
        stem: From the card.
        axis: The frames' time axis.
        rank: Axes of the frames, the batch's among them.
        element: Their type, as ONNX counts them.
        reach: Samples that one frame hears, or a little more.
        coarse: Whether it computes in halves, in integers, or on an accelerator.
        stretch: Frames that the stem makes at once, at most.
        n_rows: Parts that it makes them in, side by side, at most: ONNX Runtime's threads share
            rows better than one long row.

    Raises:
        ModelError: The graph cannot be cut there, or the card is wrong about what comes out.
    """

    def __init__(self, model: Model) -> None:
        from streamclf.model.stem import cut_graph

        stem = model.card.stem
        if stem is None:
            raise ModelError(f"{model.path}: the card names no stem")
        self.stem = stem
        self._window_samples = model.card.window_samples
        self._half = model.input_type == "tensor(float16)"
        self.reach = reach_of(model.card, stem)
        if self.reach < 1:
            raise ModelError(
                f"{stem.frames} frames, {stem.step} x {stem.stride} samples apart, do not fit "
                f"into a window of {self._window_samples}"
            )
        self.stretch = max(1, round(stretch_of(model.card, stem) / stem.stride))
        self.n_rows = (model.n_threads or count_cores()) if model.provider == "cpu" else 1
        graph = cut_graph.load_graph(Path(model.path))
        quantised = any("Linear" in node.op_type for node in graph.graph.node)
        axis = None
        if stem.base is not None:
            base = Stem(stem.base, stem.stride, 1)
            self._stem = model.open_part(cut_graph.cut_stem(graph, base).SerializeToString())
            axis = self._find_axis()
        self._stem = model.open_part(cut_graph.cut_stem(graph, stem, axis).SerializeToString())
        self.axis = self._find_axis()
        node = self._stem.get_outputs()[0]
        if node.type not in ELEMENTS:
            raise ModelError(f"the tensor {stem.tensor!r} holds {node.type}, no numbers to share")
        self.element = ELEMENTS[node.type]
        cut_graph.keep_head(graph, stem.tensor, self.element)
        content = graph.SerializeToString()
        del graph  # before the session makes one more copy of the weights
        self._head = model.open_part(content)
        self._output_name = model.output_name
        halves = self._half or node.type == "tensor(float16)"
        self.coarse = halves or quantised or model.provider != "cpu"

    def frames(self, waveforms: Array) -> npt.NDArray[Any]:
        """Run the stem: ``(batch, samples)`` -> ``(batch, ..., frames, ...)``.

        Raises:
            ModelError: The graph fails on audio of this length.
        """
        shaped = waveforms.astype(np.float16) if self._half else waveforms
        frames: npt.NDArray[Any] = self._run(self._stem, shaped)
        return frames

    def logits(self, windows: npt.NDArray[Any]) -> Array:
        """Run the head: the frames of windows, ``(batch, ..., frames, ...)`` -> logits."""
        output = self._run(self._head, windows, self._output_name)
        return np.asarray(output, dtype=np.float32).reshape(len(windows), -1)

    def separately(self, waveforms: Array) -> Array:
        """Logits of windows, ``(windows, window_samples)``, that share nothing."""
        return self.logits(self.window(self.frames(waveforms), 0))

    def window(self, frames: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
        """The view of a window's frames, the first of which is at ``place``.

        Raises:
            ModelError: There are fewer.
        """
        span = (self.stem.frames - 1) * self.stem.step
        view = self.take(frames, slice(place, place + span + 1, self.stem.step))
        if view.shape[self.axis] != self.stem.frames:
            raise ModelError(
                f"a window has {view.shape[self.axis]} frames of {self.stem.tensor!r}, "
                f"its card says {self.stem.frames}"
            )
        return view

    def take(self, frames: npt.NDArray[Any], times: slice) -> npt.NDArray[Any]:
        """A view of frames along time."""
        return frames[(*[slice(None)] * self.axis, times)]

    def _find_axis(self) -> int:
        """See which axis of the stem's output grows with the audio, and that it does so duly."""
        stem, extra = self.stem, 4
        silence = np.zeros((1, self._window_samples + extra * stem.stride), dtype=np.float32)
        few = self.frames(silence[:, : self._window_samples]).shape
        more = self.frames(silence).shape
        axes = [i for i, (a, b) in enumerate(zip(few, more, strict=False)) if a != b]
        if len(few) != len(more) or len(axes) != 1 or more[axes[0]] - few[axes[0]] != extra:
            raise ModelError(
                f"the card says that {stem.tensor!r} has a frame every {stem.stride} samples; "
                f"its shape is {few} for a window and {more} for {extra} strides more"
            )
        self.rank = len(few)
        return axes[0]

    def _run(self, session: Any, values: npt.NDArray[Any], output: str | None = None) -> Any:
        names = [output] if output else None
        try:
            return session.run(names, {session.get_inputs()[0].name: values})[0]
        except Exception as error:  # ONNX Runtime raises types of its own that share no base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the cut graph fails on {values.shape}: {reason}") from error


def reach_of(card: Card, stem: Stem) -> int:
    """Samples that one frame hears, or a little more; below 1 where the frames do not fit."""
    span = (stem.frames - 1) * stem.step * stem.stride
    return min(stem.receptive_field or card.window_samples, card.window_samples - span)


def stretch_of(card: Card, stem: Stem) -> float:
    """Samples that the stem hears at once, at most."""
    return max(STRETCH_S * card.sample_rate, STRETCH_FIELDS * reach_of(card, stem))


@dataclass(frozen=True)
class Probe:
    """A stretch of audio to try a split model on.

    Attributes:
        waveform: ``(samples,)``.
        places: Where its windows begin, in strides.
        whole: ``(windows, window_samples)``, those windows.
    """

    waveform: Array
    places: tuple[int, ...]
    whole: Array


def probe_windows(card: Card) -> Probe:
    """Noise whose level jumps, the same at every call, and windows of it.

    Even noise would not do: many a network says nearly the same of any stretch of it.
    """
    assert card.stem is not None
    random, stride = np.random.default_rng(1), card.stem.stride
    n_samples = card.window_samples + 8 * stride
    levels = 10 ** random.uniform(-4, -0.3, n_samples // 500 + 1)
    waveform = random.uniform(-1, 1, n_samples) * np.repeat(levels, 500)[:n_samples]
    waveform[: n_samples // 5] = 0
    audio = waveform.astype(np.float32)
    places = (0, 3, 8)
    windows = [audio[k * stride : k * stride + card.window_samples] for k in places]
    return Probe(audio, places, np.stack(windows))


def split_and_check(model: Model, probe: Probe, whole: Array) -> SplitModel:
    """Split a model whose whole has just been run on a probe.

    Args:
        model: Open.
        probe: From `probe_windows`.
        whole: ``(windows, classes)``, logits of its windows by the whole graph.

    Raises:
        ModelError: The graph cannot be cut where the card says, or windows that share the stem
            do not get the same logits.
    """
    split = SplitModel(model)
    frames = split.frames(probe.waveform[np.newaxis])
    few = split.frames(probe.waveform[np.newaxis, : split.reach + 2 * split.stem.stride])
    if few.shape[split.axis] < 3:
        raise ModelError(
            f"frames of {split.stem.tensor!r} hear more than the {split.reach} samples of its card"
        )
    shared = split.logits(np.concatenate([split.window(frames, k) for k in probe.places]))
    limit = tolerance(split.coarse, whole)
    difference = float(np.abs(shared - whole).max()) if shared.shape == whole.shape else np.inf
    # Written so that NaN does not pass.
    if not difference <= limit:
        raise ModelError(
            f"cut at {split.stem.tensor!r}, as its card says, it gives logits that differ by "
            f"{difference:.2g}, the limit is {limit:.2g}"
        )
    return split


def tolerance(coarse: bool, whole: Array) -> float:
    """How far logits may lie from those of the whole graph, ``whole``."""
    limit = COARSE_TOLERANCE if coarse else TOLERANCE
    return limit * max(1.0, float(np.abs(whole).max()))
