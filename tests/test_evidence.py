import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.pipeline.evidence import MAX_WEIGHT, OTHER_EVENT_FACTOR, RULES, Evidence

RULE = RULES["sure"]
REQUIRED = RULE.required
ALONE = np.zeros(2, dtype=np.bool_)
OTHER_EVENTS = np.ones(2, dtype=np.bool_)


def row(*scores: float) -> np.ndarray:
    return np.array(scores, dtype=np.float32)


def at(excess: float, on: float) -> float:
    """The score whose log-odds exceed those of a threshold by the margin and more."""
    odds = on / (1 - on) * np.exp(RULE.margin + excess)
    return float(odds / (1 + odds))


def n_needed(score: float, on: float, weight: float, other_event: np.ndarray = ALONE) -> int | None:
    """After how many windows of a score a class is sure."""
    evidence = Evidence(2, RULE)
    evidence.retune(row(on, on))
    for n_windows in range(1, 200):
        if evidence.add(row(score, 0.0), weight, other_event)[0]:
            return n_windows
    return None


def test_surer_windows_need_fewer_of_them():
    required = REQUIRED / MAX_WEIGHT
    assert n_needed(at(1.01 * required, 0.5), 0.5, 1.0) == 1
    assert n_needed(at(0.51 * required, 0.5), 0.5, 1.0) == 2
    assert n_needed(at(0.26 * required, 0.5), 0.5, 1.0) == 4
    assert n_needed(at(-0.1, 0.5), 0.5, 1.0) is None


def test_a_shorter_hop_needs_more_windows_of_the_same_audio():
    score = at(0.505 * REQUIRED / MAX_WEIGHT, 0.5)
    assert n_needed(score, 0.5, MAX_WEIGHT / 2) == 2 * n_needed(score, 0.5, MAX_WEIGHT)
    # And a longer one no fewer.
    assert n_needed(score, 0.5, 1.0) == n_needed(score, 0.5, MAX_WEIGHT)


@pytest.mark.parametrize("on", [0.05, 0.3, 0.5, 0.9])
def test_evidence_is_measured_from_each_threshold(on):
    assert n_needed(at(0.9, on), on, MAX_WEIGHT) == n_needed(at(0.9, 0.5), 0.5, MAX_WEIGHT) == 4


def test_beside_another_event_more_is_asked_for():
    score = at(1.01 * REQUIRED / MAX_WEIGHT, 0.5)
    assert n_needed(score, 0.5, 1.0, OTHER_EVENTS) == OTHER_EVENT_FACTOR


def test_doubt_takes_away_what_certainty_gave():
    evidence = Evidence(2, RULE)
    evidence.retune(row(0.5, 0.5))
    half = at(0.6 * REQUIRED / MAX_WEIGHT, 0.5)
    assert not evidence.add(row(half, 0), 1.0, ALONE).any()
    assert not evidence.add(row(0.0, 0), 1.0, ALONE).any()
    assert not evidence.add(row(half, 0), 1.0, ALONE).any()
    assert evidence.add(row(half, 0), 1.0, ALONE)[0] == pytest.approx(half)


def test_nothing_is_sure_once_its_windows_are_not():
    evidence = Evidence(2, RULE)
    evidence.retune(row(0.5, 0.5))
    for _ in range(10):
        evidence.add(row(0.999, 0.999), 1.0, ALONE)
    assert not evidence.add(row(0.5, 0.999), 1.0, ALONE)[0]


@given(
    scores=st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), max_size=30),
    on=st.floats(0, 1, width=32),
    weight=st.floats(1e-4, 100),
)
def test_any_scores_and_thresholds_are_judged(scores, on, weight):
    """Classes need not exclude one another, and thresholds may be 0 or 1."""
    evidence = Evidence(2, RULE)
    evidence.retune(row(on, on))
    for pair in scores:
        sure = evidence.add(row(*pair), weight, ALONE)
        assert sure.dtype == np.float32
        assert np.isfinite(sure).all()
        assert (sure[sure > 0] >= min(on, 1 - 1e-5)).all()
