# ruff: noqa: E402
"""Windows mixed without labels, and the teacher that says what is in them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_sets import write

from train.audio.mixtures import Mixtures, Source
from train.base.errors import DatasetError, UsageError
from train.datasets import Clip, ClipSet, open_clips
from train.nets.pocket_network import WINDOW_SAMPLES
from train.nets.yamnet import HINTS, N_OUTPUTS, N_SCORES, STARTS, Yamnet

pytestmark = pytest.mark.train


def test_a_window_is_the_same_for_the_same_chance_and_as_loud_as_drawn(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    mixtures = Mixtures([Source(clips, 1.0)], 0.1, WINDOW_SAMPLES)
    windows, taught = mixtures.draw(np.random.default_rng(3), 60)
    assert windows.shape == taught.shape == (60, WINDOW_SAMPLES)
    assert windows.dtype == taught.dtype == np.float32
    np.testing.assert_array_equal(windows, mixtures.draw(np.random.default_rng(3), 60)[0])
    peaks = 20 * np.log10(np.abs(taught).max(axis=1))
    assert -20.1 < peaks.min() < -15
    assert -5 < peaks.max() < 0.1


def test_most_windows_are_quieter_than_the_teacher_hears_them(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    mixtures = Mixtures([Source(clips, 1.0)], 0.1, WINDOW_SAMPLES)
    windows, taught = mixtures.draw(np.random.default_rng(3), 200)
    quieter = np.abs(taught).max(axis=1) / np.abs(windows).max(axis=1)
    np.testing.assert_allclose(windows * quieter[:, None], taught, atol=1e-6)
    quieter_db = 20 * np.log10(quieter)
    assert 0.5 < (quieter_db > 0.01).mean() < 0.7
    assert quieter_db.min() > -0.01
    assert 35 < quieter_db.max() < 40.01


def test_a_teacher_hears_windows_without_the_noise_that_lies_over_them(make_esc, monkeypatch):
    monkeypatch.setattr("train.audio.mixtures.QUIET_SHARE", 0.0)
    clips = open_clips(make_esc(folds=1), 16000)
    mixtures = Mixtures([Source(clips, 1.0)], 0.0, WINDOW_SAMPLES, through_noise=True)
    heard, taught = mixtures.draw(np.random.default_rng(3), 200)
    noise = heard - taught
    over = np.abs(noise).max(axis=1) > 0
    assert 0.6 < over.mean() < 0.8
    loudest = np.sqrt(np.square(taught[over].reshape(over.sum(), -1, 800)).mean(axis=2).max(axis=1))
    snr_db = 20 * np.log10(loudest / np.sqrt(np.square(noise[over]).mean(axis=1)))
    assert -0.1 < snr_db.min() < 5
    assert 25 < snr_db.max() < 30.1
    # What it hears are the tones of the clips; the noise is nowhere near as narrow.
    spectrum = np.square(np.abs(np.fft.rfft(np.stack([taught, noise])[:, over])))
    narrow = np.sort(spectrum, axis=2)[:, :, -200:].sum(axis=2) / spectrum.sum(axis=2)
    assert narrow[0].min() > 0.9
    assert np.median(narrow[1]) < 0.7


def test_sounds_come_from_every_source_by_its_share(make_esc, tmp_path):
    one = open_clips(make_esc(folds=1), 16000)
    for name in ("low/a", "high/b"):
        write(tmp_path / "more" / f"{name}.wav", seconds=2.0, frequency=6000.0, rate=16000)
    other = open_clips(tmp_path / "more", 16000, dataset="folder")
    mixtures = Mixtures([Source(one, 0.3), Source(other, 0.7)], 0.0, WINDOW_SAMPLES)
    random = np.random.default_rng(1)
    high = 0
    for _ in range(300):
        spectrum = np.abs(np.fft.rfft(mixtures._stretch(random, WINDOW_SAMPLES)))
        high += abs(np.argmax(spectrum) * 16000 / WINDOW_SAMPLES - 6000) < 50
    assert 0.6 < high / 300 < 0.8


def test_silent_clips_give_silence_not_an_endless_search():
    samples = np.zeros(20_000, np.int16)
    clips = ClipSet("silence", 16000, ("x",), (Clip("a", 1, 0, "a", 0, 20_000),), samples,
                    "CC0", "nobody", "")  # fmt: skip
    mixtures = Mixtures([Source(clips, 1.0)], 0.0, WINDOW_SAMPLES)
    drawn = mixtures._stretch(np.random.default_rng(1), WINDOW_SAMPLES)
    assert not drawn.any()
    assert np.isfinite(mixtures.draw(np.random.default_rng(1), 20)[0]).all()
    mixtures = Mixtures([Source(clips, 1.0)], 0.0, WINDOW_SAMPLES, through_noise=True)
    heard, taught = mixtures.draw(np.random.default_rng(1), 20)
    assert heard.any()
    assert not taught.any()


def test_a_teacher_that_is_none_is_refused(tmp_path, monkeypatch):
    class Interpreter:
        def __init__(self, path: str, **_: object) -> None:
            if b"TFL3" not in Path(path).read_bytes():
                raise ValueError("Model provided has model identifier '....', should be 'TFL3'")

        def allocate_tensors(self) -> None: ...

        def get_input_details(self) -> list:
            return [{"index": 0, "shape": np.array([160])}]

        def get_output_details(self) -> list:
            return [{"index": 1, "shape": np.array([1, 10])}]

        def get_tensor_details(self) -> list:
            return []

    package = type(sys)("ai_edge_litert.interpreter")
    package.Interpreter = Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", type(sys)("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", package)
    path = tmp_path / "teacher.tflite"
    with pytest.raises(DatasetError, match="no usable YAMNet"):
        Yamnet(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(DatasetError, match="should be 'TFL3'; expected is the TFLite file"):
        Yamnet(path)
    path.write_bytes(b"TFL3")
    with pytest.raises(DatasetError, match=r"takes \(160,\) and gives \(1, 10\)"):
        Yamnet(path)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UsageError, match="pip install ai-edge-litert"):
        Yamnet(path)


@pytest.mark.skipif(
    not (Path(__file__).parents[3] / "shared/data/teachers/yamnet.tflite").exists(),
    reason="needs shared/data",
)
def test_yamnet_hears_silence_and_speaks_in_scores():
    pytest.importorskip("ai_edge_litert")
    teacher = Yamnet(Path(__file__).parents[3] / "shared/data/teachers/yamnet.tflite")
    random = np.random.default_rng(1)
    heard = teacher.predict(np.stack([np.zeros(24_000), random.normal(0, 0.1, 24_000)]).astype("f"))
    assert heard.shape == (2, N_OUTPUTS)
    scores = heard[:, -N_SCORES:]
    assert scores.min() >= 0
    assert scores.max() <= 1
    _, *hints, _ = np.split(heard, STARTS, axis=1)
    assert [hint.shape[1] for hint in hints] == list(HINTS.values())
    for hint in hints:
        mean, maximum = np.split(hint, 2, axis=1)
        assert mean.min() >= 0
        assert (maximum >= mean).all()
        assert maximum.max() > mean.max()
    assert np.argmax(scores[0]) == 494  # "Silence" in its class map
    first = teacher.predict(np.zeros((1, 15_600), np.float32))
    np.testing.assert_allclose(first[0], heard[0], atol=1e-5)
