"""A store that any earlier version wrote opens, and holds what it held.

`tests/stores/version_N.sql` is a store as version N wrote it, with a row or more in each table. It
is never changed once version N is released. `python tests/test_store_versions.py` writes that of
this version, with the columns that it has now.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from stored import block, faults, hear_event, hear_gap, made_stream, rows

from streamclf.core.records import EventBegan
from streamclf.store import database, schema
from streamclf.store.database import connect
from streamclf.store.store import Store

STORES = Path(__file__).parent / "stores"
OLD = {int(path.stem.removeprefix("version_")): path for path in STORES.glob("version_*.sql")}


def restore(version: int, path: Path) -> None:
    """Make the store that a version wrote."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(OLD[version].read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")


def tables(path: Path) -> list[tuple]:
    """The tables and indices, however their statements are laid out."""
    return [
        (name, re.sub(r"\s+", " ", re.sub(r"--.*", "", sql or "")))
        for name, sql in rows(path, "SELECT name, sql FROM sqlite_schema ORDER BY name")
    ]


def test_there_is_a_store_of_each_version():
    assert sorted(OLD) == list(range(1, schema.VERSION + 1))


@pytest.mark.parametrize("version", sorted(OLD))
def test_a_store_of_an_earlier_version_is_brought_up_to_date(version, tmp_path):
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    restore(version, path)
    events = "SELECT label, onset, offset, state, highest_score FROM events ORDER BY onset"
    before = rows(path, events)
    said: list[str] = []
    with Store(path, report=said.append, live=True) as store:
        sink = store.sink("yard")
        known = {"broader": {"dog": ["animal"]}, "sureness": {"dog": [0.5, 0.7]}}
        sink.begin(made_stream(run="newer", **known))
        hear_event(sink, 100_000)
    assert len(said) == 1  # the run that was open is closed
    assert "1 run of a process that was killed is closed with 1 open event" in said[0]
    assert faults(path) == []
    after = rows(path, events)
    assert len(after) == len(before) + 1
    assert [row for row in after[:-1] if row[3] == "ended"] == [
        row for row in before if row[3] == "ended"
    ]
    assert rows(path, "PRAGMA user_version") == [(schema.VERSION,)]
    # A version before 2 did not know the first, and one before 3 not the second.
    told = ('{"dog": ["animal"]}', '{"dog": [0.5, 0.7]}')
    assert rows(path, "SELECT broader, sureness FROM models") == [told]
    for table in ("clips", "reviews", "recordings"):
        assert rows(path, f"SELECT count(*) FROM {table}") == [(1,)]
    connect(new, create=True).close()
    assert tables(path) == tables(new)


def test_a_version_is_reached_step_by_step_in_one_transaction(tmp_path, monkeypatch):
    """What a later version will do: add a column, and fill it."""
    path = tmp_path / "x.db"
    restore(1, path)
    steps = (*schema.MIGRATIONS, "ALTER TABLE runs ADD COLUMN place TEXT;\n"
             "UPDATE runs SET place = 'here; and there';\n")  # fmt: skip
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    monkeypatch.setattr(database, "VERSION", len(steps))
    connect(path).close()
    assert set(rows(path, "SELECT place FROM runs")) == {("here; and there",)}
    assert rows(path, "PRAGMA user_version") == [(len(steps),)]
    # A step that fails leaves the store as it was.
    broken = (*steps, "ALTER TABLE runs ADD COLUMN more TEXT;\nUPDATE nowhere SET x = 1;\n")
    monkeypatch.setattr(database, "MIGRATIONS", broken)
    monkeypatch.setattr(database, "VERSION", len(broken))
    before = tables(path)
    with pytest.raises(database.StoreError, match="cannot be opened: no such table: nowhere"):
        connect(path)
    assert tables(path) == before
    assert rows(path, "PRAGMA user_version") == [(len(steps),)]


def write_store_of_this_version() -> None:
    """Write a store with something in each table, as SQL."""
    import tempfile

    path = Path(tempfile.mkdtemp()) / "x.db"
    store = Store(path, report=print, live=True)
    sink = store.sink("yard")
    sink.begin(made_stream(broader={"dog": ["animal"]}, sureness={"dog": [0.5, 0.7]}))
    position = hear_event(sink, hear_gap(sink, hear_event(sink, 0), 500))
    sink.begin(made_stream(run="r2"))
    sink.hear(block(0, position))
    sink.write(EventBegan("cat", 1000, 0.6, 2000))
    store.flush()
    with closing(connect(path)) as connection:
        for statement in (
            "UPDATE sources SET calibration_db = 94.5",
            "INSERT INTO recordings (path, bytes, modified_us) VALUES ('/data/a.wav', 44, 1)",
            "INSERT INTO clips (event_id, folder, path, bytes, written_us, kept) "
            "VALUES (1, '/heard', 'dog/a.flac', 99, 1, 1)",
            "INSERT INTO reviews (event_id, reviewed_us, verdict) VALUES (1, 2, 'right')",
            "INSERT INTO runs (token, source_id, model_id, recording_id, writer, sample_rate, "
            "first_position, state) VALUES ('r3', 1, 1, 1, 'x', 8000, 0, 'ended')",
        ):
            connection.execute(statement)
        text = "\n".join(connection.iterdump())
    store.close()
    target = STORES / f"version_{schema.VERSION}.sql"
    target.write_text(f"{text}\n", encoding="utf-8")
    print(f"{target}: written")


if __name__ == "__main__":
    write_store_of_this_version()
