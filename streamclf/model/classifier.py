"""Classification of windows: from audio to scores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import CardError, ModelError, ProviderError
from streamclf.core.records import Change, Gap, Notice, Scores, Window
from streamclf.model.model_file import Model
from streamclf.model.providers import GPUS
from streamclf.model.stem.shared_frames import (
    BATCH,
    DEVICE_BATCH,
    DEVICES,
    SHARED_BATCH,
    SharedStream,
)
from streamclf.model.stem.split_model import (
    SplitModel,
    chunk_samples,
    probe_windows,
    split_and_check,
)

if TYPE_CHECKING:
    from streamclf.model.stem.one_pass import OnePass

Array = npt.NDArray[np.float32]


WHOLE_FIRST = 32
"""Windows of recordings that the whole graph scores before it is cut in two. Cutting, and comparing
the parts with the whole, take as long as these windows: a short clip should not wait for that."""
WHOLE_BATCH = 8
"""Batch size of the whole graph until then; stem and head take larger batches in less memory."""
WHOLE_FIRST_ON_GPU = 4096
"""The same of one graph on a GPU, where each of the windows after them takes a quarter to half a
millisecond less, and joining the graph and trying it takes a second or two."""


class Classifier:
    """A model's session as a function from waveforms to scores.

    If the card names a stem, the windows of a stream share its work (`open_stream`): in live use
    from the first window on, in recordings after `WHOLE_FIRST` windows. The session of the whole
    graph is then closed. A stem that differs from the card is noticed when the graph is cut, and is
    not used. On CUDA stem and head are joined into one graph, which takes audio instead of windows
    (`streamclf.model.stem.one_pass`): in recordings, after `WHOLE_FIRST_ON_GPU` windows. In live
    use, and on TensorRT, windows share nothing: the whole graph takes whole windows in batches.

    Args:
        model: An open model. It is run once on silence, which warms it up and checks its output
            against its card.
        one_graph: Run stem and head as one graph on a CUDA device, so that windows share work
            there; None where that pays, False never. If it fails, a notice says so, and the whole
            graph is used.
        features: Have the model give the features of each window as well, which are then in the
            `Scores` of its streams. The model gives them from then on.

    Attributes:
        model: As given.
        card: Its card.
        shares: Whether the windows of a stream are to share work, if the card names a stem.
        one_pass: The joined graph on a CUDA device; None before the model's graph is cut.
        features: Form of the features that are given; None where they are not asked for.

    Raises:
        CardError: The output has another number of classes than the card has labels.
        ModelError: The graph fails on a window of its own size, ``one_graph`` is requested for a
            model without a stem, or ``features`` of one whose card names none.
        ProviderError: ``one_graph`` is requested, and the model does not run on CUDA.
    """

    def __init__(
        self, model: Model, *, one_graph: bool | None = None, features: bool = False
    ) -> None:
        self.model = model
        self.card = model.card
        if one_graph:
            _check_one_graph(model)
        self._asked = bool(one_graph)
        if one_graph is None:
            one_graph = model.provider in DEVICES and model.can_split and not model.live
        self._one_graph = one_graph
        self.shares = one_graph or model.provider not in GPUS
        if features:
            model.give_features()
        self.features = model.features if features else None
        self._n_given = model.features.size if model.features else 0
        self._split: SplitModel | None = None
        self.one_pass: OnePass | None = None
        self._obstacle = "" if model.can_split else "no stem"
        self._notice = ""
        self._n_whole = 0
        self._lock = threading.RLock()
        silence = np.zeros((1, self.card.window_samples), dtype=np.float32)
        n_outputs = self._run(silence).shape[1] - self._n_given
        if self._n_given and self.card.features is not None and n_outputs != len(self.card.labels):
            n_values = n_outputs + self._n_given - len(self.card.labels)
            raise CardError(
                f"{model.path}: the graph gives {n_values} features beside the scores of "
                f"{len(self.card.labels)} labels, its card says {self._n_given}: correct features "
                "in the card, or name them anew with python -m export.restate MODEL.onnx --features"
            )
        if n_outputs != len(self.card.labels):
            raise CardError(
                f"{model.path}: the graph gives {n_outputs} scores, the card names "
                f"{len(self.card.labels)} labels: correct --labels or the card"
            )
        if model.live:
            self.split()

    @property
    def stride(self) -> int:
        """Grid, in samples, on which windows share work; 1 if they share none.

        It is the same on a GPU, where windows share nothing: hops must not depend on the machine.
        """
        return self.card.stem.stride if self.card.stem and not self._obstacle else 1

    def batch_size(self, hop: int) -> int:
        """Return the default number of windows in a batch of a recording.

        Args:
            hop: Samples between the starts of two windows.
        """
        stem = self.card.stem
        if self.stride == 1 or stem is None or not self.shares:
            return BATCH
        if self._one_graph:
            return DEVICE_BATCH
        if not self.model.small:
            return SHARED_BATCH
        # A small network spends most time on moving frames: a batch has those of one chunk at most.
        return max(1, min(round(chunk_samples(self.card, stem) / hop), SHARED_BATCH))

    def score(self, waveforms: Array) -> Array:
        """Classify a batch.

        Args:
            waveforms: ``(windows, window_samples)`` float32 in [-1, 1].

        Returns:
            ``(windows, classes)`` float32: probabilities, or a regression's values.
        """
        return self._activate(self._run(waveforms))[:, : len(self.card.labels)]

    def open_stream(self) -> Callable[[Sequence[Window]], Array]:
        """Begin to score the windows of one stream, with work shared where possible.

        Returns:
            A function that takes windows, in order and each only once, and returns scores
            ``(windows, classes)``. Where features are given, they follow in the same rows:
            ``(windows, classes + size)``.
        """
        shared: SharedStream | OnePass | None = None
        n_first, size = (
            (WHOLE_FIRST_ON_GPU, BATCH) if self._one_graph else (WHOLE_FIRST, WHOLE_BATCH)
        )

        def score(windows: Sequence[Window]) -> Array:
            nonlocal shared
            parts = []
            while windows and self.shares and not self._obstacle:
                if self._split is not None or self._n_whole >= n_first:
                    split = self._split or self.split()
                    if split is None:
                        break
                    shared = shared or self.one_pass
                    shared = shared or SharedStream(split, self.card.window_samples)
                    parts.append(shared.logits(windows))
                    windows = ()
                else:
                    parts.append(self._run(stack(windows[:size])))
                    self._n_whole += len(windows[:size])
                    windows = windows[size:]
            if windows:
                parts.append(self._run(stack(windows)))
            return self._activate(np.concatenate(parts))

        return score

    def split(self) -> SplitModel | None:
        """Cut the graph at its stem, unless that has been done.

        Returns:
            Stem and head. None if windows share nothing on this provider, or if the card names no
            stem or a wrong one: `take_notice` then says why.
        """
        with self._lock:
            if self._split is None and self.shares and not self._obstacle:
                probe = probe_windows(self.card)
                whole = self._run(probe.whole)
                self.model.release()
                way_out = "export it anew"
                try:
                    split = split_and_check(self.model, probe, whole)
                    if self._one_graph:
                        from streamclf.model.stem.one_pass import join_and_check

                        way_out = (
                            "leave one_graph out"
                            if self._asked
                            else "whole windows go to the GPU, which takes longer"
                        )
                        self.one_pass = join_and_check(split, self.model, probe, whole)
                    self._split = split  # last: other threads go by it
                except Exception as error:
                    # Any error: the whole graph gives the same scores, only more slowly.
                    self._obstacle = _describe(error)
                    self._notice = (
                        f"{self.model.path}: windows share no work: {self._obstacle}: {way_out}"
                    )
                    self.model.reopen()
            return self._split

    def take_notice(self) -> str:
        """Return the notice for the listener, and clear it; empty if there is none."""
        notice, self._notice = self._notice, ""
        return notice

    def _activate(self, logits: Array) -> Array:
        """Turn logits into scores; features, which stand behind the logits, stay as they are."""
        card, n_labels = self.card, len(self.card.labels)
        scores = activate(logits[:, :n_labels], card.activation, card.temperature, card.n_taught)
        return np.concatenate([scores, logits[:, n_labels:]], axis=1) if self.features else scores

    def _run(self, waveforms: Array) -> Array:
        """Compute the logits of windows that share nothing."""
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
        if size is None and self.model.provider in GPUS:
            # These providers prepare each new shape, so a last batch is padded to a power of two.
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


def _check_one_graph(model: Model) -> None:
    """Refuse ``one_graph`` for a provider or a model that cannot run it.

    Raises:
        ProviderError: The model does not run on CUDA.
        ModelError: The model has no stem, or takes only batches of one size.
    """
    if model.provider not in DEVICES:
        raise ProviderError(
            f"one_graph is for a model that runs on CUDA, this one runs on {model.provider} "
            f"({model.provider_reason}): open it with provider='cuda', or leave one_graph out"
        )
    if not model.can_split:
        raise ModelError(
            f"{model.path}: one_graph needs a card that names a stem, and batches of any size: "
            "export it anew, or leave one_graph out"
        )


def _describe(error: Exception) -> str:
    """Explain why the graph could not be cut; the type of an unexpected error is included."""
    reason = " ".join(str(error).split())[:200]
    return reason if isinstance(error, ModelError) else f"{type(error).__name__}: {reason}"


def activate(logits: Array, activation: str, temperature: float = 1.0, n_taught: int = 0) -> Array:
    """Turn logits ``(windows, classes)`` into scores of the same shape.

    Args:
        logits: As the graph gives them.
        activation: From the card.
        temperature: From the card.
        n_taught: Number of last classes whose scores are the sigmoid of their logits.
    """
    if n_taught:
        n_others = logits.shape[1] - n_taught
        others = activate(logits[:, :n_others], activation, temperature)
        own = activate(logits[:, n_others:], "sigmoid")
        return np.concatenate([others, own], axis=1)
    if activation == "none":
        return logits
    scaled = logits / np.float32(temperature)
    if activation == "sigmoid":
        # Written with tanh, which does not overflow.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scaled)), dtype=np.float32)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def stack(windows: Sequence[Window]) -> Array:
    """Stack the audio of windows: ``(windows, window_samples)``."""
    return np.stack([window.waveform for window in windows])


def classify(
    items: Iterable[Window | Gap | Notice | Change],
    score: Callable[[list[Window]], Array],
    batch_size: int,
    n_labels: int | None = None,
) -> Iterator[Scores | Gap | Notice | Change]:
    """Score windows in batches, keeping the order of everything.

    Args:
        items: Windows, gaps, notices and changes.
        score: Turns windows into ``(windows, classes)``.
        batch_size: Windows per batch; 1 scores each window as soon as it comes.
        n_labels: Number of classes; None for all values of a row. What stands behind them are
            features, unless one of them is not finite.
    """
    batch: list[Window] = []
    for item in items:
        if isinstance(item, Window):
            batch.append(item)
            if len(batch) < batch_size:
                continue
        yield from _scores(batch, score, n_labels)
        batch = []
        if not isinstance(item, Window):
            yield item
    yield from _scores(batch, score, n_labels)


def _scores(
    batch: list[Window], score: Callable[[list[Window]], Array], n_labels: int | None
) -> Iterator[Scores]:
    if not batch:
        return
    values = score(batch)
    for window, row in zip(batch, values, strict=True):
        features = row[n_labels:] if n_labels is not None and row.size > n_labels else None
        if features is not None and not np.isfinite(features).all():
            features = None
        yield Scores(window.position, window.n_samples, row[:n_labels], features=features)
