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
from streamclf.model.model_file import Model
from streamclf.model.options import DEFAULT_MODEL
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
    for fold in (3, 4):
        assert f"held out fold {fold}" in card.accuracy["cross_validated"]
    low, high = card.accuracy["interval_95"]
    assert low < card.accuracy["averaged_windows"] < high
    assert card.accuracy["calibration"]["error"] < 0.05
    assert card.unknown is not None
    assert all(card.thresholds.of(label).on >= card.unknown.threshold for label in card.labels)
    assert set(card.precisions) >= {"0.8", "0.9"}


ROOT = Path(__file__).parents[2]


def page_says(page: str, pattern: str) -> list[float]:
    """The numbers of a sentence on a page, wherever its lines end."""
    found = re.search(pattern, " ".join((ROOT / page).read_text(encoding="utf-8").split()))
    assert found, f"{page} has no {pattern}"
    return [float(number) for number in found.groups()]


NUMBER = r"(\d+(?:\.\d+)?)"
RANGE = rf"{NUMBER} to {NUMBER}"


FIGURES_PAGE = "docs/explanation/figures.md"


@pytest.mark.parametrize(
    ("page", "pattern", "where", "scale"),
    [
        (page, pattern, where, scale)
        for pattern, where, scale, pages in [
            (rf"finds {RANGE} % of the sounds", "soundscapes event_recall", 100, 2),
            (rf"{RANGE} % of what it reports is right", "soundscapes event_precision", 100, 1),
            (rf"event F1 {RANGE}\)", "soundscapes event_f1", 1, 2),
            (rf"off by {RANGE} on average", "calibration folds error", 1, 1),
            (rf"by {RANGE} over whole clips", "calibration folds error_of_clips", 1, 1),
            (rf"40 dB lower `pocket` names {RANGE} % of held-out", "levels folds -40", 100, 1),
            (rf"names {NUMBER} % \({RANGE}\) of the 960 clips", "", 100, 2),
        ]
        for page in (FIGURES_PAGE, "README.md")[:pages]
    ],
)  # fmt: skip
def test_figures_that_are_told_are_those_of_the_card(card, page, pattern, where, scale):
    """A figure that flatters is worth less than none: pages quote the file that ships."""
    figures = card.accuracy
    for name in where.split():
        figures = figures[name]
    if not where:
        figures = [figures["averaged_windows"], *figures["interval_95"]]
    assert page_says(page, pattern) == pytest.approx([scale * one for one in figures], abs=0.051)


def test_readme_tells_the_figures_of_the_default():
    """Those of false events above all, by which it was chosen."""
    told = Model(DEFAULT_MODEL, provider="cpu").card.accuracy
    per_hour = told["false_alarms"]["per_hour"]
    kinds = (
        rf"{NUMBER} false events? in an hour of a quiet room, {NUMBER} in noise, {NUMBER} in speech"
    )
    found = page_says("README.md", rf"{kinds}, {NUMBER} in music")
    shown = [per_hour[kind]["default"] for kind in ("quiet", "noise", "speech", "music")]
    assert found == pytest.approx(shown, abs=0.5)
    assert not any(figures["0.9"] for figures in per_hour.values())  # "there was none"
    found = page_says(
        "README.md", rf"names {NUMBER} % \({RANGE}\) of the {NUMBER} clips of a fold of"
    )
    shown = [100 * each for each in (told["averaged_windows"], *told["interval_95"])]
    assert found == pytest.approx([*shown, told["clips"]], abs=0.051)
    scenes = told["soundscapes"]
    found = page_says(
        "README.md", rf"finds {NUMBER} % of the sounds, within a second, and {NUMBER} % of what it "
        rf"reports is right \(event F1 {NUMBER}\)",
    )  # fmt: skip
    shown = [100 * scenes["event_recall"], 100 * scenes["event_precision"], scenes["event_f1"]]
    assert found[:2] == pytest.approx(shown[:2], abs=0.5)
    assert found[2] == pytest.approx(shown[2], abs=0.005)


def test_figures_of_the_card_name_thresholds_fold_and_command(card):
    scenes = card.accuracy["soundscapes"]
    assert scenes["thresholds"].startswith("those that the other fold's soundscapes give")
    assert scenes["fold"] == [3, 4]
    assert "by the network of the run that held the fold out" in scenes["protocol"]
    assert "python -m train.event_scores" in scenes["protocol"]
    assert "this card's are their medians" in scenes["tuned"]["thresholds"]
    assert scenes["tuned"]["on"] == card.thresholds.on
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


def test_weights_are_those_that_the_figures_are_of():
    """Whoever changes the graph measures it anew."""
    digest = "8647b59dd0325921a350a32e1d3409571b14eb3492c6601e5a1e8e39d1c8e4d5"
    graph = onnx.load(MODEL).graph
    assert hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest() == digest


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
