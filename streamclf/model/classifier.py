"""Windows -> scores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import CardError, ModelError
from streamclf.core.records import Change, Gap, Notice, Scores, Window
from streamclf.model.model_file import Model
from streamclf.model.stem.shared_frames import (
    BATCH,
    DEVICE_BATCH,
    DEVICES,
    SHARED_BATCH,
    SharedStream,
)
from streamclf.model.stem.split_model import (
    Probe,
    SplitModel,
    probe_windows,
    split_and_check,
    stretch_of,
)

if TYPE_CHECKING:
    from streamclf.model.stem.one_pass import OnePass

Array = npt.NDArray[np.float32]


WHOLE_FIRST = 32
"""So many windows of recordings go through the whole graph before it is cut in two: importing onnx
and cutting costs as much time, and who hears a short clip should not wait for it."""
WHOLE_BATCH = 8
"""Windows at once until then; the halves take larger batches in less memory."""


class Classifier:
    """A model's session as a function from waveforms to scores.

    Where the card names a stem, the windows of a stream share its work (`open_stream`): live from
    the first one on, in recordings once there are many. From then on the whole graph's session is
    closed. A stem that isn't what the card says is noticed when the graph is cut, and not used.
    On a GPU both halves are then one graph, which is given audio instead of windows (`one_pass`).

    Args:
        model: An open model. It is run once here, on silence, which warms it up and shows
            whether its output fits its card.

    Attributes:
        model: As given.
        card: Its card.
        one_pass: What the windows of streams go through on a GPU, once the graph is cut.

    Raises:
        CardError: The output has another number of classes than the card has labels.
        ModelError: The graph fails on a window of its own size.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.card = model.card
        self._split: SplitModel | None = None
        self.one_pass: OnePass | None = None
        self._obstacle = "" if model.can_split else "no stem"
        self._notice = ""
        self._n_whole = 0
        self._lock = threading.RLock()
        silence = np.zeros((1, self.card.window_samples), dtype=np.float32)
        n_outputs = self._run(silence).shape[1]
        if n_outputs != len(self.card.labels):
            raise CardError(
                f"{model.path}: the graph gives {n_outputs} scores, the card names "
                f"{len(self.card.labels)} labels: correct --labels or the card"
            )
        if model.live:
            self.split()

    @property
    def stride(self) -> int:
        """Samples between the places where windows that share work begin; 1 if none do."""
        return self.card.stem.stride if self.card.stem and not self._obstacle else 1

    def batch_size(self, hop: int) -> int:
        """Windows at once in recordings, unless told otherwise.

        Args:
            hop: Samples between the starts of two.
        """
        stem = self.card.stem
        if self.stride == 1 or stem is None:
            return BATCH
        if self.model.provider in DEVICES:
            return DEVICE_BATCH
        if not self.model.small:
            return SHARED_BATCH
        # A small network's frames are most of what is moved: no more of them than one stretch has.
        return max(1, min(round(stretch_of(self.card, stem) / hop), SHARED_BATCH))

    def score(self, waveforms: Array) -> Array:
        """Classify a batch.

        Args:
            waveforms: ``(windows, window_samples)`` float32 in [-1, 1].

        Returns:
            ``(windows, classes)`` float32: probabilities, or a regression's values.
        """
        return self._activate(self._run(waveforms))

    def open_stream(self) -> Callable[[Sequence[Window]], Array]:
        """Begin to score the windows of one stream, which share what work they can.

        Returns:
            A function from windows, in order and each only once, to ``(windows, classes)``.
        """
        shared: SharedStream | OnePass | None = None

        def score(windows: Sequence[Window]) -> Array:
            nonlocal shared
            parts = []
            while windows and not self._obstacle:
                if self._split is not None or self._n_whole >= WHOLE_FIRST:
                    split = self._split or self.split()
                    if split is None:
                        break
                    shared = shared or self.one_pass
                    shared = shared or SharedStream(split, self.card.window_samples)
                    parts.append(shared.logits(windows))
                    windows = ()
                else:
                    parts.append(self._run(stack(windows[:WHOLE_BATCH])))
                    self._n_whole += len(windows[:WHOLE_BATCH])
                    windows = windows[WHOLE_BATCH:]
            if windows:
                parts.append(self._run(stack(windows)))
            return self._activate(np.concatenate(parts))

        return score

    def split(self) -> SplitModel | None:
        """Cut the graph at its stem, if that is not done yet.

        Returns:
            The halves; None where the card names no stem, or none that holds: `take_notice` then
            says why.
        """
        with self._lock:
            if self._split is None and not self._obstacle:
                probe = probe_windows(self.card)
                whole = self._run(probe.whole)
                self.model.release()
                try:
                    split = split_and_check(self.model, probe, whole)
                    self._join(split, probe, whole)
                    self._split = split  # last: other threads go by it
                except Exception as error:
                    # Whatever it is: the whole graph answers as well, only slower.
                    self._obstacle = _describe(error)
                    self._notice = (
                        f"{self.model.path}: windows share no work: {self._obstacle}: "
                        "export it anew"
                    )
                    self.model.reopen()
            return self._split

    def _join(self, split: SplitModel, probe: Probe, whole: Array) -> None:
        """Where a GPU runs the halves, put them into one graph."""
        if self.model.provider not in DEVICES:
            return
        from streamclf.model.stem.one_pass import join_and_check

        try:
            self.one_pass = join_and_check(split, self.model, probe, whole)
        except Exception as error:
            self._notice = f"{self.model.path}: windows are cut on the CPU: {_describe(error)}"

    def take_notice(self) -> str:
        """What a listener should be told; empty if nothing, and after it was told."""
        notice, self._notice = self._notice, ""
        return notice

    def _activate(self, logits: Array) -> Array:
        return activate(logits, self.card.activation, self.card.temperature)

    def _run(self, waveforms: Array) -> Array:
        """Logits of windows that share nothing."""
        session = self.model.session
        if session is None and self._split is None:
            with self._lock:  # another thread is cutting the graph
                if self.model.session is None and self._split is None:
                    self.model.reopen()  # it could not be opened again when the cut had failed
                session = self.model.session
        if session is None:
            assert self._split is not None
            return self._split.separately(waveforms)
        size = {"single": 1}.get(self.model.layout, self.model.fixed_batch)
        if size is None and self.model.provider in ("cuda", "tensorrt"):
            # They prepare anew for each shape: a last batch is filled up to a power of two.
            size = 1 << (len(waveforms) - 1).bit_length()
        if size is None:
            return self._run_batch(session, waveforms)
        parts = []
        for start in range(0, len(waveforms), size):
            part = waveforms[start : start + size]
            padding = np.zeros((size - len(part), part.shape[1]), dtype=np.float32)
            parts.append(self._run_batch(session, np.concatenate([part, padding]))[: len(part)])
        return np.concatenate(parts)

    def _run_batch(self, session: Any, waveforms: Array) -> Array:
        model = self.model
        shaped = {"batch": waveforms, "batch-channel": waveforms[:, np.newaxis]}.get(
            model.layout, waveforms[0]
        )
        if model.input_type == "tensor(float16)":
            shaped = shaped.astype(np.float16)
        try:
            (output,) = session.run([model.output_name], {model.input_name: shaped})
        except Exception as error:  # ONNX Runtime raises types of its own that share no base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{model.path}: the graph fails on a window of {waveforms.shape[1]} samples: "
                f"{reason}: does it take windows of that length (--window)?"
            ) from error
        return self._as_rows(np.asarray(output, dtype=np.float32), len(waveforms))

    def _as_rows(self, output: Array, n_windows: int) -> Array:
        if self.model.layout == "single":
            # One window may come back as several frames, as YAMNet's does.
            frames = np.atleast_2d(output).reshape(-1, output.shape[-1] if output.ndim else 1)
            return np.asarray(frames.mean(axis=0, keepdims=True))
        if output.ndim < 1 or output.shape[0] != n_windows:
            raise ModelError(
                f"{self.model.path}: a batch of {n_windows} gave an output of shape "
                f"{output.shape}, which must begin with the batch size: "
                "export it so, or for a batch of 1"
            )
        return output.reshape(n_windows, -1)


def _describe(error: Exception) -> str:
    """Why the graph could not be cut; of an error that nobody foresaw, its kind as well."""
    reason = " ".join(str(error).split())[:200]
    return reason if isinstance(error, ModelError) else f"{type(error).__name__}: {reason}"


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


def stack(windows: Sequence[Window]) -> Array:
    """The windows' audio: ``(windows, window_samples)``."""
    return np.stack([window.waveform for window in windows])


def classify(
    items: Iterable[Window | Gap | Notice | Change],
    score: Callable[[list[Window]], Array],
    batch_size: int,
) -> Iterator[Scores | Gap | Notice | Change]:
    """Score windows in batches, keeping the order of everything.

    Args:
        items: Windows, gaps, notices and changes.
        score: Turns windows into ``(windows, classes)``.
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


def _scores(batch: list[Window], score: Callable[[list[Window]], Array]) -> Iterator[Scores]:
    if not batch:
        return
    values = score(batch)
    for window, row in zip(batch, values, strict=True):
        yield Scores(window.position, window.n_samples, row)
