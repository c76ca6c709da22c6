"""Faults by name: what is read, and what is refused in one line."""

import pytest

from streamclf.core.errors import UsageError
from streamclf.sources.simulated.faults import FaultPeriod, Faults, parse_name


def test_faults_are_read_from_the_name():
    path, faults = parse_name(
        "day.wav?overflow=60,0.2&stall=3,1&stall=9,2.5&unplug=20,5,44100&drift=-40&jitter=5"
        "&silence=1,2&rate=8000&seed=7"
    )
    assert path == "day.wav"
    assert faults == Faults(
        overflow=FaultPeriod(60, 0.2),
        stall=[FaultPeriod(3, 1), FaultPeriod(9, 2.5)],
        unplug=[FaultPeriod(20, 5, 44_100)],
        silence=[FaultPeriod(1, 2)],
        drift=-40.0,
        jitter=5.0,
        rate=8000,
        seed=7,
    )


def test_a_name_without_faults_has_none(tmp_path):
    assert parse_name("day.wav") == ("day.wav", Faults())
    odd = tmp_path / "what?.wav"
    odd.touch()
    assert parse_name(str(odd)) == (str(odd), Faults())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fire=1", "no fault is called 'fire', there is overflow, stall, unplug, silence, drift, "),
        ("stall", "stall=: must be stall=AT,LENGTH, in seconds"),
        ("stall=3", "stall=3: must be stall=AT,LENGTH, in seconds"),
        ("stall=3,1,8000", "stall=3,1,8000: must be stall=AT,LENGTH, in seconds"),
        ("unplug=3", "unplug=3: must be unplug=AT,LENGTH[,RATE], in seconds"),
        ("stall=3,x", "stall=3,x: 'x' is no number"),
        ("stall=nan,1", "stall=nan,1: 'nan' is no number"),
        ("stall=-1,1", "stall=-1,1: AT must be 0 or more seconds, LENGTH above 0"),
        ("silence=1,0", "silence=1,0: AT must be 0 or more seconds, LENGTH above 0"),
        ("overflow=1,1", "overflow=1,1: EVERY must be more than LENGTH, or nothing is left"),
        ("overflow=9,1&overflow=8,1", "overflow=8,1: is given twice, it must be once"),
        ("drift=2000", "drift=2000: must be a number from -1000 to 1000 ppm"),
        ("rate=0", "rate=0: must be a whole number from 1 to 768000 Hz"),
        ("rate=8000.5", "rate=8000.5: must be a whole number from 1 to 768000 Hz"),
        ("seed=-1", "seed=-1: must be a whole number from 0 to "),
    ],
)
def test_faults_that_make_no_sense_are_one_line(query, message):
    with pytest.raises(UsageError) as caught:
        parse_name(f"day.wav?{query}")
    assert str(caught.value).startswith(f"--source sim:day.wav?{query}: {message}")


def test_faults_may_be_many():
    many = "&".join(f"stall={second},0.5" for second in range(5000))
    _, faults = parse_name(f"day.wav?{many}")
    assert len(faults.stall) == 5000
