"""Where a taught label's bar lies, and what its layer is fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from streamclf.model.model_file import Model
from streamclf.teach.backtest import Replay
from streamclf.teach.bar import ENDS_AT, THRESHOLD, Bar, Heard, choose_bar
from streamclf.teach.examples import Example, Passage
from streamclf.teach.fit import Background, Fit
from streamclf.teach.lesson import _Apart, _fit, _hold_out
from streamclf.teach.past import PastStream

HOP_S = 0.5
NONE = np.zeros(0, np.float32)


def bump(height: float, n_windows: int = 16) -> np.ndarray:
    values = np.zeros(n_windows, np.float32)
    values[5:11] = height
    return values


def past_of(*heights: float, hours: float = 10, n_windows: int = 6) -> np.ndarray:
    """A past of nothing with short sounds of these heights, a minute between two."""
    values = np.zeros(round(hours * 7200), np.float32)
    for number, height in enumerate(heights):
        values[120 * (number + 1) :][:n_windows] = height
    return values


def bar_for(heights: list[float], past: np.ndarray, at_most: float) -> float:
    heard = Heard([bump(each) for each in heights], [(past, HOP_S)], NONE, HOP_S)
    return choose_bar(heard, at_most).value


def test_a_bar_lies_between_the_past_and_the_examples() -> None:
    past = past_of(*np.linspace(1, 4, 60))
    assert 4 < bar_for([9, 10, 11, 12], past, at_most=0.1) < 9


def test_a_bar_rises_to_the_wanted_number_of_events_but_keeps_most_examples() -> None:
    past = past_of(*np.linspace(2, 8, 60))
    heights = [5.0, 8.0, 10.0, 11.0, 12.0]
    calm, strict = (bar_for(heights, past, at_most) for at_most in (4.0, 0.1))
    assert strict > calm
    assert Bar(strict).count_events(past, HOP_S) <= 0.1 * 10
    crowded = past_of(*np.linspace(2, 30, 60))
    kept = bar_for(heights, crowded, at_most=0.1)
    assert sum(Bar(kept).is_found(bump(each), HOP_S) for each in heights) >= 3


def test_common_sounds_stand_in_for_a_past() -> None:
    scenes = [bump(each) for each in (6, 7, 8, 9)]
    few = choose_bar(Heard(scenes, [], np.zeros(700, np.float32), HOP_S), 50.0)
    common = np.linspace(0, 5, 700).astype(np.float32)
    many = choose_bar(Heard(scenes, [], common, HOP_S), 50.0)
    assert few.value < many.value <= 8
    assert choose_bar(Heard([NONE], [], NONE, HOP_S), 0.02).value > 0


def test_a_bar_means_the_threshold_of_the_label() -> None:
    bar = Bar(7.0)
    on, off = bar.scores(np.array([7.0, 7.0 * ENDS_AT], np.float32))
    assert on == pytest.approx(THRESHOLD.on)
    assert off == pytest.approx(THRESHOLD.off, rel=1e-3)


@pytest.mark.parametrize("n_windows", [1, 2, 6])
def test_events_are_counted_as_a_replay_finds_them(n_windows) -> None:
    random = np.random.default_rng(3)
    values = past_of(*random.uniform(3, 15, 50), hours=1, n_windows=n_windows)
    bar = Bar(6.0)
    logits = values * np.float32(bar.gain) + np.float32(bar.constant)
    n = values.size
    stream = PastStream(
        "kitchen", 16_000, np.zeros(n, np.int64), np.arange(n) * 8000,
        np.full(n, 24_000, np.uint32), logits, HOP_S,
    )  # fmt: skip
    replayed = [*Replay(Model("pocket").card).events(stream, THRESHOLD)]
    assert 20 < bar.count_events(values, HOP_S) == len(replayed) < 50


def test_a_fit_parts_an_example_from_what_is_taken_for_it() -> None:
    random = np.random.default_rng(1)
    common = random.normal(0, 1, (2000, 16)).astype(np.float32)
    near = random.normal(0, 0.3, (40, 16)).astype(np.float32)
    near[:, :2] += 4.0, 2.0
    own = random.normal(0, 0.3, (12, 16)).astype(np.float32)
    own[:, 0] += 4.0
    windows = np.concatenate([common, near])

    def margin(settings: Fit) -> float:
        background = Background(windows, None, settings)
        direction, _ = background.fit([own[:6], own[6:]])
        values = [background.whiten(rows) for rows in (own, near, common)]
        assert all(np.isfinite(each).all() for each in values)
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (own, near, common)]
        of_own, of_near, of_common = (rows @ direction for rows in unit)
        return float((of_own.mean() - of_near.mean()) / of_common.std())

    assert margin(Fit()) > 1.2 * margin(Fit(nearest=0.0, decay=3.0))


@pytest.mark.parametrize(("n_examples", "kept"), [(2, 0.97), (3, 0.94), (5, 0.88), (7, 0.88)])
def test_an_example_that_is_left_out_counts_less_where_there_are_many(n_examples, kept) -> None:
    random = np.random.default_rng(2)
    windows = random.normal(0, 1, (200, 6)).astype(np.float32)
    examples = []
    for number in range(n_examples):
        features = random.normal(1, 0.5, (4, 6)).astype(np.float32)
        passage = Passage(features, np.zeros((4, 1), np.float32), np.ones(4), 2.0)
        examples.append(Example(f"{number}.wav", passage, (passage,)))
    apart = _Apart(Background(windows), windows)
    held_out = _hold_out(apart, examples, _fit(apart, [each.windows for each in examples]))
    without_first = _fit(apart, [each.windows for each in examples[1:]])
    whole = without_first.values(examples[0].scenes[0].features)
    assert held_out[0] == pytest.approx(kept * whole, rel=1e-5)
