import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.card import Thresholds
from streamclf.core.records import Average, Change, Gap, Scores
from streamclf.pipeline.average import average

values = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


def scores_of(numbers: list[float], hop: int, start: int = 0) -> list[Scores]:
    return [
        Scores(start + i * hop, 15, np.array([number, 1 - number], dtype=np.float32))
        for i, number in enumerate(numbers)
    ]


def averages(items, n_samples: int, kind: str = "mean") -> list[float]:
    return [float(a.values[0]) for a in average(items, n_samples, kind) if isinstance(a, Average)]


@given(numbers=values, hop=st.integers(1, 10), n_samples=st.integers(0, 60))
def test_average_is_the_mean_of_the_windows_that_ended_lately(numbers, hop, n_samples):
    ends = [i * hop + 15 for i in range(len(numbers))]
    expected = [
        np.mean(
            [v for v, e in zip(numbers, ends, strict=True) if end - n_samples < e <= end] or [now]
        )
        for end, now in zip(ends, numbers, strict=True)
    ]
    np.testing.assert_allclose(averages(scores_of(numbers, hop), n_samples), expected, atol=1e-6)


@given(numbers=values, hop=st.integers(1, 10), n_samples=st.integers(1, 60))
def test_average_exponential_weighs_by_age(numbers, hop, n_samples):
    expected = []
    for i in range(len(numbers)):
        weights = np.exp(-2.0 * hop * np.arange(i, -1, -1) / n_samples)
        expected.append(np.dot(weights, numbers[: i + 1]) / weights.sum())
    got = averages(scores_of(numbers, hop), n_samples, "exponential")
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_average_starts_anew_behind_a_gap(kind):
    gap = Gap(100, 50, 10, "test")
    items = [*scores_of([1, 1, 1], 10), gap, *scores_of([0, 0], 10, 150)]
    assert averages(items, 1000, kind) == [1, 1, 1, 0, 0]
    assert list(average(items, 1000, kind))[3] is gap


@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_average_of_nothing_leaves_scores_alone(kind):
    assert averages(scores_of([0, 1, 0.5], 10), 0, kind) == [0, 1, 0.5]


def test_average_keeps_the_windows_own_scores():
    last = list(average(scores_of([0, 1], 10), 100))[-1]
    assert last.scores.values[0] == 1
    assert (last.position, last.end) == (10, 25)


@pytest.mark.parametrize("n_labels", [1, 2, 5])
def test_means_of_many_windows_are_sums_in_the_order_of_time(n_labels):
    """To the last bit, so that results do not depend on how the windows are stored."""
    rows = np.random.default_rng(n_labels).normal(0, 1, (400, n_labels)).astype(np.float32)
    items = [Scores(10 * k, 100, row) for k, row in enumerate(rows)]
    items.insert(300, Change(3000, 10, 400, Thresholds(0.5, 0.4)))
    found = [each.values for each in average(items, 1000) if isinstance(each, Average)]
    for k, values in enumerate(found):
        recent = rows[max(0, k + 1 - (100 if k < 300 else 40)) : k + 1].astype(np.float64)
        expected = sum(recent, np.zeros(n_labels)) / len(recent)
        np.testing.assert_array_equal(values, expected.astype(np.float32))
