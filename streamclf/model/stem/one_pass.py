"""A model as one graph for GPUs: audio goes in, the logits of all its windows come out.

On a GPU, transfers and calls cost most. Stem, selection of each window's frames and head therefore
form one graph: audio is transferred once, however many windows overlap in it, only logits come
back, and each batch is one call of a shape that occurred before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import ModelError, ProviderError
from streamclf.core.records import Window
from streamclf.model.model_file import Model
from streamclf.model.stem.bound_session import BoundSession
from streamclf.model.stem.shared_frames import DEVICES
from streamclf.model.stem.split_model import Array, Probe, SplitModel, tolerance

MAX_SHAPES = 8
"""Shapes that buffers are kept for."""
ROOMY = 4
"""Largest size of the buffers that a batch may use, as a multiple of its audio."""


class OnePass:
    """Stem and head of a model in one graph, which takes audio and the places of its windows.

    Args:
        split: The same model as stem and head, whose frames have been inspected.
        model: The model.
        recorded: Whether runs are recorded and repeated as CUDA graphs.

    Attributes:
        stem: From the card.

    Raises:
        ModelError: The graph cannot be joined, or does not open.
        ProviderError: The provider does not take it, or cannot record all of it.
    """

    def __init__(self, split: SplitModel, model: Model, *, recorded: bool) -> None:
        from streamclf.model.stem import cut_graph, join_graph

        self.stem = split.stem
        self._path = model.path
        n_features = model.features.size if model.features else 0
        self._n_columns = len(model.card.labels) + n_features
        self._inputs = model.input_name, join_graph.PLACES
        self._dtype = np.float16 if model.input_type == "tensor(float16)" else np.float32
        graph = cut_graph.load_graph(model.read_graph())
        joined = join_graph.join_at_windows(
            graph, split.stem, split.axis, split.rank, split.element
        )
        del graph  # before the session makes one more copy of the weights
        self._session = BoundSession(
            model.open_part(joined, recorded=recorded),
            model.output_name,
            DEVICES.get(model.provider, "cpu"),
            recorded=recorded,
        )
        self._shapes: list[tuple[int, int]] = []  # (samples, windows)

    def logits(self, windows: Sequence[Window]) -> Array:
        """Compute the logits of windows; overlapping windows share frames.

        Args:
            windows: In order.

        Returns:
            ``(windows, classes)``.

        Raises:
            ModelError: The graph fails on them.
        """
        audio, places = lay_out(windows, self.stem.stride)
        shape = n_samples, n_windows = self._room_for(audio.size, len(places))
        heard = np.zeros((1, n_samples), self._dtype)
        heard[0, : audio.size] = audio
        # Rows that pad the batch repeat the first window.
        starts = np.zeros((n_windows, 1), np.int64)
        starts[: len(places), 0] = places
        frames = starts + np.arange(self.stem.frames) * self.stem.step
        feeds = dict(zip(self._inputs, (heard, frames), strict=True))
        try:
            output = self._session.run(feeds, (n_windows, self._n_columns))
        except Exception as error:  # ONNX Runtime raises types of its own that share no base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{self._path}: in one graph it fails on {shape}: {reason}") from error
        return np.asarray(output[: len(windows)], dtype=np.float32)

    def _room_for(self, n_samples: int, n_windows: int) -> tuple[int, int]:
        """Return the shape of the buffers for a batch, out of few different shapes.

        A GPU prepares each new shape, so the last, shorter batch of a recording is padded.
        """
        fitting = [
            shape
            for shape in self._shapes
            if n_samples <= shape[0] <= ROOMY * n_samples and n_windows <= shape[1]
        ]
        if fitting:
            return min(fitting)
        if len(self._shapes) == MAX_SHAPES:
            self._session.forget()
            self._shapes.clear()
        self._shapes.append((n_samples, n_windows))
        return n_samples, n_windows


class _Stretch:
    """Audio without a gap that contains windows on one grid of strides."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.parts: list[Array] = []

    def add(self, window: Window) -> None:
        new = window.waveform[self.end - window.position :]
        self.parts.append(new)
        self.end += new.size


def lay_out(windows: Sequence[Window], stride: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Concatenate the audio of windows, with overlapping audio only once.

    Args:
        windows: Windows in order. A window on another grid of strides or after a gap shares nothing
            with the one before. A window that audio does not fill shares nothing with any other.
        stride: Stride of the grids, in samples.

    Returns:
        The audio ``(samples,)``, and the start of each window in it, in strides, ``(windows,)``.
    """
    stretches: list[_Stretch] = []
    newest: dict[int, _Stretch] = {}
    owners: list[_Stretch] = []
    for window in windows:
        grid = window.position % stride
        stretch = newest.get(grid)
        short = window.n_samples < window.waveform.size
        if stretch is None or short or not stretch.start <= window.position < stretch.end:
            stretch = _Stretch(window.position)
            stretches.append(stretch)
            if not short:
                newest[grid] = stretch
        stretch.add(window)
        owners.append(stretch)
    parts: list[Array] = []
    begins: dict[_Stretch, int] = {}
    place = 0
    for stretch in stretches:
        begins[stretch] = place
        n_samples = stretch.end - stretch.start
        n_strides = -(-n_samples // stride)
        parts += [*stretch.parts, np.zeros(n_strides * stride - n_samples, np.float32)]
        place += n_strides
    places = [
        begins[stretch] + (window.position - stretch.start) // stride
        for window, stretch in zip(windows, owners, strict=True)
    ]
    return np.concatenate(parts), np.array(places, np.int64)


def join_and_check(split: SplitModel, model: Model, probe: Probe, whole: Array) -> OnePass:
    """Join a model's halves, recorded if that can be had, and try it on a probe.

    Args:
        split: The halves, checked.
        model: The model.
        probe: From `streamclf.model.stem.split_model.probe_windows`.
        whole: ``(windows, classes)``, logits of its windows by the whole graph.

    Raises:
        ModelError: It cannot be joined, or windows do not get the same logits, recorded or not.
    """
    windows = [
        Window(k * split.stem.stride, waveform, waveform.size)
        for k, waveform in zip(probe.places, probe.whole, strict=True)
    ]
    limit = tolerance(split.coarse, whole)
    error: Exception = ModelError("it was not tried")
    for recorded in (True, False):
        try:
            one_pass = OnePass(split, model, recorded=recorded)
            # One shape again and again: the first run is plain, a later one records, then repeats.
            for _ in range(2):
                alone = [one_pass.logits([window]) for window in windows]
                for shared in (np.concatenate(alone), one_pass.logits(windows)):
                    difference = float(np.abs(shared - whole).max())
                    if not difference <= limit:  # written so that NaN does not pass
                        raise ModelError(f"in one graph its logits differ by {difference:.2g}, "
                                         f"the limit is {limit:.2g}")  # fmt: skip
        except (ModelError, ProviderError) as this:
            error = this
        else:
            return one_pass
    raise ModelError(str(error)) from error
