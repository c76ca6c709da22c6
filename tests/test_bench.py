"""`streamclf bench`: figures that belong together, of models with a stem and without."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import toys

from streamclf.checks.bench import Timing, count_microphones, measure, write_noise
from streamclf.cli.bench import bench as print_bench
from streamclf.core.errors import ModelError
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.stem.one_pass import OnePass

BASELINES = {"window_at_a_time", "batched", "bare_session"}


@pytest.fixture
def one_round(monkeypatch):
    """Measure each thing once, where the figures are not looked at."""
    monkeypatch.setattr("streamclf.checks.bench.ROUNDS", 1)


@pytest.fixture(params=[True, False], ids=["stem", "whole"])
def model(request, tmp_path):
    card = toys.toy_card(stem=toys.STEM if request.param else None)
    return request.param, toys.write_tone_detector(tmp_path / "tones.onnx", card)


def test_bench_measures_stages_and_baselines(model, streamclf):
    shares, path = model
    result = streamclf("bench", "--model", path, "--seconds", 6, "--json")
    assert result.code == 0
    figures = json.loads(result.out)
    assert set(figures["baselines"]) == BASELINES
    assert set(figures["stages"]) == ({"decoding", "stem", "head"} if shares else {"decoding"})
    assert figures["hop_s"] == 0.5
    for row in (figures, *figures["baselines"].values(), *figures["stages"].values()):
        assert row["x_real_time"] > 0
        assert row["cpu_s_per_hour"] >= 0
    # As many windows a second as their hop says.
    assert figures["windows_per_s"] == pytest.approx(2 * figures["x_real_time"], rel=0.25)
    latency = figures["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert figures["peak_mib"] > 10
    assert figures["start_up_s"] > 0
    assert figures["live_cpu_s_per_hour"] > 0
    assert figures["microphones"] > 0


@pytest.mark.usefixtures("one_round")
def test_bench_prints_a_table(model, streamclf):
    _, path = model
    result = streamclf("bench", "--model", path, "--seconds", 5, "--hop", 1)
    assert result.code == 0
    assert "a window every 1 s" in result.out
    for name in (*BASELINES, "whole pipeline", "decoding"):
        assert any(line.startswith(name) for line in result.out.splitlines())
    assert "p95" in result.out
    for name in (*BASELINES, "decoding"):  # what each row is, in words
        assert f"\n  {name}: " in result.out
    last = result.out.splitlines()[-1]
    assert re.fullmatch(r"this machine keeps up with \d+ microphones? at a hop of 1 s", last)


def test_microphones_are_as_many_as_time_and_memory_allow(monkeypatch):
    monkeypatch.setattr("streamclf.checks.bench.count_cores", lambda: 4)
    live = Timing(60, wall_s=[0.6], cpu_s=[0.3])  # 0.5 % of a processor, 1 % of a GPU

    def n_microphones(window_s=0.01, memory_mib=0.001, on_cpu=True):
        return count_microphones(live, window_s, 0.5, memory_mib, on_cpu=on_cpu)

    assert n_microphones() == 600
    assert n_microphones(on_cpu=False) == 75
    assert n_microphones(window_s=0.51) == 0
    assert n_microphones(memory_mib=1e9) == 0


@pytest.mark.usefixtures("one_round")
def test_a_machine_that_does_not_keep_up_is_told_what_helps(capsys, model):
    figures = measure(lambda live: Model(model[1], provider="cpu", live=live), Settings(1.0), 5)
    print_bench({**figures, "microphones": 0}, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("this machine does not keep up with a microphone at a hop of 1 s: ")


@pytest.mark.usefixtures("one_round")
def test_bench_of_a_hop_off_the_grid_measures_whole_windows(tmp_path):
    path = toys.write_tone_detector(tmp_path / "tones.onnx", toys.toy_card(stem=toys.STEM))
    hop = (round(0.5 * toys.RATE) + 1) / toys.RATE
    figures = measure(
        lambda live: Model(path, provider="cpu", live=live), Settings(hop, exact_hop=True), 5
    )
    assert set(figures["stages"]) == {"decoding"}


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, for which the CPU and its memory stand in."""
    for module in ("model.classifier", "model.stem.one_pass"):
        monkeypatch.setattr(f"streamclf.{module}.DEVICES", {"cpu": "cpu"})
    monkeypatch.setattr("streamclf.model.classifier.GPUS", ("cpu",))


@pytest.mark.usefixtures("one_round")
def test_bench_on_a_gpu_measures_one_graph_beside_whole_windows(tmp_path, gpu, monkeypatch):
    heard = []
    logits = OnePass.logits
    monkeypatch.setattr(OnePass, "logits", lambda *of: (heard.append(len(of[1])), logits(*of))[1])
    path = toys.write_tone_detector(tmp_path / "tones.onnx", toys.toy_card(stem=toys.STEM))
    figures = measure(lambda live: Model(path, provider="cpu", live=live), Settings(), 5)
    assert set(figures["stages"]) == {"decoding"}
    assert set(figures["baselines"]) == BASELINES
    assert heard.count(8) >= 2  # the bare session and the pipeline; the others are probes


@pytest.mark.usefixtures("one_round")
def test_bench_says_why_one_graph_is_not_measured(tmp_path, gpu, monkeypatch, capsys):
    def fails(*halves):
        raise ModelError("out of memory")

    monkeypatch.setattr("streamclf.model.stem.one_pass.join_and_check", fails)
    path = toys.write_tone_detector(tmp_path / "tones.onnx", toys.toy_card(stem=toys.STEM))
    figures = measure(lambda live: Model(path, provider="cpu", live=live), Settings(), 5)
    assert set(figures["baselines"]) == BASELINES
    assert (
        "out of memory: whole windows go to the GPU, which takes longer" in capsys.readouterr().err
    )


@pytest.mark.parametrize("seconds", ["0", "4.9", "nan"])
def test_bench_needs_some_audio(seconds, streamclf, tone_model):
    result = streamclf("bench", "--model", tone_model, "--seconds", seconds)
    assert result.code == 2
    assert "must be 5 or more" in result.err


def test_timing_gives_medians():
    timing = Timing(audio_s=10.0, n_windows=20, wall_s=[1.0, 2.0, 9.0], cpu_s=[0.5, 0.4, 3.0])
    assert timing.figures() == {"x_real_time": 5.0, "cpu_s_per_hour": 180.0, "windows_per_s": 10.0}


def test_noise_is_written_at_its_length_and_level_changes(tmp_path):
    write_noise(tmp_path / "n.wav", 3.5)
    samples, rate = soundfile.read(tmp_path / "n.wav")
    assert samples.shape == (round(3.5 * rate), 2)
    levels = [np.abs(samples[k * rate : (k + 1) * rate]).max() for k in range(3)]
    assert len({round(level, 3) for level in levels}) == 3


def test_peak_memory_grows_with_what_is_held():
    """In a process that has held little yet: this one may have held a gigabyte."""
    script = (
        "import numpy as np; from streamclf.checks.bench import peak_memory_mib as peak;"
        "before = peak(); held = np.ones((round(before) + 64) * 2**17); print(before, peak())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    before, after = map(float, run.stdout.split())
    assert after > before + 63


def test_bare_session_gets_the_windows_that_the_pipeline_scores(tmp_path):
    """The baseline would flatter itself if it had less to do."""
    from streamclf.checks import bench

    path = toys.write_tone_detector(tmp_path / "tones.onnx", toys.toy_card(stem=toys.STEM))
    classifier = Classifier(Model(path, provider="cpu"))
    write_noise(tmp_path / "n.wav", 6.0)
    windows = bench._cut(tmp_path / "n.wav", classifier.model, toys.RATE // 2, Settings())
    expected = classifier.score(np.stack([window.waveform for window in windows]))
    split = classifier.split()
    _, heads = bench._cut_chunks(split, windows, toys.RATE // 2)
    logits = np.concatenate([split.logits(batch) for batch in heads])
    given = classifier._activate(logits)
    np.testing.assert_allclose(given, expected, atol=1e-5)
