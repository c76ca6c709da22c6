"""Is the bundled model what its card says it is?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import onnxruntime

from streamclf.card import METADATA_KEY, parse_card
from streamclf.classifier import Classifier
from streamclf.model import Model, find_model
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
    assert MODEL.stat().st_size < 2_000_000
    assert len(card.labels) == 52
    assert card.labels[-2:] == ["speech", "music"]
    assert (card.sample_rate, card.window_samples) == (16000, 24000)
    assert "CC BY-NC" in card.licence
    assert "GPL" in card.licence
    assert "folds 1, 2, 3, 4" in card.training_data
    assert "teacher" in card.training_data
    assert card.accuracy["averaged_windows"] >= 0.81
    assert "held out fold 4" in card.accuracy["cross_validated"]
    low, high = card.accuracy["interval_95"]
    assert low < card.accuracy["averaged_windows"] < high
    assert card.accuracy["calibration"]["error"] < 0.05
    assert card.unknown is not None
    assert all(card.thresholds.of(label).on >= card.unknown.threshold for label in card.labels)
    assert set(card.precisions) >= {"0.8", "0.9"}


def test_permissive_model_is_of_the_clips_that_may_be_used_commercially():
    path = MODEL.with_name("pocket-esc10.onnx")
    model = Model(find_model("esc10"), provider="cpu")
    assert model.path == path
    assert path.stat().st_size < 1_000_000
    assert len(model.card.labels) == 10
    assert model.card.licence.startswith("CC BY 3.0")
    assert model.card.training_data.startswith("esc10, folds 1, 2, 3, 4: 320 clips")
    assert "speech" not in model.card.training_data
    assert model.card.accuracy["averaged_windows"] >= 0.9
    assert model.card.accuracy["calibration"]["error"] < 0.05


def test_bundled_models_windows_share_all_but_their_end(card):
    assert card.stem is not None
    # Half a second is five strides of a tenth.
    assert card.stem.stride == 1600
    split = Classifier(Model(MODEL, provider="cpu")).split()
    assert split is not None


@pytest.mark.data
def test_bundled_model_knows_what_it_was_trained_on(card, session, data_dir, tmp_path):
    """The card's figures are of a run that held fold 4 out; this network saw it."""
    clips = open_clips(data_dir / "esc50", card.sample_rate, out=tmp_path / "prepared")
    clips = clips.of_folds([4])
    logits, owners = [], []
    for index in range(len(clips.clips)):
        waveform = clips.waveform(index)
        starts = window_starts(len(waveform), card.window_samples, card.sample_rate // 2)
        windows = np.stack([waveform[start : start + card.window_samples] for start in starts])
        logits.append(session.run(None, {"waveform": windows})[0])
        owners += [index] * len(starts)
    heard = WindowLogits(np.concatenate(logits), np.array(owners), clips.targets)
    assert clips.labels == tuple(card.labels[:50])
    assert heard.clip_accuracy() >= card.accuracy["averaged_windows"]
    assert heard.window_accuracy() >= card.accuracy["single_windows"]
