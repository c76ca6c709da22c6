"""What the store answers: counts, hours heard and gaps, over days, zones and clock changes."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from stores import Heard, Run, make_store

from streamclf.core.errors import UsageError
from streamclf.store.database import connect_to_read
from streamclf.store.listing import count_runs, list_events, list_open
from streamclf.store.names import find_labels, find_sources, list_labels, shorten_names
from streamclf.store.queries import (
    Missing,
    count_events,
    count_untimed,
    find_first_runs,
    hours_heard,
    list_levels,
    list_missing,
    measure_extent,
)
from streamclf.store.question import Question
from streamclf.store.rates import list_rates
from streamclf.store.said_labels import find_said_label

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 23, 6, 0, tzinfo=BERLIN)


@pytest.fixture
def ask(tmp_path):
    """Make a store of runs, and open it."""
    opened = []

    def make(*runs: Run):
        opened.append(connect_to_read(make_store(tmp_path / "heard.db", runs)))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


EVERYTHING = Question()


def counted(connection, question=EVERYTHING, by=()):
    return {each.key: each.n_events for each in count_events(connection, question, by)}


def local(text: str, zone=BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_a_label_is_counted_with_its_times_length_and_highest_score(ask):
    store = ask(
        Run("yard", MONDAY, 3600, [
            Heard("dog", 10, 2.5, 0.7), Heard("dog", 600, 1.5, 0.95), Heard("cat", 30, 4, 0.6),
        ]),
        Run("street", MONDAY, 3600, [Heard("dog", 5, 1, 0.8)]),
    )  # fmt: skip
    cat, dog = count_events(store, Question(), ["label"])
    assert (dog.key, dog.n_events, dog.sounding_s, dog.highest_score) == (("dog",), 3, 5.0, 0.95)
    assert dog.first == MONDAY + timedelta(seconds=5)
    assert dog.last == MONDAY + timedelta(seconds=600)
    assert dog.first.utcoffset() == timedelta(hours=1)
    assert (cat.n_events, cat.sounding_s) == (1, 4.0)
    (every,) = count_events(store, Question())
    assert (every.key, every.n_events, every.sounding_s) == ((), 4, 9.0)


def test_events_are_counted_by_all_that_they_belong_to(ask):
    store = ask(
        Run("yard", MONDAY, 7200, [("dog", 0), ("dog", 3599), ("dog", 3600)]),
        Run("street", MONDAY + timedelta(days=1), 3600, [("dog", 1), ("cat", 2)], model="mine"),
    )
    assert counted(store, by=["source"]) == {("street",): 2, ("yard",): 3}
    assert counted(store, by=["model"]) == {("mine 8",): 2, ("pocket 8",): 3}
    assert counted(store, by=["hour"]) == {(6,): 4, (7,): 1}
    assert counted(store, by=["day"]) == {(date(2026, 11, 23),): 3, (date(2026, 11, 24),): 2}
    assert counted(store, by=["day", "hour", "label"]) == {
        (date(2026, 11, 23), 6, "dog"): 2,
        (date(2026, 11, 23), 7, "dog"): 1,
        (date(2026, 11, 24), 6, "dog"): 1,
        (date(2026, 11, 24), 6, "cat"): 1,
    }
    assert counted(store, by=["hour", "source"]) == {
        (6, "street"): 2, (6, "yard"): 2, (7, "yard"): 1,
    }  # fmt: skip
    assert list(counted(store, by=["source", "hour"])) == [("street", 6), ("yard", 6), ("yard", 7)]


@pytest.mark.parametrize("by", [[], ["label"], ["hour"], ["source"], ["model", "day", "label"]])
def test_a_question_chooses_events_however_they_are_counted(ask, by):
    store = ask(
        Run("yard", MONDAY, 7200, [
            Heard("dog", 10, score=0.5, verdicts=["wrong", "right"]),
            Heard("dog", 20, score=0.9), Heard("cat", 3700, score=0.9, verdicts=["wrong"]),
        ]),
        Run("street", MONDAY, 7200, [Heard("cat", 30, score=0.8)]),
    )  # fmt: skip

    def number(**chosen) -> int:
        return sum(counted(store, Question(**chosen), by).values())

    (yard, _) = find_sources(store, ["yard"])
    assert number() == 4
    assert number(labels=("dog",)) == 2
    assert number(labels=("dog", "cat")) == 4
    assert number(source_ids=yard) == 3
    assert number(source_ids=yard, labels=("cat",)) == 1
    assert number(min_score=0.8) == 3
    assert number(reviewed="right") == 1  # what was said last
    assert number(reviewed="wrong") == 1
    assert number(reviewed="not") == 2
    assert number(since=MONDAY + timedelta(seconds=20)) == 3
    assert number(until=MONDAY + timedelta(seconds=20)) == 1
    assert number(since=MONDAY + timedelta(hours=1), until=MONDAY + timedelta(hours=2)) == 1
    assert number(since=MONDAY + timedelta(hours=2)) == 0
    chosen = Question(source_ids=yard, labels=("dog",), since=MONDAY + timedelta(seconds=20))
    assert [each.label for each in list_events(store, chosen)] == ["dog"]


def test_midnight_belongs_to_the_new_day(ask):
    evening = datetime(2026, 11, 23, 23, 0, tzinfo=BERLIN)
    store = ask(Run("yard", evening, 7200, [("dog", 3599.999), ("dog", 3600)]))
    assert counted(store, by=["day"]) == {(date(2026, 11, 23),): 1, (date(2026, 11, 24),): 1}
    assert counted(store, by=["hour"]) == {(23,): 1, (0,): 1}
    tuesday = Question(since=local("2026-11-24"), until=local("2026-11-25"))
    assert counted(store, tuesday) == {(): 1}
    assert hours_heard(store, tuesday) == {(): 1.0}


@pytest.mark.parametrize(
    ("day", "hours", "at_two"), [("2026-03-29", 23, None), ("2026-10-25", 25, 2.0)]
)
def test_a_day_on_which_the_clock_is_set_has_23_or_25_hours(ask, day, hours, at_two):
    """An event every half hour, so two in each hour of the clock, or four in one shown twice."""
    begin = local(day)
    events = [("dog", 1800.0 * number) for number in range(2 * hours)]
    store = ask(Run("yard", begin, hours * 3600, events))
    whole = Question(since=begin, until=local(day) + timedelta(days=1))
    assert counted(store, whole) == {(): 2 * hours}
    assert counted(store, by=["day"]) == {(begin.date(),): 2 * hours}
    by_hour = counted(store, by=["hour"])
    heard = hours_heard(store, Question(), ["hour"])
    assert by_hour.get((2,)) == (None if at_two is None else 4)
    assert heard.get((2,)) == at_two
    assert {n for (hour,), n in by_hour.items() if hour != 2} == {2}
    assert all(rate.per_hour == 2.0 for rate in list_rates(store, Question(), ["hour"]))


def test_days_and_hours_are_those_of_each_place(ask):
    """The same moment is of another hour in Nepal, and of another day."""
    moment = datetime(2026, 11, 23, 20, 30, tzinfo=BERLIN)
    store = ask(
        Run("here", moment, 600, [("dog", 0)]),
        Run("there", moment.astimezone(ZoneInfo("Asia/Kathmandu")), 600, [("dog", 0)]),
    )
    assert counted(store, by=["source", "day", "hour"]) == {
        ("here", date(2026, 11, 23), 20): 1,
        ("there", date(2026, 11, 24), 1): 1,
    }
    assert hours_heard(store, Question(), ["source", "day", "hour"]) == pytest.approx({
        ("here", date(2026, 11, 23), 20): 1 / 6,
        ("there", date(2026, 11, 24), 1): 1 / 6,
    })  # fmt: skip
    now = Question(since=moment, until=moment + timedelta(seconds=1))
    assert counted(store, now) == {(): 2}
    times = [each.time for each in list_events(store, now)]
    assert [f"{each:%H:%M%z}" for each in times if each] == ["20:30+0100", "01:15+0545"]


@pytest.mark.parametrize("hours", [-12, 14])
def test_no_place_is_so_far_that_its_events_are_missed(ask, hours):
    moment = datetime(2026, 11, 23, 12, 0, tzinfo=timezone(timedelta(hours=hours)))
    store = ask(Run("far", moment, 3600, [("dog", 0), ("dog", 3599)]))
    question = Question(since=moment, until=moment + timedelta(hours=1))
    assert counted(store, question, ["hour"]) == {(12,): 2}
    assert hours_heard(store, question, ["hour"]) == {(12,): 1.0}


def test_a_rate_is_by_the_hours_heard_and_gaps_do_not_count(ask):
    store = ask(
        Run("yard", MONDAY, 5400, [("dog", 0), ("dog", 100), ("dog", 4000)],
            gaps=[(1200, 1800, "stream lost")]),
        Run("street", MONDAY, 3600, []),
    )  # fmt: skip
    rates = {each.count.key: each for each in list_rates(store, Question(), ["hour", "source"])}
    assert {key: each.heard_h for key, each in rates.items()} == {
        (6, "yard"): 0.5, (7, "yard"): 1.0, (6, "street"): 1.0,
    }  # fmt: skip
    assert rates[6, "yard"].per_hour == 4.0
    assert rates[7, "yard"].per_hour == 1.0
    assert rates[6, "street"].per_hour == 0.0
    (dog,) = list_rates(store, Question(), ["label"])
    assert dog.per_hour == pytest.approx(3 / 2.5)
    assert list_rates(store, Question(since=MONDAY + timedelta(days=1)), ["label"]) == []


def test_hours_heard_are_those_of_the_time_asked_for(ask):
    store = ask(Run("yard", MONDAY, 7200, gaps=[(600, 60, "overflow")]))
    hour = Question(since=MONDAY, until=MONDAY + timedelta(hours=1))
    assert hours_heard(store, hour) == {(): pytest.approx(59 / 60)}
    assert hours_heard(store, Question()) == {(): 2.0}
    assert hours_heard(store, Question(), ["source", "model"]) == {("yard", "pocket 8"): 2.0}
    assert hours_heard(store, Question(until=MONDAY)) == {}


def test_gaps_count_as_far_as_they_lie_in_the_time(ask):
    store = ask(
        Run("yard", MONDAY, 3000, gaps=[(600, 600, "stream lost"), (2000, 5, "overflow")]),
        Run("street", MONDAY, 3000, gaps=[(0, 1, "overflow")]),
    )
    assert list_missing(store, Question()) == [
        Missing("yard", "stream lost", 1, 600.0), Missing("yard", "overflow", 1, 5.0),
        Missing("street", "overflow", 1, 1.0),
    ]  # fmt: skip
    part = Question(since=MONDAY + timedelta(seconds=900), until=MONDAY + timedelta(seconds=2003))
    assert list_missing(store, part) == [
        Missing("yard", "stream lost", 1, 300.0), Missing("yard", "overflow", 1, 3.0),
    ]  # fmt: skip
    assert list_missing(store, Question(source_ids=())) == []


def test_events_without_a_time_are_counted_where_no_time_is_asked_for(ask):
    store = ask(
        Run("/field/a", None, 1800, [Heard("dog", 10, 3.5)], recording="/field/a/1.wav"),
        Run("yard", MONDAY, 3600, [Heard("dog", 0, 1.5)]),
    )
    (dog,) = count_events(store, Question(), ["label"])
    assert (dog.n_events, dog.n_untimed, dog.sounding_s) == (2, 1, 5.0)
    assert dog.first == dog.last == MONDAY
    assert counted(store, by=["source"]) == {("/field/a",): 1, ("yard",): 1}
    assert counted(store, by=["hour"]) == {(6,): 1}
    today = Question(since=MONDAY)
    assert counted(store, today, ["label"]) == {("dog",): 1}
    assert count_untimed(store, today) == 1
    assert count_untimed(store, Question(labels=("cat",))) == 0
    assert hours_heard(store, Question(), ["source"]) == {("/field/a",): 0.5, ("yard",): 1.0}
    assert [each.time for each in list_events(store, Question())] == [MONDAY, None]
    assert len(list(list_events(store, today))) == 1


def test_events_that_sound_and_those_that_were_cut_are_told(ask):
    store = ask(
        Run("yard", MONDAY, 3600, [
            Heard("dog", 10, None), Heard("dog", 5, 2.0, state="cut"), Heard("cat", 1, 2.0),
        ], state="open"),
    )  # fmt: skip
    cat, dog = count_events(store, Question(), ["label"])
    assert (dog.n_events, dog.n_open, dog.n_cut, dog.sounding_s) == (2, 1, 1, 2.0)
    assert (cat.n_open, cat.n_cut) == (0, 0)
    (at_six,) = count_events(store, Question(), ["hour", "source"])
    assert (at_six.n_open, at_six.n_cut) == (1, 1)
    (sounding,) = list_open(store, Question())
    assert (sounding.label, sounding.offset_s, sounding.id) == (
        "dog", None, f"dog-160000@{sounding.run}",
    )  # fmt: skip
    assert list_open(store, Question(labels=("cat",))) == []


def test_levels_of_an_hour_are_joined_by_energy_and_calibrated(ask):
    store = ask(
        Run("yard", MONDAY, 1800, level=-40.0, calibration_db=100.0),
        Run("yard", MONDAY + timedelta(minutes=30), 1800, level=-60.0),
        Run("hall", MONDAY, 60, level=-50.0),
        Run("attic", MONDAY, 60),
    )
    attic, hall, yard = list_levels(store, Question())
    assert (attic.source, attic.laeq, attic.la10, attic.lamax) == ("attic", None, None, None)
    assert (hall.laeq, hall.heard_h) == (pytest.approx(-50.0), pytest.approx(1 / 60))
    assert yard.begun == datetime(2026, 11, 23, 6)
    assert yard.laeq == pytest.approx(100 - 40 + 10 * -0.29670862)  # half of the energy, and 1 %
    assert (yard.la10, yard.la90, yard.lamax) == (55.0, 45.0, 75.0)
    assert len(list_levels(store, Question(), step_h=24)) == 3


def test_names_are_found_as_people_write_them(ask):
    store = ask(
        Run("rtsp://cam:***@host/yard", MONDAY, 1, [("clock_alarm", 0), ("Dog, barking", 0)]),
        Run("/field/2024/site-1", MONDAY, 1, recording="/field/2024/site-1/a.wav"),
        Run("/field/2024/site-2", MONDAY, 1, recording="/field/2024/site-2/a.wav"),
        Run("Küche\n2", MONDAY, 1),
    )
    row = {name: number for number, name in store.execute("SELECT id, name FROM sources")}
    for pattern, names in [
        ("rtsp://cam:***@host/yard", ["rtsp://cam:***@host/yard"]),
        ("yard", ["rtsp://cam:***@host/yard"]),
        ("site-1", ["/field/2024/site-1"]),
        ("2024/site-1/", ["/field/2024/site-1"]),
        ("site-*", ["/field/2024/site-1", "/field/2024/site-2"]),
        ("/field/*", ["/field/2024/site-1", "/field/2024/site-2"]),
        ("Küche\n2", ["Küche\n2"]),
        ("KÜCHE*", []),
        ("Küche?2", ["Küche\n2"]),
    ]:
        if names:
            found, recordings = find_sources(store, [pattern])
            assert sorted(found) == sorted(row[name] for name in names), pattern
            assert recordings == ()
        else:
            with pytest.raises(UsageError):
                find_sources(store, [pattern])
    assert find_sources(store, ["site-2/a.wav"])[0] == ()
    assert len(find_sources(store, ["site-2/a.wav", "a.wav"])[1]) == 2
    assert find_labels(store, ["Clock Alarm"]) == ("clock_alarm",)
    assert find_labels(store, ["Dog, barking"]) == ("Dog, barking",)
    assert find_labels(store, ["clock_alarm,dog barking"]) == ("clock_alarm", "Dog, barking")
    with pytest.raises(UsageError, match=r"^--label clok_alarm: .*did you mean clock_alarm\?"):
        find_labels(store, ["clok_alarm"])
    with pytest.raises(UsageError, match=r"^--source sitte-1: .*did you mean site-1"):
        find_sources(store, ["sitte-1"])
    for nothing in ("", " "):
        with pytest.raises(UsageError):
            find_labels(store, [nothing])
        with pytest.raises(UsageError):
            find_sources(store, [nothing])


def test_labels_are_found_by_the_names_that_people_read(ask):
    store = ask(
        Run("yard", MONDAY, 1, [("alarm", 0), ("dog", 0)],
            display_names={"alarm": "Smoke alarm, beeping", "dog": "Dog", "cat": "Cat"}),
    )  # fmt: skip
    for name in ("Smoke alarm, beeping", "alarm", "smoke-alarm beeping", "Alarm"):
        assert find_labels(store, [name]) == ("alarm",)
    assert find_labels(store, ["Dog,smoke alarm beeping"]) == ("dog", "alarm")
    with pytest.raises(UsageError, match=r"did you mean dog\?"):
        find_labels(store, ["Doge"])
    with pytest.raises(UsageError, match="no event of Cat; it has alarm, dog"):
        find_labels(store, ["Cat"])


def test_labels_are_found_by_broader_ones(ask):
    """The models of a store tell it, whose cards may not be at hand."""
    shown = {name: name for name in ("Dog", "Bark", "Animal", "Smoke detector, smoke alarm")}
    store = ask(
        Run("yard", MONDAY, 1, [("Dog", 0), ("dog", 0), ("Smoke detector, smoke alarm", 0)],
            model="wide", display_names=shown, broader={"Bark": ["Dog"], "Dog": ["Animal"]}),
        Run("hall", MONDAY, 1, [("cat", 0)], display_names={"dog": "dog", "cat": "cat"}),
    )  # fmt: skip
    # No model says that a `cat` is an animal, and `dog` is the same in small letters.
    assert set(find_labels(store, ["animal"])) == {"dog", "Dog"}
    assert set(find_labels(store, ["dog"])) == {"dog", "Dog"}
    assert set(find_labels(store, ["bark"])) == {"dog", "Dog"}
    assert find_labels(store, ["Smoke alarm"]) == ("Smoke detector, smoke alarm",)
    with pytest.raises(UsageError, match=r"did you mean Animal\?"):
        find_labels(store, ["anmal"])
    for said, label in [
        ("smoke alarm", "Smoke detector, smoke alarm"), ("DOG", "Dog"), ("dog", "dog"),
        ("bark", "Bark"), ("my bell", "my bell"), (" ", None),
    ]:  # fmt: skip
        assert find_said_label(store, said) == label


def test_every_label_is_listed_once(ask):
    store = ask(Run("yard", MONDAY, 60, [(name, n) for n in range(3) for name in ("b", "a", "é")]))
    assert list_labels(store) == ["a", "b", "é"]
    assert list_labels(ask()) == ["a", "b", "é"]


def test_an_empty_store_has_an_answer(ask):
    store = ask()
    for by in ([], ["label"], ["hour", "source"]):
        assert count_events(store, Question(since=MONDAY), by) == []
        assert list_rates(store, Question(), by) == []
    assert list_labels(store) == []
    assert list(list_events(store, Question())) == []
    assert measure_extent(store).n_events == 0
    with pytest.raises(UsageError, match="it is empty"):
        find_labels(store, ["dog"])


def test_the_extent_of_a_store(ask):
    store = ask(
        Run("yard", MONDAY, 3600, [("dog", 60), ("dog", 3000)]),
        Run("/field", None, 60, [("dog", 0)], recording="/field/a.wav"),
    )
    extent = measure_extent(store)
    assert (extent.n_events, extent.n_untimed) == (3, 1)
    assert (extent.first, extent.last) == (
        MONDAY + timedelta(minutes=1), MONDAY + timedelta(minutes=50),
    )  # fmt: skip
    assert extent.first_heard == MONDAY
    assert find_first_runs(store) == {"yard": MONDAY}
    assert count_runs(store, Question()) == 2
    assert count_runs(store, Question(since=MONDAY)) == 1


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], []),
        (["yard", "hall"], ["yard", "hall"]),
        (["/field/24/a", "/field/24/b", "mic"], ["a", "b", "mic"]),
        (["/field/24/a"], ["a"]),
        (["/field", "/field/a"], ["field", "a"]),
        (["/a", "/b/c"], ["a", "b/c"]),
        (["/field/a", "/field/b", "a"], ["/field/a", "/field/b", "a"]),
        (["/"], ["/"]),
    ],
)
def test_folders_that_all_have_in_common_are_left_out(names, shown):
    assert list(shorten_names(names).values()) == shown


def test_counts_read_indices_alone(ask, tmp_path):
    """What is not in an index would be looked up row by row, ten times as slow."""
    store = ask(Run("yard", MONDAY, 3600, [("dog", 1)]))
    plans: list[str] = []
    question = Question(since=MONDAY, until=MONDAY + timedelta(days=1))
    for by in ([], ["label"], ["hour"], ["day", "hour"], ["source"], ["hour", "source", "label"]):
        statements: list[str] = []
        store.set_trace_callback(statements.append)
        count_events(store, question, by)
        hours_heard(store, question, [each for each in by if each != "label"])
        store.set_trace_callback(None)
        for statement in statements:
            if "INDEXED BY events_by" in statement or "INDEXED BY levels_by" in statement:
                plan = store.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
                plans += [row[3] for row in plan if "events" in row[3] or "levels" in row[3]]
    assert len(plans) >= 12
    assert [plan for plan in plans if "USING COVERING INDEX" not in plan] == []
    assert not [plan for plan in plans if plan.startswith("SCAN")], plans


def test_the_store_of_the_helper_adds_up(ask, tmp_path):
    store = ask(
        Run("yard", MONDAY, 3723.5, gaps=[(0, 30, "a"), (100, 200, "b")], level=-50.0),
        Run("/field", None, 90.25, recording=str(Path("/field/a.wav"))),
    )
    for row in store.execute("SELECT id, heard_samples, gap_samples, elapsed_samples FROM runs"):
        run, heard, gap, elapsed = row
        assert heard + gap == elapsed
        for table, column, total in [
            ("levels", "heard_samples", heard), ("gaps", "n_samples", gap),
        ]:  # fmt: skip
            (added,) = store.execute(
                f"SELECT coalesce(sum({column}), 0) FROM {table} WHERE run_id = ?", (run,)
            ).fetchone()
            assert added == total
