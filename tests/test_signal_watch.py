"""Whether a live source has a signal: digital silence for minutes is that of a dead ear."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from streamclf.core.records import Block, Gap, Notice
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.signal_watch import SignalWatch
from streamclf.sources.array import ArraySource

RATE = 100
LIMIT_S = 300.0


class Ear:
    """A watch over a source of 100 Hz that is heard in real time."""

    def __init__(self, limit_s: float = LIMIT_S, block_s: float = 0.5) -> None:
        self.now_s = 1000.0
        self.watch = SignalWatch(lambda: self.now_s)
        self._limit_s, self._block_s = limit_s, block_s
        self._position = 0

    def hear(self, seconds: float, value: float | np.ndarray = 0.0) -> list[str]:
        """Hear so much, and return the notices."""
        waveform = np.broadcast_to(np.asarray(value, np.float32), (1, round(seconds * RATE)))
        size = round(self._block_s * RATE)
        blocks = (waveform[:, at : at + size] for at in range(0, waveform.shape[1], size))
        return [text for each in blocks for text in self._take(each)]

    def lose(self, seconds: float) -> None:
        n_samples = round(seconds * RATE)
        self.now_s += seconds
        gap = Gap(self._position, n_samples, RATE, "device lost")
        assert [*self.watch.watch([gap], lambda: self._limit_s)] == [gap]
        self._position += n_samples

    def _take(self, waveform: np.ndarray) -> list[str]:
        block = Block(self._position, waveform, RATE)
        self._position, self.now_s = block.end, self.now_s + block.n_samples / RATE
        *notices, heard = self.watch.watch([block], lambda: self._limit_s)
        assert heard is block
        assert all(each.position == block.position for each in notices)
        return [f"{each.level}: {each.message}" for each in notices]


def noise(seconds: float, level: float) -> np.ndarray:
    """The lowest bits of a quiet room: now one value, now the other."""
    return level * np.random.default_rng(0).integers(0, 2, round(seconds * RATE))


@pytest.mark.parametrize("block_s", [0.5, 7.0])
@pytest.mark.parametrize("value", [0.0, -1 / 32768, 0.25])
def test_one_value_for_minutes_is_no_signal_and_its_end_is_told(value, block_s):
    ear = Ear(block_s=block_s)
    ear.hear(10, noise(10, 0.01))
    told = ear.hear(LIMIT_S - 8, value)
    assert not told
    assert not ear.watch.is_silent
    (told,) = ear.hear(1000, value)
    assert told.startswith("warning: no signal for 5 min 0")
    assert told.endswith(", only digital silence: is it muted, or unplugged?")
    assert ear.watch.is_silent
    assert ear.watch.still_since_s == pytest.approx(1010, abs=block_s)
    told = ear.hear(10, noise(10, 0.01))
    assert [each[:30] for each in told] == ["info: a signal again after 21 "]
    assert not ear.watch.is_silent
    assert ear.watch.still_since_s is None
    assert ear.watch.signal_at_s == ear.now_s


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_a_quiet_room_has_a_signal(bits):
    ear = Ear()
    assert ear.hear(2 * LIMIT_S, noise(2 * LIMIT_S, 2.0 ** (1 - bits))) == []


def test_pauses_are_no_loss_and_gaps_count_for_nothing():
    ear = Ear()
    for _ in range(5):
        assert ear.hear(LIMIT_S - 1) == []
        ear.hear(0.5, noise(0.5, 0.5))
    ear.hear(LIMIT_S - 10)
    ear.lose(500)
    assert ear.hear(9) == []
    assert len(ear.hear(2)) == 1


def test_it_may_be_left_alone():
    ear = Ear(limit_s=0.0)
    assert ear.hear(1000) == []
    assert ear.watch.signal_at_s == ear.now_s


@pytest.mark.parametrize("live", [False, True])
def test_recordings_may_be_silent(tone_model, live):
    """A recording's silence was recorded; a live source's may be that of a dead ear."""

    class Source(ArraySource):
        pass

    Source.live = live
    model = Classifier(Model(tone_model, provider="cpu"))
    engine = Engine(model, Settings(silent_after_s=2.0, hop_s=1.0))
    heard = [*engine.run(Source(toys.silence(5)[np.newaxis], toys.RATE))]
    notices = [each.message for each in heard if isinstance(each, Notice)]
    assert len(notices) == live
    assert engine.signal.is_silent is live
