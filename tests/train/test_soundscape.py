from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import soundfile

from streamclf.sinks.tables import CsvSink
from train.audio.scenes import PAUSE_S, make_scenes, trim
from train.base.errors import UsageError
from train.datasets import open_clips
from train.soundscape import main

pytestmark = pytest.mark.train


@pytest.fixture
def clips(make_esc):
    return open_clips(make_esc(), 16000).of_folds([2])


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scene_holds_its_events_at_their_level(clips):
    scenes = list(make_scenes(clips, 4, seconds=30, snr_db=(10, 30)))
    assert [scene.snr_db for scene in scenes] == [10, 30, 10, 30]
    for scene in scenes:
        inside = np.zeros(len(scene.waveform), dtype=bool)
        for event in scene.events:
            inside[event.onset : event.offset] = True
        # Tones of one level, so that their loudest part is as loud as all of them.
        louder = 10 * np.log10(
            np.mean(scene.waveform[inside] ** 2) / np.mean(scene.waveform[~inside] ** 2)
        )
        assert louder == pytest.approx(scene.snr_db, abs=3)
        assert np.abs(scene.waveform).max() <= 1


def test_scenes_deal_classes_evenly_and_apart(clips):
    scenes = list(make_scenes(clips, 6, seconds=30))
    counts = Counter(event.label for scene in scenes for event in scene.events)
    assert max(counts.values()) - min(counts.values()) <= 1
    for scene in scenes:
        for before, after in zip(scene.events, scene.events[1:], strict=False):
            assert after.onset - before.offset >= PAUSE_S[0] * 16000 - 1


def test_overlap_lets_other_classes_sound_together(clips):
    scenes = list(make_scenes(clips, 8, seconds=30, overlap=True))
    pairs = [
        (before, after)
        for scene in scenes
        for k, after in enumerate(scene.events)
        for before in scene.events[:k]
        if after.onset < before.offset
    ]
    assert pairs
    assert all(before.label != after.label for before, after in pairs)


def test_scenes_follow_from_the_seed(clips):
    first, again = (list(make_scenes(clips, 2, seconds=20, seed=5)) for _ in range(2))
    other = list(make_scenes(clips, 2, seconds=20, seed=6))
    for one, two in zip(first, again, strict=True):
        assert one.events == two.events
        np.testing.assert_array_equal(one.waveform, two.waveform)
    assert [scene.events for scene in first] != [scene.events for scene in other]


def test_trim_cuts_silence_and_quiet_tails():
    waveform = np.zeros(16000, dtype=np.float32)
    waveform[4000:8000] = 0.5
    waveform[8000:12000] = 0.5e-2 * 0.9  # 40.9 dB below
    assert trim(waveform, 16000).tolist() == waveform[4000:8000].tolist()
    assert trim(waveform * 0, 16000).size == 0


def test_scenes_say_where_no_clip_fits(clips):
    with pytest.raises(UsageError, match="--seconds"):
        list(make_scenes(clips, 1, seconds=7))


def test_scenes_pass_over_silent_clips(clips):
    silent = replace(clips, samples=np.zeros_like(clips.samples))
    with pytest.raises(UsageError, match="no clip of esc50 fits"):
        list(make_scenes(silent, 1, seconds=30))


def test_command_writes_scenes_and_truth(make_esc, tmp_path, capsys):
    folder = tmp_path / "scenes"
    arguments = ["--data", str(make_esc()), "--fold", "2,3", "-o", str(folder)]
    arguments += ["--scenes", "3", "--seconds", "20", "--snr-db", "5,15"]
    assert main(arguments) == 0
    assert "3 scenes of 20 s" in capsys.readouterr().out
    rows = read(folder / "truth.csv")
    assert list(rows[0]) == [*CsvSink.header.split(","), "snr_db", "seconds"]
    levels = {row["source"]: row["snr_db"] for row in rows}
    assert levels == {"scene-001.wav": "5", "scene-002.wav": "15", "scene-003.wav": "5"}
    assert {row["seconds"] for row in rows} == {"20.0"}
    samples, rate = soundfile.read(folder / "scene-001.wav", dtype="int16")
    assert (rate, len(samples)) == (16000, 320000)
    labels = [line.split("\t") for line in (folder / "scene-001.txt").read_text().splitlines()]
    own = [row for row in rows if row["source"] == "scene-001.wav"]
    assert [(float(a), float(b), c) for a, b, c in labels] == [
        (float(row["onset"]), float(row["offset"]), row["label"]) for row in own
    ]
    scenes = make_scenes(
        open_clips(tmp_path / "esc", 16000).of_folds([2, 3]), 1, seconds=20, snr_db=[5.0]
    )
    expected = np.rint(next(scenes).waveform * 32767)
    np.testing.assert_array_equal(samples, expected)


def test_command_refuses_to_overwrite(make_esc, tmp_path, capsys):
    folder = tmp_path / "scenes"
    arguments = ["--data", str(make_esc()), "--fold", "2", "-o", str(folder), "--seconds", "20"]
    assert main([*arguments, "--scenes", "2"]) == 0
    before = (folder / "truth.csv").read_text()
    assert main([*arguments, "--scenes", "1"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "truth.csv").read_text() == before
    assert main([*arguments, "--scenes", "1", "--overwrite"]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "scene-001.wav", "scene-001.txt", "truth.csv",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--fold", "7"], "--fold is 7"),
        (["--scenes", "0"], "--scenes is 0"),
        (["--seconds", "1"], "--seconds is 1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--rate", "1"], "--rate is 1"),
        (["--speech-music", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_command_fails_in_one_line(make_esc, tmp_path, capsys, more, said):
    arguments = ["--data", str(make_esc()), "--fold", "2", "-o", str(tmp_path / "s")]
    assert main([*arguments, *more]) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert said in lines[-1]
    assert not (tmp_path / "s").exists()
