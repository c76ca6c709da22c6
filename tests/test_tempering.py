import numpy as np
import pytest

from streamclf.core.records import Average, Scores
from streamclf.core.temperature import temper, untemper
from streamclf.model.classifier import activate
from streamclf.pipeline.average import average

LOGITS = np.random.default_rng(1).normal(0, 4, (6, 5)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tempering_one_window_is_dividing_its_logits(temperature):
    plain, divided = (activate(LOGITS, "softmax", t) for t in (1.0, temperature))
    for own, expected in zip(plain, divided, strict=True):
        np.testing.assert_allclose(temper(own.astype(np.float64), temperature), expected, 1e-5)


def test_untempering_gives_back_what_was_tempered():
    values = activate(LOGITS, "softmax")[0].astype(np.float64)
    np.testing.assert_allclose(untemper(temper(values, 0.4), 0.4), values, 1e-9)


def test_sum_stays():
    values = np.array([0.3, 0.1, 0.05])
    assert temper(values, 0.4).sum() == pytest.approx(0.45)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 0.0], [1e-300, 1e-310]])
def test_extremes_stay_numbers(values):
    for temperature in (0.2, 5.0):
        tempered = temper(np.array(values), temperature)
        assert np.isfinite(tempered).all()
        assert tempered.sum() == pytest.approx(sum(values))


@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_average_is_tempered_as_a_whole(kind):
    temperature = 0.4
    plain, sharp = (activate(LOGITS, "softmax", t) for t in (1.0, temperature))
    averages, expected = (
        [a.values for a in run if isinstance(a, Average)]
        for run in (
            average(scores_of(sharp), 30, kind, temperature),
            average(scores_of(plain), 30, kind),
        )
    )
    for given, own in zip(averages, expected, strict=True):
        np.testing.assert_allclose(given, temper(own.astype(np.float64), temperature), 1e-4)
    # Windows that disagree: their average is sharper than the average of sharp ones.
    assert averages[-1].max() > np.mean(sharp[-3:], axis=0).max()


def test_silent_windows_lower_the_average_and_leave_its_proportions():
    values = activate(LOGITS[:1], "softmax", 0.4)
    items = scores_of(np.concatenate([values, np.zeros((1, 5), np.float32)]))
    *_, last = average(items, 30, temperature=0.4)
    np.testing.assert_allclose(last.values, values[0] / 2, 1e-5)


def scores_of(rows):
    return [Scores(10 * k, 30, row) for k, row in enumerate(rows)]
