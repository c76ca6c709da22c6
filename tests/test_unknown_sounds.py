import json
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.checks.comparison import compare
from streamclf.core.card import Card, Threshold, Thresholds, Unknown
from streamclf.core.records import Average, EventBegan, Gap, Scores, SoundEvent, StreamStarted
from streamclf.core.settings import Settings
from streamclf.core.unknown import SILENCE, judge
from streamclf.core.unknown_rule import find_unknown_rule
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.events import Detections, Timing
from streamclf.pipeline.unknown_events import name_unknown
from streamclf.runs.spool import pack, unpack
from streamclf.sinks.jsonl import JsonLinesSink
from streamclf.sources.array import ArraySource

RATE = 1000
UNKNOWN = Unknown(threshold=0.6)
CARD = Card(
    name="loud",
    labels=["loud", "soft"],
    sample_rate=RATE,
    window_samples=RATE,
    thresholds=Thresholds(on=0.8, off=0.5),
    unknown=UNKNOWN,
)


class Loudness:
    """Says loud of windows that peak above 0.5, can't tell below 0.1, and counts its windows."""

    def __init__(self, card=CARD):
        self.card = card
        self.n_windows = 0

    def score(self, waveforms):
        self.n_windows += len(waveforms)
        peaks = np.abs(waveforms).max(axis=1)
        loud = np.where(peaks > 0.5, 0.9, np.where(peaks > 0.1, 0.1, 0.45))
        return np.stack([loud, 1 - loud], axis=1).astype(np.float32)


def make_audio(*levels):
    """Three seconds of each level."""
    tone = np.sin(np.arange(3 * RATE)).astype(np.float32)
    return np.concatenate([level * tone for level in levels])


def run(audio, scorer, **settings):
    engine = Engine(scorer, Settings(0.5, 0.0, **settings))
    return list(engine.run(ArraySource(audio, RATE))), engine


def test_network_is_not_asked_about_silence():
    audio = make_audio(0.9, 0.0, 0.9)
    scorer = Loudness()
    results, engine = run(audio, scorer)
    averages = [r for r in results if isinstance(r, Average)]
    silent = [a for a in averages if not a.values.any()]
    assert scorer.n_windows == len(averages) - len(silent)
    assert {a.position for a in silent} == {3000, 3500, 4000, 4500, 5000}
    assert engine.statistics.n_silent == len(silent)
    assert all(a.values.sum() == pytest.approx(1) for a in averages if a not in silent)


@given(place=st.integers(0, RATE - 1), sign=st.sampled_from([-1, 1]))
def test_a_single_sample_is_enough_to_be_heard(place, sign):
    audio = np.full(RATE, 0.9 * SILENCE, np.float32)
    scorer = Loudness()
    run(audio, scorer)
    assert not scorer.n_windows
    audio[place] = sign * np.float32(1.1 * SILENCE)
    run(audio, scorer)
    assert scorer.n_windows == 1


def test_whatever_is_louder_than_silence_is_heard():
    scorer = Loudness()
    run(make_audio(1.01 * SILENCE), scorer)
    assert scorer.n_windows


def test_model_that_tells_no_unknown_sounds_hears_everything():
    scorer = Loudness(msgspec.structs.replace(CARD, unknown=None))
    results, engine = run(make_audio(0.0), scorer)
    assert scorer.n_windows == sum(isinstance(r, Average) for r in results)
    assert engine.statistics.n_silent == engine.statistics.n_unknown == 0


@pytest.mark.parametrize(
    ("values", "own", "expected"),
    [
        ([0.6, 0.4], [0.6, 0.4], ("known", 0.6)),
        ([0.55, 0.45], [0.9, 0.1], ("unknown", 0.45)),
        ([0.9, 0.1], [0.0, 0.0], ("silence", 1.0)),
    ],
)
def test_verdict(values, own, expected):
    scores = Scores(0, 1, np.array(own, np.float32))
    verdict, score = judge(Average(scores, np.array(values, np.float32)), UNKNOWN)
    assert (verdict, pytest.approx(score)) == expected


MANY = Card(
    name="many", labels=["dog", "Noise", "Silence", "Rock"], sample_rate=RATE, window_samples=RATE,
    task="multi-label", activation="sigmoid",
    thresholds=Thresholds(
        on=0.5, off=0.3, classes={"Silence": Threshold(0.2, 0.1), "Rock": Threshold(0.1, 0.1)},
        never=["Silence", "Rock"],
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.0, 0.0, 0.0], ("known", 1.0)),
        ([0.4, 0.3, 0.1, 0.0], ("unknown", 0.2)),
        ([0.4, 0.45, 0.0, 0.0], ("known", 0.8)),  # noise is nearer
        ([0.1, 0.0, 0.1, 0.0], ("known", 0.2)),  # and silence, whose threshold is another
        ([0.1, 0.0, 0.1, 0.9], ("unknown", 0.8)),  # what may be no event names nothing
    ],
)
def test_verdict_of_a_model_of_several_labels_at_once(values, expected):
    rule = find_unknown_rule(MANY)
    values = np.array(values, np.float32)
    verdict, score = judge(Average(Scores(0, 1, values), values), rule)
    assert (verdict, pytest.approx(score)) == expected
    silent = Average(Scores(0, 1, np.zeros(4, np.float32)), values)
    assert judge(silent, rule) == ("silence", 1.0)


def test_rule_for_unknown_sounds_is_the_cards_or_that_of_its_labels(streamclf, tone_model):
    assert find_unknown_rule(CARD) is UNKNOWN
    assert find_unknown_rule(msgspec.structs.replace(CARD, unknown=None)) is None
    plain = msgspec.structs.replace(MANY, labels=["dog", "Rock"], thresholds=Thresholds())
    assert find_unknown_rule(plain) is None
    assert find_unknown_rule(Model("wide", provider="cpu").card) is not None
    done = streamclf("listen", "--unknown", "--no-ui", "--model", tone_model, "--source", "-")
    assert "warning: --unknown: tones has no rule for unknown sounds: there are none" in done.err


def test_unknown_sounds_of_several_labels_at_once_are_told_on_request():
    class Faint:
        card = MANY

        def score(self, waveforms):
            dog = np.where(np.abs(waveforms).max(axis=1) > 0.5, 0.9, 0.2)
            rest = np.zeros_like(dog)
            return np.stack([dog, rest, rest, rest], axis=1).astype(np.float32)

    audio = make_audio(0.9, 0.05, 0.0)
    plain, engine = run(audio, Faint())
    assert engine.unknown is None
    assert {e.label for e in plain if isinstance(e, SoundEvent)} == {"dog"}
    named, engine = run(audio, Faint(), name_unknown=True)
    events = {e.label: (e.onset, e.offset) for e in named if isinstance(e, SoundEvent)}
    assert events["unknown"] == (3250, 6250)
    assert events["silence"] == (6000, 9000)
    assert engine.reported_labels == ["dog", "Noise", "unknown", "silence"]
    # What is told of the stream goes to other processes.
    (started,) = (each for each in named if isinstance(each, StreamStarted))
    assert unpack(pack(started)).unknown.on.tolist() == started.unknown.on.tolist()


def test_unknown_sounds_and_silence_become_events_on_request():
    audio = make_audio(0.9, 0.05, 0.0)
    plain, _ = run(audio, Loudness())
    named, engine = run(audio, Loudness(), name_unknown=True)
    assert {e.label for e in plain if isinstance(e, SoundEvent)} == {"loud"}
    events = {e.label: e for e in named if isinstance(e, SoundEvent)}
    assert set(events) == {"loud", "unknown", "silence"}
    assert events["silence"] == SoundEvent("silence", 6000, 9000, 1.0)
    # Windows at 3.0 to 5.5 s hold nothing loud; each stands for a hop around its centre.
    assert (events["unknown"].onset, events["unknown"].offset) == (3250, 6250)
    assert engine.statistics.n_unknown == 6
    others = [r for r in named if not isinstance(r, SoundEvent | EventBegan | Average)]
    assert [type(r) for r in others] == [StreamStarted]


TIMING = Timing(window=10, hop=10, average=30)


def groups(*items):
    """Items that made nothing known, and the stream's end."""
    return [Detections(item, []) for item in (*items, None)]


def doubtful(position, *told, silent=False):
    """A window that nothing is named in, with what it made known."""
    row = np.zeros(2, np.float32) if silent else np.array([0.5, 0.5], np.float32)
    return Detections(Average(Scores(position, 10, row), row), [*told])


def told_of(found, timing=TIMING):
    return [r for r in name_unknown(found, UNKNOWN, lambda: timing) if not isinstance(r, Average)]


def test_silence_is_told_of_at_once_and_unknown_sounds_once_others_would_have_a_name():
    silence = [doubtful(10 * k, silent=True) for k in range(5)]
    assert told_of([*silence, Detections(None, [])]) == [
        EventBegan("silence", 0, 1.0, 10),
        SoundEvent("silence", 0, 50, 1.0),
    ]
    unknown = [doubtful(10 * k) for k in range(5)]
    assert told_of([*unknown, Detections(None, [])]) == [
        EventBegan("unknown", 0, 0.5, 30),
        SoundEvent("unknown", 0, 50, 0.5),
    ]


def test_no_unknown_sound_lies_inside_a_known_event():
    known = EventBegan("loud", 20, 0.9, 50), SoundEvent("loud", 20, 70, 0.9)
    found = [doubtful(10 * k, *known[: k == 4]) for k in range(9)]
    found += [
        doubtful(90, known[1]),
        *[doubtful(10 * k) for k in range(10, 13)],
        Detections(None, []),
    ]
    told = told_of(found)
    # The known event is found by looking back: the unknown one that was told of ends where it
    # begins, and none lies in it; the next begins behind it.
    assert told == [
        EventBegan("unknown", 0, 0.5, 30),
        SoundEvent("unknown", 0, 20, 0.5),
        *known,
        EventBegan("unknown", 70, 0.5, 100),
        SoundEvent("unknown", 70, 130, 0.5),
    ]


def test_unknown_sound_that_a_known_one_explains_is_never_told_of():
    known = EventBegan("loud", 0, 0.9, 20), SoundEvent("loud", 0, 20, 0.9)
    found = [doubtful(0), doubtful(10, *known), doubtful(20, silent=True), Detections(None, [])]
    assert [r.label for r in told_of(found)] == ["loud", "loud", "silence", "silence"]


def test_silence_of_hours_goes_on_or_comes_in_pieces():
    found = [*[doubtful(10 * k, silent=True) for k in range(12)], Detections(None, [])]
    ongoing = told_of(found, replace(TIMING, ongoing=50))
    assert [type(r).__name__ for r in ongoing] == [
        "EventBegan", "EventOngoing", "EventOngoing", "SoundEvent",
    ]  # fmt: skip
    pieces = told_of(found, replace(TIMING, max_duration=50))
    places = [(r.onset, r.offset) for r in pieces if isinstance(r, SoundEvent)]
    assert places == [(0, 50), (50, 100), (100, 120)]
    assert [r.onset for r in pieces if isinstance(r, EventBegan)] == [0, 50, 100]


def test_each_begin_of_what_has_no_name_has_one_end():
    audio = make_audio(0.9, 0.05, 0.9, 0.0, 0.05, 0.0)
    results, _ = run(audio, Loudness(), name_unknown=True)
    compared = compare(results, results, CARD)
    assert not compared.fault
    assert compared.n_events == 6


def test_event_follows_the_average_that_ended_it():
    values = [np.array(pair, np.float32) for pair in ([0.5, 0.5], [0.9, 0.1])]
    averages = [Average(Scores(10 * k, 10, row), row) for k, row in enumerate(values)]
    found = list(name_unknown(groups(*averages), UNKNOWN, lambda: TIMING))
    assert found[:2] == averages
    assert found[2:] == [EventBegan("unknown", 0, 0.5, 20), SoundEvent("unknown", 0, 10, 0.5)]


def test_gap_ends_an_unknown_sound():
    average = Average(
        Scores(0, 10, np.array([0.5, 0.5], np.float32)), np.array([0.5, 0.5], np.float32)
    )
    gap = Gap(10, 5, RATE, "test")
    found = list(name_unknown(groups(average, gap), UNKNOWN, lambda: TIMING))
    assert [type(r) for r in found] == [Average, EventBegan, SoundEvent, Gap]


@pytest.mark.parametrize(("level", "label"), [(0.0, "silence"), (0.05, "unknown")])
def test_updates_begin_with_it(level, label):
    lines = []
    sink = JsonLinesSink(SimpleNamespace(write=lines.append, close=lambda: None), top=2)
    sink.begin(StreamStarted("x", RATE, CARD.labels, CARD.task, unknown=UNKNOWN))
    results, _ = run(make_audio(level), Loudness())
    for result in results:
        sink.write(result)
    tops = [json.loads(line)["top"] for line in lines]
    assert tops
    assert {top[0]["label"] for top in tops} == {label}
    assert all(len(top) == 3 for top in tops)
