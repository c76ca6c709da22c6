"""Clips in a store: rows that outlive them, and sweeps that delete what may go and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from sqlite3 import Connection

import numpy as np
import pytest

from streamclf.sinks.clips.clip_file import Clip, encode_clip, write_clip
from streamclf.store import retention
from streamclf.store.clip_limits import DAY_US, ClipLimits
from streamclf.store.clips import keep_clip, note_clip
from streamclf.store.database import connect
from streamclf.store.retention import Sweep, Sweeper, sweep

NOW_US = 1_800_000_000_000_000
NOISE = np.random.default_rng(1).uniform(-1, 1, 2000).astype("f")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Connection]:
    with closing(connect(tmp_path / "a.db", create=True)) as connection:
        connection.execute("INSERT INTO sources (id, name) VALUES (1, 'yard')")
        connection.execute(
            "INSERT INTO models (id, name, version, sha256) VALUES (1, 'm', '1', 'x')"
        )
        connection.execute(
            "INSERT INTO runs (id, token, source_id, model_id, writer, sample_rate, "
            "first_position, state) VALUES (1, 'run', 1, 1, 'w', 1000, 0, 'open')"
        )
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clips"


def add(
    store: Connection, folder: Path, onset: int, label: str = "dog", *, score=0.5, days=0.0
) -> Path:
    """Write a clip of some 4 kB, and note it; it is so many days old."""
    name = PurePosixPath(label, "yard", f"{onset:010.3f}_{round(100 * score)}.flac")
    path = folder / name
    encoded = encode_clip(Clip(path, NOISE, 1000, label, ""))
    write_clip(path, encoded)
    add_event(store, label, onset, score)
    written_us = NOW_US - round(days * DAY_US)
    os.utime(path, (written_us / 1e6, written_us / 1e6))
    assert note_clip(store, "run", label, onset, folder, name, len(encoded), written_us)
    return path


def add_event(store: Connection, label: str, onset: int, score: float = 0.5) -> None:
    store.execute(
        "INSERT INTO events (run_id, source_id, label, score, highest_score, onset, state) "
        "VALUES (1, 1, ?, ?, ?, ?, 'ended')",
        (label, score, score, onset),
    )


def event_of(store: Connection, onset: int) -> int:
    return store.execute("SELECT id FROM events WHERE onset = ?", (onset,)).fetchone()[0]


def left(folder: Path) -> list[str]:
    return sorted(path.name[:6] for path in folder.rglob("*.flac"))


def gone(store: Connection) -> dict[int, str]:
    """Why each clip went, by the onset of its event."""
    return dict(
        store.execute(
            "SELECT onset, gone_why FROM clips JOIN events ON events.id = event_id "
            "WHERE gone_us IS NOT NULL ORDER BY onset"
        )
    )


def test_a_clip_is_noted_for_its_event_and_anew_when_it_is_written_anew(store, folder):
    add_event(store, "dog", 5)
    name = PurePosixPath("dog/yard/a.flac")
    assert note_clip(store, "run", "dog", 5, folder, name, 7, 1)
    store.execute("UPDATE clips SET kept = 1, gone_us = 3, gone_why = 'age'")
    assert note_clip(store, "run", "dog", 5, folder, name.with_name("b.flac"), 8, 2)
    assert store.execute(
        "SELECT folder, path, bytes, written_us, kept, gone_us, gone_why FROM clips"
    ).fetchall() == [(str(folder), "dog/yard/b.flac", 8, 2, 1, None, None)]
    for token, label, onset in [("other", "dog", 5), ("run", "cat", 5), ("run", "dog", 6)]:
        assert not note_clip(store, token, label, onset, folder, name, 7, 1)


def test_a_clip_is_kept_while_it_is_there(store, folder):
    path = add(store, folder, 1, days=99)
    assert keep_clip(store, event_of(store, 1))
    assert not sweep(store, folder, ClipLimits(days=1), NOW_US).gone
    assert keep_clip(store, event_of(store, 1), kept=False)
    assert sweep(store, folder, ClipLimits(days=1), NOW_US).gone == {"age": 1}
    assert not path.exists()
    assert not keep_clip(store, event_of(store, 1))


def test_what_is_old_goes_and_its_row_stays(store, folder):
    for number in range(5):
        add(store, folder, number, days=number * 10)
    result = sweep(store, folder, ClipLimits(days=25), NOW_US)
    assert left(folder) == ["000000", "000001", "000002"]
    assert gone(store) == {3: "age", 4: "age"}
    assert store.execute("SELECT min(gone_us) FROM clips").fetchone() == (NOW_US,)
    size = result.gone_bytes / 1000
    assert str(result) == f"clips: 2 deleted ({size:.1f} kB: 2 by age), {1.5 * size:.1f} kB used"
    assert not sweep(store, folder, ClipLimits(days=25), NOW_US).changed


def test_a_sweep_says_in_a_line_what_went_and_what_stays(store, folder):
    for number in range(10):
        add(store, folder, number, score=0.9 if number == 5 else 0.5, days=number)
    add(store, folder, 100, "owl", days=50)
    keep_clip(store, event_of(store, 9))
    store.execute(
        "INSERT INTO reviews (event_id, reviewed_us, verdict) VALUES (?, 1, 'wrong')",
        (event_of(store, 8),),
    )
    each = (folder / "owl/yard/000100.000_50.flac").stat().st_size
    limits = ClipLimits(limit_bytes=6 * each, days=6.5, least=1)
    result = sweep(store, folder, limits, NOW_US)
    assert gone(store) == {**dict.fromkeys([1, 2, 3, 4, 6], "limit"), 7: "age"}
    deleted, used, most = (f"{n * each / 1000:.3g} kB" for n in (6, 5, 6))
    assert str(result) == (
        f"clips: 6 deleted ({deleted}: 1 by age, 5 by size), {used} of {most} used; 3 old ones "
        "stay: 2 kept, reviewed or changed, 1 best of their label"
    )


def test_rare_sounds_stay(store, folder):
    for number in range(20):
        add(store, folder, number, "car", score=0.5 + number / 100)
    add(store, folder, 100, "owl", score=0.31)
    size = (folder / "owl/yard/000100.000_31.flac").stat().st_size
    sweep(store, folder, ClipLimits(limit_bytes=10 * size), NOW_US)
    assert left(folder) == ["000012", "000013", "000014", "000015", "000016", "000017", "000018",
                            "000019", "000100"]  # fmt: skip


def test_what_somebody_moved_or_deleted_is_noted_and_nothing_stops(store, folder):
    paths = [add(store, folder, number, days=9) for number in range(6)]
    paths[0].unlink()
    paths[1].rename(folder / "mine.flac")
    moved = folder / "cat" / "yard" / paths[2].name
    moved.parent.mkdir(parents=True)
    paths[2].rename(moved)
    paths[3].write_bytes(b"cut by hand")
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {0: "deleted", 1: "deleted", 2: "deleted", 4: "age", 5: "age"}
    assert {path.name for path in folder.rglob("*.flac")} == {
        "mine.flac", paths[2].name, paths[3].name
    }  # fmt: skip
    assert "; 3 were moved or deleted by somebody else; " in str(result)
    assert str(result).endswith("; 2 old ones stay: 2 kept, reviewed or changed")
    moved.rename(paths[2])
    result = sweep(store, folder, ClipLimits(days=99), NOW_US)
    assert "; 1 are back in their places" in str(result)
    assert gone(store) == {0: "deleted", 1: "deleted", 4: "age", 5: "age"}


NAMES = [
    "../outside.flac",
    "dog/../../outside.flac",
    "/etc/hostname",
    "dog/yard/link.flac",
    "dog/linked/outside.flac",
    "linked/yard/outside.flac",
    "dog/yard",
    "",
    ".",
    "..",
    "dog/yard/nul\0.flac",
    "dog/" + "x" * 5000,
    "dog/yard/000000.000_50.flac/below",
]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_nothing_is_followed_out_of_the_folder(store, folder, tmp_path, name):
    outside = tmp_path / "outside.flac"
    there = add(store, folder, 0)
    outside.write_bytes(there.read_bytes())
    (tmp_path / "other" / "yard").mkdir(parents=True)
    (tmp_path / "other" / "outside.flac").write_bytes(there.read_bytes())
    (tmp_path / "other" / "yard" / "outside.flac").write_bytes(there.read_bytes())
    (folder / "dog" / "yard" / "link.flac").symlink_to(outside)
    (folder / "dog" / "linked").symlink_to(tmp_path / "other")
    (folder / "linked").symlink_to(tmp_path / "other")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    add_event(store, "dog", 7)
    size = there.stat().st_size
    assert note_clip(store, "run", "dog", 7, folder, PurePosixPath("x"), size, 1)
    store.execute("UPDATE clips SET path = ? WHERE path = 'x'", (name,))
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {7: "deleted"}
    assert result.n_missing == 1
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}.keys() == before.keys()
    # Nor do clips that the store does not know, behind a link.
    (tmp_path / "other" / "yard" / "000001.000_50.flac").write_bytes(there.read_bytes())
    sweep(store, folder, ClipLimits(limit_bytes=0, days=0), NOW_US + DAY_US)
    assert (tmp_path / "other" / "yard" / "000001.000_50.flac").exists()
    assert not there.exists()


def test_a_file_of_two_rows_stays_if_one_of_them_is_kept(store, folder):
    """As where a recording was heard twice."""
    path = add(store, folder, 1, days=9)
    add_event(store, "dog", 2)
    name = PurePosixPath(path.relative_to(folder))
    size = path.stat().st_size
    assert note_clip(store, "run", "dog", 2, folder, name, size, 5)
    store.execute("UPDATE clips SET path = 'dog/./yard/' || substr(path, 10) WHERE written_us = 5")
    keep_clip(store, event_of(store, 1))
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert path.exists()
    assert (gone(store), result.used_bytes) == ({}, size)
    keep_clip(store, event_of(store, 1), kept=False)
    assert sweep(store, folder, ClipLimits(days=1), NOW_US).gone == {"age": 1}
    assert gone(store) == {1: "age", 2: "age"}


def test_clips_that_no_row_names_count_and_go_as_well(store, folder):
    for number in range(4):
        add(store, folder, number, days=number)
    add_event(store, "cat", 9)
    store.execute("DELETE FROM clips")
    (folder / "dog" / "yard" / "notes.txt").write_text("mine")
    moved = folder / "cat" / "yard" / "000000.000_50.flac"
    moved.parent.mkdir(parents=True)
    (folder / "dog" / "yard" / moved.name).rename(moved)
    result = sweep(store, folder, ClipLimits(days=1.5), NOW_US)
    assert result.gone == {"age": 2}
    assert left(folder) == ["000000", "000001"]
    result = sweep(store, folder, ClipLimits(limit_bytes=0), NOW_US)
    assert moved.exists()  # it lies where somebody has put it
    assert left(folder) == ["000000"]
    assert (folder / "dog" / "yard" / "notes.txt").exists()
    assert result.is_over


def test_others_go_in_place_of_clips_that_have_to_stay(store, folder):
    for number in range(4):
        add(store, folder, number, score=0.2)
    store.execute("DELETE FROM clips")
    for path in folder.rglob("*.flac"):
        target = folder / "cat" / "yard" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    size = add(store, folder, 10, score=0.9).stat().st_size
    result = sweep(store, folder, ClipLimits(limit_bytes=4 * size), NOW_US)
    assert result.gone == {"limit": 1}
    assert left(folder) == ["000000", "000001", "000002", "000003"]
    assert not result.is_over


def test_a_disk_that_is_not_there_loses_nothing(store, folder, tmp_path):
    add(store, folder, 1, days=99)
    folder.rename(tmp_path / "away")
    for make in (lambda: None, folder.mkdir):
        make()
        result = sweep(store, folder, ClipLimits(days=1), NOW_US)
        assert str(result) == (
            f"clips: {folder} is not there, or is empty: nothing is deleted or noted of the 1 clip "
            "in it: is its disk there?"
        )
        assert gone(store) == {}
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert sweep(store, folder, ClipLimits(days=1), NOW_US).gone == {"age": 1}


def test_a_store_without_clips_needs_no_folder(store, folder):
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert not result.changed
    assert str(result) == "clips: 0 deleted, 0 bytes used"


def test_a_clip_that_cannot_be_deleted_is_told_and_stays(store, folder, monkeypatch):
    for number in range(3):
        add(store, folder, number, days=9)
    unlink = Path.unlink

    def refuse(path, **options):
        if path.name.startswith("000001"):
            raise PermissionError(13, "Permission denied")
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {0: "age", 2: "age"}
    assert "; 1 cannot be deleted: permission denied; " in str(result)


def test_a_clip_that_the_disk_does_not_tell_of_is_left_alone(store, folder, monkeypatch):
    path = add(store, folder, 1, days=9)
    lstat = Path.lstat

    def fail(each):
        if each == path:
            raise OSError(5, "Input/output error")
        return lstat(each)

    monkeypatch.setattr(Path, "lstat", fail)
    result = sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {}
    assert "; 1 cannot be deleted: input/output error" in str(result)
    monkeypatch.undo()
    assert sweep(store, folder, ClipLimits(days=1), NOW_US).gone == {"age": 1}


def test_a_clip_kept_while_a_sweep_runs_stays(store, folder, monkeypatch):
    for number in range(2):
        add(store, folder, number, days=9)
    choose = retention.choose_clips

    def choose_slowly(*arguments):
        choice = choose(*arguments)
        keep_clip(store, event_of(store, 1))
        return choice

    monkeypatch.setattr(retention, "choose_clips", choose_slowly)
    sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {0: "age"}
    assert left(folder) == ["000001"]


def test_a_kill_between_file_and_row_is_noticed(store, folder, monkeypatch):
    add(store, folder, 1, days=9)
    add(store, folder, 2)

    def die(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(retention, "_note_gone", die)
    with pytest.raises(KeyboardInterrupt):
        sweep(store, folder, ClipLimits(days=1), NOW_US)
    monkeypatch.undo()
    assert (gone(store), left(folder)) == ({}, ["000002"])
    sweep(store, folder, ClipLimits(days=1), NOW_US)
    assert gone(store) == {1: "deleted"}


def test_sweeps_come_in_their_turn_and_sooner_when_there_is_too_much(store, folder):
    now_s = 0.0
    size = add(store, folder, 0).stat().st_size
    limits = ClipLimits(limit_bytes=3 * size, least=1)
    sweeper = Sweeper(folder, limits, lambda: now_s)
    assert sweeper.is_due
    assert sweeper.sweep(store, NOW_US) == ""
    assert not sweeper.is_due
    now_s = 599.0
    assert not sweeper.is_due
    for number in range(1, 4):
        sweeper.note_written(add(store, folder, number).stat().st_size)
    assert sweeper.is_due
    assert sweeper.sweep(store, NOW_US).startswith("clips: 2 deleted")
    # Where all that is left has to stay, it is said once.
    for number in range(4):
        add(store, folder, 10 + number)
        keep_clip(store, event_of(store, 10 + number))
    now_s += 600
    assert "more than the limit stays: 4 kept" in sweeper.sweep(store, NOW_US)
    sweeper.note_written(size)
    now_s += 599
    assert not sweeper.is_due
    now_s += 1
    assert sweeper.is_due
    assert sweeper.sweep(store, NOW_US) == ""


def test_clips_of_another_folder_are_left_alone(store, folder, tmp_path, monkeypatch):
    add(store, folder, 1, days=9)
    add(store, tmp_path / "other", 2, days=9)
    monkeypatch.chdir(tmp_path)
    result = sweep(store, Path("other/../clips"), ClipLimits(days=1), NOW_US)
    assert (result.gone, gone(store)) == ({"age": 1}, {1: "age"})
    assert left(tmp_path / "other") == ["000002"]


def test_one_clip_that_is_gone_is_told_as_one(tmp_path):
    told = str(Sweep(tmp_path, ClipLimits(), n_missing=1))
    assert "; 1 was moved or deleted by somebody else" in told
