"""Clips of runs that write a store: each has a row, and the store looks after the folder."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import toys

from streamclf.core.card import Thresholds
from streamclf.sinks.clips.clip_file import Clip, encode_clip, write_clip
from streamclf.store.clips import keep_clip
from streamclf.store.database import connect

CLIPS = """
SELECT clips.folder || '/' || clips.path, clips.bytes, events.label
FROM clips JOIN events ON events.id = event_id WHERE gone_us IS NULL"""


def rows(store: Path, question: str) -> list[tuple]:
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(question).fetchall()


@pytest.fixture
def model(tmp_path) -> Path:
    """A model that tells speech: the high tone."""
    card = toys.toy_card(
        name="talks", display_names={"high": "Speech"}, thresholds=Thresholds(on=0.5, off=0.4)
    )
    return toys.write_tone_detector(tmp_path / "talks.onnx", card)


@pytest.fixture
def day(write_wav) -> Path:
    """A tone between silences, and one that sounds to the end."""
    parts = [toys.silence(4), toys.tone(1000, 3), toys.silence(9), toys.tone(440, 4)]
    sound = np.concatenate(parts)
    noise = 1e-4 * np.random.default_rng(1).standard_normal(sound.size)
    return write_wav(sound + noise, "day.wav")


def assert_rows_are_files(store: Path, folder: Path) -> None:
    found = {path: (n_bytes, label) for path, n_bytes, label in rows(store, CLIPS)}
    files = {str(path): (path.stat().st_size, path.parts[-3]) for path in folder.rglob("*.flac")}
    assert found == files
    assert files


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("privacy", [(), ("--privacy", "speech")])
def test_clips_of_a_batch_have_rows(jobs, privacy, day, tmp_path, model, streamclf, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [day, *(tmp_path / f"{n}.wav" for n in range(3))]
    for path in paths[1:]:
        path.write_bytes(day.read_bytes())
    result = streamclf(
        "file", *paths, "--model", model, "--jobs", jobs, "--store", "a.db", "--clips", "heard",
        *privacy,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert_rows_are_files(tmp_path / "a.db", tmp_path / "heard")
    assert len(rows(tmp_path / "a.db", "SELECT * FROM clips")) == 16


def test_a_recording_heard_again_has_its_clips_once_and_those_kept_stay_so(
    day, tmp_path, model, streamclf
):
    store = tmp_path / "a.db"
    run = ("file", day, "--model", model, "--store", store)
    assert streamclf(*run, "--clips", tmp_path / "heard").code == 0
    (first, *_) = rows(store, "SELECT id, label, onset FROM events ORDER BY onset DESC")
    with closing(connect(store)) as connection:
        keep_clip(connection, first[0])
    for clips in (("--clips", tmp_path / "heard"), ()):
        assert streamclf(*run, *clips).code == 0
        assert rows(store, "SELECT count(*) FROM runs") == [(1,)]
        assert_rows_are_files(store, tmp_path / "heard")
        kept = "SELECT label, onset FROM clips JOIN events ON events.id = event_id WHERE kept"
        assert rows(store, kept) == [first[1:]]


def test_listen_notes_its_clips_and_looks_after_the_folder(
    day, tmp_path, model, streamclf, monkeypatch, patient_end
):
    monkeypatch.setattr("streamclf.sinks.clips.clips.CLOSE_S", 60)
    folder, store = tmp_path / "heard", tmp_path / "a.db"
    old = folder / "low" / "Mic 2020-01-01" / "20200101_000000_000_90.flac"
    write_clip(old, encode_clip(Clip(old, toys.tone(440, 2), toys.RATE, "low", "")))
    os.utime(old, (time.time() - 9 * 86_400,) * 2)
    run = ("listen", "--source", f"sim:{day}", "--speed", 5, "--no-ui", "--model", model)
    kept = ("--store", store, "--clips", folder, "--clips-days", 7)
    result = streamclf(*run, *kept)
    assert result.code == 0, result.err
    assert "clips: 1 deleted (" in result.err
    assert "1 by age" in result.err
    assert not old.exists()
    assert_rows_are_files(store, folder)
    # A store keeps to --clips-limit as well, with the best of each label.
    run = ("listen", "--source", f"sim:{day}", "--speed", 5, "--no-ui", "--model", model)
    noise = np.random.default_rng(1).uniform(-1, 1, 40 * toys.RATE).astype("f")
    for number in range(4):
        path = old.with_name(f"20200101_00000{number}_000_9{number}.flac")
        write_clip(path, encode_clip(Clip(path, noise, toys.RATE, "low", "")))
    kept = ("--store", store, "--clips", folder, "--clips-limit", "1MB", "--clips-min", 1)
    result = streamclf(*run, *kept)
    assert result.code == 0, result.err
    assert " by size), " in result.err
    left = [path.name[-7:-5] for path in folder.rglob("2020*.flac")]
    assert left == ["93"]
    assert_rows_are_files_but(store, folder, left)


def assert_rows_are_files_but(store: Path, folder: Path, left: list[str]) -> None:
    files = {path.name for path in folder.rglob("*.flac")}
    assert len(files) == len(rows(store, CLIPS)) + len(left)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--clips", "x", "--clips-days", 7), "--clips-days goes by what a store knows of the"),
        (("--clips", "x", "--clips-min", 3), "--clips-min goes by what a store knows of the clips"),
        (("--store", "a.db", "--clips-days", 7), "--clips-days goes with --clips"),
        (("--store", "a.db", "--clips-min", 7), "--clips-min goes with --clips"),
        (
            ("--store", "a.db", "--clips", "x", "--clips-days", 0),
            "--clips-days 0: must be above 0 days, up to 36500",
        ),
        (
            ("--store", "a.db", "--clips", "x", "--clips-days", "nan"),
            "--clips-days nan: must be above 0 days, up to 36500",
        ),
        (
            ("--store", "a.db", "--clips", "x", "--clips-limit", "much"),
            "--clips-limit much: must be a size",
        ),
    ],
)
def test_limits_that_cannot_be_are_refused(streamclf, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = streamclf("listen", "--source", "sim:none.wav", "--no-ui", *arguments)
    assert result.code == 2
    assert message in result.err
    assert not [*tmp_path.iterdir()]
