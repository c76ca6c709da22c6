"""The scale of labels that mean a class, adjusted by clips of known classes."""

from __future__ import annotations

import numpy as np
import pytest

from train.audio.soundscapes import Scene, TrueEvent
from train.distillation.common_scale import CommonScale
from train.distillation.named_scale import adjust_scale, cross_validate, name_by_scale
from train.evaluation.agreement import hear_of_scenes, join_agreements

pytestmark = pytest.mark.train

COLUMNS = [[0], [1, 2]]
LABELS_OF_NO_CLASS = [3]


def make_logits(n_clips: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Clips of two classes, of which the second's label is 2.5 too high in all of them."""
    random = np.random.default_rng(1)
    targets = np.arange(n_clips) % 2
    logits = random.normal(-3, 0.3, (n_clips, 5, 4))
    logits[:, :, 0] += 1.5 * (targets == 0)[:, None]
    logits[:, :, 1] += 2.5 + 1.5 * (targets == 1)[:, None]
    return logits.astype(np.float16), targets


def test_rival_that_is_always_high_is_put_down_and_other_labels_stay() -> None:
    logits, targets = make_logits()
    common = CommonScale(np.full(4, 2.0), np.array([1.0, 1.0, 1.0, 0.5]))
    adjusted = adjust_scale(common, logits, targets, COLUMNS)
    assert (name_by_scale(common, logits, COLUMNS) == targets).mean() == pytest.approx(0.5)
    assert (name_by_scale(adjusted, logits, COLUMNS) == targets).mean() == 1.0
    assert adjusted.summands[1] < common.summands[1] < adjusted.summands[0] + 1e-3
    np.testing.assert_array_equal(adjusted.factors[LABELS_OF_NO_CLASS], 2.0)
    np.testing.assert_array_equal(adjusted.summands[LABELS_OF_NO_CLASS], 0.5)


def test_few_clips_move_the_scale_less_than_many_and_not_on_the_whole() -> None:
    logits, targets = make_logits()
    common = CommonScale(np.ones(4), np.zeros(4))
    few, many = (adjust_scale(common, logits[:n], targets[:n], COLUMNS) for n in (2, 40))
    assert abs(few.summands[1]) < abs(many.summands[1])
    np.testing.assert_allclose(many.factors, 1, atol=0.2)
    assert many.summands[:3].mean() == pytest.approx(0, abs=1e-6)


def test_each_fold_is_judged_by_a_scale_that_has_not_heard_it() -> None:
    logits, targets = make_logits(80)
    folds = np.repeat([1, 2, 3, 4], 20)
    common = CommonScale(np.full(4, 2.0), np.zeros(4))
    figures = cross_validate(common, logits, targets, folds, COLUMNS)
    assert figures == {
        "named": 1.0, "folds": {"1": 1.0, "2": 1.0, "3": 1.0, "4": 1.0}, "common": 0.5,
    }  # fmt: skip
    # Where classes sound alike, what a fold's own clips would have taught does not count.
    random = np.random.default_rng(2)
    nothing = random.normal(-3, 1, logits.shape)
    assert 0.3 < cross_validate(common, nothing, targets, folds, COLUMNS)["named"] < 0.7


def test_class_without_labels_is_never_named() -> None:
    logits, targets = make_logits()
    common = CommonScale(np.ones(4), np.zeros(4))
    adjusted = adjust_scale(common, logits, targets, [*COLUMNS, []])
    assert 2 not in name_by_scale(adjusted, logits, [*COLUMNS, []])


def test_event_counts_by_averages_in_it_and_its_neighbours_decide_nothing() -> None:
    events = (
        TrueEvent("dog", 20_000, 60_000), TrueEvent("cat", 80_000, 120_000),
        TrueEvent("rain", 200_000, 240_000),
    )  # fmt: skip
    scene = Scene("a", np.zeros(320_000, np.float32), 10_000, 10.0, events)
    scores = np.zeros((62, 4), np.float32)
    scores[4:12, 0] = 0.8  # middles of 2.75 to 6.25 s: the dog
    scores[16:24, 1] = 0.6
    scores[40:48, 0] = 0.4  # a dog in the rain
    heard = hear_of_scenes(
        [scores], [scene], {"dog": [0], "cat": [1], "rain": [2]}, hop_s=0.5, window_s=1.5
    )
    half = heard.said[0, 3]
    assert 0.15 < half < 0.4  # a label that means no class decides nothing
    np.testing.assert_allclose(
        heard.said, [[1, half, 0, half], [half, 1, half, half], [0, half, 1, half]]
    )
    assert heard.peaks[0, 0] == pytest.approx(0.8)
    assert heard.peaks[1, 1] == pytest.approx(0.6)
    assert heard.peaks[2, 0] == pytest.approx(0.4)
    assert heard.peaks[2, 2] == 0
    both = join_agreements([heard, heard])
    assert both.peaks.shape == (6, 4)
    assert both.said[3:].tolist() == heard.said.tolist()


def test_event_that_no_window_hears_is_left_out() -> None:
    events = (TrueEvent("dog", 20_000, 60_000), TrueEvent("dog", 310_000, 320_000))
    scene = Scene("a", np.zeros(320_000, np.float32), 10_000, 10.0, events)
    scores = np.zeros((62, 1), np.float32)
    heard = hear_of_scenes([scores[:40]], [scene], {"dog": [0]}, hop_s=0.5, window_s=1.5)
    assert len(heard.peaks) == 1
