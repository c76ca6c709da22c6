"""What every data set promises, on a tiny one of each made here."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import SETS, Tiny, make_urbansound

pytest.importorskip("torch")

from train.base.errors import DatasetError, UsageError
from train.datasets import DATASET_NAMES, find_dataset, open_clips, recognise
from train.datasets.command import main
from train.datasets.open_dataset import prepared_folder
from train.datasets.prepared import open_prepared

pytestmark = pytest.mark.train


@pytest.fixture(params=SETS, ids=lambda tiny: tiny.name)
def tiny(request) -> Tiny:
    return request.param


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    place = tmp_path / "set"
    tiny.make(place)
    return place


def audio_files(folder: Path, clips) -> list[Path]:
    """The files behind the clips, in their order."""
    stems: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".wav", ".flac", ".ogg", ".webm", ".mp3"):
            stems.setdefault(path.stem, []).append(path)
    files = []
    for clip in clips:
        named = stems[Path(clip.filename).stem]
        inner = Path(clip.filename).parent.as_posix()
        files.append(next(p for p in named if inner == "." or p.parent.name in inner))
    return files


def test_every_data_set_is_tested_here():
    assert {tiny.name for tiny in SETS} == set(DATASET_NAMES) - {"auto"}


def test_dataset_names_its_provenance(tiny):
    dataset = find_dataset(tiny.name)
    for text in (dataset.title, dataset.url, dataset.licence, dataset.citation, dataset.layout):
        assert text
    published = tiny.name not in ("folder", "coughvid-made", "speech-music", "debian-sounds")
    if published:
        assert "CC BY" in dataset.licence
        assert dataset.url.startswith("https://")
        assert "20" in dataset.citation
    if dataset.task == "single-label" and published:
        assert dataset.n_clips >= 400
        assert dataset.n_classes >= 10


def test_dataset_is_prepared_as_expected(tiny, folder):
    clips = open_clips(folder, 16000, dataset=tiny.name)
    assert clips.name == tiny.name
    assert clips.labels == tiny.labels
    assert clips.targets.tolist() == tiny.targets
    assert clips.clips[0].source == tiny.source
    if tiny.folds:
        assert {f: int(n) for f in clips.folds for n in [len(clips.of_folds([f]).clips)]} == (
            tiny.folds
        )
    if tiny.fold_names:
        assert tuple(map(clips.fold_name, clips.folds)) == tiny.fold_names
    dataset = find_dataset(tiny.name)
    assert (clips.licence, clips.citation) == (dataset.licence, dataset.citation)
    assert clips.task == dataset.task
    assert clips.targets.dtype == (np.float32 if clips.task == "regression" else np.int64)
    # A source is in one fold, but where the official test split shares its speakers.
    if tiny.name != "fsdd":
        folds = {}
        for clip in clips.clips:
            assert folds.setdefault(clip.source, clip.fold) == clip.fold


def test_dataset_holds_the_sounds_of_its_files(tiny, folder):
    clips = open_clips(folder, 16000, dataset=tiny.name)
    for index, path in enumerate(audio_files(folder, clips.clips)):
        waveform = clips.waveform(index)
        assert abs(len(waveform) / 16000 - (0.2 if "277-" in path.name else 0.1)) < 0.03
        spectrum = np.abs(np.fft.rfft(waveform, 16000))
        assert abs(spectrum.argmax() - 440) <= 5
        assert abs(np.abs(waveform[400:1200]).max() - 0.3) < 0.05


def test_dataset_is_recognised_by_its_layout(tiny, folder):
    first = next(each.name for each in SETS if each.make is tiny.make)
    assert recognise(folder).name == first
    assert open_clips(folder, 8000).name == first


def test_dataset_prepares_once(tiny, folder, capsys):
    first = open_clips(folder, 16000, dataset=tiny.name)
    capsys.readouterr()
    again = open_clips(folder, 16000, dataset=tiny.name)
    assert "preparing" not in capsys.readouterr().err
    assert again.clips == first.clips
    assert again.origin == first.origin != open_clips(folder, 8000, dataset=tiny.name).origin


def test_dataset_goes_on_where_it_was_interrupted(tiny, folder, tmp_path, monkeypatch, capsys):
    from train.datasets import open_dataset, prepare

    whole = open_clips(folder, 16000, dataset=tiny.name, out=tmp_path / "whole")
    monkeypatch.setattr(prepare, "BATCH", 2)
    decoded: list[Path] = []
    read_clip = open_dataset.read_clip

    def interrupt_third(path, **options):
        if len(decoded) == 3:
            raise KeyboardInterrupt
        decoded.append(path)
        return read_clip(path, **options)

    monkeypatch.setattr(prepare, "ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr(open_dataset, "read_clip", interrupt_third)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        open_clips(folder, 16000, dataset=tiny.name, out=out)
    assert "2 of" in capsys.readouterr().err
    assert not out.exists()
    rest: list[Path] = []

    def count(path, **options):
        rest.append(path)
        return read_clip(path, **options)

    monkeypatch.setattr(open_dataset, "read_clip", count)
    clips = open_clips(folder, 16000, dataset=tiny.name, out=out)
    assert len(rest) == len(clips.clips) - 2
    assert clips.clips == whole.clips
    np.testing.assert_array_equal(clips.samples, whole.samples)
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not hidden


class OneByOne:
    """A pool whose work is done when it is asked for, in order."""

    def __init__(self, n_workers: int) -> None: ...

    def __enter__(self) -> OneByOne:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


def test_dataset_counts_and_names_broken_clips(tiny, folder, tmp_path, capsys):
    good = open_clips(folder, 16000, dataset=tiny.name, out=tmp_path / "good")
    files = audio_files(folder, good.clips)
    files[1].write_text("no sound at all")
    out = tmp_path / "out"
    unasked = find_dataset(tiny.name).leaves_out_broken
    if not unasked:
        with pytest.raises(DatasetError) as caught:
            open_clips(folder, 16000, dataset=tiny.name, out=out)
        said = str(caught.value)
        assert f"1 of {len(files)} clips cannot be used" in said
        assert f"{files[1].name}: does not decode" in said
        assert "--skip-broken" in said
        assert not list(tmp_path.glob("*out*"))

    clips = open_clips(folder, 16000, dataset=tiny.name, out=out, skip_broken=True)
    assert len(clips.clips) == len(files) - 1
    assert clips.skipped == (good.clips[1].filename,)
    if not unasked:
        with pytest.raises(DatasetError, match=r"--skip-broken"):
            open_clips(folder, 16000, dataset=tiny.name, out=out)

    capsys.readouterr()
    assert main(tiny.module, [str(folder), "--dataset", tiny.name, "--validate"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("broken: ")] == [
        f"broken: {files[1]}: does not decode: Format not recognised"
    ]
    assert f"{len(files) - 1} clips decode, 1 do not" in lines[-1]


def test_dataset_of_one_class_is_refused(tiny, folder, tmp_path):
    for path in audio_files(folder, open_clips(folder, 8000, dataset=tiny.name).clips)[1:]:
        path.unlink()
    with pytest.raises(DatasetError, match=r"needs at least 2"):
        open_clips(folder, 8000, dataset=tiny.name, out=tmp_path / "out")


def test_dataset_without_clips_is_refused(tiny, folder, tmp_path):
    for path in audio_files(folder, open_clips(folder, 8000, dataset=tiny.name).clips):
        path.unlink()
    with pytest.raises(DatasetError, match=f"holds no clips of {tiny.name}"):
        open_clips(folder, 8000, dataset=tiny.name, out=tmp_path / "out")


def test_dataset_prepares_two_channels(tiny, folder):
    clips = open_clips(folder, 16000, dataset=tiny.name, channels=2)
    n, longest = len(clips.clips), int(clips.lengths.max())
    assert clips.channels == 2
    assert clips.samples.shape == (int(clips.lengths.sum()), 2)
    assert clips.matrix().shape == (n, 2, longest)
    assert clips.waveform(0).shape == (2, clips.clips[0].n_samples)
    np.testing.assert_array_equal(*clips.waveform(0))
    prepared = prepared_folder(folder, tiny.name, 16000, 2)
    assert prepared.name.startswith(f"prepared-{tiny.name}-16000-2ch-")
    assert open_prepared(prepared).clips == clips.clips


def test_command_prepares_every_set(tiny, folder, tmp_path, capsys):
    arguments = [str(folder), "--dataset", tiny.name, "--rate", "8000", "--out"]
    assert main(tiny.module, [*arguments, str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tiny.name}: {len(tiny.targets)} clips, ")
    assert "8000 Hz" in said
    assert find_dataset(tiny.name).licence in said


def test_unknown_data_sets_are_refused(tmp_path):
    with pytest.raises(UsageError, match="'audioset' is no data set; there are auto, esc50"):
        open_clips(tmp_path, 16000, dataset="audioset")
    (tmp_path / "dog.txt").write_text("")
    with pytest.raises(DatasetError, match="no data set known here"):
        open_clips(tmp_path, 16000)


def test_tables_are_checked(tmp_path):
    make_urbansound(tmp_path)
    table = tmp_path / "metadata" / "UrbanSound8K.csv"
    rows = list(csv.reader(table.read_text().splitlines()))
    table.write_text("\n".join(",".join(row[:5]) for row in rows))
    with pytest.raises(DatasetError, match=r"UrbanSound8K\.csv: line 2 lacks column 'fold'"):
        open_clips(tmp_path, 16000)
    rows[2][5] = "first"
    table.write_text("\n".join(map(",".join, rows)))
    with pytest.raises(DatasetError, match=r"line 3: fold is 'first', must be an integer; exp"):
        open_clips(tmp_path, 16000)
