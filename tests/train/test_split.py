"""Setting clips aside: whole sources, as nearly the wanted part as these allow."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")

from train.base.errors import UsageError
from train.datasets.prepared import Clip, ClipSet
from train.run_folder.fold_split import take_validation_part

pytestmark = pytest.mark.train


def clips_of(rows) -> ClipSet:
    """Clips of ``(source, target)``, each a sample long."""
    clips = tuple(Clip(f"{k}", 1, t, s, k, 1) for k, (s, t) in enumerate(rows))
    n_classes = 1 + max(target for _, target in rows)
    labels = tuple(f"class{k}" for k in range(n_classes))
    samples = np.zeros(len(rows), dtype=np.int16)
    return ClipSet("made", 8000, labels, clips, samples, "CC0", "nobody", "here")


def speakers(n_speakers, n_words=10, takes=5) -> ClipSet:
    """Every speaker says every word so many times."""
    return clips_of(
        [(f"s{s}", word) for s in range(n_speakers) for word in range(n_words)
         for _ in range(takes)]
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize(("n_speakers", "part", "expected"), [
    (5, 0.1, 0.2), (20, 0.1, 0.1), (40, 0.3, 0.3), (3, 0.5, 1 / 3),
])  # fmt: skip
def test_speakers_of_all_words_are_set_aside_whole(n_speakers, part, expected, seed):
    clips = speakers(n_speakers)
    kept, aside = take_validation_part(clips, part, seed)
    assert len(aside.clips) / len(clips.clips) == pytest.approx(expected)
    assert not {clip.source for clip in kept.clips} & {clip.source for clip in aside.clips}
    assert len(set(Counter(aside.targets.tolist()).values())) == 1


@pytest.mark.parametrize("seed", range(1, 7))
def test_many_speakers_of_some_words_each_give_the_part_that_is_asked_for(seed):
    random = np.random.default_rng(seed)
    rows = []
    for speaker in range(300):
        words = random.choice(12, random.integers(1, 13), replace=False)
        rows += [(f"s{speaker}", int(word)) for word in words for _ in range(random.integers(1, 5))]
    clips = clips_of(rows)
    _, aside = take_validation_part(clips, 0.1, seed)
    assert len(aside.clips) / len(clips.clips) == pytest.approx(0.1, abs=0.012)
    whole, taken = (np.bincount(c.targets, minlength=12) for c in (clips, aside))
    assert np.abs(taken / whole - 0.1).max() < 0.04


def test_classes_of_unequal_size_each_give_their_part():
    rows = [(f"{t}-{k // 2}", t) for t, n in enumerate((200, 60, 20)) for k in range(n)]
    _, aside = take_validation_part(clips_of(rows), 0.2, 1)
    assert Counter(aside.targets.tolist()) == {0: 40, 1: 12, 2: 4}


def test_every_class_keeps_a_clip_to_learn_from():
    rows = [("alone", 0), ("alone", 0), *((f"s{k}", 1) for k in range(20))]
    kept, aside = take_validation_part(clips_of(rows), 0.5, 1)
    assert set(kept.targets.tolist()) == {0, 1}
    assert set(aside.targets.tolist()) == {1}


def test_one_source_a_class_is_too_few():
    with pytest.raises(UsageError, match="each class has them of one source alone"):
        take_validation_part(clips_of([("a", 0), ("a", 0), ("b", 1)]), 0.3, 1)


def test_seeds_set_other_clips_aside():
    clips = speakers(20)
    chosen = {
        frozenset(c.source for c in take_validation_part(clips, 0.1, s)[1].clips) for s in range(8)
    }
    assert len(chosen) > 4
