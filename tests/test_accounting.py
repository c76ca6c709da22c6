"""What elapsed is what arrived and what is missing, to the sample, from the command line too."""

import json
import math

import numpy as np
import pytest
import soundfile
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap, Notice, rescale
from streamclf.core.stats import MAX_LISTED, Statistics
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.base import Source
from streamclf.sources.simulated.faults import parse_name
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

KEYS = {
    "sample_rate", "elapsed_samples", "delivered_samples", "gap_samples", "gaps", "windows",
    "windows_skipped", "windows_undefined", "hop_changes",
}  # fmt: skip
LENGTH_S = 30.0


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sounds") / "scene.wav"
    parts = [toys.silence(10), toys.tone(1000, 10), toys.silence(10)]
    soundfile.write(path, np.concatenate(parts), toys.RATE)
    return path


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


def assert_balanced(stats: dict) -> None:
    assert stats["delivered_samples"] + stats["gap_samples"] == stats["elapsed_samples"]
    assert sum(gap["n_samples"] for gap in stats["gaps"]) == stats["gap_samples"]
    assert all(gap["cause"] and gap["n_samples"] > 0 for gap in stats["gaps"])


def test_listen_writes_statistics_that_balance(streamclf, tmp_path, tone_model, sound):
    path = tmp_path / "stats.json"
    source = f"sim:{sound}?overflow=4,0.25&unplug=12.02,3&stall=22,1&drift=60&jitter=3"
    result = streamclf(
        "listen", "--source", source, "--speed", "0", "--model", tone_model, "--stats", path
    )
    assert result.code == 0
    stats = json.loads(path.read_text())
    assert set(stats) >= KEYS
    assert_balanced(stats)
    assert stats["sample_rate"] == toys.RATE
    assert abs(stats["elapsed_samples"] - LENGTH_S * toys.RATE) < 0.02 * toys.RATE
    assert {gap["cause"] for gap in stats["gaps"]} == {"overflow", "device lost", "stalled"}
    told = [line for line in result.lines if line["type"] == "gap"]
    assert [(g["cause"], round(g["onset"] * toys.RATE)) for g in told] == [
        (g["cause"], g["position"]) for g in stats["gaps"]
    ]
    assert stats["windows"] > 0
    assert stats["windows_skipped"] == stats["hop_changes"] == 0
    (line,) = [line for line in result.err.splitlines() if "heard" in line]
    n_gaps = len(stats["gaps"])
    assert f"{n_gaps} gaps (" in line
    for cause in ("overflow", "device lost", "stalled"):
        assert f"{cause} " in line


def test_file_writes_statistics_that_balance(streamclf, tmp_path, tone_model, sound, write_wav):
    cut = write_wav(toys.tone(440, 5), "cut.wav")
    cut.write_bytes(cut.read_bytes()[:-16_000])
    path = tmp_path / "stats.json"
    for jobs in (1, 2):
        result = streamclf(
            "file", sound, cut, "--model", tone_model, "--stats", path, "--jobs", jobs,
            "--overwrite",
        )  # fmt: skip
        assert result.code == 1  # one is cut short
        stats = json.loads(path.read_text())
        assert set(stats) >= KEYS
        assert_balanced(stats)
        assert stats["elapsed_samples"] == 35 * toys.RATE
        assert stats["gaps"] == [
            {"cause": "truncated", "position": 32_000, "n_samples": 8000, "source": str(cut)}
        ]


def test_stats_never_replace_a_file(streamclf, tmp_path, tone_model, sound):
    path = tmp_path / "stats.json"
    path.write_text("mine")
    result = streamclf("file", sound, "--model", tone_model, "--stats", path)
    assert result.code == 2
    assert "exists already: add --overwrite" in result.err
    assert path.read_text() == "mine"


def test_stats_that_cannot_be_written_are_one_line(streamclf, tmp_path, tone_model, sound):
    (tmp_path / "file").write_text("in the way of a folder")
    path = tmp_path / "file" / "stats.json"
    result = streamclf("file", sound, "--model", tone_model, "--stats", path)
    assert result.code == 1
    assert f"{path}: {path.parent} is a file, a folder is needed" in result.err
    assert len(result.err.splitlines()) == 1


@settings(max_examples=25, deadline=None)
@given(
    overflow=st.sampled_from(["", "overflow=1.7,0.2", "overflow=5,0.01"]),
    spells=st.lists(
        st.tuples(st.sampled_from(["stall", "unplug"]), st.integers(2, 290), st.integers(1, 60)),
        max_size=3,
    ),
    jitter=st.sampled_from([0, 8]),
    rate=st.sampled_from(["", "rate=11025"]),
)
def test_engine_balances_for_any_mix_of_faults(classifier, sound, overflow, spells, jitter, rate):
    parts = [f"{kind}={at / 10},{length / 10}" for kind, at, length in spells]
    query = "&".join(filter(None, [overflow, *parts, f"jitter={jitter}", rate]))
    path, faults = parse_name(f"{sound}?{query}")
    engine = Engine(classifier)
    with SimulatedMicrophone(path, speed=0, faults=faults) as microphone:
        results = list(engine.run(microphone))
    counts = engine.statistics
    assert counts.delivered_samples + counts.gap_samples == counts.elapsed_samples
    gaps = [result for result in results if isinstance(result, Gap)]
    assert [(g.cause, g.position, g.n_samples, "") for g in gaps] == list(counts.gaps)
    assert_balanced(counts.as_json())
    slack = (len(gaps) + 1) * (0.008 * toys.RATE if jitter else 2) + 2
    assert math.isclose(counts.elapsed_samples, LENGTH_S * toys.RATE, abs_tol=slack)


class Scripted(Source):
    """Blocks and gaps of any rate, end to end."""

    name = "scripted"
    live = True

    def __init__(self, steps) -> None:
        self.steps = steps

    def blocks(self, sample_rate):
        position, before = 0, None
        for is_gap, n_samples, rate in self.steps:
            position = position if before is None else rescale(position, before, rate)
            before = rate
            if is_gap:
                yield Gap(position, n_samples, rate, "overflow")
            else:
                yield Block(position, np.zeros((1, n_samples), np.float32), rate)
            position += n_samples


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 40_000), st.sampled_from([8000, 44_100, 16_000])),
    min_size=1,
    max_size=15,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_engine_counts_what_elapsed_at_any_rates(classifier, steps):
    """The length is told by the positions alone, what arrived and is missing by the samples."""
    engine = Engine(classifier)
    ends = [0]
    engine_items = engine.run(Scripted(steps), on_audio=lambda item: ends.append(item.end))
    assert not [r for r in engine_items if isinstance(r, Notice) and r.level == "warning"]
    counts = engine.statistics
    assert counts.delivered_samples + counts.gap_samples == counts.elapsed_samples == ends[-1]
    truth_s = sum(n_samples / rate for _, n_samples, rate in steps)
    assert abs(counts.elapsed_samples / toys.RATE - truth_s) < (len(steps) + 1) * 3 / toys.RATE


@given(
    runs=st.lists(st.tuples(STEPS, st.sampled_from([8000, 11_025, 16_000])), max_size=6),
    rate=st.sampled_from([8000, 44_100]),
)
def test_statistics_of_models_of_several_rates_balance(runs, rate):
    """In the rate of the first; each gap is there, none is longer than it was."""
    total, truth_s, n_gaps = Statistics(), 0.0, 0
    for number, (steps, own_rate) in enumerate([([(False, 100, 0)], rate), *runs]):
        counts = Statistics(own_rate if number else rate)
        for is_gap, n_samples, _ in steps:
            if is_gap:
                counts.add_gap("overflow", counts.elapsed_samples, n_samples)
                n_gaps += 1
            else:
                counts.delivered_samples += n_samples
            counts.elapsed_samples += n_samples
        truth_s += counts.elapsed_samples / counts.sample_rate
        total.add(counts)
    stats = total.as_json()
    assert_balanced(stats)
    assert stats["sample_rate"] == rate
    assert stats["n_gaps"] == len(stats["gaps"]) == n_gaps
    assert sum(n for _, n in total.gaps.by_cause.values()) == stats["gap_samples"]
    assert stats["elapsed_samples"] == pytest.approx(truth_s * rate, abs=len(runs) + n_gaps + 1)


def test_gaps_that_are_listed_no_more_are_counted_at_another_rate_too():
    counts = Statistics(8000, elapsed_samples=10 * MAX_LISTED, delivered_samples=5 * MAX_LISTED)
    for number in range(MAX_LISTED + 10):
        counts.add_gap("stalled", 10 * number, 4)
    counts.delivered_samples -= counts.gap_samples - 5 * MAX_LISTED
    halved = counts.at_rate(4000)
    assert halved.gap_samples == 2 * (MAX_LISTED + 10)
    assert halved.gaps.by_cause == {"stalled": [MAX_LISTED + 10, 2 * (MAX_LISTED + 10)]}
    assert halved.delivered_samples + halved.gap_samples == halved.elapsed_samples


def test_statistics_stay_small_over_weeks():
    counts = Statistics(toys.RATE)
    for number in range(3 * MAX_LISTED):
        counts.add_gap("overflow" if number % 3 else "stalled", number, 5)
    stats = counts.as_json()
    assert len(stats["gaps"]) == MAX_LISTED
    assert stats["gaps"][-1]["position"] == 3 * MAX_LISTED - 1
    by_cause = stats["gaps_by_cause"]
    assert sum(cause["n_samples"] for cause in by_cause.values()) == stats["gap_samples"]
    assert by_cause["stalled"] == {"n_gaps": MAX_LISTED, "n_samples": 5 * MAX_LISTED}
