"""Trial cuts of a graph on audio: do a tensor's frames depend on the window that they are in?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from export.stem.dominators import nodes_between
from streamclf.core.card import Stem
from streamclf.model.stem import cut_graph

Array = npt.NDArray[Any]

EXACT = 1e-5
"""Largest difference between two frames that count as equal, relative to the largest number."""
PLACES = (0, 1, 4, 11)
"""Strides from the start of the probe to the windows that are compared."""


class UnshareableError(Exception):
    """A tensor's frames depend on the window around them."""


class _Reach(NamedTuple):
    """A tensor, the samples that a frame of it depends on, and those between two frames."""

    tensor: str
    field: int
    stride: int


class _Audio(NamedTuple):
    """A stretch of a probe; without a stride, a stretch of silence."""

    n_samples: int
    start: int = 0
    stride: int | None = None


_Hear: TypeAlias = Callable[[_Audio], Array]


class _Part:
    """The part of a graph up to a tensor, which goes on from the values of a tensor before it.

    This way, the trials of later tensors do not run the layers before the earlier one again.
    """

    def __init__(self, trials: Trials, tensor: str, before: _Part | None) -> None:
        self._trials = trials
        self._tensor = tensor
        self._before = before
        self._values: dict[_Audio, Array] = {}

    def hear(self, audio: _Audio) -> Array:
        """Compute the tensor's values, and keep them."""
        if audio not in self._values:
            before = self._before and self._before._values.get(audio)
            if before is None:
                self._values[audio] = self.hear_anew(audio)
            else:
                self._values[audio] = run(self._rest, before)
        return self._values[audio]

    def hear_anew(self, audio: _Audio) -> Array:
        """Compute the tensor's values from the waveform on."""
        return run(self._whole, self._trials.waveform_of(audio))

    def end(self) -> None:
        """Forget what is needed only as long as this part is tried."""
        self._before = None
        self.__dict__.pop("_whole", None)
        self.__dict__.pop("_rest", None)

    @functools.cached_property
    def _whole(self) -> Any:
        return open_graph(self._trials.cut(self._tensor))

    @functools.cached_property
    def _rest(self) -> Any:
        assert self._before is not None
        kind = next(iter(self._before._values.values())).dtype
        part = self._trials.cut(self._tensor)
        cut_graph.keep_head(part, self._before._tensor, onnx.helper.np_dtype_to_tensor_dtype(kind))
        return open_graph(part)


class Trials:
    """Tries cuts of one graph on one stretch of audio.

    Attributes:
        window_samples: Length of a window.
        axes: Time axis of each tensor that was tried.
    """

    def __init__(self, graph: onnx.ModelProto, window_samples: int) -> None:
        self._graph = graph
        self.window_samples = window_samples
        self.axes: dict[str, int] = {}
        self._last = _Reach(graph.graph.input[0].name, 1, 1)
        self._part: _Part | None = None
        self._own: _Part | None = None
        self._probes: dict[int, npt.NDArray[np.float32]] = {}  # the newest alone

    def probe(self, stride: int) -> npt.NDArray[np.float32]:
        """Noise of many levels with an offset, after a stretch of silence: ``(1, samples)``."""
        if stride not in self._probes:
            self._probes = {stride: self._make_probe(stride)}
        return self._probes[stride]

    def _make_probe(self, stride: int) -> npt.NDArray[np.float32]:
        random = np.random.default_rng(self.window_samples)
        n_samples = self.window_samples + PLACES[-1] * stride
        levels = 10 ** random.uniform(-4, -0.3, n_samples // 300 + 1)
        waveform = random.uniform(-1, 1.2, n_samples) * np.repeat(levels, 300)[:n_samples]
        waveform[: n_samples // 5] = 0
        return np.clip(waveform, -1, 1).astype(np.float32)[np.newaxis]

    def try_cut(self, tensor: str) -> Stem:
        """Check that a tensor's frames depend on the audio alone, not on the window they are in.

        Returns:
            A stem that is cut there.

        Raises:
            UnshareableError: They depend on the window.
        """
        part = _Part(self, tensor, self._part)
        axis, n_frames = _time_axis(part, self.window_samples)
        self.axes[tensor] = axis
        field, stride = self._field_and_stride(part, axis, tensor)
        stem = Stem(tensor, stride, n_frames, receptive_field=field)
        self._compare(part.hear, axis, stem, part.hear)
        part.end()
        self._last, self._part = _Reach(tensor, field, stride), part
        return stem

    def try_dilated_cut(self, base: Stem, cut: Stem) -> Stem:
        """Check that a tensor's frames, at every place of a base, are those of its own strides.

        Args:
            base: Where strides begin to be replaced by dilations.
            cut: The cut at the tensor, without dilations.

        Returns:
            A stem that is cut there, with dilations.

        Raises:
            ModelError: A layer in between cannot be dilated.
            UnshareableError: The frames differ.
        """
        axis = self.axes[base.tensor]
        step = cut_graph.step_between(self._graph, base.tensor, cut.tensor, axis)
        stem = Stem(
            cut.tensor, base.stride, cut.frames, step, base.tensor if step > 1 else None,
            cut.receptive_field,
        )  # fmt: skip
        session = open_graph(cut_graph.cut_stem(self._graph, stem, axis))
        own = _Part(self, cut.tensor, self._own)
        self._compare(lambda audio: run(session, self.waveform_of(audio)), axis, stem, own.hear)
        own.end()
        self._own = own
        return stem

    def cut(self, tensor: str) -> onnx.ModelProto:
        """Copy the graph from the waveform to a tensor."""
        part: onnx.ModelProto = cut_graph.cut_stem(self._graph, Stem(tensor, 1, 1))
        return part

    def waveform_of(self, audio: _Audio) -> npt.NDArray[np.float32]:
        """Samples of a stretch, ``(1, samples)``."""
        if audio.stride is None:
            return np.zeros((1, audio.n_samples), dtype=np.float32)
        return self.probe(audio.stride)[:, audio.start : audio.start + audio.n_samples]

    def has_work_before(self, tensor: str) -> bool:
        """Whether there is work before a tensor that is worth sharing."""
        return self.has_convolution_between(self._graph.graph.input[0].name, tensor)

    def has_convolution_between(self, start: str, tensor: str) -> bool:
        """Whether a convolution or a product of matrices lies between two tensors."""
        nodes = nodes_between(self._graph.graph, start, tensor)
        return any("Conv" in node.op_type or "MatMul" in node.op_type for node in nodes)

    def _field_and_stride(self, part: _Part, axis: int, tensor: str) -> tuple[int, int]:
        """Samples that a frame depends on, and samples from one frame to the next."""
        nodes = nodes_between(self._graph.graph, self._last.tensor, tensor)
        field, stride = _guess(self._last, nodes, axis)
        # Not measured on one frame, as a pooling takes input shorter than its kernel, too.
        two, three = (
            _fewest_samples(part, axis, n, 4 * self.window_samples, field + (n - 1) * stride)
            for n in (2, 3)
        )
        return two - (three - two), three - two

    def _compare(self, hear: _Hear, axis: int, stem: Stem, hear_alone: _Hear) -> None:
        n_samples = self.window_samples
        shared = hear(_Audio(n_samples + PLACES[-1] * stem.stride, 0, stem.stride))
        limit = EXACT * max(1.0, float(np.abs(shared).max()))
        span = (stem.frames - 1) * stem.step + 1
        for place in PLACES:
            alone = hear_alone(_Audio(n_samples, place * stem.stride, stem.stride))
            inside = np.take(shared, range(place, place + span, stem.step), axis, mode="clip")
            if inside.shape != alone.shape or not np.abs(inside - alone).max() <= limit:
                raise UnshareableError("makes frames that depend on where a window begins")


def _time_axis(part: _Part, window_samples: int) -> tuple[int, int]:
    """The axis that grows with the audio, and how many frames a window has along it."""
    shape = part.hear(_Audio(window_samples)).shape
    # A quarter more shows it of all but the longest strides.
    for n_samples in (window_samples + window_samples // 4, 2 * window_samples):
        longer = part.hear(_Audio(n_samples)).shape
        if len(shape) != len(longer):
            raise UnshareableError("makes a shape that depends on the window's length")
        growing = [i for i, (a, b) in enumerate(zip(shape, longer, strict=True)) if a != b]
        if growing:
            break
    if len(growing) != 1 or growing[0] == 0:
        raise UnshareableError("leaves no frames that follow the audio")
    return growing[0], int(shape[growing[0]])


def _guess(last: _Reach, nodes: list[onnx.NodeProto], axis: int) -> tuple[int, int]:
    """Receptive field and stride behind nodes, as far as kernels tell: trials have to confirm it.

    Args:
        last: What is known of the tensor before the nodes.
        nodes: The nodes, in order; the last one makes the tensor that is asked about.
        axis: The time axis of that tensor.

    Returns:
        Receptive field and stride in samples; where branches join, the largest.
    """
    reaches = {last.tensor: (last.field, last.stride)}
    field, stride = last.field, last.stride
    for node in nodes:
        field, stride = map(max, zip(*(reaches.get(n, (1, 1)) for n in node.input), strict=True))
        kernel = cut_graph.attribute(node, "kernel_shape")
        if kernel:
            along = min(axis - 2, len(kernel) - 1)
            step, dilation = (
                (cut_graph.attribute(node, name) or [1] * len(kernel))[along]
                for name in ("strides", "dilations")
            )
            field += (kernel[along] - 1) * dilation * stride
            stride *= step
        reaches.update(dict.fromkeys(node.output, (field, stride)))
    return field, stride


def _fewest_samples(part: _Part, axis: int, n_frames: int, enough: int, guess: int) -> int:
    """The fewest samples that give ``n_frames`` frames.

    A guess that is right takes two short runs. Otherwise they are found by doubling, then by
    bisection.
    """

    def reached(n_samples: int, hear: _Hear = part.hear_anew) -> bool:
        try:
            return int(hear(_Audio(n_samples)).shape[axis]) >= n_frames
        except UnshareableError:  # too short for a layer
            return False

    # A layer of one frame leaves the guess as it was, so what was heard is kept for it.
    if guess <= enough and reached(guess, part.hear) and not reached(guess - 1, part.hear):
        return guess
    low, high = 0, 64
    while high < enough and not reached(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def open_graph(model: onnx.ModelProto) -> Any:
    """Open a graph in ONNX Runtime.

    Raises:
        UnshareableError: It does not run by itself.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Hundreds of short runs: a second thread that spins between them costs more than it brings.
    options.intra_op_num_threads = 1
    onnxruntime.set_default_logger_severity(4)
    content = model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise UnshareableError("does not run by itself") from error


def run(session: Any, values: Array) -> Array:
    """Run a session with one input and one output.

    Raises:
        UnshareableError: It fails on this shape, or gives nothing.
    """
    node = session.get_inputs()[0]
    if node.type == "tensor(float16)":
        values = values.astype(np.float16)
    try:
        (output,) = session.run(None, {node.name: values})
    except Exception as error:  # as above
        raise UnshareableError("takes windows of one length alone") from error
    if not isinstance(output, np.ndarray) or output.size == 0:
        raise UnshareableError("leaves no frames that follow the audio")
    return output
