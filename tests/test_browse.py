"""Pages of events by position, days by the place's clock, reviews, and clips deleted on demand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from stores import Heard, Run, make_store

from streamclf.core.errors import SinkError, UsageError
from streamclf.store.browse import Choice, Position, count_chosen, find_entry, find_page
from streamclf.store.clips import keep_clip
from streamclf.store.database import connect, transaction
from streamclf.store.days import (
    count_days,
    count_labels,
    count_table,
    find_day_before,
    list_gaps,
    place_time,
    try_thresholds,
)
from streamclf.store.question import Question
from streamclf.store.retention import remove_clip
from streamclf.store.reviews import count_verdicts, list_said_labels, review_event

PLACE = timezone(timedelta(hours=9))
BEGUN = datetime(2026, 11, 26, 0, 0, tzinfo=PLACE)
DAY = date(2026, 11, 26)


@pytest.fixture
def store(tmp_path):
    """Makes a store of runs, and opens it."""
    opened = []

    def make(*runs: Run):
        connection = connect(make_store(tmp_path / "s.db", runs))
        opened.append(connection)
        return connection

    yield make
    for connection in opened:
        connection.close()


def events(*times: float, label: str = "dog", **more) -> list[Heard]:
    return [Heard(label, time, **more) for time in times]


def walk(connection, choice: Choice, n: int, way: str = "older") -> list[int]:
    """Rows of all events, page by page; from the last page back for ``newer``."""
    rows, position = [], None
    while True:
        page = find_page(connection, choice, n, **({way: position} if position else {}))
        found = [entry.event.row for entry in page.entries]
        rows = [*rows, *found] if way == "older" else [*found, *rows]
        more = page.has_older if way == "older" else page.has_newer
        if not more or not found:
            return rows
        position = page.entries[-1 if way == "older" else 0].position


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("labels", [(), ("dog",), ("cat", "dog")])
def test_pages_hold_each_event_once_the_newest_first(store, n, labels):
    connection = store(
        Run("a", BEGUN, 3600, [*events(1, 5, 9), *events(5, 7, label="cat")]),
        Run("b", BEGUN, 3600, events(5, 9, 11)),  # the same times as in the other one
        Run("folder", None, 3600, events(1, 2), recording="/r/one.wav"),
    )
    choice = Choice(Question(labels=labels))
    rows = walk(connection, choice, n)
    known = connection.execute(
        "SELECT id FROM events WHERE label IN ('dog', ?) "
        "ORDER BY onset_us IS NULL, onset_us DESC, id DESC",
        ("dog" if labels == ("dog",) else "cat",),
    ).fetchall()
    assert rows == [row for (row,) in known]
    assert count_chosen(connection, choice) == len(rows)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_way_back_leads_over_the_same_events(store, n):
    connection = store(
        Run("a", BEGUN, 3600, events(1, 5, 5.5, 9)),
        Run("folder", None, 3600, events(1, 2, 3), recording="/r/one.wav"),
    )
    forth = walk(connection, Choice(), n)
    last = find_entry(connection, forth[-1])
    back, position = [forth[-1]], last.position
    while True:
        page = find_page(connection, Choice(), n, newer=position)
        if not page.entries or page.entries[0].event.row in back:
            break
        back = [*(entry.event.row for entry in page.entries), *back]
        position = page.entries[0].position
        assert page.has_older
        if not page.has_newer:
            break
    assert back == forth


def test_a_new_event_moves_nothing_from_page_to_page(store, tmp_path):
    connection = store(Run("a", BEGUN, 3600, events(1, 2, 3, 4)))
    first = find_page(connection, Choice(), 2)
    make_store(tmp_path / "s.db", [Run("a", BEGUN + timedelta(hours=1), 60, events(1, 2))])
    second = find_page(connection, Choice(), 2, older=first.entries[-1].position)
    assert [entry.event.onset_s for entry in second.entries] == [2, 1]
    assert not second.has_older
    assert second.has_newer


def test_days_and_hours_are_those_of_the_place(store):
    """In Tokyo it is the 26th while London still has the 25th."""
    connection = store(
        Run("tokyo", BEGUN, 86400, events(10, 86390)),
        Run("utc", datetime(2026, 11, 26, tzinfo=UTC), 86400, events(10, 86390, label="cat")),
    )
    assert len(walk(connection, Choice(first_day=DAY, last_day=DAY), 10)) == 4
    assert not walk(connection, Choice(last_day=DAY - timedelta(days=1)), 10)
    assert not walk(connection, Choice(first_day=DAY + timedelta(days=1)), 10)
    late = Choice(first_day=DAY, last_day=DAY, hour=23)
    assert {e.event.label for e in find_page(connection, late, 9).entries} == {"dog", "cat"}
    table = count_table(connection, DAY, DAY)
    assert dict(zip(table.labels, table.n_events, strict=True)) == {
        "cat": [1, *[0] * 22, 1],
        "dog": [1, *[0] * 22, 1],
    }
    assert table.totals == [2, *[0] * 22, 2]
    assert table.heard_h == pytest.approx([2.0] * 24)
    assert count_table(connection, DAY - timedelta(days=1), DAY).totals == [0, 4]


@pytest.mark.parametrize(
    ("choice", "rows"),
    [
        (Choice(Question(min_score=0.8)), [1]),
        (Choice(Question(reviewed="right")), [2]),
        (Choice(Question(reviewed="wrong")), [3]),
        (Choice(Question(reviewed="not")), [4, 1]),
        (Choice(Question(source_ids=(1,))), [3, 2, 1]),
        (Choice(Question(source_ids=())), []),
        (Choice(with_clip=True), [2]),
    ],
)
def test_filters(store, choice, rows):
    connection = store(
        Run("a", BEGUN, 60, [
            Heard("dog", 1, score=0.9), Heard("dog", 2, score=0.5, verdicts=["wrong", "right"]),
            Heard("cat", 3, score=0.5, verdicts=["wrong", "wrong"]),
        ]),
        Run("b", BEGUN, 60, [Heard("dog", 4, score=0.5)]),
    )  # fmt: skip
    for event, gone in ((2, None), (3, 5)):
        connection.execute(
            "INSERT INTO clips (event_id, folder, path, bytes, written_us, gone_us) "
            "VALUES (?, '/c', 'x', 1, 1, ?)",
            (event, gone),
        )
    assert [entry.event.row for entry in find_page(connection, choice, 9).entries] == rows
    assert count_chosen(connection, choice) == len(rows)


@pytest.mark.parametrize("position", [Position(None, 3), Position(-5, 1), Position(10**15, 7)])
def test_a_position_is_read_as_it_was_written(position):
    assert Position.read(str(position)) == position


@pytest.mark.parametrize("text", ["", "x", "1", "1.x", ".-1", "1.99999999999999999999", "1e3.1"])
def test_a_position_of_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="must be two numbers"):
        Position.read(text)


def test_the_newest_minute_tells_the_clock_of_the_place(store):
    connection = store(Run("a", BEGUN, 600, level=-40))
    soon = BEGUN + timedelta(hours=2)
    assert place_time(connection, soon.astimezone(UTC)) == datetime(2026, 11, 26, 2, 0)
    later = BEGUN + timedelta(days=3)  # nothing is heard there any more
    assert place_time(connection, later) == later.astimezone().replace(tzinfo=None)


def test_gaps_are_cut_to_the_days(store):
    connection = store(
        Run("a", BEGUN - timedelta(hours=1), 7000, gaps=[(3000, 1200, "lost"), (6000, 2, "late")])
    )
    assert [(g.cause, g.begun, g.seconds) for g in list_gaps(connection, DAY, DAY)] == [
        ("lost", datetime(2026, 11, 26), 600.0),
        ("late", datetime(2026, 11, 26, 0, 40), 2.0),
    ]
    before = DAY - timedelta(days=1)
    assert [g.seconds for g in list_gaps(connection, before, before)] == [600.0]


def test_the_day_before_is_the_last_one_with_an_event(store):
    connection = store(Run("a", BEGUN, 60, events(1)))
    assert find_day_before(connection, DAY + timedelta(days=9)) == DAY
    assert find_day_before(connection, DAY) is None


def test_labels_and_days_are_counted(store):
    connection = store(
        Run("a", BEGUN - timedelta(days=1), 2 * 86400, [
            *events(3600.5, 90000, 90030, length_s=3.0), *events(5, label="cat"),
        ])
    )  # fmt: skip
    table = count_labels(connection, DAY - timedelta(days=1), DAY)
    assert [(each.label, each.n_events) for each in table.labels] == [("dog", 3), ("cat", 1)]
    assert table.labels[0].sounding_s == pytest.approx(9)
    assert table.labels[0].last.replace(tzinfo=None) == datetime(2026, 11, 26, 1, 0, 30)
    assert table.heard_h == pytest.approx(48)
    assert [each.label for each in count_labels(connection, DAY, DAY).labels] == ["dog"]
    days = count_days(connection, DAY - timedelta(days=1), DAY, ["dog"])
    assert days.n_events == [1, 2]
    assert days.n_by_hour == [0, 3, *[0] * 22]
    assert days.heard_by_hour == pytest.approx([2.0] * 24)


def test_a_threshold_is_tried_on_what_was_heard(store):
    connection = store(
        Run("a", BEGUN, 60, [
            Heard("dog", 1, score=0.5, verdicts=["wrong"]),
            Heard("dog", 2, score=0.7, verdicts=["right"]),
            Heard("dog", 3, score=0.9), Heard("cat", 3, score=0.9),
        ])
    )  # fmt: skip
    tried = try_thresholds(connection, "dog", BEGUN, (0.5, 0.7, 0.95))
    assert [(e.n_events, e.n_right, e.n_wrong) for e in tried] == [(3, 1, 1), (2, 1, 0), (0, 0, 0)]
    assert try_thresholds(connection, "dog", BEGUN + timedelta(hours=1), (0.0,))[0].n_events == 0


def test_what_was_said_last_counts(store):
    connection = store(Run("a", BEGUN, 60, events(1, 2)))
    assert review_event(connection, 1, "right", None, 10)
    assert review_event(connection, 1, "wrong", " hen ", 20)
    assert review_event(connection, 2, "right", None, 10)
    entry = find_entry(connection, 1)
    assert (entry.event.verdict, entry.said_label) == ("wrong", "hen")
    verdicts = count_verdicts(connection, "dog")
    assert (verdicts.n_right, verdicts.n_wrong, verdicts.was) == (1, 1, [("hen", 1)])
    assert list_said_labels(connection) == ["hen"]
    assert review_event(connection, 1, None, None, 30)
    entry = find_entry(connection, 1)
    assert (entry.event.verdict, entry.said_label) == (None, None)
    assert not review_event(connection, 77, "right", None, 10)


@pytest.mark.parametrize(
    ("verdict", "label", "reason"),
    [("right", "hen", "must be wrong"), ("wrong", "x" * 121, "at most 120")],
)
def test_reviews_that_make_no_sense_are_refused(store, verdict, label, reason):
    connection = store(Run("a", BEGUN, 60, events(1)))
    with pytest.raises(UsageError, match=reason):
        review_event(connection, 1, verdict, label, 10)


@pytest.fixture
def clips(store, tmp_path):
    """A store whose first two events share a clip, as those of a recording heard twice do."""
    connection = store(Run("a", BEGUN, 60, events(1, 2, 3)))
    path = tmp_path / "clips" / "dog" / "a" / "x.flac"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"fLaC")
    for event in (1, 2):
        connection.execute(
            "INSERT INTO clips (event_id, folder, path, bytes, written_us) VALUES (?, ?, ?, 4, 1)",
            (event, str(tmp_path / "clips"), "dog/a/x.flac"),
        )
    return connection, path


def test_a_deleted_clip_is_noted_for_all_events_that_have_it(clips):
    connection, path = clips
    with transaction(connection):
        assert remove_clip(connection, 1, 50) == "gone"
    assert not path.exists()
    assert not path.parent.exists()
    rows = connection.execute("SELECT gone_us, gone_why FROM clips").fetchall()
    assert rows == [(50, "deleted"), (50, "deleted")]
    assert remove_clip(connection, 2, 60) == "none"
    assert remove_clip(connection, 3, 60) == "none"


def test_a_clip_that_somebody_wants_kept_is_not_deleted(clips):
    connection, path = clips
    keep_clip(connection, 2)
    assert remove_clip(connection, 1, 50) == "kept"
    assert path.exists()
    keep_clip(connection, 2, kept=False)
    assert remove_clip(connection, 1, 50) == "gone"


@pytest.mark.parametrize("name", ["../outside.flac", "/etc/hostname", "dog/a/link.flac", ""])
def test_nothing_outside_the_folder_is_deleted(clips, tmp_path, name):
    connection, path = clips
    outside = tmp_path / "outside.flac"
    outside.write_bytes(b"mine")
    (path.parent / "link.flac").symlink_to(outside)
    connection.execute("UPDATE clips SET path = ?", (name,))
    assert remove_clip(connection, 1, 50) == "none"
    assert outside.exists()
    assert path.exists()


@pytest.mark.parametrize("name", ["letter.txt", "../empty/x.flac", "dog/a", "dog/a/x.flac/.."])
def test_a_row_of_a_strange_store_deletes_nothing_that_is_no_clip(clips, tmp_path, name):
    connection, path = clips
    letter, empty = tmp_path / "clips" / "letter.txt", tmp_path / "empty"
    letter.write_text("mine")
    empty.mkdir()
    connection.execute("UPDATE clips SET path = ?", (name,))
    assert remove_clip(connection, 1, 50) == "none"
    assert letter.exists()
    assert empty.exists()
    assert path.exists()


def test_a_clip_that_cannot_be_deleted_is_told_and_stays_noted(clips, monkeypatch):
    connection, path = clips
    monkeypatch.setattr(type(path), "unlink", _refuse)
    with pytest.raises(SinkError, match=r"x\.flac: the clip cannot be deleted: permission denied"):
        remove_clip(connection, 1, 50)
    assert connection.execute("SELECT count(*) FROM clips WHERE gone_us IS NULL").fetchone() == (2,)


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")
