"""Networks as they hear a stream: features every half second, whatever network gives them.

Models of the product are heard by its own engine. YAMNet (ai-edge-litert) and EfficientAT's mn04
(PyTorch) are heard in windows of their own, to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streamclf import ArraySource, Average, Classifier, Engine, Model, Settings, find_model
from streamclf.core.card import Card
from streamclf.core.records import Waveform
from streamclf.model.features import random_signs
from streamclf.teach.common_sounds import read_common_sounds

RATE = 16_000
HOP_S = 0.5
HOP = round(HOP_S * RATE)
MN04_S = 1.5
"""Window of mn04, of which it hears the context as well (`Mn04Ear`)."""
KEPT = 256
"""Values to which the features of foreign networks are added up, as those of the models are."""
PIECE_S, PIECE_STEP_S = 10.0, 7.0
"""Length and distance of the pieces that mn04 hears at a time."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What a network heard in a stretch of audio.

    Attributes:
        features: ``(windows, size)`` float32.
        positions: ``(windows,)``, first sample of each window at `RATE`.
        lengths: ``(windows,)``, samples of each.
    """

    features: npt.NDArray[np.float32]
    positions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.uint32]


class Ear(Protocol):
    """A network that gives features.

    Attributes:
        name: For tables.
        card: Card of the model; of a foreign network one that says how it is listened to.
        common: Features of common sounds that come with the model, ``(windows, size)``.
    """

    name: str
    card: Card
    common: npt.NDArray[np.float32]

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""


class ModelEar:
    """A model of the product, heard by its engine."""

    def __init__(self, name: str) -> None:
        model = Model(find_model(name), provider="cpu")
        self.card, self.name = model.card, model.card.name
        if self.card.sample_rate != RATE:
            raise SystemExit(f"{name}: hears at {self.card.sample_rate} Hz; name one of {RATE} Hz")
        self._engine = Engine(Classifier(model, features=True), Settings(HOP_S, average_s=0.0))
        assert model.features is not None
        self.common = read_common_sounds(model.features.digest)

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""
        averages = [
            item
            for item in self._engine.run(ArraySource(waveform, RATE))
            if isinstance(item, Average)
        ]
        kept = [each.scores for each in averages if each.scores.features is not None]
        return Heard(
            np.stack([each.features for each in kept if each.features is not None]),
            np.array([each.position for each in kept]),
            np.array([each.n_samples for each in kept], np.uint32),
        )


class YamnetEar:
    """YAMNet's embeddings, before its last layer."""

    name = "YAMNet"
    common = np.zeros((0, 0), np.float32)

    def __init__(self, path: Path) -> None:
        from train.nets.yamnet import INPUT_SAMPLES, N_FEATURES, Yamnet

        self._net, self._window, self._size = Yamnet(path), INPUT_SAMPLES, N_FEATURES
        self._signs = random_signs(N_FEATURES, KEPT)
        self.card = make_card(self.name, INPUT_SAMPLES)

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""
        windows, positions = cut(waveform, self._window)
        rows = self._net.predict(windows)[:, : self._size] @ self._signs
        return heard(rows, positions, self._window)


class Mn04Ear:
    """The features of EfficientAT's mn04, which hears 10 s at a time.

    It recognises much less in shorter pieces. A window has the mean of the columns of its last map
    that lie in it, as in the training of the models of the product; so it knows up to 10 s around
    the window, behind it as well.
    """

    name = "mn04"
    common = np.zeros((0, 0), np.float32)

    def __init__(self, path: Path) -> None:
        from train.distillation.heard import column_weights
        from train.nets.efficientat import N_FEATURES, open_efficientat

        self._net, _ = open_efficientat(path)
        self._window = round(MN04_S * RATE)
        self._signs = random_signs(N_FEATURES, KEPT)
        self._weights = column_weights(round(10 * (PIECE_S - MN04_S)) + 1)[:: round(10 * HOP_S)]
        self.card = make_card(self.name, self._window)

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""
        waveform = np.pad(waveform, (0, max(0, self._window - waveform.size)))
        starts = np.arange(0, waveform.size - self._window + 1, HOP)
        piece, step = round(PIECE_S * RATE), round(PIECE_STEP_S * RATE)
        rows = np.zeros((len(starts), KEPT), np.float32)
        for begin in range(0, max(waveform.size - piece + step, 1), step):
            values = self._columns(waveform[begin : begin + piece])
            # The first second of a piece but the first is known better from the one before.
            skipped = 2 if begin else 0
            first = begin // HOP + skipped
            kept = rows[first : begin // HOP + len(values)]
            kept[:] = values[skipped : skipped + len(kept)]
        return heard(rows, starts.tolist(), self._window)

    def _columns(self, piece: Waveform) -> npt.NDArray[np.float32]:
        """Means of the columns in each window of a piece; a shorter piece is repeated."""
        import soxr
        import torch

        from train.distillation.heard import hear_columns

        size = round(PIECE_S * RATE)
        whole = np.tile(piece, -(-size // piece.size))[:size]
        audio = soxr.resample(whole, RATE, 2 * RATE).astype(np.float32)
        with torch.inference_mode():
            columns, _ = hear_columns(self._net, torch.from_numpy(audio)[None])
            return (self._weights @ columns[0]).numpy() @ self._signs


def make_card(name: str, window: int) -> Card:
    """A card that says how a foreign network is listened to."""
    return Card(
        name=name, labels=["-"], task="multi-label", activation="sigmoid", sample_rate=RATE,
        window_samples=window,
    )  # fmt: skip


def cut(waveform: Waveform, window: int) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Cut windows, one every hop; a shorter sound is repeated."""
    if waveform.size < window:
        waveform = np.tile(waveform, -(-window // waveform.size))[:window]
    starts = list(range(0, waveform.size - window + 1, HOP))
    return np.stack([waveform[start : start + window] for start in starts]), starts


def heard(rows: npt.NDArray[np.float32], positions: list[int], window: int) -> Heard:
    """Collect windows of one length."""
    return Heard(
        np.ascontiguousarray(rows, np.float32), np.array(positions, np.int64),
        np.full(len(positions), window, np.uint32),
    )  # fmt: skip


def open_ear(name: str) -> Ear:
    """Open a network: ``yamnet=FILE``, ``mn04=FILE``, or a model of the product."""
    kind, _, path = name.partition("=")
    if path and kind == "yamnet":
        return YamnetEar(Path(path))
    if path and kind == "mn04":
        return Mn04Ear(Path(path))
    return ModelEar(name)
