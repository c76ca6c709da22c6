"""Labels that others are broader than: the narrowest one that sounds is the event."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.card import Card, Thresholds, format_card, parse_card
from streamclf.core.errors import CardError
from streamclf.core.records import Average, EventBegan, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.pipeline.average import average
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.events import Timing, detect

LABELS = ["police", "siren", "alarm", "dog"]
WINDOW, HOP = 30, 10
CARD = Card(
    name="sirens", labels=LABELS, sample_rate=100, window_samples=WINDOW, task="multi-label",
    activation="sigmoid", thresholds=Thresholds(on=0.5, off=0.3, max_gap=0.0),
    broader={"police": ["siren"], "siren": ["alarm"]},
)  # fmt: skip


def scores_of(**rows: list[float]) -> list[Scores]:
    table = np.array([rows.get(label, [0.0] * len(rows["siren"])) for label in LABELS], np.float32)
    return [Scores(k * HOP, WINDOW, row) for k, row in enumerate(table.T)]


def find(scores, broader=None, average_samples: int = 0) -> list[tuple]:
    how = Timing(window=WINDOW, hop=HOP, average=average_samples)
    broader = CARD.all_broader() if broader is None else broader
    found = detect(average(scores, average_samples), LABELS, CARD.thresholds, how, broader)
    return [(e.label, e.onset, e.offset) for e in found if isinstance(e, SoundEvent)]


def test_narrowest_label_that_sounds_is_the_event() -> None:
    rows = [0, 0, 0, 0.9, 0.9, 0.9, 0, 0, 0, 0]
    scores = scores_of(police=rows, siren=rows, alarm=rows, dog=rows)
    assert find(scores) == [("police", 40, 70), ("dog", 40, 70)]
    assert {label for label, *_ in find(scores, broader={})} == set(LABELS)
    # Each kind of alarm is told by itself where nothing narrower sounds.
    assert find(scores_of(siren=rows, alarm=rows)) == [("siren", 40, 70)]
    assert find(scores_of(siren=[0] * 10, alarm=rows)) == [("alarm", 40, 70)]


def test_narrower_label_that_is_below_its_threshold_covers_nothing() -> None:
    rows = [0, 0, 0, 0.9, 0.9, 0.9, 0, 0, 0]
    faint = [0.45] * len(rows)
    assert find(scores_of(police=faint, siren=rows)) == [("siren", 40, 70)]


def test_narrower_label_covers_until_it_is_off() -> None:
    # The police siren stays on down to 0.3, while the siren itself is louder.
    police = [0, 0.9, 0.9, 0.35, 0.35, 0.35, 0, 0, 0, 0]
    siren = [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0]
    assert find(scores_of(police=police, siren=siren)) == [("police", 20, 70)]


def test_broader_label_ends_where_a_narrower_one_begins() -> None:
    police = [0, 0, 0, 0, 0.9, 0.9, 0, 0, 0, 0]
    siren = [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0]
    assert find(scores_of(police=police, siren=siren)) == [("siren", 20, 50), ("police", 50, 70)]


def run_engine(scores, **changes) -> set[str]:
    class Scorer:
        card = CARD

    engine = Engine(Scorer(), Settings(hop_s=0.1, average_s=0, **changes))
    return {item.label for item in engine.judge(scores) if isinstance(item, SoundEvent)}


def test_engine_takes_the_cards_groups_among_the_labels_asked_for() -> None:
    rows = [0, 0, 0, 0.9, 0.9, 0.9, 0, 0, 0, 0]
    scores = scores_of(police=rows, siren=rows, alarm=rows)
    assert run_engine(scores) == {"police"}
    assert run_engine(scores, broader=True) == {"police", "siren", "alarm"}
    # Who asks for alarms alone hears of each, whatever it is.
    assert run_engine(scores, labels=frozenset({"alarm", "dog"})) == {"alarm"}
    assert run_engine(scores, labels=frozenset({"siren", "alarm"})) == {"siren"}


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=30), st.sampled_from([0, 30]))
def test_each_begin_has_its_end_and_averages_pass_as_they_were(drawn, average_samples) -> None:
    # Each byte has two bits for each label: scores of 0, 0.3, 0.6 and 0.9.
    levels = (np.frombuffer(drawn, np.uint8)[:, None] >> np.arange(0, 8, 2)) & 3
    table = (0.3 * levels).astype(np.float32)
    scores = [Scores(k * HOP, WINDOW, row) for k, row in enumerate(table)]
    how = Timing(window=WINDOW, hop=HOP, average=average_samples, begin="patient")
    items = list(
        detect(average(scores, average_samples), LABELS, CARD.thresholds, how, CARD.all_broader())
    )
    began = [(e.label, e.onset) for e in items if isinstance(e, EventBegan)]
    ended = [(e.label, e.onset) for e in items if isinstance(e, SoundEvent)]
    assert sorted(began) == sorted(ended)
    # Averages pass through as they were.
    plain = [item.values for item in average(scores, average_samples)]
    for item, values in zip((i for i in items if isinstance(i, Average)), plain, strict=True):
        np.testing.assert_array_equal(item.values, values)


def test_card_keeps_its_groups_and_refuses_those_that_make_no_sense() -> None:
    assert parse_card(format_card(CARD), "x").broader == CARD.broader
    assert CARD.all_broader() == {"police": {"siren", "alarm"}, "siren": {"alarm"}}
    assert CARD.all_broader({"alarm", "siren"}) == {"siren": {"alarm"}}
    assert CARD.all_broader({"police", "alarm"}) == {"police": {"alarm"}}
    for broader, said in (
        ({"police": ["bell"]}, "broader names 'bell', which is not among the labels"),
        ({"police": ["siren"], "siren": ["police"]}, "must have no circles"),
        ({"dog": ["dog"]}, "broader makes 'dog' broader than itself"),
    ):
        card = format_card(msgspec.structs.replace(CARD, broader={}))
        text = msgspec.json.encode(msgspec.json.decode(card) | {"broader": broader})
        with pytest.raises(CardError, match=said):
            parse_card(text, "x")
