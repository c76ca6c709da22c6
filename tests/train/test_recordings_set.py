# ruff: noqa: E402
"""Recordings of any length that nobody has labelled, and imitation of what is heard in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

import av
from imitating import ears, teach
from tiny_sets import tone, write

from train.base.errors import DatasetError
from train.cli.network_command import main as train_network
from train.datasets import open_sounds, recordings
from train.datasets.command import main
from train.datasets.decode import duration_of, read_clip
from train.datasets.open_dataset import prepared_folder
from train.datasets.recordings import split_into_minutes

__all__ = ["ears", "teach"]

pytestmark = pytest.mark.train


def encode(path: Path, codec: str, sound: np.ndarray, rate: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = (sound * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def steps(n_seconds: int, rate: int = 16000) -> np.ndarray:
    """A second each of 200, 300, 400, ... Hz: what is heard says where it is from."""
    return np.concatenate([tone(200.0 + 100 * k, 1.0, rate=rate) for k in range(n_seconds)])


def frequency(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [(0.0, [0]), (1.0, [0]), (60.0, [0]), (61.0, [0]), (61.6, [0, 60]), (180.0, [0, 60, 120])],
)
def test_a_recording_is_cut_into_minutes(seconds, begins):
    assert [begin for begin, _ in split_into_minutes(seconds)] == begins
    assert all(end - begin == 60 for begin, end in split_into_minutes(seconds))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wav", ""), ("a.flac", ""), ("a.m4a", "aac"), ("a.webm", "libopus"),
                        ("a.mkv", "pcm_s16le"), ("a.mp3", "mp3")]
)  # fmt: skip
def test_a_stretch_of_any_format_is_the_one_that_was_asked_for(tmp_path, name, codec):
    rate = 48000 if codec == "libopus" else 16000
    path, sound = tmp_path / name, steps(12, rate)
    if codec:
        encode(path, codec, sound, rate)
    else:
        soundfile.write(path, sound, rate)
    assert duration_of(path) == pytest.approx(12, abs=0.15)
    heard = read_clip(path, 16000, stretch=(7.0, 9.0))
    assert len(heard) == pytest.approx(2 * 16000, abs=0.1 * 16000)
    assert frequency(heard[3200:12800], 16000) == pytest.approx(900, abs=5)
    assert frequency(heard[19200:28800], 16000) == pytest.approx(1000, abs=5)
    assert len(read_clip(path, 16000, stretch=(10.0, 70.0))) == pytest.approx(32000, abs=3200)


def test_what_is_behind_the_end_is_no_clip_and_what_is_none_has_no_length(tmp_path):
    write(tmp_path / "a.wav", seconds=1.0)
    with pytest.raises(DatasetError, match="holds no samples"):
        read_clip(tmp_path / "a.wav", 16000, stretch=(60.0, 120.0))
    (tmp_path / "b.mp3").write_bytes(b"no audio at all")
    assert duration_of(tmp_path / "b.mp3") == 0
    assert duration_of(tmp_path / "missing.wav") == 0


def test_long_recordings_are_heard_a_minute_at_a_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recordings, "STRETCH_S", 2.0)
    soundfile.write(tmp_path / "night.wav", steps(7), 16000)
    write(tmp_path / "site" / "2026" / "short.flac", seconds=0.5)
    whole = (tmp_path / "night.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: 44 + 4 * 28000])  # 3.5 s of 7
    (tmp_path / "broken.ogg").write_bytes(b"OggS, and no more")
    (tmp_path / ".hidden.wav").write_bytes(whole)
    (tmp_path / "notes.txt").write_text("rain")
    clips = open_sounds(tmp_path, 8000)
    assert [clip.filename for clip in clips.clips] == [
        "cut.wav#0", "cut.wav#2", "night.wav#0", "night.wav#2", "night.wav#4",
        "site/2026/short.flac#0",
    ]  # fmt: skip
    assert (clips.lengths / 8000).tolist() == [2.0, 1.5, 2.0, 2.0, 2.0, 0.5]
    assert clips.skipped == ("broken.ogg#0",)
    assert "1 of 7 clips left out" in capsys.readouterr().err
    night = [k for k, clip in enumerate(clips.clips) if clip.source == "night.wav"]
    heard = [frequency(clips.waveform(k)[800:7200], 8000) for k in night]
    np.testing.assert_allclose(heard, [200, 400, 600], atol=5)
    assert len({clips.clips[k].fold for k in night}) == 1
    # Once prepared it is not done again, and the prepared folder is none of the recordings.
    again = open_sounds(tmp_path, 8000)
    assert again.clips == clips.clips
    assert "preparing" not in capsys.readouterr().err
    soundfile.write(tmp_path / "night.wav", steps(5), 16000)
    assert len(open_sounds(tmp_path, 8000).clips) == 5


def test_of_very_many_hours_some_are_taken_and_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recordings, "STRETCH_S", 2.0)
    monkeypatch.setattr(recordings, "MAX_HOURS", 6 / 3600)
    soundfile.write(tmp_path / "night.wav", steps(14), 16000)
    clips = open_sounds(tmp_path, 8000)
    assert [clip.filename for clip in clips.clips] == ["night.wav#0", "night.wav#6", "night.wav#12"]
    assert "0 h of recordings, 0 h of them are taken" in capsys.readouterr().err


def test_a_known_set_keeps_its_name_and_licence(tmp_path, make_esc):
    folder = make_esc(folds=2, per_class=1)
    assert open_sounds(folder, 16000).name == "esc50"
    write(tmp_path / "own" / "rain" / "a.wav")
    write(tmp_path / "own" / "wind" / "b.wav")
    clips = open_sounds(tmp_path / "own", 16000)
    assert (clips.name, clips.task, len(clips.clips)) == ("recordings", "unlabelled", 2)
    with pytest.raises(DatasetError, match="no such folder"):
        open_sounds(tmp_path / "none", 16000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="expected is audio files, in folders of any depth"):
        open_sounds(tmp_path / "empty", 16000)


def test_names_are_not_learned_from_what_has_none(tmp_path, capsys):
    write(tmp_path / "a.wav", seconds=2.0)
    assert main("recordings", [str(tmp_path)]) == 0
    assert "recordings: 1 clips, no labels, folds 1, 16000 Hz" in capsys.readouterr().out
    prepared = prepared_folder(tmp_path, "recordings", 16000)
    save = ["--save", str(tmp_path / "run")]
    assert train_network("pocket", ["--data", str(prepared), "--threads", "1", *save]) == 1
    assert "has no labels; --data takes labelled clips" in capsys.readouterr().err


def test_imitation_hears_recordings_alone(teach, ears):
    (teach.folder / "field").mkdir()
    soundfile.write(teach.folder / "field" / "night.wav", steps(6), 16000)
    field = ["--others", str(teach.folder / "field"), "--steps", "2", "--start", ears]
    code, said = teach(*field, data=False)
    assert code == 0, said
    assert "imitates a pretended YAMNet after 16 windows\n" in said
    config = json.loads((teach.folder / "imitation" / "config.json").read_text())
    (source,) = config["sources"]
    assert (source["name"], source["clips"], source["folds"]) == ("recordings", 1, [])
    assert config["layers_of"]["heard_before"] is False
    code, said = teach("--steps", "2", data=False, save="x")
    assert code == 2
    assert "neither --data nor --others: there is nothing to hear; give one" in said
    code, said = teach(*field, "--test-fold", "3", data=False, save="x")
    assert code == 2
    assert "--test-fold is about --data; give that, too" in said


def test_recordings_are_walked_as_everywhere(tmp_path, monkeypatch, capsys):
    for name in ("site/a.wav", ".Trash-1000/b.wav", "@eaDir/c.wav", "closed/d.wav", "e.wav"):
        write(tmp_path / "field" / name, 3.0)
    elsewhere = tmp_path / "disk"
    write(elsewhere / "f.wav", 3.0)
    (tmp_path / "field" / "link").symlink_to(elsewhere)
    (elsewhere / "ring").symlink_to(tmp_path / "field")
    scan, closed = os.scandir, tmp_path / "field" / "closed"

    def refuse(path="."):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = recordings.RECORDINGS.list_clips(tmp_path / "field")
    assert [each.source for each in listing.recordings] == ["e.wav", "link/f.wav", "site/a.wav"]
    assert listing.notes == (
        f"{closed}: cannot be read: permission denied; what lies there is left out",
    )
