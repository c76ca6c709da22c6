from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from train.evaluation.metrics import (
    area_under_curve,
    confusion,
    interval_95,
    per_class,
    ranks,
    reliability,
    spearman,
)

pytestmark = pytest.mark.train

SCORES = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.3, 0.7, 0]])
TARGETS = np.array([0, 1, 1, 1])


def test_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263.
    low, high = interval_95(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert interval_95(10, 10)[1] == pytest.approx(1)


@pytest.mark.parametrize("n", range(1, 2000, 37))
def test_interval_lies_within_what_a_proportion_can_be(n):
    """Else "-0.0%" is said of clips none of which was right."""
    for low, high in (interval_95(0, n), interval_95(n, n)):
        assert 0 <= low <= high <= 1
        assert not f"{low:.1%}".startswith("-")


def test_confusion_counts_clips_of_each_class_by_what_they_are_named():
    assert confusion(SCORES, TARGETS).tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_per_class_gives_recall_and_precision_or_nothing():
    classes = per_class(confusion(SCORES, TARGETS), ("a", "b", "c"))
    assert classes["a"] == {"clips": 1, "recall": 1.0, "precision": 0.5}
    assert classes["b"] == {"clips": 3, "recall": 0.6667, "precision": 1.0}
    assert classes["c"] == {"clips": 0, "recall": None, "precision": None}


def test_reliability_weighs_each_bin_by_its_clips():
    error, bins = reliability(SCORES, TARGETS)
    assert sum(row["clips"] for row in bins) == 4
    # Bins: 0.6 (wrong), 0.7, 0.8 and 0.9 (right).
    assert error == pytest.approx((0.6 + 0.3 + 0.2 + 0.1) / 4)
    assert reliability(np.eye(3), np.arange(3))[0] == 0


def test_ranks_share_the_mean_of_equal_values():
    assert ranks(np.array([3, 1, 1, 2])).tolist() == [4, 1.5, 1.5, 3]


def test_spearman_sees_order_alone():
    x = np.arange(1, 9)
    assert spearman(x, x**3) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    assert spearman(x, np.ones(8)) is None


def test_area_under_curve_counts_pairs():
    values, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert area_under_curve(values, positive) == pytest.approx(0.75)
    assert area_under_curve(np.ones(4), positive) == pytest.approx(0.5)
    assert area_under_curve(values, np.zeros(4, dtype=bool)) is None
