"""What tests of archives hear: recordings of tones, engines, and pieces of any lengths."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import toys

from streamclf.archive.piece import Piece, hear_piece, join
from streamclf.archive.whole import Heard, Keep, hear_whole
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording

ALL = Keep(levels=True, averages=True)


def tones(seconds: float, rate: int, seed: int = 1) -> np.ndarray:
    """Tones and silences one after another, some noise beneath them: ``(samples,)``."""
    random = np.random.default_rng(seed)
    n_samples = round(seconds * rate)
    parts: list[np.ndarray] = []
    while sum(part.size for part in parts) < n_samples:
        hz = random.choice([0.0, *toys.TONES.values()])
        length, level = random.uniform(0.3, 5), random.uniform(0.05, 0.6)
        parts.append(toys.tone(hz, length, rate, level))
    sound = np.concatenate(parts)[:n_samples]
    noise = random.normal(0, 2e-4, n_samples) * (sound != 0)
    return (sound + noise).astype(np.float32)


def engine_of(model: Path, features: bool = False, **settings: Any) -> Engine:
    """An engine with a model of one thread."""
    classifier = Classifier(Model(model, provider="cpu", n_threads=1), features=features)
    return Engine(classifier, Settings(**settings))


def hear_pieces(
    engine: Engine, path: Path, cuts: Iterable[int], keep: Keep = ALL
) -> tuple[list[Piece], Heard]:
    """Hear a recording in pieces, each stored and read again, and join them."""
    edges = [0, *sorted(set(cuts)), soundfile.info(path).frames]
    pieces = []
    for begin, end in pairwise(edges):
        with Recording(path) as recording:
            pieces.append(hear_piece(engine, recording, begin, end, keep))
    return pieces, join_stored(engine, path, pieces, keep)


def join_stored(engine: Engine, path: Path, pieces: Iterable[Piece], keep: Keep = ALL) -> Heard:
    """Join pieces that were stored meanwhile."""
    stored = [piece.to_parquet() for piece in pieces]
    with Recording(path) as recording:
        return join(engine, (Piece.from_parquet(data) for data in stored), recording, keep)


def hear(engine: Engine, path: Path, keep: Keep = ALL) -> Heard:
    """Hear a recording whole."""
    with Recording(path) as recording:
        return hear_whole(engine, recording, keep)


def assert_same(heard: Heard, expected: Heard) -> None:
    """See that two are the same to the last bit, but for how long they took."""
    for name in ("stream", "source_rate", "promised_s", "events", "gaps", "notices", "spans",
                 "minutes", "fault"):  # fmt: skip
        assert getattr(heard, name) == getattr(expected, name), name
    ours, theirs = heard.statistics.as_json(), expected.statistics.as_json()
    for name in ("scoring_s", "processing_s"):
        del ours[name], theirs[name]
    assert ours == theirs
    assert (heard.windows is None) == (expected.windows is None)
    if heard.windows is not None:
        for name in ("positions", "ends", "averages", "features"):
            np.testing.assert_array_equal(
                getattr(heard.windows, name), getattr(expected.windows, name), name
            )
