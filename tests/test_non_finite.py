from __future__ import annotations

import numpy as np
import pytest
import toys

from streamclf.core.card import Thresholds
from streamclf.core.records import Average, Notice, SoundEvent, StreamStarted
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource

SOUND = np.concatenate([toys.tone(1000, 6), toys.silence(4), toys.tone(440, 6)])
"""middle at 0-6 s, low at 10-16 s."""


class Failing:
    """A classifier whose network overflows in some windows."""

    def __init__(self, classifier: Classifier, bad: dict[int, float]) -> None:
        self.classifier, self.card, self.bad, self.n = classifier, classifier.card, bad, 0

    def score(self, waveforms: np.ndarray) -> np.ndarray:
        scores = self.classifier.score(waveforms)
        for row in scores:
            row[0] = self.bad.get(self.n, row[0])
            self.n += 1
        return scores


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


@pytest.mark.parametrize("kind", ["mean", "exponential"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_windows_without_numbers_are_left_out_and_the_rest_goes_on(classifier, kind, batch_size):
    how = Settings(
        hop_s=0.5, average_s=2.0, average_kind=kind, batch_size=batch_size,
        thresholds=Thresholds(0.5, 0.4),
    )  # fmt: skip
    whole = list(Engine(classifier, how).run(ArraySource(SOUND, toys.RATE)))
    engine = Engine(Failing(classifier, {3: np.nan, 4: np.inf, 9: -np.inf}), how)
    results = list(engine.run(ArraySource(SOUND, toys.RATE)))
    averages = [item for item in results if isinstance(item, Average)]
    assert all(np.isfinite(average.values).all() for average in averages)
    n_windows = sum(isinstance(item, Average) for item in whole)
    assert len(averages) == n_windows - 3
    events = [item.label for item in results if isinstance(item, SoundEvent)]
    assert [label for label in events if label != "quiet"] == ["middle", "low"]
    (notice,) = [item for item in results if isinstance(item, Notice)]
    assert notice.message.startswith("the model gives nan instead of scores for the window at 1.50")
    assert engine.statistics.n_non_finite == 3
    assert engine.statistics.n_windows == n_windows - 3
    assert engine.statistics.as_json()["windows_undefined"] == 3
    assert "3 windows without scores" in engine.statistics.summary()


def test_a_network_that_never_gives_numbers_finds_nothing_and_says_so_once(classifier):
    engine = Engine(Failing(classifier, dict.fromkeys(range(100), np.nan)), Settings())
    results = list(engine.run(ArraySource(SOUND, toys.RATE)))
    assert [type(item) for item in results] == [StreamStarted, Notice]
    assert engine.statistics.n_windows == 0
