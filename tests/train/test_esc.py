from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import soundfile

from train.base.errors import DatasetError
from train.datasets import open_clips
from train.datasets.command import main
from train.datasets.decode import read_clip
from train.datasets.download import unpack_zip
from train.datasets.open_dataset import prepared_folder

pytestmark = pytest.mark.train


def test_esc_prepares_one_array_and_a_table(make_esc):
    folder = make_esc()
    clips = open_clips(folder, 16000)

    assert clips.name == "esc50"
    assert clips.labels == ("dog", "rain", "water_drops")
    assert clips.folds == (1, 2, 3)
    assert isinstance(clips.samples, np.memmap)
    assert clips.samples.dtype == np.int16
    assert [clip.offset for clip in clips.clips] == list(range(0, 18 * 32000, 32000))
    for index, clip in enumerate(clips.clips):
        written, _ = soundfile.read(folder / "audio" / clip.filename, dtype="int16")
        np.testing.assert_array_equal(clips.waveform(index) * 32768, written)


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_esc_finds_clips_whatever_their_ending(make_esc, ending):
    clips = open_clips(make_esc(named=".wav", written=ending), 16000)
    assert len(clips.clips) == 18
    assert all(clip.n_samples == 32000 for clip in clips.clips)


def test_esc_resamples_and_mixes_down(tmp_path):
    stereo = np.stack([np.full(44100, 0.5), np.zeros(44100)], axis=1)
    soundfile.write(tmp_path / "clip.wav", stereo, 44100)
    samples = read_clip(tmp_path / "clip.wav", 16000)
    assert samples.dtype == np.int16
    assert samples.size == 16000
    assert abs(samples[8000] / 32768 - 0.25) < 1e-3


def test_esc_says_that_a_set_is_incomplete_and_uses_it(make_esc, capsys):
    folder = make_esc()
    (folder / "audio" / "2-2000-A-0.wav").unlink()
    clips = open_clips(folder, 16000)
    said = capsys.readouterr().err
    assert len(clips.clips) == 17
    assert "17 of 2000 clips" in said
    assert "2-2000-A-0.wav" in said


def test_esc_names_the_clip_that_does_not_decode_and_leaves_nothing(make_esc):
    folder = make_esc()
    (folder / "audio" / "1-1380-A-38.wav").write_text("no sound at all")
    with pytest.raises(DatasetError, match=r"1-1380-A-38\.wav: does not decode"):
        open_clips(folder, 16000)
    assert sorted(path.name for path in folder.iterdir()) == ["audio", "meta"]


def test_esc_names_the_clip_without_samples(make_esc):
    folder = make_esc()
    soundfile.write(folder / "audio" / "1-1380-A-38.wav", np.zeros(0), 16000)
    with pytest.raises(DatasetError, match=r"1-1380-A-38\.wav: holds no samples"):
        open_clips(folder, 16000)


def test_esc_takes_only_esc10(make_esc):
    clips = open_clips(make_esc(), 16000, esc10=True)
    assert clips.labels == ("dog", "water_drops")
    assert clips.licence == "CC BY 3.0"
    assert set(clips.targets) == {0, 1}


@pytest.mark.parametrize("gone", ["audio", "rows"])
def test_clips_of_esc10_alone_are_esc10(make_esc, capsys, gone):
    """Its licence is another one, and half of the classes are not missing."""
    folder = make_esc()
    for path in (folder / "audio").glob("*-A-1.wav"):
        path.unlink()
    if gone == "rows":
        table = folder / "meta" / "esc50.csv"
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join(line for line in lines if ",rain," not in line))
    clips = open_clips(folder, 16000)
    assert clips.name == "esc10"
    assert clips.licence == "CC BY 3.0"
    assert "12 of 400 clips of esc10" in capsys.readouterr().err
    assert main("esc", [str(folder)]) == 0
    assert "esc10: 12 clips, 2 classes" in capsys.readouterr().out
    assert open_clips(folder, 16000, dataset="esc50").name == "esc50"


def test_one_missing_clip_is_named_without_others(make_esc, capsys):
    folder = make_esc()
    (folder / "audio" / "2-2000-A-0.wav").unlink()
    open_clips(folder, 16000)
    assert "not found: 2-2000-A-0.wav: incomplete" in capsys.readouterr().err
    (folder / "audio" / "1-1000-A-0.wav").unlink()
    open_clips(folder, 16000)
    assert "not found: 1-1000-A-0.wav and 1 more: incomplete" in capsys.readouterr().err


def test_esc_prepares_once_and_again_when_a_clip_changed(make_esc):
    folder = make_esc()
    prepared = prepared_folder(folder, "esc50", 16000)
    open_clips(folder, 16000)
    first = (prepared / "clips.json").stat().st_ino
    open_clips(folder, 16000)
    assert (prepared / "clips.json").stat().st_ino == first
    soundfile.write(folder / "audio" / "1-1000-A-0.wav", np.ones(100), 16000)
    assert open_clips(folder, 16000).clips[0].n_samples == 100


def test_nothing_is_written_beside_the_users_data(make_esc, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_esc()
    assert len(open_clips(folder, 16000).clips) == 18
    assert sorted(path.name for path in folder.iterdir()) == ["audio", "meta"]
    (prepared,) = (tmp_path / "cache" / "streamclf").iterdir()
    assert prepared == prepared_folder(folder, "esc50", 16000)
    assert f"once, into {prepared}" in capsys.readouterr().err
    assert json.loads((prepared / "clips.json").read_text())["folder"] == str(folder)


def test_clips_of_two_folders_and_rates_do_not_replace_each_other(make_esc):
    first, second = make_esc(), make_esc(folder="other", seconds=1.0)
    opened = [open_clips(f, rate) for f, rate in ((first, 16000), (second, 16000), (first, 8000))]
    assert [int(clips.lengths.max()) for clips in opened] == [32000, 16000, 16000]
    assert len({Path(clips.samples.filename).parent for clips in opened}) == 3


def test_what_was_prepared_beside_the_data_is_used_while_it_is_whole(make_esc, capsys):
    folder = make_esc()
    beside = folder / "prepared-esc50-16000"
    open_clips(folder, 16000, out=beside)
    capsys.readouterr()
    assert Path(open_clips(folder, 16000).samples.filename).parent == beside
    assert "preparing" not in capsys.readouterr().err
    # Damaged, or of other files, it is neither used nor deleted.
    table = (beside / "clips.json").read_text()
    (beside / "clips.json").write_text("{")
    in_cache = prepared_folder(folder, "esc50", 16000)
    assert Path(open_clips(folder, 16000).samples.filename).parent == in_cache
    said = capsys.readouterr().err
    assert f"{beside}: no usable prepared set" in said
    assert "not used any more, it may be deleted" in said
    shutil.rmtree(in_cache)
    (beside / "clips.json").write_text(table)
    soundfile.write(folder / "audio" / "1-1000-A-0.wav", np.ones(100), 16000)
    assert open_clips(folder, 16000).clips[0].n_samples == 100
    assert f"{beside}: is of other files; not used any more" in capsys.readouterr().err
    assert beside.is_dir()


def test_esc_refuses_a_folder_with_other_files(make_esc, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="holds other files"):
        open_clips(make_esc(), 16000, out=other)
    assert (other / "thesis.txt").exists()


def test_esc_refuses_a_set_of_one_class(make_esc):
    folder = make_esc()
    for path in (folder / "audio").iterdir():
        if not path.stem.endswith("-0"):
            path.unlink()
    with pytest.raises(DatasetError, match="1 class, training needs at least 2"):
        open_clips(folder, 16000)


def test_esc_says_what_is_missing(tmp_path, make_esc):
    with pytest.raises(DatasetError, match="no such folder"):
        open_clips(tmp_path / "nowhere", 16000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"meta/esc50\.csv"):
        open_clips(tmp_path / "empty", 16000)
    folder = make_esc()
    (folder / "meta" / "esc50.csv").write_text("filename,fold\n1.wav,1\n")
    with pytest.raises(DatasetError, match="lacks column 'target'"):
        open_clips(folder, 16000)


def test_prepared_folder_is_data_too_at_its_own_rate(make_esc, tmp_path):
    out = tmp_path / "prepared"
    open_clips(make_esc(), 8000, out=out)
    assert open_clips(out, 8000).sample_rate == 8000
    with pytest.raises(DatasetError, match="prepared at 8000 Hz, the network hears 16000 Hz"):
        open_clips(out, 16000)


def test_prepared_folder_is_checked(make_esc, tmp_path):
    out = tmp_path / "prepared"
    open_clips(make_esc(), 16000, out=out)
    table = json.loads((out / "clips.json").read_text())
    table["clips"][-1]["n_samples"] += 1
    (out / "clips.json").write_text(json.dumps(table))
    with pytest.raises(DatasetError, match="reaches beyond the array"):
        open_clips(out, 16000)


def test_clip_set_is_limited_in_turn_from_every_class(make_esc):
    clips = open_clips(make_esc(), 16000)
    assert sorted(clips.limited(4).targets) == [0, 0, 1, 2]
    assert clips.limited(1000).clips == clips.clips
    assert {clip.fold for clip in clips.of_folds([2]).clips} == {2}


def test_clip_set_matrix_pads_shorter_clips(make_esc):
    folder = make_esc()
    soundfile.write(folder / "audio" / "1-1000-A-0.wav", np.full(100, 0.5), 16000)
    matrix = open_clips(folder, 16000).matrix()
    assert matrix.shape == (18, 32000)
    assert (matrix[0, :100] == 16384).all()
    assert not matrix[0, 100:].any()


def test_command_prepares_and_fails_in_one_line(make_esc, tmp_path, capsys):
    assert main("esc", [str(make_esc()), "--out", str(tmp_path / "out"), "--rate", "8000"]) == 0
    assert "18 clips, 3 classes, folds 1, 2, 3, 8000 Hz" in capsys.readouterr().out
    assert main("esc", [str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_unpack_zip_leaves_the_top_folder_out(tmp_path):
    unpack_zip(_zip({"ESC-50-master/meta/esc50.csv": "a", "README": "b"}), tmp_path / "esc")
    assert (tmp_path / "esc" / "meta" / "esc50.csv").read_text() == "a"
    assert len(list((tmp_path / "esc").rglob("*"))) == 2


@pytest.mark.parametrize("path", ["top/../../out.txt", "/top/out.txt", "top\\..\\..\\out.txt"])
def test_unpack_zip_refuses_paths_that_lead_out(tmp_path, path):
    with pytest.raises(DatasetError, match="not unpacked"):
        unpack_zip(_zip({"top/fine.txt": "a", path: "b"}), tmp_path / "esc")
    assert not list(tmp_path.rglob("*.txt"))


def test_unpack_zip_refuses_what_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("train.datasets.download.MAX_BYTES", 9)
    unpack_zip(_zip({"top/a.txt": "1234", "top/b.txt": "12345"}), tmp_path / "fits")
    with pytest.raises(DatasetError, match="unpacks to 10 bytes, the limit is 9"):
        unpack_zip(_zip({"top/a.txt": "12345", "top/b.txt": "12345"}), tmp_path / "esc")
    assert not (tmp_path / "esc").exists()


def _zip(files: dict[str, str]) -> io.BytesIO:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            info = zipfile.ZipInfo()
            info.filename = name
            opened.writestr(info, text)
    archive.seek(0)
    return archive


@pytest.mark.data
def test_esc_reads_the_real_set(data_dir, prepared_esc50):
    clips = open_clips(data_dir / "esc50", 16000, out=prepared_esc50)
    assert len(clips.labels) == 50
    assert len(clips.clips) == 400 * len(clips.folds)
    assert clips.labels[0] == "dog"
    assert {clip.n_samples for clip in clips.clips} == {80000}
    assert Path(clips.clips[0].filename).stem == "1-100032-A-0"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b"1-1000-A-0.wav,one,0,dog,True,1000,A", "line 4: fold is 'one', must be an integer"),
        (b"1-1000-A-0.wav,1", "line 4 lacks column 'target'"),
        (b"1-1000-A-0.wav,1,0,d\xf6g,True,1000,A", "line 4: byte 0xf6 is no UTF-8 text"),
        (b'"' + b"x" * 140_000 + b'",1,0,dog,True,1000,A', "line 4: field larger than field limit"),
    ],
)
def test_error_in_a_table_names_its_line(make_esc, broken, said):
    folder = make_esc()
    table = folder / "meta" / "esc50.csv"
    lines = table.read_bytes().splitlines()
    table.write_bytes(b"\n".join([*lines[:3], broken, *lines[4:]]))
    with pytest.raises(DatasetError) as caught:
        open_clips(folder, 16000)
    assert f"esc50.csv: {said}" in str(caught.value)
