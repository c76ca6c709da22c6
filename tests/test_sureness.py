"""Words for how sure an event is: by the card alone, and none where it does not know."""

import math
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import Heard, Run, make_store
from toys import toy_card

from streamclf.core.card import Taught, Threshold, Thresholds
from streamclf.core.sureness import (
    WORDS,
    find_sureness_limits,
    least_score,
    rank_sureness,
    read_sureness,
    show_sureness,
    tell_sureness,
)
from streamclf.store.database import connect
from streamclf.store.listing import list_events
from streamclf.store.question import Question
from streamclf.store.sureness import join_sureness_limits

LABELS = ["dog", "rain", "noise", "mine"]


def known_by(**precisions: object):
    """The limits of a card with these thresholds; ``_`` stands for the dot."""
    return find_sureness_limits(
        toy_card(
            labels=LABELS,
            task="multi-label",
            activation="sigmoid",
            thresholds=Thresholds(on=0.3, off=0.1, never=["noise"]),
            precisions={key.replace("_", "."): each for key, each in precisions.items()},
            taught={"mine": Taught(["a.wav"])},
        )
    )


def at(on: float, **classes: float) -> Thresholds:
    return Thresholds(
        on=on, off=0, classes={name: Threshold(value, 0) for name, value in classes.items()}
    )


@pytest.mark.parametrize(
    ("precisions", "limits"),
    [
        # A label without a threshold of its own has the common one.
        ({"0_6": at(0.2), "0_7": at(0.4), "0_8": at(0.5), "0_9": at(0.7, dog=0.6)},
         {"dog": [0.4, 0.6], "rain": [0.4, 0.7]}),
        # The lowest precision that is high enough; one may serve for both.
        ({"0_75": at(0.4), "0_95": at(0.8)}, {"dog": [0.4, 0.8], "rain": [0.4, 0.8]}),
        ({"0_9": at(0.6)}, {"dog": [0.6, 0.6], "rain": [0.6, 0.6]}),
        # Nothing is sure where the card goes up to 0.8, and has no word where it goes up to 0.6.
        ({"0_8": at(0.5)}, {"dog": [0.5], "rain": [0.5]}),
        ({"0_6": at(0.5)}, {}),
        ({}, {}),
        # A higher precision never asks for a lower score.
        ({"0_7": at(0.5), "0_9": at(0.7, rain=0.2)}, {"dog": [0.5, 0.7], "rain": [0.5, 0.5]}),
        # What is never told at a precision is never so sure.
        ({"0_7": at(0.5), "0_9": Thresholds(on=0.7, off=0, never=["dog"])},
         {"dog": [0.5], "rain": [0.5, 0.7]}),
    ],
)  # fmt: skip
def test_limits_are_the_cards_thresholds(precisions, limits):
    """Neither taught labels nor those that are never reported have any."""
    assert known_by(**precisions) == limits


def test_a_regression_has_no_words():
    card = toy_card(task="regression", activation="none", precisions={"0.9": at(0.5)})
    assert find_sureness_limits(card) == {}


def test_words_follow_the_score():
    limits = {"dog": [0.29, 0.6], "rain": [0.5]}
    told = [tell_sureness(limits, "dog", score) for score in (0.0, 0.28, 0.29, 0.59, 0.6, 1.0)]
    assert told == ["maybe", "maybe", "likely", "likely", "sure", "sure"]
    # As float32, which scores are, 0.29 is less than 0.29.
    assert float(np.float32(0.29)) < 0.29
    assert tell_sureness(limits, "dog", float(np.float32(0.29))) == "likely"
    assert tell_sureness(limits, "rain", 1.0) == "likely"
    assert tell_sureness(limits, "cat", 1.0) is None
    assert show_sureness("sure", 0.356) == "sure"
    assert show_sureness(None, 0.356) == "0.36"
    assert [read_sureness(said) for said in ("sure", "Sure", None, 3)] == ["sure", None, None, None]


SCORE = st.floats(0, 1)


@given(st.lists(SCORE, max_size=2).map(sorted), SCORE, SCORE)
def test_a_higher_score_is_never_less_sure(limits, one, other):
    low, high = sorted((one, other))
    known = {"dog": limits}
    ranks = [rank_sureness(tell_sureness(known, "dog", score)) for score in (low, high)]
    assert ranks == sorted(ranks)
    # The lowest score of a word leads to that word, and nothing below does.
    for word in WORDS:
        least = least_score(known, "dog", word)
        assert (low >= least) == (ranks[0] >= WORDS.index(word))
    assert least_score({"dog": [0.5]}, "dog", "sure") == math.inf


def test_a_store_tells_each_event_by_the_card_that_heard_it(tmp_path):
    """The newest card counts for a label as a whole, and an earlier store has no words."""
    begun = datetime(2026, 7, 1, 4, 30, tzinfo=UTC)
    heard = [Heard("dog", 1, 2, 0.7), Heard("cat", 5, 2, 0.7)]
    models = {"a": {"dog": [0.4, 0.6]}, "b": {"dog": [0.5, 0.9]}, "c": {}}
    path = make_store(
        tmp_path / "s.db",
        [
            Run(name, begun, 60, heard, model=name, sureness=limits)
            for name, limits in models.items()
        ],
    )
    with closing(connect(path)) as connection:
        events = list(list_events(connection, Question()))
        told = {each.source: each.sureness for each in events if each.label == "dog"}
        # A begin in these stores has half of the highest score.
        begins = {each.source: each.begin_sureness for each in events if each.label == "dog"}
        assert told == {"a": "sure", "b": "likely", "c": None}
        assert begins == {"a": "maybe", "b": "maybe", "c": None}
        assert {each.sureness for each in events if each.label == "cat"} == {None}
        assert join_sureness_limits(connection) == {"dog": [0.5, 0.9]}
        connection.execute("ALTER TABLE models DROP COLUMN sureness")
        assert join_sureness_limits(connection) == {}
        assert {each.sureness for each in list_events(connection, Question())} == {None}
