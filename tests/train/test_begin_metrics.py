from __future__ import annotations

import math

import pytest

pytest.importorskip("networkx")

from train.evaluation.begin_metrics import Begin, evaluate_begins
from train.evaluation.event_metrics import Event

pytestmark = pytest.mark.train

TRUTH = [Event("a", "dog", 10.0, 12.0), Event("a", "dog", 20.0, 22.0), Event("b", "cat", 1.0, 2.0)]


def judged(*begins: Begin):
    return evaluate_begins(TRUTH, begins)


def test_delays_are_from_the_true_onset_to_when_it_was_told():
    figures = judged(Begin("a", "dog", 10.2, 11.0), Begin("b", "cat", 0.8, 2.5))
    assert sorted(figures.delays) == [pytest.approx(1.0), pytest.approx(1.5)]
    assert (figures.precision, figures.recall) == (1.0, pytest.approx(2 / 3))
    assert (figures.delay(50), figures.delay(100)) == (pytest.approx(1.25), pytest.approx(1.5))


@pytest.mark.parametrize(
    ("begin", "n_right"),
    [
        (Begin("a", "dog", 10.0, 9.9), 0),  # before there was anything
        (Begin("a", "dog", 8.0, 10.5), 1),  # placed early, told in time
        (Begin("a", "dog", 12.5, 13.0), 0),  # of something behind it
        (Begin("a", "dog", 11.0, 15.0), 1),
        (Begin("a", "dog", 11.0, 15.1), 0),  # too late
        (Begin("a", "cat", 10.0, 11.0), 0),
        (Begin("b", "dog", 10.0, 11.0), 0),
    ],
)
def test_begin_is_right_while_its_label_sounds(begin, n_right):
    assert len(judged(begin).delays) == n_right


def test_each_true_event_takes_one_begin():
    figures = judged(Begin("a", "dog", 10.0, 11.0), Begin("a", "dog", 11.5, 12.5))
    assert (len(figures.delays), figures.n_reported, figures.precision) == (1, 2, 0.5)


def test_nothing_told_has_no_precision():
    figures = judged()
    assert math.isnan(figures.precision)
    assert math.isnan(figures.delay(50))
    assert figures.recall == 0
