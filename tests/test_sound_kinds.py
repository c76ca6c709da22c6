"""Kinds of a sound that are told by its common name: a bark, a yip and a dog are one dog."""

import msgspec
import numpy as np
import pytest

from streamclf.core.card import Card, Taught, Threshold, Thresholds
from streamclf.core.label_choice import choose_labels
from streamclf.core.label_names import spoken_names
from streamclf.core.records import Average, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.core.sound_kinds import BROADER, KINDS, all_broader, find_kinds
from streamclf.core.vocabulary import Vocabulary
from streamclf.model.model_file import Model
from streamclf.notify.mqtt.choose import choose
from streamclf.pipeline.engine import Engine

LABELS = ["Dog", "Bark", "Yip", "Canidae, dogs, wolves", "Animal", "Siren", "Police car (siren)"]
WINDOW, HOP = 30, 10
CARD = Card(
    name="dogs", labels=LABELS, sample_rate=100, window_samples=WINDOW, task="multi-label",
    activation="sigmoid",
    thresholds=Thresholds(
        on=0.5, off=0.25, max_gap=0.0, classes={"Bark": Threshold(0.2, 0.1)},
    ),
    broader={"Bark": ["Dog"], "Yip": ["Dog"], "Dog": ["Animal"], "Police car (siren)": ["Siren"],
             "Canidae, dogs, wolves": ["Animal"]},
)  # fmt: skip
SOUNDS = [0, 0, 1, 1, 1, 1, 0, 0, 0]
"""Where something sounds, window by window."""


def run(card=CARD, **changes):
    """Events of the engine, where labels have scores of such heights."""

    def of(**heights: float) -> list[tuple[str, int, int, float]]:
        rows = [[heights.get(label, 0) * sounds for sounds in SOUNDS] for label in LABELS]
        table = np.array(rows, np.float32)
        scores = [Scores(k * HOP, WINDOW, row) for k, row in enumerate(table.T)]
        engine = Engine(Scorer(card), Settings(hop_s=0.1, average_s=0, **changes))
        results = list(engine.judge(scores))
        # What others see of the scores is what the model said.
        averages = [result.values for result in results if isinstance(result, Average)]
        np.testing.assert_array_equal(averages, table.T)
        return [
            (e.label, e.onset, e.offset, round(e.score, 3))
            for e in results
            if isinstance(e, SoundEvent)
        ]

    return of


class Scorer:
    def __init__(self, card=CARD):
        self.card = card


def test_kinds_are_told_by_their_common_name():
    heard = run()
    assert heard(Dog=0.6, Bark=0.6, Yip=0.6, Animal=0.9) == [("Dog", 30, 70, 0.75)]
    assert heard(Yip=0.6) == [("Dog", 30, 70, 0.6)]
    assert heard(Dog=0.6) == [("Dog", 30, 70, 0.6)]


def test_kind_counts_by_its_own_threshold():
    heard = run()
    assert heard(Bark=0.19) == []
    # From 0.2 to 1 becomes from 0.5 to 1, and what lies below 0.2 lies below 0.5.
    assert heard(Bark=0.2) == [("Dog", 30, 70, 0.5)]
    assert heard(Bark=0.6) == [("Dog", 30, 70, 0.75)]
    assert heard(Bark=1.0) == [("Dog", 30, 70, 1.0)]


@pytest.mark.parametrize("on", [0.0, 1.0])
def test_thresholds_of_nought_and_one_divide_nothing(on):
    thresholds = msgspec.structs.replace(CARD.thresholds, classes={"Bark": Threshold(on, 0.0)})
    card = msgspec.structs.replace(CARD, thresholds=thresholds)
    ((label, *_, score),) = run(card)(Bark=1.0)
    assert (label, score) == ("Dog", 1.0)


def test_who_asks_for_a_kind_gets_it():
    barks = {"Dog": 0.6, "Bark": 0.6, "Yip": 0.6}
    labels = choose_labels(CARD, "bark", None)
    assert [label for label, *_ in run(labels=labels)(**barks)] == ["Bark"]
    labels = choose_labels(CARD, "dog,bark", None)
    assert [label for label, *_ in run(labels=labels)(**barks)] == ["Bark"]
    assert [label for label, *_ in run(labels=labels)(Yip=0.6)] == ["Dog"]
    labels = choose_labels(CARD, "dog", None)
    assert [label for label, *_ in run(labels=labels)(Yip=0.6)] == ["Dog"]
    assert {label for label, *_ in run(broader=True)(**barks, Animal=0.7)} == {*barks, "Animal"}


def test_what_is_left_out_leaves_kinds_as_they_are():
    barks = {"Dog": 0.6, "Bark": 0.6, "Animal": 0.7}
    labels = choose_labels(CARD, None, "siren")
    assert [label for label, *_ in run(labels=labels)(**barks)] == ["Dog"]
    labels = choose_labels(CARD, None, "siren", apart=True)
    assert {label for label, *_ in run(labels=labels, broader=True)(**barks)} == {*barks}
    labels = choose_labels(CARD, None, "dog")
    assert [label for label, *_ in run(labels=labels)(**barks)] == ["Animal"]


def test_a_dog_is_a_canid_and_a_siren_what_its_kinds_are():
    assert run()(Dog=0.6, **{"Canidae, dogs, wolves": 0.9}) == [("Dog", 30, 70, 0.6)]
    card = msgspec.structs.replace(
        CARD, broader={**CARD.broader, "Police car (siren)": ["Siren", "Animal"]}
    )
    kinds = find_kinds(card, None, apart=False)
    assert kinds == {"Bark": "Dog", "Yip": "Dog", "Police car (siren)": "Siren"}
    assert all_broader(card, None, kinds)["Siren"] == {"Animal"}
    assert "Siren" not in all_broader(card, None, {})


def test_models_without_broader_labels_have_no_kinds():
    card = msgspec.structs.replace(CARD, broader={})
    assert find_kinds(card, None, apart=False) == {}
    assert all_broader(card, None, {}) == {}
    assert {label for label, *_ in run(card)(Dog=0.6, Bark=0.6)} == {"Dog", "Bark"}


def test_reported_labels_lack_kinds_whose_thresholds_are_known():
    engine = Engine(Scorer(), Settings())
    for on in (0.5, 0.9):
        assert engine.reported_labels == ["Dog", "Canidae, dogs, wolves", "Animal", "Siren"]
        # No mark stands at the score of a kind, which is no event by its own name.
        limits = {label: engine.onset_threshold(label) for label in ("Siren", "Police car (siren)")}
        assert limits == {"Siren": on, "Police car (siren)": None}
        assert engine.onset_thresholds["Bark"] == np.inf
        assert "Bark" in engine.thresholds.never
        engine.change(Settings(thresholds=Thresholds(on=0.9, off=0.5)))


def test_kinds_are_labels_of_the_default_model_that_it_groups_so():
    card = Model("wide", provider="cpu").card
    every = card.all_broader()
    for name, kinds in KINDS.items():
        assert {name, *kinds} <= set(card.labels)
        for kind in kinds:
            if kind != "Change ringing (campanology)":  # of church bells, says its definition
                assert name in every[kind]
    assert {*BROADER, *BROADER.values()} <= set(card.labels)
    assert len(find_kinds(card, None, apart=False)) == sum(map(len, KINDS.values()))


def test_one_of_several_names_is_enough_everywhere():
    assert spoken_names("Smoke detector, smoke alarm") == {
        "smoke detector smoke alarm", "smoke detector", "smoke alarm",
    }  # fmt: skip
    card = msgspec.structs.replace(
        CARD, labels=[*LABELS, "Chicken, rooster", "rooster song"], thresholds=Thresholds()
    )
    assert choose_labels(card, "rooster,Canidae, dogs, wolves,dogs", None) == {
        "Chicken, rooster", "Canidae, dogs, wolves", "Dog",
    }  # fmt: skip
    vocabulary = Vocabulary.of_card(card)
    assert vocabulary.meant("Rooster") == {"Chicken, rooster": "Chicken, rooster"}
    # Who asks for a kind hears of the sound that it is told as.
    assert vocabulary.meant("bark") == {"Bark": "Bark", "Dog": "Bark"}
    reported = {"Chicken, rooster": "x", "Dog": "Dog"}
    assert choose(reported, ["rooster", "yip"], vocabulary) == {
        "Chicken, rooster": {"Chicken, rooster"}, "Dog": {"Dog"},
    }  # fmt: skip


CARD_OF_ALARMS = msgspec.structs.replace(
    CARD, labels=[*LABELS, "Vehicle", "Alarm", "Horn"], thresholds=Thresholds(),
    broader={**CARD.broader, "Siren": ["Alarm"], "Police car (siren)": ["Siren", "Vehicle"],
             "Horn": ["Alarm", "Vehicle"]},
)  # fmt: skip


def test_a_name_means_all_narrower_labels():
    """So whoever asks for a label hears of all for which that label itself stays silent."""
    vocabulary = Vocabulary.of_card(CARD_OF_ALARMS)
    alarms = {"Alarm", "Siren", "Police car (siren)", "Horn"}
    assert vocabulary.meant("alarm") == dict.fromkeys(alarms, "Alarm")
    # A police siren is told as a siren, and is a vehicle.
    assert vocabulary.meant("Vehicle").keys() == {"Vehicle", *alarms - {"Alarm"}}
    assert vocabulary.meant("Siren").keys() == {"Siren", "Police car (siren)"}
    assert vocabulary.meant("alram") == {}
    assert vocabulary.asked(["Alarm", "Siren"], "Siren") == "Siren"
    assert vocabulary.asked(["Dog", "Alarm"], "Siren") == "Alarm"
    assert vocabulary.asked(["Dog"], "Siren") is None
    engine = Engine(Scorer(CARD_OF_ALARMS), Settings())
    broader = all_broader(CARD_OF_ALARMS, None, engine.kinds)
    for asked in CARD_OF_ALARMS.labels:
        meant = vocabulary.meant(asked)
        assert meant.keys() >= {label for label, others in broader.items() if asked in others}


def test_only_and_except_mean_narrower_labels():
    every = {*CARD_OF_ALARMS.labels} - {"Bark", "Yip", "Police car (siren)"}
    assert choose_labels(CARD_OF_ALARMS, "alarm", None) == {"Alarm", "Siren", "Horn"}
    assert choose_labels(CARD_OF_ALARMS, "animal", None) == {
        "Animal", "Dog", "Canidae, dogs, wolves",
    }  # fmt: skip
    assert choose_labels(CARD_OF_ALARMS, None, "alarm") == every - {"Alarm", "Siren", "Horn"}
    # Without vehicles there are sirens all the same: the card has none below them.
    assert choose_labels(CARD_OF_ALARMS, None, "vehicle") == every - {"Vehicle", "Horn"}
    assert choose_labels(CARD_OF_ALARMS, "alarm", "horn") == {"Alarm", "Siren"}


def test_what_only_chooses_is_told_as_it_is_without():
    barks = {"Dog": 0.6, "Bark": 0.6, "Animal": 0.7, "Siren": 0.9}
    assert run(labels=choose_labels(CARD, "animal", None))(**barks) == [
        each for each in run()(**barks) if each[0] != "Siren"
    ]


def test_a_taught_correction_is_no_narrower_label():
    """It silences the label that it corrects, because it is something else."""
    card = msgspec.structs.replace(
        CARD, labels=[*LABELS, "not Dog"], taught={"not Dog": Taught([])},
        broader={**CARD.broader, "not Dog": ["Dog"]},
    )  # fmt: skip
    assert "not Dog" not in Vocabulary.of_card(card).meant("Animal")
    assert choose_labels(card, None, "dog") == {
        "Canidae, dogs, wolves", "Animal", "Siren", "not Dog",
    }  # fmt: skip
