"""Sounds made by rule keep the rule."""

from __future__ import annotations

import numpy as np
import pytest

from train.datasets import made_sounds
from train.datasets.instruments import N_PROGRAMS, compose
from train.datasets.made_sounds import KINDS, SAMPLE_RATE, carbon_monoxide_alarm, smoke_alarm

pytestmark = pytest.mark.train


def pulses_of(sound: np.ndarray) -> list[tuple[float, float]]:
    """Begin and length of each stretch of sound, in seconds; gaps of 20 ms are none."""
    loud = np.convolve(np.abs(sound) > 0.05 * np.abs(sound).max(), np.ones(640), "same") > 0
    edges = np.flatnonzero(np.diff(np.r_[0, loud.astype(int), 0])).reshape(-1, 2)
    return [(a / SAMPLE_RATE, (b - a) / SAMPLE_RATE) for a, b in edges]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_finite_audible_and_of_some_seconds(kind: str) -> None:
    sound = KINDS[kind](np.random.default_rng(5))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() > 0.1
    assert 0.3 <= len(sound) / SAMPLE_RATE <= 40


@pytest.mark.parametrize("seed", range(5))
def test_smoke_alarm_has_three_pulses_and_a_pause(seed: int) -> None:
    found = pulses_of(smoke_alarm(np.random.default_rng(seed)))
    assert len(found) == 9
    gaps = np.diff([begin for begin, _ in found])
    short, long = gaps[0], gaps[2]
    assert np.allclose(gaps[[0, 1, 3, 4, 6, 7]], short, atol=0.05)
    # A second from pulse to pulse, and a second more behind the third.
    assert 0.85 < short < 1.15
    assert long == pytest.approx(2 * short, abs=0.1)


def test_carbon_monoxide_alarm_has_four_quick_pulses() -> None:
    found = pulses_of(carbon_monoxide_alarm(np.random.default_rng(1)))
    assert len(found) == 8
    gaps = np.diff([begin for begin, _ in found])
    assert np.allclose(gaps[:3], 0.2, atol=0.03)
    assert gaps[3] > 2


def test_takes_differ_and_the_same_take_is_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(made_sounds, "TAKES", 2)
    monkeypatch.setattr(made_sounds, "KINDS", {"beeps": KINDS["beeps"]})
    for folder in ("a", "b"):
        made_sounds.write_made_sounds(tmp_path / folder)
    files = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in files] == ["beeps-n00.flac", "beeps-n01.flac"]
    assert files[0].read_bytes() == (tmp_path / "b" / files[0].name).read_bytes()
    assert files[0].read_bytes() != files[1].read_bytes()


@pytest.mark.parametrize("program", [0, 124, N_PROGRAMS])
def test_score_is_a_midi_file_of_one_track(program: int) -> None:
    score = compose(program, np.random.default_rng(3))
    assert score[:8] == b"MThd\x00\x00\x00\x06"
    at = score.index(b"MTrk")
    assert int.from_bytes(score[at + 4 : at + 8], "big") == len(score) - at - 8
    assert score.endswith(b"\x00\xff\x2f\x00")
    assert (bytes([0xC0, program]) in score) == (program < N_PROGRAMS)
