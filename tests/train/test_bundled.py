"""Is the bundled model what its card says it is?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import onnxruntime

from streamclf.card import METADATA_KEY, parse_card
from train.datasets import open_clips
from train.hearing import WindowLogits, window_starts

pytestmark = pytest.mark.train

MODEL = Path(__file__).parents[2] / "streamclf" / "models" / "pocket.onnx"


@pytest.fixture(scope="module")
def session():
    return onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def card(session):
    return parse_card(session.get_modelmeta().custom_metadata_map[METADATA_KEY], MODEL.name)


def test_bundled_model_is_small_and_names_its_data_and_licence(card):
    assert MODEL.stat().st_size < 4_000_000
    assert len(card.labels) == 50
    assert (card.sample_rate, card.window_samples) == (16000, 24000)
    assert "CC BY-NC" in card.licence
    assert "folds 1, 2, 3" in card.training_data
    assert "teacher" in card.training_data
    assert card.accuracy["fold"] == 4
    assert card.accuracy["clips"] == 400
    assert card.accuracy["averaged_windows"] >= 0.6


@pytest.mark.data
def test_bundled_model_is_as_right_as_its_card_says(card, session, data_dir, tmp_path):
    clips = open_clips(data_dir / "esc50", card.sample_rate, out=tmp_path / "prepared")
    clips = clips.of_folds([card.accuracy["fold"]])
    logits, owners = [], []
    for index in range(len(clips.clips)):
        waveform = clips.waveform(index)
        starts = window_starts(len(waveform), card.window_samples, card.sample_rate // 2)
        windows = np.stack([waveform[start : start + card.window_samples] for start in starts])
        logits.append(session.run(None, {"waveform": windows})[0])
        owners += [index] * len(starts)
    heard = WindowLogits(np.concatenate(logits), np.array(owners), clips.targets)
    assert clips.labels == tuple(card.labels)
    assert heard.clip_accuracy(card.temperature) == pytest.approx(
        card.accuracy["averaged_windows"], abs=0.005
    )
    assert heard.window_accuracy() == pytest.approx(card.accuracy["single_windows"], abs=0.005)
