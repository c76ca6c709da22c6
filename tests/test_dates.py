"""Dates as people write them: days, times and moments, over changes of the clock."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.dates import midnight, read_date
from streamclf.core.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 14, 5, 30, tzinfo=BERLIN)  # a Thursday


def read(text, *, end=False, now=NOW, zone=BERLIN):
    return read_date(text, "--since", end=end, now=now, zone=zone).isoformat()


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("now", "2026-11-26T14:05:30+01:00", "2026-11-26T14:05:30+01:00"),
        ("today", "2026-11-26T00:00:00+01:00", "2026-11-27T00:00:00+01:00"),
        ("yesterday", "2026-11-25T00:00:00+01:00", "2026-11-26T00:00:00+01:00"),
        (" Yesterday  22:00 ", "2026-11-25T22:00:00+01:00", "2026-11-25T22:00:00+01:00"),
        ("22:00", "2026-11-26T22:00:00+01:00", "2026-11-26T22:00:00+01:00"),
        ("7:30", "2026-11-26T07:30:00+01:00", "2026-11-26T07:30:00+01:00"),
        ("2026-11-01", "2026-11-01T00:00:00+01:00", "2026-11-02T00:00:00+01:00"),
        ("2026-11-01 22:00", "2026-11-01T22:00:00+01:00", "2026-11-01T22:00:00+01:00"),
        ("2026-11-01 22:00:05", "2026-11-01T22:00:05+01:00", "2026-11-01T22:00:05+01:00"),
        ("2026-11-01T22:00", "2026-11-01T22:00:00+01:00", "2026-11-01T22:00:00+01:00"),
        ("2026-11-01T22:00:05.250Z", "2026-11-01T23:00:05.250000+01:00", None),
        ("2026-06-01T22:00-07:00", "2026-06-02T07:00:00+02:00", None),
        ("7 days ago", "2026-11-19T00:00:00+01:00", "2026-11-20T00:00:00+01:00"),
        ("1 day ago 6:00", "2026-11-25T06:00:00+01:00", None),
        ("2 weeks ago", "2026-11-12T00:00:00+01:00", "2026-11-13T00:00:00+01:00"),
        ("3 hours ago", "2026-11-26T11:05:30+01:00", "2026-11-26T11:05:30+01:00"),
        ("90 minutes ago", "2026-11-26T12:35:30+01:00", None),
        ("monday", "2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        ("thursday", "2026-11-26T00:00:00+01:00", None),
        ("last thursday", "2026-11-19T00:00:00+01:00", None),
        ("last monday 22:00", "2026-11-23T22:00:00+01:00", None),
        ("friday", "2026-11-20T00:00:00+01:00", None),
    ],
)
def test_dates_are_read_as_people_mean_them(text, begins, ends):
    assert read(text) == begins
    assert read(text, end=True) == (ends or begins) or ends is None


@pytest.mark.parametrize(
    "text",
    ["", "soon", "tomorrow", "22", "1.11.2026", "2026-11", "days ago", "22:00 yesterday",
     "3 hours ago 22:00", "2026-02-30T10:00Z", "next monday", "-3 days ago", "\x1b[31m"],
)  # fmt: skip
def test_what_is_no_date_is_refused_with_examples(text):
    with pytest.raises(UsageError, match=r"^--since .*: is no date: write it as in yesterday, "):
        read(text)


@pytest.mark.parametrize(
    "text",
    ["2026-02-30", "2026-13-01", "25:00", "22:60", "today 24:00", "999999 weeks ago"],
)  # fmt: skip
def test_days_and_times_that_do_not_exist_are_refused(text):
    with pytest.raises(UsageError, match="there is no such day or time"):
        read(text)


@pytest.mark.parametrize("text", ["1969-12-30", "0001-01-01", "9999-12-31", "9000 weeks ago"])
def test_dates_far_away_are_refused(text):
    with pytest.raises(UsageError, match=r"between 1970 and 2100|no such day"):
        read(text, end=True)


def test_a_day_of_a_clock_change_has_23_or_25_hours():
    for day, hours in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]:
        begin = read_date(day, "--since", now=NOW, zone=BERLIN)
        end = read_date(day, "--until", end=True, now=NOW, zone=BERLIN)
        assert (end.astimezone(UTC) - begin.astimezone(UTC)) == timedelta(hours=hours)


def test_hours_ago_are_hours_that_passed():
    """At 4 in the morning the clock has been set back from 3 to 2."""
    now = datetime(2026, 10, 25, 4, 0, tzinfo=BERLIN)
    assert read("2 hours ago", now=now) == "2026-10-25T02:00:00+01:00"
    assert read("3 hours ago", now=now) == "2026-10-25T02:00:00+02:00"


def test_a_time_that_is_shown_twice_is_its_first_and_one_left_out_comes_after_it():
    assert read("2026-10-25 02:30") == "2026-10-25T02:30:00+02:00"
    assert read("2026-03-29 02:30") == "2026-03-29T03:30:00+02:00"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
def test_the_zone_is_the_machine_s_own(monkeypatch):
    try:
        for zone, begins in [
            ("Europe/Berlin", "2026-07-01T00:00:00+02:00"),
            ("Asia/Kathmandu", "2026-07-01T00:00:00+05:45"),
            ("America/St_Johns", "2026-07-01T00:00:00-02:30"),
        ]:
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert read_date("2026-07-01", "--since").isoformat() == begins
            assert midnight(date(2026, 7, 1)).isoformat() == begins
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        told = read_date(text, "--since", now=NOW, zone=BERLIN).isoformat()
    except UsageError as error:
        told = str(error)
    assert len(told.splitlines()) == 1


@given(st.dates(date(1970, 1, 2), date(2099, 12, 31)), st.times())
def test_what_is_written_in_iso_8601_is_read_back(day, at):
    wall = datetime.combine(day, at)
    moment = midnight(day, BERLIN)
    assert read_date(day.isoformat(), "--since", now=NOW, zone=BERLIN) == moment
    for form in (wall.isoformat(), wall.isoformat(" ", "seconds")):
        found = read_date(form, "--since", now=NOW, zone=UTC)
        assert found.replace(tzinfo=None) == datetime.fromisoformat(form)
