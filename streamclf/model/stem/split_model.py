"""A model split into two sessions: a stem for audio of any length, and a head for single windows.

The stem computes frames from audio. The head computes the logits of a window from its frames, so
that overlapping windows share the work of the stem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Stem
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import ModelError
from streamclf.model.onnx_messages import computes_in_integers

if TYPE_CHECKING:
    from streamclf.model.model_file import Model

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest accepted difference between logits of stem and head and those of the whole graph."""
COARSE_TOLERANCE = 2e-2
"""The same for float16, integers, and devices that round their inputs (TF32 on a GPU): there one
layer differs by as much between two batch shapes."""
CHUNK_S = 4.0
"""Longest audio, in seconds, that the stem processes at once, to limit memory."""
CHUNK_FIELDS = 16
"""The same limit in receptive fields of a frame; the larger of the two applies. The stem processes
one receptive field of audio twice at each end of a chunk."""
ELEMENT_TYPES = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(double)": 11}
"""Names of number types in ONNX Runtime -> their numbers in ONNX."""


class SplitModel:
    """Stem and head of one model, in sessions of their own.

    Args:
        model: An open model whose card names a stem.

    Attributes:
        stem: Description of the stem, from the card.
        axis: Time axis of the frames.
        rank: Number of axes of the frames, including the batch axis.
        element: Number of their data type in ONNX.
        receptive_field: Samples of audio that one frame depends on, or a few more.
        coarse: Whether the model computes in float16, in integers, or on an accelerator.
        max_chunk_frames: Most frames that the stem computes at once.
        max_rows: Most rows that a chunk is divided into, because ONNX Runtime's threads share
            several rows better than one long row.

    Raises:
        ModelError: The graph cannot be cut at the stem, or its frames differ from the card.
    """

    def __init__(self, model: Model) -> None:
        from streamclf.model.stem import cut_graph

        stem = model.card.stem
        if stem is None:
            raise ModelError(f"{model.path}: the card names no stem")
        self.stem = stem
        self._window_samples = model.card.window_samples
        self._takes_float16 = model.input_type == "tensor(float16)"
        self.receptive_field = receptive_field_of(model.card, stem)
        if self.receptive_field < 1:
            raise ModelError(
                f"{stem.frames} frames, {stem.step} x {stem.stride} samples apart, do not fit "
                f"into a window of {self._window_samples}"
            )
        self.max_chunk_frames = max(1, round(chunk_samples(model.card, stem) / stem.stride))
        self.max_rows = (model.n_threads or count_cores()) if model.provider == "cpu" else 1
        graph = cut_graph.load_graph(model.read_graph())
        quantised = computes_in_integers(graph.graph)
        axis = None
        if stem.base is not None:
            base = Stem(stem.base, stem.stride, 1)
            self._stem = model.open_part(cut_graph.cut_stem(graph, base).SerializeToString())
            axis = self._find_axis()
        self._stem = model.open_part(cut_graph.cut_stem(graph, stem, axis).SerializeToString())
        self.axis = self._find_axis()
        node = self._stem.get_outputs()[0]
        if node.type not in ELEMENT_TYPES:
            raise ModelError(f"the tensor {stem.tensor!r} holds {node.type}, no numbers to share")
        self.element = ELEMENT_TYPES[node.type]
        cut_graph.keep_head(graph, stem.tensor, self.element)
        content = graph.SerializeToString()
        del graph  # the session makes one more copy of the weights
        self._head = model.open_part(content)
        self._output_name = model.output_name
        halves = self._takes_float16 or node.type == "tensor(float16)"
        self.coarse = halves or quantised or model.provider != "cpu"

    def frames(self, waveforms: Array) -> npt.NDArray[Any]:
        """Compute frames ``(batch, ..., frames, ...)`` from audio ``(batch, samples)``.

        Raises:
            ModelError: The stem fails on audio of this length.
        """
        shaped = waveforms.astype(np.float16) if self._takes_float16 else waveforms
        frames: npt.NDArray[Any] = self._run(self._stem, shaped)
        return frames

    def logits(self, windows: npt.NDArray[Any]) -> Array:
        """Compute logits ``(batch, classes)`` from the frames of windows.

        Args:
            windows: ``(batch, ..., frames, ...)``.

        Raises:
            ModelError: The head fails on frames of this shape.
        """
        output = self._run(self._head, windows, self._output_name)
        return np.asarray(output, dtype=np.float32).reshape(len(windows), -1)

    def separately(self, waveforms: Array) -> Array:
        """Compute the logits of windows, ``(windows, window_samples)``, that share no frames."""
        return self.logits(self.window(self.frames(waveforms), 0))

    def window(self, frames: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
        """Return a view of the frames of one window.

        Args:
            frames: Frames of the audio that contains the window.
            place: Index of the window's first frame.

        Raises:
            ModelError: The audio has too few frames.
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
        """Return a view of a slice of the frames along time."""
        return frames[(*[slice(None)] * self.axis, times)]

    def _find_axis(self) -> int:
        """Find the axis of the stem's output that grows by one frame with each stride of audio.

        Raises:
            ModelError: No axis does, or several axes do.
        """
        stem, n_extra = self.stem, 4
        silence = np.zeros((1, self._window_samples + n_extra * stem.stride), dtype=np.float32)
        shape_short = self.frames(silence[:, : self._window_samples]).shape
        shape_long = self.frames(silence).shape
        axes = [i for i, (a, b) in enumerate(zip(shape_short, shape_long, strict=False)) if a != b]
        if (
            len(shape_short) != len(shape_long)
            or len(axes) != 1
            or shape_long[axes[0]] - shape_short[axes[0]] != n_extra
        ):
            raise ModelError(
                f"the card says that {stem.tensor!r} has a frame every {stem.stride} samples; "
                f"its shape is {shape_short} for a window and {shape_long} for {n_extra} strides "
                "more"
            )
        self.rank = len(shape_short)
        return axes[0]

    def _run(self, session: Any, values: npt.NDArray[Any], output: str | None = None) -> Any:
        names = [output] if output else None
        try:
            return session.run(names, {session.get_inputs()[0].name: values})[0]
        except Exception as error:  # ONNX Runtime raises types of its own that share no base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the cut graph fails on {values.shape}: {reason}") from error


def receptive_field_of(card: Card, stem: Stem) -> int:
    """Return the samples that one frame depends on, or a few more.

    The result is below 1 if the frames of the stem do not fit into a window.
    """
    span = (stem.frames - 1) * stem.step * stem.stride
    return min(stem.receptive_field or card.window_samples, card.window_samples - span)


def chunk_samples(card: Card, stem: Stem) -> float:
    """Return the most samples that the stem processes at once."""
    return max(CHUNK_S * card.sample_rate, CHUNK_FIELDS * receptive_field_of(card, stem))


@dataclass(frozen=True)
class Probe:
    """Test audio for a split model.

    Attributes:
        waveform: ``(samples,)``.
        places: Start of each of its windows, in strides.
        whole: ``(windows, window_samples)``, the windows.
    """

    waveform: Array
    places: tuple[int, ...]
    whole: Array


def probe_windows(card: Card) -> Probe:
    """Make noise whose level jumps, equal at every call, and cut windows from it.

    Noise of one level would not do, because many networks give all its windows nearly the same
    logits.
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
    """Split a model, and compare its logits with those of the whole graph.

    Args:
        model: An open model whose card names a stem.
        probe: The test audio, from `probe_windows`.
        whole: ``(windows, classes)``, logits of the probe's windows from the whole graph.

    Raises:
        ModelError: The graph cannot be cut at the stem, or the logits differ by more than the
            tolerance.
    """
    split = SplitModel(model)
    frames = split.frames(probe.waveform[np.newaxis])
    short_frames = split.frames(
        probe.waveform[np.newaxis, : split.receptive_field + 2 * split.stem.stride]
    )
    if short_frames.shape[split.axis] < 3:
        raise ModelError(
            f"frames of {split.stem.tensor!r} hear more than the {split.receptive_field} samples "
            "of its card"
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
    """Return the largest accepted difference from the logits of the whole graph, ``whole``.

    Args:
        coarse: Whether the model computes with less precision than float32.
        whole: Logits of the whole graph.
    """
    limit = COARSE_TOLERANCE if coarse else TOLERANCE
    return limit * max(1.0, float(np.abs(whole).max()))
