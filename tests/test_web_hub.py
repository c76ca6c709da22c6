"""What sounds now: numbered, bounded, whole at any moment, and free where nobody looks."""

import json
import math
import threading

import numpy as np
import pytest
import toys
from lives import RATE, Feed, began_at, stream

from streamclf.core.card import Unknown
from streamclf.core.event_id import event_id
from streamclf.core.records import EventOngoing
from streamclf.core.stats import Statistics
from streamclf.runs.health import LiveState
from streamclf.web import live_audio
from streamclf.web.hub import KEPT_ENDED, KEPT_MESSAGES, KEPT_TROUBLES, LiveHub
from streamclf.web.live_audio import KEPT_AUDIO_S, KEPT_COLUMNS
from streamclf.web.live_source import LATE_S, LONGEST_NOTICE


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hub(clock):
    return LiveHub(now=clock)


@pytest.fixture
def yard(hub):
    return Feed(hub)


def source_of(hub, name="yard"):
    (found,) = [each for each in hub.snapshot()["sources"] if each["source"] == name]
    return found


def kinds(messages):
    return [message.kind for message in messages]


def test_who_comes_back_gets_what_was_missed_and_nothing_twice(hub, yard):
    seen = hub.newest_id
    yard.begin("low", 1.0)
    yard.note("it rains")
    middle = hub.after(seen)
    yard.lose(0.5)
    yard.end("low", 1.0)
    assert kinds(middle) == ["began", "notice"]
    assert kinds(hub.after(middle[-1].id)) == ["gap", "ended"]
    assert kinds(hub.after(middle[0].id)) == ["notice", "gap", "ended"]
    assert hub.after(hub.newest_id) == []


def test_a_sound_that_goes_on_becomes_surer(hub):
    """Also where the average falls again; what the model has no word for has none."""
    yard = Feed(hub, sureness={"low": [0.5, 0.8]})
    seen = hub.newest_id
    yard.hear(toys.tone(1000, 1))
    yard.begin("low", 0.2, 0.4)
    yard.begin("middle", 0.2, 0.4)
    yard.begin("unknown", 0.2, 0.4)
    words = []
    for score in (0.45, 0.6, 0.85, 0.3):
        yard.score(0.0, score, 0.1, 0.0)
        sounding = {each["label"]: each for each in source_of(hub)["open"]}
        words.append(sounding["low"]["sureness"])
        assert sounding["middle"]["sureness"] is None
        (shown,) = [each for each in source_of(hub)["sounds"] if each["label"] == "low"]
        assert shown["sureness"] == sounding["low"]["sureness"]
    assert words == ["maybe", "likely", "sure", "sure"]
    yard.end("low", 0.2, score=0.7)
    told = [each.data["sureness"] for each in hub.after(seen) if each.data.get("label") == "low"]
    assert told == ["maybe", "likely"]


@pytest.mark.parametrize(
    "seen",
    ["", "0", "-", "-1", "12", "other-1", "{run}-99", "{run}-", "{run}--1", "{run}-1e0", "{run}- 1",
     "{run}-١", "{run}-" + "9" * 5000, "{run}"],
)  # fmt: skip
def test_what_follows_an_unknown_place_is_not_guessed(hub, yard, seen):
    run = hub.newest_id.partition("-")[0]
    assert hub.after(seen.format(run=run)) is None


def test_a_place_older_than_what_is_kept_is_unknown(hub, yard):
    seen = hub.newest_id
    for number in range(KEPT_MESSAGES):
        yard.note(f"note {number}")
    assert len(hub.after(seen)) == KEPT_MESSAGES
    yard.note("one more")
    assert hub.after(seen) is None


def test_ids_of_another_hub_are_unknown(hub, yard):
    other = LiveHub()
    Feed(other)
    assert hub.after(other.newest_id) is None


def test_an_event_is_told_from_its_begin_to_its_end(hub, yard):
    seen = hub.newest_id
    yard.begin("low", 1.0, score=0.6)
    began = hub.after(seen)[0].data
    assert began == {
        "id": stream().event_id(event_id("low", RATE)),
        "source": "yard", "label": "low", "name": "low tone", "onset": began_at(1.0), "score": 0.6,
        "sureness": None,
    }  # fmt: skip
    assert source_of(hub)["open"] == [began]
    yard.sink.write(EventOngoing("low", RATE, 0.7, 3 * RATE))
    assert source_of(hub)["open"][0]["score"] == 0.7
    yard.end("low", 1.0, length_s=4.5, score=0.8)
    ended = {**began, "score": 0.8, "length_s": 4.5, "cut": False}
    assert hub.after(seen)[-1].data == ended
    snapshot = hub.snapshot()
    assert snapshot["ended"] == [ended]
    assert snapshot["sources"][0]["open"] == []
    assert snapshot["id"] == hub.newest_id


def test_gaps_and_notices_are_told_with_their_reasons(hub, yard):
    yard.hear(toys.silence(2))
    yard.lose(0.5, "overflow")
    yard.note("a" * 2 * LONGEST_NOTICE)
    notice, gap = hub.snapshot()["troubles"]
    assert gap == {
        "kind": "gap", "source": "yard", "cause": "overflow", "at": began_at(2.0), "length_s": 0.5,
        "why": "the computer did not take the sound in time",
    }  # fmt: skip
    assert notice["message"] == "a" * LONGEST_NOTICE
    assert notice["at"] == began_at(2.5)
    yard.lose(0.1, "a new cause")
    assert hub.snapshot()["troubles"][0]["why"] == "a new cause"


@pytest.mark.parametrize("way", ["close", "end", "begin anew", "another sink"])
def test_every_begin_has_an_end_even_where_its_stream_breaks_off(hub, yard, way):
    yard.begin("low", 1.0)
    seen = hub.newest_id
    if way == "close":
        yard.sink.close()
    elif way == "end":
        yard.sink.end(Statistics())
    elif way == "begin anew":
        yard.sink.begin(stream(run="r2"))
    else:
        Feed(hub, "yard")
    ended = [message.data for message in hub.after(seen) if message.kind == "ended"]
    assert [(event["label"], event["cut"]) for event in ended] == [("low", True)]
    assert all(not source["open"] for source in hub.snapshot()["sources"])


def test_a_source_that_is_closed_goes_unless_its_state_is_still_told(hub, yard):
    Feed(hub, "hall")
    failed = LiveState("failed", 0.5, "")
    hub.state_of = {"yard": failed}.get
    seen = hub.newest_id
    yard.sink.close()
    assert source_of(hub)["state"] == "failed"
    hub.state_of = lambda name: None
    hub.frames()
    assert kinds(hub.after(seen)) == ["gone"]
    assert [source["source"] for source in hub.snapshot()["sources"]] == ["hall"]
    yard.sink.close()  # safe to call twice
    assert kinds(hub.after(seen)) == ["gone"]


def test_a_closed_sink_takes_no_later_one_of_its_name_away(hub, yard):
    later = Feed(hub, "yard")
    yard.sink.close()
    later.begin("low", 1.0)
    assert [event["label"] for event in source_of(hub)["open"]] == ["low"]


def test_nothing_is_computed_for_nobody(hub, yard, monkeypatch):
    class Refusing:
        def __init__(self, rate):
            raise AssertionError("nobody looks")

    monkeypatch.setattr(live_audio, "ColumnMaker", Refusing)
    yard.hear(toys.tone(1000, 60))
    yard.lose(1.0)
    with pytest.raises(AssertionError, match="nobody looks"):
        hub.snapshot()


def test_memory_is_bounded_where_nobody_looks_and_where_somebody_does(hub, yard):
    for number in range(3 * KEPT_MESSAGES):
        yard.begin("low", number)
        yard.end("low", number)
        yard.lose(0.01)
        yard.hear(toys.silence(1), block=RATE)
    (columns,) = [frame["runs"] for frame in hub.frames()]
    assert sum(length for _, length in columns) <= 10 * (KEPT_AUDIO_S + 1)
    for _ in range(100):
        yard.hear(toys.silence(1), block=RATE)
        hub.frames()
    pictures = hub.pictures()["yard"]
    assert sum(length for _, length in pictures["runs"]) == KEPT_COLUMNS
    snapshot = hub.snapshot()
    assert (len(snapshot["ended"]), len(snapshot["troubles"])) == (KEPT_ENDED, KEPT_TROUBLES)
    assert source_of(hub)["open"] == []


def test_audio_of_any_block_size_makes_the_same_picture(clock):
    pictures = []
    for block in (80, 333, 8000):
        hub = LiveHub(now=clock)
        feed = Feed(hub)
        for _ in range(4):
            feed.hear(toys.tone(1000, 1), block)
            hub.frames()
        pictures.append(hub.pictures()["yard"])
    assert pictures[0] == pictures[1] == pictures[2]
    assert pictures[0]["runs"] == [[0, 40]]


def test_columns_are_numbered_in_time_across_gaps_and_unseen_audio(hub, yard):
    yard.hear(toys.tone(1000, 1))
    (first,) = hub.frames()
    yard.lose(0.5)
    yard.hear(toys.tone(1000, 1))
    (second,) = hub.frames()
    yard.hear(toys.tone(1000, 2 * KEPT_AUDIO_S))
    (third,) = hub.frames()
    assert first["runs"] == [[0, 10]]
    assert second["runs"] == [[10, 15]]
    assert second["missing"] == [10, 11, 12, 13, 14]
    ((start, length),) = third["runs"]
    # The oldest of the audio was dropped before anybody looked.
    assert start + length == 25 + 20 * KEPT_AUDIO_S
    assert length == 10 * KEPT_AUDIO_S


def test_a_snapshot_takes_no_columns_from_the_next_frame(hub, yard):
    yard.hear(toys.tone(1000, 1))
    hub.snapshot()
    hub.pictures()
    (frame,) = hub.frames()
    assert frame["runs"] == [[0, 10]]
    (frame,) = hub.frames()
    assert frame["runs"] == []


@pytest.mark.parametrize(
    ("sound", "level", "peak"),
    [
        (toys.tone(1000, 2, level=1.0), 0.0, 0.0),
        (toys.tone(1000, 2, level=0.1), -20.0, -20.0),
        (toys.silence(2), -96.0, -96.0),
    ],
)
def test_level_is_in_db_of_a_full_sine(hub, yard, sound, level, peak):
    yard.hear(sound)
    source = source_of(hub)
    assert source["level"] == pytest.approx(level, abs=0.1)
    assert source["peak"] == pytest.approx(peak, abs=0.1)


def test_too_loud_and_no_signal_are_told(hub, yard):
    yard.hear(toys.tone(1000, 1, level=1.0))
    assert (source_of(hub)["clipped"], source_of(hub)["muted"]) == (True, False)
    yard.hear(toys.silence(4))
    assert (source_of(hub)["clipped"], source_of(hub)["muted"]) == (False, True)


def test_a_source_without_a_signal_says_so(hub, yard):
    yard.hear(np.full(toys.RATE, 0.1, np.float32))  # a value that stays, and is not zero
    yard.score(0.01, 0.3, 0.6, 0.09)
    assert not source_of(hub)["muted"]
    hub.state_of = lambda name: LiveState("silent", 0.5, "")
    source = source_of(hub)
    assert (source["state"], source["muted"], source["last_heard"]) == ("silent", True, None)
    assert (source["sounds"], source["verdict"]) == ([], None)


def test_in_a_gap_there_is_no_level(hub, yard):
    yard.hear(toys.tone(1000, 1))
    yard.lose(1.0)
    assert source_of(hub)["level"] is None


def test_strongest_sounds_come_with_their_names_and_scores(hub, yard):
    yard.hear(toys.tone(1000, 1))
    yard.score(0.01, 0.3, 0.6, 0.09)
    source = source_of(hub)
    assert source["sounds"] == [
        {
            "label": "middle",
            "name": "middle",
            "score": 0.6,
            "above": True,
            "threshold": 0.5,
            "sureness": None,
        },
        {
            "label": "low",
            "name": "low tone",
            "score": 0.3,
            "above": False,
            "threshold": 0.5,
            "sureness": None,
        },
        {
            "label": "high",
            "name": "high",
            "score": 0.09,
            "above": False,
            "threshold": 0.5,
            "sureness": None,
        },
    ]
    assert source["scored"]


def test_what_is_told_stands_first_and_nothing_else_is_marked_beside_it(hub, yard):
    yard.hear(toys.tone(1000, 1))
    yard.score(0.01, 0.3, 0.6, 0.9)
    assert [each["above"] for each in source_of(hub)["sounds"]] == [True, True, False]
    yard.begin("quiet", 0.5)
    assert [(each["label"], each["above"]) for each in source_of(hub)["sounds"]] == [
        ("quiet", True), ("high", False), ("middle", False)
    ]  # fmt: skip


def test_a_threshold_that_was_changed_meanwhile_counts(hub, yard):
    hall = Feed(hub, "hall")
    now = {"yard": {"low": 0.2, "middle": 0.7}, "hall": {}}
    hub.state_of = lambda name: LiveState("heard", 0.5, "", None, now[name].get)
    for feed in (yard, hall):
        feed.hear(toys.tone(1000, 1))
        feed.score(0.01, 0.3, 0.6, 0.09)
    above = {each["label"]: each["above"] for each in source_of(hub)["sounds"]}
    assert above == {"middle": False, "low": True, "high": False}
    assert hub.thresholds("low") == {"yard": 0.2}
    now["yard"] = {"low": 0.4}
    assert hub.thresholds("low") == {"yard": 0.4}


def test_unknown_sounds_are_told(clock):
    hub = LiveHub(now=clock)
    feed = Feed(hub, unknown=Unknown(0.5, 0.9))
    feed.hear(toys.tone(1000, 1))
    feed.score(0.2, 0.3, 0.2, 0.3)
    assert source_of(hub)["verdict"] == "unknown"


def test_measured_values_are_no_scores(clock):
    hub = LiveHub(now=clock)
    feed = Feed(hub, task="regression", labels=["loudness"], thresholds={})
    feed.hear(toys.tone(1000, 1))
    feed.score(-3.25)
    source = source_of(hub)
    assert not source["scored"]
    assert source["sounds"] == [
        {
            "label": "loudness",
            "name": "loudness",
            "score": -3.25,
            "above": False,
            "threshold": None,
            "sureness": None,
        }
    ]


def test_scores_of_a_model_that_was_changed_are_not_named_by_the_new_labels(hub, yard):
    yard.hear(toys.tone(1000, 1))
    yard.score(0.0, 0.0, 1.0, 0.0)
    yard.sink.begin(stream(labels=["dog", "siren"], run="r2"))
    assert source_of(hub)["sounds"] == []


def test_a_source_without_audio_is_late_and_shows_no_old_level(hub, yard, clock):
    assert source_of(hub)["state"] == "waiting"
    yard.hear(toys.tone(1000, 1))
    yard.score(0.0, 0.0, 1.0, 0.0)
    assert source_of(hub)["state"] == "heard"
    assert source_of(hub)["last_heard"] is None
    clock.seconds += LATE_S + 0.1
    late = source_of(hub)
    assert (late["state"], late["level"], late["sounds"]) == ("late", None, [])
    assert isinstance(late["last_heard"], int)
    yard.hear(toys.tone(1000, 1))
    assert source_of(hub)["state"] == "heard"


def test_a_source_of_which_nothing_ever_comes_is_late(hub, yard, clock):
    clock.seconds += LATE_S + 0.1
    late = source_of(hub)
    assert (late["state"], late["last_heard"]) == ("late", None)


def test_what_the_server_tells_of_a_source_is_shown(hub, yard):
    yard.hear(toys.tone(1000, 1))
    hub.state_of = lambda name: LiveState("lost", 1.0, "too slow")
    (frame,) = hub.frames()
    assert (frame["state"], frame["hop_s"], frame["overload"]) == ("lost", 1.0, "too slow")
    assert frame["level"] is None


def test_everything_is_plain_json(hub, yard):
    yard.hear(np.full(RATE, np.float32(0.2)))
    yard.score(0.1, 0.2, 0.3, 0.4)
    yard.begin("low", 1.0, score=math.pi / 4)
    yard.lose(0.3)
    for value in (hub.snapshot(), hub.frames(), hub.pictures()):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_text_of_any_kind_stays_one_event(hub, yard):
    seen = hub.newest_id
    yard.note("first\nid: 7\n\nevent: reset\r\ndata: {}  é")
    (message,) = hub.after(seen)
    assert message.event.count(b"\n") == 4
    assert b"\r" not in message.event
    assert message.event.startswith(f"id: {message.id}\nevent: notice\ndata: ".encode())


def test_a_snapshot_and_what_follows_make_the_whole_while_other_threads_write(hub):
    """Whoever looks at any moment, and then follows, knows each event once and to its end."""
    feeds = [Feed(hub, f"source {number}") for number in range(3)]
    stop = threading.Event()
    n_events = 300

    def write(feed):
        for number in range(n_events):
            feed.begin("low", number)
            feed.hear(toys.silence(0.1))
            feed.score(0.0, 1.0, 0.0, 0.0)
            feed.end("low", number)

    failures = []

    def follow():
        try:
            while not stop.is_set():
                snapshot = hub.snapshot()
                sounding = {key_of(event) for each in snapshot["sources"] for event in each["open"]}
                seen, done = snapshot["id"], False
                while not done:
                    done = stop.is_set()
                    messages = hub.after(seen)
                    if messages is None:  # too much came meanwhile
                        break
                    for message in messages:
                        if message.kind == "began":
                            assert key_of(message.data) not in sounding
                            sounding.add(key_of(message.data))
                        elif message.kind == "ended":
                            sounding.remove(key_of(message.data))
                        seen = message.id
                    if len(messages) > 50:
                        break
                else:
                    assert not sounding
        except Exception as error:
            failures.append(error)

    followers = [threading.Thread(target=follow) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(feed,)) for feed in feeds]
    for thread in followers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in followers:
        thread.join()
    assert not failures
    assert hub.newest_id.endswith(f"-{3 + 2 * 3 * n_events}")


def key_of(event):
    return event["source"], event["id"]
