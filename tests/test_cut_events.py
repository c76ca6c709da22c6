"""Which events of a killed process are told again: cut ones, new ones, and what they joined."""

from __future__ import annotations

import pytest
from stored import RATE, block, change, made_stream

from streamclf.core.records import EventBegan, SoundEvent
from streamclf.notify.cut_events import CutEvents, find_left_events, read_cut_events
from streamclf.store.store import Store

SPANS = {"bird": (0, 1), "siren": (5, 12), "smoke": (10, 100)}


@pytest.fixture
def store(tmp_path):
    """A store of two runs of 130 s; whoever wrote the second one was killed while a dog barked."""
    path = tmp_path / "box.db"
    with Store(path, report=print, live=True) as store:
        for run in ("first", "second"):
            sink = store.sink()
            sink.begin(made_stream(run=run))
            sink.hear(block(0, 130 * RATE))
            for label, (onset_s, offset_s) in SPANS.items():
                sink.write(EventBegan(label, onset_s * RATE, 0.6, offset_s * RATE))
                sink.write(SoundEvent(label, onset_s * RATE, offset_s * RATE, 0.9))
            sink.write(EventBegan("dog", 125 * RATE, 0.6, 126 * RATE))
            sink.close()
    change(path, "UPDATE runs SET state = 'open' WHERE token = 'second'")
    change(path, "UPDATE events SET state = 'open', offset = NULL, offset_us = NULL "
                 "WHERE label = 'dog' AND run_id = (SELECT max(id) FROM runs)")  # fmt: skip
    return path


def restart(path) -> CutEvents:
    left = find_left_events(path)
    with Store(path, report=lambda line: None, live=True):
        return read_cut_events(path, left)


def test_what_had_just_ended_is_told_and_what_it_joined_goes_before_it(store):
    cut = restart(store)
    told = [(each.phase, each.event_id) for each in cut.happened]
    assert len(told) == 2 * 3
    assert {name for _, name in told} == {
        "siren-5000@second", "smoke-10000@second", "dog-125000@second"
    }  # fmt: skip
    assert cut.untold == {"smoke-10000@second", "dog-125000@second"}
    assert [(each.phase, each.label) for each in cut.ends] == [("end", "smoke"), ("end", "dog")]


def test_a_process_that_lived_for_a_moment_has_told_nothing_yet(store):
    assert restart(store) == restart(store)
    with Store(store, report=lambda line: None, live=True) as opened:
        sink = opened.sink()
        sink.begin(made_stream(run="third"))
        sink.hear(block(0, RATE))
        sink.close()
    assert restart(store) == CutEvents()  # it ended as it should


@pytest.mark.parametrize(
    "what", ["writer = 'import'", "recording_id = (SELECT max(id) FROM recordings)"]
)
def test_what_nobody_heard_live_is_told_to_nobody(store, what):
    change(store, "INSERT INTO recordings (path, bytes, modified_us) VALUES ('/a.wav', 1, 1)")
    change(store, f"UPDATE runs SET state = 'cut', {what}")
    assert restart(store) == CutEvents()
