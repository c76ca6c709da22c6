"""What rules tell: the meaning of each key, and what must not change it.

Invariance first: live, replay, restart and the order of sources. Examples of each key follow.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from happened import BEGUN, Hearing, Sound, begin, end, heard, hearings, live, remember, us
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamclf.core.card import Card, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.records import Block, Scores, StreamStarted
from streamclf.core.settings import Settings
from streamclf.notify.happenings import AudioHeard, Happening, SoundHappened
from streamclf.notify.messages import Message
from streamclf.notify.outbox import Outbox
from streamclf.notify.replay import recall, replay
from streamclf.notify.rulebook import RuleBook
from streamclf.notify.rules import Rule
from streamclf.notify.sink import HappeningSink
from streamclf.notify.store_history import StoreHistory
from streamclf.pipeline.engine import Engine
from streamclf.store.database import connect
from streamclf.store.store import Store
from streamclf.teach.backtest import CardScorer

QUICKLY = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip
RULES = [
    Rule("any", cooldown=300),
    Rule("sure", labels=("Dog",), min_score=0.8),
    Rule("sure cat", at_least="sure", labels=("cat", "dog"), cooldown=5),
    Rule("likely", at_least="likely", lasting=2, first_of_day=True),
    Rule("sure twice", at_least="sure", repeats=2, within=1200, cooldown=60),
    Rule("long", lasting=5, cooldown=20),
    Rule("three", repeats=3, within=700),
    Rule("two long", repeats=2, within=60, lasting=2, min_score=0.5, cooldown=60),
    Rule("night", hours="21:10-21:20, 21:40-03:00", cooldown=10),
    Rule("daily", first_of_day=True),
    Rule("rare", rare=1),
    Rule("ended", on="end", lasting=5, min_score=0.8, cooldown=100),
    Rule("goes on", on="ongoing", cooldown=60, lasting=5),
    Rule("from the begin", on="ongoing", cooldown=30, min_score=0.8, hours="21:05-22:00"),
    Rule("done", on="quiet", labels=("dog",), lasting=60),
    Rule("silent", on="quiet", lasting=100, cooldown=600, min_score=0.8),
    Rule("nothing sure", on="quiet", labels=("cat", "dog"), at_least="sure", lasting=100),
    Rule("silent at night", on="quiet", labels=("dog", "cat"), lasting=30, hours="21:15-22:00"),
]
"""A rule of each kind, for streams that begin at 21:00."""


def tell(book: RuleBook, happenings: list[Happening]) -> list[Message]:
    return [message for happening in happenings for message in book.feed(happening)]


WORDS = re.compile(r" \((maybe|likely|sure)\)")
"""How sure a sound is so far: a store knows it of begins and ends alone."""


def facts(messages: list[Message]) -> list[tuple]:
    """What does not depend on when a thing was known."""
    return sorted(
        (
            each.rule, each.on, each.source, each.label, each.moment_us or 0, each.onset_us or 0,
            (each.event_id or "").split("@")[0], each.count, WORDS.sub("", each.text),
            each.offset_us or 0,
        )
        for each in messages
    )  # fmt: skip


def test_a_rule_of_each_kind_tells_something():
    """The properties below would hold for rules that never tell."""
    sounds = [Sound("dog", 10 + 20 * i, 7) for i in range(5)]
    sounds += [Sound("cat", 900, 700), Sound("dog", 1000, 8)]
    told = tell(RuleBook(RULES), live(Hearing("yard", 4000, tuple(sounds))))
    assert {message.rule for message in told} == {rule.name for rule in RULES}


@QUICKLY
@given(hearing=hearings())
def test_a_replay_of_the_store_tells_what_was_told_live(hearing):
    told = tell(RuleBook(RULES), live(hearing))
    with tempfile.TemporaryDirectory() as folder:
        store = remember(Path(folder) / "s.db", [hearing])
        with closing(connect(store)) as connection:
            past = [each for each, _ in recall(connection, 1, RULES, us(0), us(99_999))]
        again = tell(RuleBook(RULES, StoreHistory(store)), past)
    # A live stream ends before its last sounds are settled, the store knows how they ended.
    settled_us = us(hearing.spans[-1][1] - 13)
    assert [fact for fact in facts(again) if fact[4] < settled_us] == [
        fact for fact in facts(told) if fact[4] < settled_us
    ]


@QUICKLY
@given(hearing=hearings(), data=st.data())
def test_a_restart_loses_nothing_of_what_rules_know(hearing, data):
    """The process ends at any moment, sounds end with it, and it goes on with the store alone."""
    happenings = live(hearing)
    at = data.draw(st.integers(0, len(happenings)))
    before, after, ends = _cut(happenings, at)
    whole = tell(RuleBook(RULES), [*before, *ends, *after])
    told = tell(RuleBook(RULES), [*before, *ends])
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "s.db"
        remember(store, [_heard_of(hearing, [*before, *ends])])
        note(store, told)
        told += tell(RuleBook(RULES, StoreHistory(store, pytest.fail)), after)
    assert facts(told) == facts(whole)


def _cut(
    happenings: list[Happening], at: int
) -> tuple[list[Happening], list[Happening], list[Happening]]:
    """Cut a stream in two; sounds that are there end with the first part."""
    before, after = happenings[:at], happenings[at:]
    now_us = max((each.until_us for each in before if isinstance(each, AudioHeard)), default=us(0))
    sounding: dict[str, SoundHappened] = {}
    for each in before:
        if isinstance(each, SoundHappened):
            sounding[each.event_id] = each
            if each.phase == "end":
                del sounding[each.event_id]
    ends: list[Happening] = [
        replace(each, phase="end", offset_us=max(now_us, each.onset_us + 1), known_us=now_us)
        for each in sounding.values()
    ]
    # What began before the cut is not heard after it.
    rest = [
        each
        for each in after
        if isinstance(each, AudioHeard)
        or (each.event_id not in sounding and each.onset_us >= now_us)
    ]
    return before, rest, ends


def _heard_of(hearing: Hearing, happenings: list[Happening]) -> Hearing:
    """What the store holds after a part of a stream."""
    ended = [each for each in happenings if isinstance(each, SoundHappened) and each.phase == "end"]
    sounds = []
    for each in ended:
        length_s = ((each.offset_us or 0) - each.onset_us) / 1e6
        sounds.append(Sound(each.label, (each.onset_us - us(0)) / 1e6, length_s, each.score))
    audio = [each for each in happenings if isinstance(each, AudioHeard)]
    until_s = (audio[-1].until_us - us(0)) / 1e6 if audio else 0.0
    gaps = tuple((begin_s, s) for begin_s, s in hearing.gaps if begin_s + s < until_s)
    heard_s = until_s - sum(length_s for _, length_s in gaps)
    return Hearing(hearing.source, heard_s, tuple(sounds), gaps)


def note(store: Path, messages: list[Message]) -> None:
    """Write messages into a store, as a running process does."""
    outbox = Outbox(store, pytest.fail)
    outbox.start()
    for message in messages:
        outbox.add(message)
    assert outbox.flush(60)
    outbox.close(60)


@QUICKLY
@given(first=hearings("yard"), second=hearings("hall"), data=st.data())
def test_the_order_of_sources_changes_nothing(first, second, data):
    streams = [live(first), live(second)]
    alone = [message for stream in streams for message in tell(RuleBook(RULES), stream)]
    mixed: list[Happening] = []
    for which in data.draw(st.lists(st.integers(0, 1), max_size=60)):
        take = data.draw(st.integers(1, 50))
        mixed += streams[which][:take]
        del streams[which][:take]
    told = tell(RuleBook(RULES), [*mixed, *streams[0], *streams[1]])
    assert facts(told) == facts(alone)


@QUICKLY
@given(hearing=hearings(), pieces=st.sampled_from([4.0, 7.0]))
def test_the_length_of_the_pieces_of_audio_changes_nothing(hearing, pieces):
    told = tell(RuleBook(RULES), live(hearing))
    assert facts(tell(RuleBook(RULES), live(replace(hearing, pieces_s=pieces)))) == facts(told)


@QUICKLY
@given(hearing=hearings(), data=st.data())
def test_a_change_of_other_rules_keeps_what_a_rule_knows(hearing, data):
    happenings = live(hearing)
    at = data.draw(st.integers(0, len(happenings)))
    kept = data.draw(st.sets(st.sampled_from(RULES)))
    book = RuleBook(RULES)
    told = tell(book, happenings[:at])
    book.change([*kept, Rule("new", labels=("cow",))])
    told += tell(book, happenings[at:])
    names = {rule.name for rule in kept}
    whole = tell(RuleBook(RULES), happenings)
    assert [each for each in facts(told) if each[0] in names] == [
        each for each in facts(whole) if each[0] in names
    ]


# ---------------------------------------------------------------- broader labels

ALARM = (
    # An alarm that turns out to be a siren, and falls back; then a bell by itself, and two dogs.
    Sound("alarm", 10, 5, 0.6, end_known_s=2.4), Sound("siren", 14.5, 10, end_known_s=2.4),
    Sound("alarm", 25, 3, end_known_s=2.4), Sound("bell", 100, 2), Sound("dog", 101, 2),
)  # fmt: skip
ALARM_RULES = [
    Rule("begun", labels=("Alarm",)), Rule("ended", on="end", labels=("alarm",)),
    Rule("twice", labels=("Alarm",), repeats=2, within=600),
    Rule("long", labels=("Alarm",), lasting=15), Rule("slow", labels=("Alarm",), cooldown=300),
    Rule("goes on", on="ongoing", labels=("Alarm",), cooldown=10),
    Rule("quiet", on="quiet", labels=("Alarm",), lasting=60),
    Rule("each", labels=("Alarm", "Siren")), Rule("siren", labels=("siren",)),
    Rule("sure", labels=("Alarm",), min_score=0.7),
    Rule("at least", labels=("Alarm",), at_least="sure"),
]  # fmt: skip


def test_a_broader_label_is_one_sound_however_many_events_it_has():
    told = tell(RuleBook(ALARM_RULES), live(Hearing("yard", 300, ALARM)))
    said = {rule.name: [each.text for each in told if each.rule == rule.name]
            for rule in ALARM_RULES}  # fmt: skip
    assert said == {
        "begun": ["yard: Alarm since 21:00:10", "yard: Bell since 21:01:40"],
        "ended": ["yard: Siren (sure) from 21:00:10 to 21:00:28",
                  "yard: Bell from 21:01:40 to 21:01:42"],
        "twice": ["yard: Alarm, 2 times by 21:01:40, last Bell"],
        "long": ["yard: Alarm since 21:00:10"],
        "slow": ["yard: Alarm since 21:00:10"],
        "goes on": ["yard: Alarm goes on since 21:00:10", "yard: Siren goes on since 21:00:10",
                    "yard: Bell goes on since 21:01:40"],
        "quiet": ["yard: no Alarm since 21:00:28", "yard: no Alarm since 21:01:42"],
        # What is named itself is told by itself as well.
        "each": ["yard: Alarm since 21:00:10", "yard: Siren (likely) since 21:00:14",
                 "yard: Bell since 21:01:40"],
        "siren": ["yard: Siren (likely) since 21:00:14"],
        "sure": ["yard: Siren (sure) since 21:00:10", "yard: Bell since 21:01:40"],
        # The model has no word for an alarm and a bell: they count whatever their score.
        "at least": ["yard: Alarm since 21:00:10", "yard: Bell since 21:01:40"],
    }  # fmt: skip
    (bell,) = [each for each in told if each.rule == "begun" and each.label == "bell"]
    assert (bell.name, bell.asked, bell.asked_name) == ("Bell", "alarm", "Alarm")
    assert [each.asked for each in told if each.rule == "siren"] == [None]


def test_a_broader_label_is_one_sound_in_a_replay_and_after_a_restart(tmp_path):
    hearing = Hearing("yard", 300, ALARM)
    happenings = live(hearing)
    told = tell(RuleBook(ALARM_RULES), happenings)
    store = remember(tmp_path / "s.db", [hearing])
    again = replay(store, ALARM_RULES, us(0), us(290))
    assert facts([each.message for each in again]) == facts(told)
    # It ends between the siren and the bell, and goes on with what the store knows.
    at = next(i for i, each in enumerate(happenings) if getattr(each, "until_us", 0) > us(90))
    first = tell(RuleBook(ALARM_RULES), happenings[:at])
    note(store, first)
    after = tell(RuleBook(ALARM_RULES, StoreHistory(store, pytest.fail)), happenings[at:])
    assert facts([*first, *after]) == facts(told)


@pytest.mark.parametrize("bell_s", [10.0, 9.5])
@pytest.mark.parametrize("siren_known_s", [0.5, 3.0])
def test_the_first_of_several_labels_is_the_one_that_was_known_first(
    tmp_path, bell_s, siren_known_s
):
    """Two labels of one alarm, which begin together or nearly so; the store has the bell first."""
    sounds = (
        Sound("bell", bell_s, 8, begin_known_s=12.0 - bell_s, end_known_s=2.4),
        Sound("siren", 10, 9, begin_known_s=siren_known_s, end_known_s=2.4),
    )  # fmt: skip
    hearing = Hearing("yard", 300, sounds)
    told = tell(RuleBook(ALARM_RULES), live(hearing))
    first = next(each for each in told if each.rule == "begun")
    assert first.label == ("siren" if siren_known_s < 2 else "bell")
    store = remember(tmp_path / "s.db", [hearing])
    again = replay(store, ALARM_RULES, us(0), us(290))
    assert facts([each.message for each in again]) == facts(told)
    # Onsets that count for repeats are those of the first labels, too.
    twice = next(rule for rule in ALARM_RULES if rule.name == "twice")
    onsets = StoreHistory(store).onsets(twice, "yard", ["siren", "bell"], us(0), us(300))
    assert onsets == [first.onset_us]


@pytest.mark.parametrize(
    ("bell", "first"),
    [
        ([0, 0, 0, 0.9, 0.9, 0.9], "bell-40"),  # in the same window: the model's order
        ([0, 0.4, 0.4, 0.4, 0.9, 0.9], "siren-40"),  # known a window later, and begun before
        ([0, 0.4, 0.4, 0.9, 0.9, 0.9], "bell-20"),  # in the same window: the earlier onset
    ],
)
def test_a_live_run_and_its_replay_name_the_same_first_label(tmp_path, bell, first):
    """From the scores of a model to messages: while it is heard, and as the store has it."""
    card = Card(
        name="alarms", labels=["bell", "siren", "alarm"], sample_rate=100, window_samples=30,
        task="multi-label", activation="sigmoid", broader={"bell": ["alarm"], "siren": ["alarm"]},
        thresholds=Thresholds(on=0.5, off=0.3, max_gap=0.0),
    )  # fmt: skip
    siren = [0, 0, 0, 0.9, 0.9, 0.9]
    table = np.array([bell, siren, [0] * 6], np.float32).T
    scores = [Scores(k * 10, 30, row) for k, row in enumerate([*table, *[table[0]] * 40])]
    engine = Engine(CardScorer(card), Settings(hop_s=0.1, average_s=0))
    stream = StreamStarted(
        "yard", 100, card.labels, card.task, started=BEGUN, live=True, run="r1",
        broader=card.broader, display_names={label: label.title() for label in card.labels},
    )  # fmt: skip
    happenings: list[Happening] = []
    with Store(tmp_path / "s.db", report=pytest.fail, live=True) as store:
        sinks = [store.sink(), HappeningSink("yard", happenings.append)]
        for sink in sinks:
            sink.begin(stream)
        sinks[0].hear(Block(0, np.zeros((1, 500), np.float32), 100))
        for result in engine.judge(scores):
            for sink in sinks:
                sink.write(result)
        for sink in sinks:
            sink.close()
    rules = [Rule("begun", labels=("alarm",)), Rule("ended", on="end", labels=("alarm",))]
    told = tell(RuleBook(rules), happenings)
    assert [(each.rule, each.event_id) for each in told] == [
        ("begun", f"{first}@r1"), ("ended", f"{first}@r1")
    ]  # fmt: skip
    again = replay(store.path, rules, us(-1), us(290))
    assert facts([each.message for each in again]) == facts(told)


def test_rules_that_change_take_what_sounds_for_begun():
    book, siren = RuleBook([Rule("a", labels=("dog",))]), ALARM[1]
    assert book.feed(begin("yard", siren)) == []
    book.change([Rule("a", labels=("Alarm",)), Rule("b", on="end", labels=("Alarm",))])
    assert [each.rule for each in book.feed(end("yard", siren))] == ["b"]


# ---------------------------------------------------------------- each key


def onsets(rule: Rule, sounds: list[Sound], heard_s: float = 4000) -> list[float]:
    """Seconds of the sounds that a rule tells."""
    told = tell(RuleBook([rule]), live(Hearing("yard", heard_s, tuple(sounds))))
    return [((each.onset_us or 0) - us(0)) / 1e6 for each in told]


def moments(rule: Rule, hearing: Hearing) -> list[float]:
    """Seconds of the moments that a rule tells of."""
    told = tell(RuleBook([rule]), live(hearing))
    return [((each.moment_us or 0) - us(0)) / 1e6 for each in told]


def dogs(*onsets_s: float, length_s: float = 0.25, score: float = 0.9) -> list[Sound]:
    return [Sound("dog", onset_s, length_s, score) for onset_s in onsets_s]


def test_a_sound_is_told_once_it_is_sure_enough():
    book = RuleBook([Rule("sure", labels=("cat",), at_least="sure")])
    cat = Sound("cat", 10, 30)  # scores of 0.45, likely, and at last 0.9, sure
    assert tell(book, [begin("yard", cat), heard("yard", 10, 20)]) == []
    surer = replace(begin("yard", cat), phase="ongoing", score=0.86, sureness="sure")
    (message,) = tell(book, [surer, end("yard", cat)])
    assert (message.text, message.sureness) == ("yard: House cat (sure) since 21:00:10", "sure")


def test_a_begin_is_told_the_moment_it_is_known():
    (message,) = RuleBook([Rule("a", to=("bell",))]).feed(begin("yard", dogs(10)[0]))
    assert (message.on, message.told_us, message.onset_us) == ("begin", us(10.5), us(10))
    assert (message.text, message.targets) == ("yard: Dog (sure) since 21:00:10", ("bell",))
    assert message.offset_us is None


def test_labels_and_sources_choose():
    book = RuleBook([Rule("a", labels=("house CAT", "cow"), sources=("yard",))])
    assert len(book.feed(begin("yard", Sound("cat", 1, 2)))) == 1
    assert not book.feed(begin("hall", Sound("cat", 1, 2)))
    assert not book.feed(begin("yard", Sound("dog", 1, 2)))


def test_a_score_that_rises_later_counts_from_then_on():
    sound = dogs(10, score=0.9)[0]  # it begins with half of it
    book = RuleBook([Rule("a", min_score=0.8)])
    assert not book.feed(begin("yard", sound))
    risen = replace(begin("yard", sound), phase="ongoing", score=0.85)
    assert [message.score for message in book.feed(risen)] == [0.85]
    assert not book.feed(end("yard", sound))
    late = RuleBook([Rule("a", min_score=0.8)])
    assert not late.feed(begin("yard", sound))
    assert len(late.feed(end("yard", sound))) == 1
    assert not tell(
        late, [begin("yard", dogs(20, score=0.7)[0]), end("yard", dogs(20, score=0.7)[0])]
    )


def test_a_lasting_sound_is_told_while_it_still_sounds():
    sound = Sound("dog", 10, 30)
    book = RuleBook([Rule("a", lasting=5)])
    assert not tell(book, [begin("yard", sound), heard("yard", 0, 17.4)])
    (message,) = book.feed(heard("yard", 17.4, 18))
    assert (message.told_us, message.moment_us, message.offset_us) == (us(18), us(15), None)
    assert not book.feed(end("yard", sound))
    assert onsets(Rule("a", lasting=5), [*dogs(10, length_s=4.9), *dogs(30, length_s=5)]) == [30]


def test_cooldown_counts_for_each_sound_and_source_apart():
    rule = Rule("a", cooldown=60)
    assert onsets(rule, dogs(10, 69.9, 70, 100, 131)) == [10, 70, 131]
    book = RuleBook([rule])
    told = tell(
        book,
        [begin("yard", Sound("dog", 1, 1)), begin("yard", Sound("cat", 1, 1)),
         begin("hall", Sound("dog", 1, 1))],
    )  # fmt: skip
    assert len(told) == 3


def test_repeats_count_what_began_within_and_begin_anew_after_a_message():
    rule = Rule("a", repeats=3, within=60)
    assert onsets(rule, dogs(10, 40, 70, 71, 72, 73, 200, 261, 262)) == [70, 73]
    told = tell(RuleBook([rule]), live(Hearing("yard", 100, tuple(dogs(10, 40, 70)))))
    assert (told[0].count, told[0].text) == (3, "yard: Dog, 3 times by 21:01:10")


def test_hours_over_midnight_in_the_time_of_the_place():
    rule = Rule("a", hours="22:00-06:00")
    h = 3600.0
    assert onsets(rule, dogs(h - 1, h, 9 * h - 1, 9 * h), 10 * h) == [h, 9 * h - 1]
    summer = replace(begin("yard", dogs(1)[0]), utc_offset_min=120)  # there it is 22:00:01
    assert len(RuleBook([rule]).feed(summer)) == 1


def test_the_first_of_a_day_begins_anew_at_midnight():
    h = 3600.0
    rule = Rule("a", first_of_day=True)
    assert onsets(rule, dogs(10, 20, 3 * h - 1, 3 * h, 4 * h, 27 * h), 28 * h) == [
        10,
        3 * h,
        27 * h,
    ]


def test_a_day_is_that_of_the_place_when_the_clock_is_set():
    """At 3:00 of summer time it becomes 2:00; 0:30 and 23:30 of it are one day."""
    book = RuleBook([Rule("a", first_of_day=True)])
    early = replace(begin("yard", dogs(0)[0]), onset_us=us(3.5 * 3600 - 3600), utc_offset_min=120)
    late = replace(begin("yard", dogs(9)[0]), onset_us=us(3.5 * 3600 + 23 * 3600))
    assert len(book.feed(early)) == 1
    assert not book.feed(late)


def test_rare_is_what_was_not_heard_for_days():
    day = 86400.0
    sounds = dogs(10, day, 3.5 * day, 5.4 * day, score=0.9) + dogs(6 * day, score=0.2)
    assert onsets(Rule("a", rare=2, min_score=0.5), sounds, 7 * day) == [10, 3.5 * day]


def test_the_end_is_told_with_its_length():
    (message,) = tell(
        RuleBook([Rule("a", on="end", message="{name} {length} {score} {end}")]),
        live(Hearing("yard", 100, (Sound("dog", 10, 65),))),
    )
    assert message.text == "Dog 1 min 05 s 0.90 21:01:15"


def test_what_goes_on_is_told_after_each_cooldown():
    rule = Rule("a", on="ongoing", cooldown=60)
    assert moments(rule, Hearing("yard", 1000, (Sound("dog", 10, 130),))) == [10, 70, 130]
    # The cooldown goes on after the sound.
    sounds = (Sound("dog", 10, 5), Sound("dog", 40, 100), Sound("dog", 145, 2))
    assert moments(rule, Hearing("yard", 1000, sounds)) == [10, 70, 130]
    later = Rule("a", on="ongoing", cooldown=60, lasting=20, hours="21:01-22:00")
    assert moments(later, Hearing("yard", 1000, (Sound("dog", 10, 200),))) == [60, 120, 180]


def test_quiet_counts_heard_time_from_the_end_of_a_sound():
    rule = Rule("a", on="quiet", labels=("dog",), lasting=100)
    assert moments(rule, Hearing("yard", 1000)) == []  # nothing was there before
    sounds = (Sound("dog", 10, 5), Sound("cat", 60, 5))
    assert moments(rule, Hearing("yard", 1000, sounds)) == [115]
    assert moments(rule, Hearing("yard", 1000, sounds, ((50, 400),))) == [515]
    assert moments(rule, Hearing("yard", 50, sounds[:1], ((30, 4000),))) == []
    again = (*sounds, Sound("dog", 110, 5), Sound("dog", 400, 5))
    assert moments(rule, Hearing("yard", 1000, again)) == [215, 505]
    (message,) = tell(RuleBook([rule]), live(Hearing("yard", 130, sounds)))
    assert (message.on, message.label, message.event_id) == ("quiet", "dog", None)
    assert message.text == "yard: no Dog since 21:00:15"
    assert message.told_us >= us(125)  # a faint sound may become known until then


def test_quiet_of_several_is_quiet_of_all():
    rule = Rule("a", on="quiet", labels=("dog", "cat"), lasting=100)
    sounds = (Sound("dog", 10, 5), Sound("cat", 60, 100))
    (message,) = tell(RuleBook([rule]), live(Hearing("yard", 1000, sounds)))
    assert (message.moment_us, message.label, message.name) == (us(260), "", "dog or cat")


def test_quiet_is_told_once_where_sounds_overlap():
    rule = Rule("a", on="quiet", lasting=100)
    others = (Sound("cat", 300, 150), Sound("dog", 305, 2), Sound("dog", 430, 5))
    sounds = (Sound("dog", 10, 5), *others)
    assert moments(rule, Hearing("yard", 1000, sounds)) == [115, 550]


def test_quiet_waits_for_the_hours():
    rule = Rule("a", on="quiet", lasting=100, hours="21:10-21:30")
    assert moments(rule, Hearing("yard", 1000, tuple(dogs(10)))) == [600]


def test_a_clock_that_is_set_back_silences_no_rule():
    h = 3600.0
    book = RuleBook([Rule("a", cooldown=60), Rule("b", on="ongoing", cooldown=60)])
    assert len(tell(book, [heard("yard", 0, 5 * h), begin("yard", dogs(5 * h)[0])])) == 2
    assert len(book.feed(begin("yard", dogs(h)[0]))) >= 1


def test_a_new_rule_does_not_tell_of_sounds_that_are_there():
    sound = Sound("dog", 10, 100)
    book = RuleBook([])
    book.feed(begin("yard", sound))
    book.change([Rule("a"), Rule("b", on="end")])
    told = tell(book, [replace(begin("yard", sound), phase="ongoing"), end("yard", sound)])
    assert [message.rule for message in told] == ["b"]


def test_a_message_has_one_token_however_often_it_is_made():
    def made(rule: Rule) -> str:
        return RuleBook([rule]).feed(begin("yard", dogs(10)[0]))[0].token

    assert made(Rule("a")) == made(Rule("a", message="other")) != made(Rule("b"))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": ""}, "name '': must be 1 to 64"),
        ({"name": "a\nb"}, "name 'a\\nb': must be"),
        ({"labels": ("dog", " ")}, "labels: one of them is empty"),
        ({"min_score": 1.5}, "min-score 1.5: must be from 0 to 1"),
        ({"repeats": 0, "within": 5.0}, "repeats 0: must be from 1"),
        ({"repeats": 3}, "repeats 3: needs the time in which: add within"),
        ({"within": 5.0}, "within: is the time for repeats: add repeats"),
        ({"on": "quiet"}, "on quiet: needs how long: add lasting"),
        ({"on": "ongoing"}, "on ongoing: needs the time after which"),
        ({"on": "lost"}, "on lost: needs how long: add lasting"),
        ({"on": "lost", "lasting": 5.0, "labels": ("dog",)}, "labels: makes no sense with on = l"),
        ({"on": "lost", "lasting": 5.0, "rare": 3}, "rare: makes no sense with on = lost"),
        ({"on": "quiet", "lasting": 5.0, "rare": 3}, "rare: makes no sense with on = quiet"),
        ({"on": "ongoing", "cooldown": 5.0, "first_of_day": True}, "first-of-day: makes no sense"),
        ({"on": "quiet", "lasting": 5.0, "repeats": 2, "within": 9.0}, "repeats: makes no sense"),
        ({"cooldown": 1e9}, "cooldown 1000000000 s: must be at most 30 days"),
        ({"rare": 0}, "rare 0: must be from 1 to 3650"),
        ({"hours": "22-6"}, "hours 22-6: must be a time of the day"),
        ({"hours": "25:00-06:00"}, "hours 25:00-06:00: must be a time"),
        ({"hours": "06:00-06:00"}, "hours 06:00-06:00: must be a time"),
        ({"message": " "}, "message: is empty"),
        ({"message": "{colour}"}, "message: {colour} is no field: there are {name}"),
        ({"message": "{name.__class__}"}, "message: {name.__class__} is no field"),
        ({"message": "{score:9999999}"}, "message: {score:9999999} is no field"),
        ({"message": "{name!r}"}, "message: {name!r} is no field"),
        ({"message": "{0}"}, "message: {0} is no field"),
        ({"message": "{}"}, "message: {} is no field"),
        ({"message": "{name"}, "message: has a single brace"),
        ({"message": "x" * 2001}, "message: has 2001 characters"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(keys, said):
    with pytest.raises(UsageError) as caught:
        Rule(**{"name": "a", **keys})
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_message_shows_names_safely():
    sound = replace(begin("ya\x1brd", dogs(10)[0]), name="{source}")
    rule = Rule("a", message="{{{name}}} {source} {rule} {label} {date} {count} {end}")
    (message,) = RuleBook([rule]).feed(sound)
    assert message.text == "{{source}} ya\\x1brd a dog 2026-11-21 1 "
