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

RATE = 16_000
HOP_S = 0.5
HOP = round(HOP_S * RATE)
MN04_S = 2.0
"""Window of mn04: long enough for it to recognise something, short enough for an event."""
MN04_BATCH = 16


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
    """

    name: str
    card: Card

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

    def __init__(self, path: Path) -> None:
        from train.nets.yamnet import INPUT_SAMPLES, N_FEATURES, Yamnet

        self._net, self._window, self._size = Yamnet(path), INPUT_SAMPLES, N_FEATURES
        self.card = make_card(self.name, INPUT_SAMPLES)

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""
        windows, positions = cut(waveform, self._window)
        return heard(self._net.predict(windows)[:, : self._size], positions, self._window)


class Mn04Ear:
    """The features of EfficientAT's mn04, in windows of `MN04_S`."""

    name = "mn04"

    def __init__(self, path: Path) -> None:
        from train.nets.efficientat import open_efficientat

        self._net, _ = open_efficientat(path)
        self._window = round(MN04_S * RATE)
        self.card = make_card(self.name, self._window)

    def hear(self, waveform: Waveform) -> Heard:
        """Hear ``(samples,)`` at `RATE`."""
        import soxr
        import torch

        windows, positions = cut(waveform, self._window)
        rows = []
        for start in range(0, len(windows), MN04_BATCH):
            batch = soxr.resample(windows[start : start + MN04_BATCH].T, RATE, 2 * RATE).T
            with torch.inference_mode():
                rows.append(self._net(torch.from_numpy(np.ascontiguousarray(batch)))[0].numpy())
        return heard(np.concatenate(rows), positions, self._window)


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
