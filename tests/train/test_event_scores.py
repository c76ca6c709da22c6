from __future__ import annotations

import json

import pytest

pytest.importorskip("networkx")

from train.evaluation.event_metrics import (
    Event,
    count_events,
    count_false_alarms,
    count_segments,
    evaluate_events,
)
from train.event_scores import main

pytestmark = pytest.mark.train


def dog(onset, offset, source="a", label="dog"):
    return Event(source, label, onset, offset)


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (dog(11.0, 14.0), 1),  # the onset at the collar
        (dog(11.01, 14.0), 0),
        (dog(10.0, 16.0), 1),  # the offset at half of the length
        (dog(10.0, 16.01), 0),
        (dog(10.0, 12.0), 1),
        (dog(10.0, 14.0, label="cat"), 0),
        (dog(10.0, 14.0, source="b"), 0),
    ],
)
def test_event_is_right_by_label_onset_and_offset(found, right):
    counts = count_events([dog(10, 14)], [found])
    assert sum(one.right for one in counts.values()) == right


def test_short_event_has_the_collar_for_its_offset():
    assert count_events([dog(10, 10.5)], [dog(10, 11.5)])["dog"].right == 1
    assert count_events([dog(10, 10.5)], [dog(10, 11.6)])["dog"].right == 0


def test_events_pair_so_that_most_are_right():
    # The first found fits both, the second the first alone: greedy pairing would lose one.
    truth = [dog(0.0, 5.0), dog(1.5, 6.5)]
    found = [dog(0.9, 5.5), dog(0.0, 5.0)]
    counts = count_events(truth, found)["dog"]
    assert (counts.right, counts.found, counts.there) == (2, 2, 2)


def test_event_found_twice_is_right_once():
    counts = count_events([dog(0, 5)], [dog(0, 5), dog(0.1, 5)])["dog"]
    assert counts.figures() == {
        "f1": 0.6667, "precision": 0.5, "recall": 1.0, "right": 1, "found": 2, "there": 1,
    }  # fmt: skip


def test_segments_count_every_second_touched():
    truth, found = [dog(0.5, 2.5)], [dog(2.0, 4.0)]
    counts = count_segments(truth, found, {"a": 10.0})["dog"]
    assert (counts.right, counts.found, counts.there) == (1, 2, 3)


def test_segments_beyond_the_end_do_not_count():
    counts = count_segments([], [dog(8.0, 12.0)], {"a": 9.5})["dog"]
    assert (counts.right, counts.found, counts.there) == (0, 2, 0)


def test_false_alarms_are_those_whose_class_does_not_sound():
    truth = [dog(0, 5), dog(20, 25, label="cat")]
    found = [dog(4, 9), dog(5, 9), dog(20, 25), dog(20, 21, label="cat")]
    assert count_false_alarms(truth, found) == 2
    assert evaluate_events(truth, found, {"a": 1800.0})["false_alarms_per_hour"] == 4


def test_figures_of_nothing_found():
    judged = evaluate_events([dog(0, 5)], [], {"a": 60.0})
    assert judged["events"]["f1"] == judged["events"]["recall"] == 0
    assert judged["events"]["precision"] is None


HEADER = "type,source,label,onset,offset,score,time,snr_db,seconds"


@pytest.fixture
def tables(tmp_path):
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text(
        f"{HEADER}\n"
        "event,a.wav,dog,1.0,3.0,1,,10,60.0\n"
        "event,a.wav,cat,10.0,14.0,1,,10,60.0\n"
        "event,b.wav,dog,5.0,6.0,1,,20,60.0\n"
    )
    found.write_text(
        "type,source,label,onset,offset,score,time\n"
        "event,some/where/a.wav,dog,1.5,3.0,0.9,\n"
        "gap,some/where/a.wav,overload,4.0,5.0,,\n"
        "event,some/where/a.wav,dog,30.0,32.0,0.6,\n"
        "event,some/where/b.wav,dog,5.5,6.5,0.8,\n"
    )
    return truth, found


def test_command_judges_tables_by_level(tables, capsys):
    assert main([*map(str, tables), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["events"]["right"] == 2
    assert said["events"]["f1"] == pytest.approx(2 * 2 / 6, abs=1e-4)
    assert said["false_alarms_per_hour"] == pytest.approx(30)
    assert said["classes"]["cat"]["events"]["recall"] == 0
    assert {level: judged["events"]["f1"] for level, judged in said["snr_db"].items()} == {
        "10": 0.5, "20": 1.0,
    }  # fmt: skip


def test_command_prints_a_table(tables, capsys):
    assert main([*map(str, tables)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:10].strip(): line.split() for line in lines}
    assert rows["all"][1:5] == ["0.667", "0.667", "0.667", "2/3/3"]
    assert rows["at 20 dB"][3] == "1.000"
    assert "30 false alarms an hour" in lines[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("source,label,onset\n", "has no column 'offset'"),
        (f"{HEADER}\nevent,a.wav,dog,3.0,2.0,1,,10,60\n", "line 2: no event"),
        (f"{HEADER}\nevent,a.wav,dog,x,2.0,1,,10,60\n", "line 2: no event"),
        (f"{HEADER}\nevent,z.wav,dog,1.0,2.0,1,,10,60\n", "knows no recording of this name"),
        (None, "cannot be read"),
    ],
)
def test_command_fails_in_one_line(tables, tmp_path, capsys, content, said):
    other = tmp_path / "other.csv"
    if content is not None:
        other.write_text(content)
    assert main([str(tables[0]), str(other)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_command_refuses_a_collar_of_nothing(tables, capsys):
    assert main([*map(str, tables), "--collar", "0"]) == 2
    assert "--collar is 0" in capsys.readouterr().err


def test_command_refuses_the_truth_in_place_of_what_was_found(tables, capsys):
    truth, found = tables
    assert main([str(found), str(truth)]) == 2
    assert "truth.csv: has a column snr_db" in capsys.readouterr().err
