"""Events grouped by likeness: the same sound, heard again."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest
import soundfile

from streamclf.core.unknown import UNKNOWN_LABEL
from streamclf.store.database import connect, transaction
from streamclf.store.listing import StoredEvent
from streamclf.store.reviews import review_event
from streamclf.teach.groups import Group, group_vectors

RATE = 16_000


def test_what_points_the_same_way_is_one_group_the_largest_first():
    random = np.random.default_rng(1)
    places = np.eye(8, dtype=np.float32)
    kinds = [0] * 3 + [1] * 5 + [2]
    vectors = np.stack([3 * places[kind] * (1 + n) for n, kind in enumerate(kinds)])
    vectors += random.normal(0, 0.05, vectors.shape).astype(np.float32)
    groups = group_vectors(vectors.astype(np.float32))
    assert [sorted(places) for places, _ in groups] == [[3, 4, 5, 6, 7], [0, 1, 2]]
    assert all(likeness > 0.9 for _, likeness in groups)
    assert group_vectors(np.eye(3, dtype=np.float32)) == []


def event_of(onset_s, length_s, source="yard", *, timed=True):
    """An unknown event of a live source, or of a run of which nothing tells the time."""
    onset_us = round(onset_s * 1e6) + 1_764_000_000_000_000
    return StoredEvent(
        row=round(onset_s) + 1, source=source, recording=None, model="m", run="r", sample_rate=RATE,
        label=UNKNOWN_LABEL, onset=round(onset_s * RATE), offset=round((onset_s + length_s) * RATE),
        onset_us=onset_us if timed else None,
        offset_us=onset_us + round(length_s * 1e6) if timed else None,
        utc_offset_min=0, score=0.5, highest_score=0.5, short=False, state="ended", elapsed=0,
        verdict=None, clip=None,
    )  # fmt: skip


@pytest.mark.parametrize("timed", [True, False])
def test_what_goes_on_for_hours_was_heard_once(timed):
    noise = [event_of(61 * n, 60, timed=timed) for n in range(120)]
    random = np.random.default_rng(2)
    group = Group(tuple(noise[k] for k in random.permutation(120)), 0.9)
    assert (group.n_times, group.length_s) == (1, pytest.approx(119 * 61 + 60))
    assert group.usual_hour is None
    bells = [event_of(s, 2, timed=timed) for s in (10, 15, 500, 900)]
    assert Group((*bells, event_of(12, 2, "hall", timed=timed)), 0.9).n_times == 4
    assert Group((*bells,), 0.9).length_s == 2.0


def test_heard_groups_events_and_says_how_to_name_them(streamclf, tmp_path):
    time = np.arange(3 * RATE) / RATE
    beep = 0.2 * np.sin(2 * np.pi * 1500 * time) * (np.sin(2 * np.pi * 4 * time) > 0)
    random = np.random.default_rng(1)
    minute = random.normal(0, 1e-5, 60 * RATE)
    for begin in (8, 26, 44):
        minute[begin * RATE :][: beep.size] += beep * random.uniform(0.5, 1)
    sweep = 0.2 * np.sin(2 * np.pi * (200 + 1000 * time) * time)
    minute[16 * RATE :][: sweep.size] += sweep
    soundfile.write(tmp_path / "minute.wav", minute.astype(np.float32), RATE)
    store = tmp_path / "heard.db"
    done = streamclf(
        "file", tmp_path / "minute.wav", "--store", store, "--unknown", "--model", "pocket",
        "--clips", tmp_path / "clips", "--features", tmp_path / "heard.features",
        "--threshold", "0.999",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = streamclf("heard", "--unknown", "--groups", "--store", store, "--format", "jsonl")
    assert told.code == 0, told.err
    groups = [json.loads(line) for line in told.out.splitlines()]
    assert groups, done.out
    assert groups[0]["labels"] == [UNKNOWN_LABEL]
    onsets = sorted(int(name.rpartition("-")[2]) / RATE for name in groups[0]["events"])
    assert onsets == pytest.approx([8, 26, 44], abs=1.5)
    text = streamclf("heard", "--unknown", "--groups", "--store", store).out
    assert "  1. heard 3 times" in text
    assert "name it: streamclf teach NAME unknown-" in text
    assert f" --store {store}\n" in text
    assert groups[0]["times"] == 3
    # Another model has groups of its own, and does not take these away.
    (tmp_path / "hall.wav").hardlink_to(tmp_path / "minute.wav")
    done = streamclf(
        "file", tmp_path / "hall.wav", "--store", store, "--unknown", "--model", "wide",
        "--features", tmp_path / "heard.features",
        "--threshold", "0.999",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = streamclf("heard", "--unknown", "--groups", "--store", store, "--format", "jsonl")
    both = [json.loads(line)["events"] for line in told.out.splitlines()]
    assert sorted(groups[0]["events"]) in [sorted(events) for events in both]
    assert len(both) > len(groups)
    with closing(connect(store)) as connection, transaction(connection):
        for (row,) in connection.execute("SELECT id FROM events").fetchall():
            review_event(connection, row, "wrong", "beep", 1)
    text = streamclf("heard", "--unknown", "--groups", "--store", store).out
    assert text == "No such events whose features are kept.\n"


def test_groups_of_nothing_and_what_does_not_go_together_are_told(streamclf, tmp_path):
    store = tmp_path / "heard.db"
    connect(store, create=True).close()
    done = streamclf("heard", "--groups", "--store", store)
    assert (done.code, done.out) == (0, "No such events whose features are kept.\n")
    for others in (["--by", "hour"], ["--format", "csv"]):
        done = streamclf("heard", "--groups", *others, "--store", store)
        assert done.code == 2
        assert "--groups" in done.err
