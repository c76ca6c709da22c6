"""Is the bundled model what its card says it is?"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import onnx
import onnxruntime

from streamclf.core.card import METADATA_KEY, parse_card
from streamclf.core.records import Window
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.stem.shared_frames import SharedStream
from train.datasets import open_clips
from train.nets.inference import WindowLogits, window_starts

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


README = Path(__file__).parents[2] / "README.md"


def readme_says(pattern: str) -> list[float]:
    """The numbers of a sentence in README, wherever its lines end."""
    found = re.search(pattern, " ".join(README.read_text(encoding="utf-8").split()))
    assert found, f"README has no {pattern}"
    return [float(number) for number in found.groups()]


NUMBER = r"(\d+(?:\.\d+)?)"
RANGE = rf"{NUMBER} to {NUMBER}"


@pytest.mark.parametrize(
    ("pattern", "where", "scale"),
    [
        (rf"it finds {RANGE} % of the sounds", ("soundscapes", "event_recall"), 100),
        (rf"{RANGE} % of what it reports is right", ("soundscapes", "event_precision"), 100),
        (rf"event F1 {RANGE}\)", ("soundscapes", "event_f1"), 1),
        (rf"they are off by {RANGE} on average", ("calibration", "folds", "error"), 1),
        (rf"; {RANGE} of whole clips", ("calibration", "folds", "error_of_clips"), 1),
        (rf"40 dB lower it names {RANGE} % of held-out", ("levels", "folds", "-40"), 100),
        (rf"names {NUMBER} % \({RANGE}\) of the 480 clips", None, 100),
    ],
)  # fmt: skip
def test_figures_in_the_readme_are_those_of_the_card(card, pattern, where, scale):
    """A figure that flatters is worth less than none: README quotes the file that ships."""
    if where is None:
        figures = [card.accuracy["averaged_windows"], *card.accuracy["interval_95"]]
    else:
        figures = card.accuracy
        for name in where:
            figures = figures[name]
    assert readme_says(pattern) == pytest.approx([scale * one for one in figures], abs=0.051)


def test_figures_of_the_card_name_thresholds_fold_and_command(card):
    scenes = card.accuracy["soundscapes"]
    assert scenes["thresholds"] == "those of this card"
    assert scenes["fold"] not in (1, 2, 3, 4)
    assert "python -m train.event_scores" in scenes["protocol"]
    assert "not this card's" in scenes["tuned"]["thresholds"]
    false_alarms = card.accuracy["false_alarms"]
    assert set(false_alarms["per_hour"]) >= {
        "made noise",
        "steady tones",
        "sweeps",
        "stepped tones",
    }
    assert "python -m train.cross_dataset pocket" in false_alarms["protocol"]
    assert "averages, not to windows" in card.accuracy["calibration"]["applied"]
    assert "--test-fold 0" in card.description


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("pocket", "5429ed45e36bb56cfa6b81a9a182a4164499aaa7eeb105cbc621ab54b8398575"),
        ("pocket-esc10", "355dca939a15d51f221f64dfdeaaf42be5d832f9cc6ebaa92ee31956af7e5fdb"),
    ],
)
def test_weights_are_those_that_the_figures_are_of(name, digest):
    """Whoever changes a graph measures it anew."""
    graph = onnx.load(MODEL.with_name(f"{name}.onnx")).graph
    assert hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest() == digest


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


@pytest.mark.slow
@pytest.mark.data
def test_bundled_model_knows_what_it_was_trained_on(card, data_dir, prepared_esc50):
    """The card's figures are of a run that held fold 4 out; this network saw it."""
    clips = open_clips(data_dir / "esc50", card.sample_rate, out=prepared_esc50)
    clips = clips.of_folds([4])
    split = Classifier(Model(MODEL, provider="cpu")).split()
    logits, owners = [], []
    for index in range(len(clips.clips)):
        waveform, size = clips.waveform(index), card.window_samples
        starts = window_starts(len(waveform), size, card.sample_rate // 2)
        windows = [Window(start, waveform[start : start + size], size) for start in starts]
        logits.append(SharedStream(split, size).logits(windows))
        owners += [index] * len(starts)
    heard = WindowLogits(np.concatenate(logits), np.array(owners), clips.targets)
    assert clips.labels == tuple(card.labels[:50])
    assert heard.clip_accuracy() >= card.accuracy["averaged_windows"]
    assert heard.window_accuracy() >= card.accuracy["single_windows"]
