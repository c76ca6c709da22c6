from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
import torch
from test_export import make_run

import export.__main__ as export_main
from export.card import tuning
from export.card.tuning import EventSettings, Tuner, find_events, run_scenes
from export.tune import halve
from export.tune import main as tune_main
from streamclf import ArraySource, Engine, Settings, SoundEvent
from streamclf.core.card import Card
from train.audio.scenes import make_scenes
from train.datasets import open_clips
from train.nets.inference import softmax
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train

WINDOW = 8000
LABELS = ("dog", "rain", "water_drops")
TONES = (300.0, 600.0, 11700.0)


class ToneNet(torch.nn.Module):
    """Logits by the level of each class's own tone (the third lies folded back, at 4,300 Hz)."""

    def forward(self, waveform):
        power = torch.fft.rfft(waveform).abs()
        bins = [round(f * WINDOW / 16000) for f in (300.0, 600.0, 4300.0)]
        levels = torch.stack([power[:, b - 3 : b + 4].amax(dim=1) for b in bins], dim=1)
        return 4 * torch.log10(levels / power.mean(dim=1, keepdim=True) + 1e-3)


@pytest.fixture
def clips(make_esc):
    return open_clips(make_esc(per_class=4), 16000).of_folds([1])


@pytest.fixture
def heard(clips):
    scenes = make_scenes(clips, 4, seconds=30, snr_db=(20.0, 30.0))
    return run_scenes(ToneNet(), scenes, WINDOW)


def test_found_events_are_the_engines(heard):
    card = Card(name="t", labels=list(LABELS), sample_rate=16000, window_samples=WINDOW)

    class Scorer:
        def __init__(self):
            self.card = card

        def score(self, waveforms):
            with torch.inference_mode():
                logits = ToneNet()(torch.from_numpy(waveforms)).numpy()
            return softmax(logits, 0.5).astype(np.float32)

    listening = EventSettings(on=0.6, off_ratio=0.5, average_s=2.0, max_gap=0.5, min_duration=1.0)
    settings = Settings(average_s=2.0, thresholds=listening.thresholds)
    n_events = 0
    for one in heard:
        source = ArraySource(one.scene.waveform, 16000)
        expected = [
            (e.label, e.onset / 16000, e.offset / 16000)
            for e in Engine(Scorer(), settings).run(source)
            if isinstance(e, SoundEvent)
        ]
        found = find_events(one, LABELS, WINDOW, 0.5, listening)
        assert [(e.label, e.onset, e.offset) for e in found] == expected
        n_events += len(found)
    assert n_events


def test_tuning_finds_more_than_it_began_with(heard, monkeypatch):
    tuner = Tuner(heard, LABELS, WINDOW, 1.0)
    monkeypatch.setattr(tuning, "CHOICES", {"on": [0.3, 0.5, 0.9], "max_gap": [0.0, 1.0]})
    best = tuner.tune([4.0, 2.0])
    before, after = (
        tuner.evaluate(x)["events"]["f1"] for x in (EventSettings(average_s=4.0), best)
    )
    assert after > before
    assert tuner.tune().average_s == 3.0
    only = tuner.evaluate(best, 20.0)
    assert only["recordings"] == 2


def test_halve_keeps_classes_even_and_sources_together(clips):
    first, second = halve(clips)
    assert len(first.clips) == len(second.clips) == 6
    assert np.bincount(first.targets).tolist() == np.bincount(second.targets).tolist() == [2] * 3
    assert not set(first.sources) & set(second.sources)


def test_tune_command_writes_what_the_export_takes(make_esc, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tuning, "CHOICES", {"on": [0.3, 0.4], "max_gap": [0.5]})
    run = RunFolder(make_run(tmp_path / "run", labels=list(LABELS)))
    config = run.read_json("config.json")
    config["options"] = {}
    config["data"]["folder"] = str(make_esc(per_class=4))
    run.write_json("config.json", config)
    assert tune_main([str(run.path), "--scenes", "4"]) == 0
    assert "other clips, untuned: event F1" in capsys.readouterr().out
    said = json.loads((run.path / "events.json").read_text())
    assert said["judged"]["hours"] == pytest.approx(4 / 60, abs=1e-3)
    said["listening"] |= {"on": 0.4, "off_ratio": 0.5, "max_gap": 1.5, "min_duration": 0.5}
    run.write_json("events.json", said)
    tuned, _ = export_main.export(run.path, tmp_path / "tuned.onnx")
    thresholds = tuned.thresholds
    # 0.4 as tuned is below what counts as unknown here.
    assert thresholds.on == tuned.unknown.threshold > 0.4
    assert thresholds.off == round(0.5 * thresholds.on, 3)
    assert (thresholds.max_gap, thresholds.min_duration, thresholds.classes) == (1.5, 0.5, {})
    assert tuned.accuracy["soundscapes"]["event_f1"] == said["judged"]["events"]["f1"]
    precise, _ = export_main.export(run.path, tmp_path / "precise.onnx", precision=0.9)
    assert precise.accuracy["events"]["precision"] >= 0.85
    # Figures say whose thresholds they are of.
    assert tuned.accuracy["soundscapes"]["thresholds"] == "those of this card"
    assert tuned.accuracy["soundscapes"]["tuned"]["on"] == said["listening"]["on"]
    assert "not those of this card" in precise.accuracy["soundscapes"]["thresholds"]
    assert precise.thresholds.off == pytest.approx(precise.thresholds.on / 2, abs=1e-3)
    assert (precise.thresholds.max_gap, precise.thresholds.min_duration) == (1.5, 0.5)


def test_tune_command_fails_in_one_line(tmp_path, capsys):
    small = make_run(tmp_path / "small", n_clips=10)
    for arguments, said in (
        ([str(small)], "tuning needs 50"),
        ([str(tmp_path)], "no run folder"),
        ([str(small), "--scenes", "1"], "--scenes is 1"),
    ):
        assert tune_main(arguments) in (1, 2)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
