"""What is particular to one data set, and the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_sets import make_speech_commands, tone, write

pytest.importorskip("torch")

from train.base.errors import DatasetError
from train.datasets import open_clips, recognise
from train.datasets.command import main
from train.datasets.coughvid import fold_of
from train.datasets.decode import read_clip
from train.datasets.folder import FOLDER, source_of, spread_sources
from train.datasets.make_coughvid import main as make_coughvid

pytestmark = pytest.mark.train


def test_missing_clips_of_a_table_are_named(tmp_path, capsys):
    (tmp_path / "metadata").mkdir()
    rows = [f"{k}-{k % 2}-0-0.wav,{k},{1 + k % 3},{k % 2},class{k % 2}" for k in range(6)]
    header = "slice_file_name,fsID,fold,classID,class"
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text("\n".join([header, *rows]))
    for k in (0, 1, 3, 4):  # fold 3 isn't there at all
        path = tmp_path / "audio" / f"fold{1 + k % 3}" / f"{k}-{k % 2}-0-0.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(440, 0.1), 16000)
    assert main("urbansound8k", [str(tmp_path), "--validate"]) == 1
    said = capsys.readouterr()
    missing = [line for line in said.out.splitlines() if line.startswith("missing")]
    assert missing == ["missing: fold3/2-0-0-0.wav", "missing: fold3/5-1-0-0.wav"]
    assert "4 clips decode, 0 do not, 2 are missing" in said.out
    assert "4 of 8732 clips of urbansound8k, folds 1, 2; not found: fold3/2-0-0-0.wav" in said.err


def test_speech_commands_are_split_by_their_lists(tmp_path):
    make_speech_commands(tmp_path)
    folds = {clip.source: clip.fold for clip in open_clips(tmp_path, 8000).clips}
    assert folds == {"aa": 1, "bb": 2, "cc": 3}
    assert len(open_clips(tmp_path, 8000).of_folds([2]).clips) == 2


def test_speech_commands_name_what_the_lists_name_in_vain(tmp_path, capsys):
    for word in ("zero", "one"):
        (tmp_path / word).mkdir()
        soundfile.write(tmp_path / word / "a_nohash_0.wav", tone(440, 0.1), 16000)
    (tmp_path / "validation_list.txt").write_text("zero/b_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("cat/a_nohash_0.wav\n")
    assert main("speech_commands", [str(tmp_path), "--validate"]) == 1
    assert capsys.readouterr().out.startswith("missing: zero/b_nohash_0.wav\nspeech-commands: 2")
    (tmp_path / "validation_list.txt").write_text("../../etc/passwd\n")
    assert main("speech_commands", [str(tmp_path)]) == 1
    assert "'../../etc/passwd' must be WORD/NAME.wav" in capsys.readouterr().err


def test_command_explains_in_a_line(tmp_path, capsys):
    cases = {
        ("urbansound8k", "--download"): "--download: urbansound8k is not fetched from here; see",
        ("esc",): "no such folder; --download fetches the set into it",
        ("folder", "--rate", "5"): "--rate is 5, must be 1000 to 192000 Hz",
    }
    for (module, *options), expected in cases.items():
        assert main(module, [str(tmp_path / "nowhere"), *options]) in (1, 2)
        said = capsys.readouterr().err
        assert expected in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


def test_fsdd_names_what_a_speaker_lacks(tmp_path, capsys):
    for digit in range(10):
        for index in range(50):
            if (digit, index) != (3, 4):
                path = tmp_path / "recordings" / f"{digit}_theo_{index}.wav"
                path.parent.mkdir(exist_ok=True)
                soundfile.write(path, np.full(10, 0.5), 8000)
    assert main("fsdd", [str(tmp_path), "--validate"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "missing: 3_theo_4.wav"
    assert "499 of 3000 clips" in said.err


def test_coughvid_counts_what_has_no_value(tmp_path, capsys):
    for k, value in enumerate(["0.9", "", "1.5", "nan", None, "0.1", "x"]):
        soundfile.write(tmp_path / f"u{k}.ogg", tone(440, 0.1), 16000)
        if value is not None:
            (tmp_path / f"u{k}.json").write_text(json.dumps({"cough_detected": value}))
    (tmp_path / "u6.json").write_text("{")
    soundfile.write(tmp_path / "u7.wav", tone(440, 0.1), 16000)
    (tmp_path / "u8.json").write_text(json.dumps({"cough_detected": "0.3"}))
    clips = open_clips(tmp_path, 8000)
    assert [clip.filename for clip in clips.clips] == ["u0.ogg", "u5.ogg"]
    said = capsys.readouterr().err
    assert "6 of 8 recordings left out, they have no cough_detected in [0, 1]: u1.ogg" in said
    assert "u8" in said


def test_coughvid_takes_the_table_where_json_is_missing(tmp_path):
    for k in range(3):
        soundfile.write(tmp_path / f"u{k}.wav", tone(440, 0.1), 16000)
    (tmp_path / "u0.json").write_text(json.dumps({"cough_detected": "0.75"}))
    (tmp_path / "metadata_compiled.csv").write_text(
        "uuid,datetime,cough_detected\nu0,x,0.1\nu1,x,0.25\n"
    )
    assert open_clips(tmp_path, 8000).targets.tolist() == [0.75, 0.25]
    (tmp_path / "metadata_compiled.csv").write_text("uuid,datetime\nu0,x\n")
    with pytest.raises(DatasetError, match="has no column 'cough_detected', must have uuid"):
        open_clips(tmp_path, 8000)


def test_coughvid_folds_never_change():
    uuids = ["00039425-7f3a-42aa-ac13-834aaa2b6b92", "001328dc-ea5d-4847-9ccf-c5aa2a3f2d0f", "x"]
    assert [fold_of(uuid) for uuid in uuids] == [4, 2, 2]
    counts = np.bincount([fold_of(str(k)) for k in range(5000)], minlength=6)
    assert counts[0] == 0
    assert (np.abs(counts[1:] - 1000) < 150).all()


def test_made_coughvid_has_values_by_how_it_was_mixed(tmp_path, capsys):
    random = np.random.default_rng(1)
    for name in ("coughs", "sounds"):
        (tmp_path / name).mkdir()
        for k in range(4):
            noise = random.normal(0, 0.1, 24000).astype(np.float32)
            soundfile.write(tmp_path / name / f"{name}-{k}.wav", noise, 16000)
    soundfile.write(tmp_path / "sounds" / "1-1-A-24.wav", np.ones(100) * 0.1, 16000)
    out = tmp_path / "made"
    options = ["--coughs", str(tmp_path / "coughs"), "--sounds", str(tmp_path / "sounds")]
    assert make_coughvid([str(out), *options, "--clips", "18", "--seconds", "1"]) == 0
    assert {path.suffix for path in out.iterdir()} == {".json", ".ogg", ".webm", ".txt"}
    clips = open_clips(out, 22050)
    assert clips.name == "coughvid-made"
    assert len(clips.clips) == 18
    made = {}
    for clip in clips.clips:
        about = json.loads((out / clip.filename).with_suffix(".json").read_text())
        assert isinstance(about["cough_detected"], str)
        kinds = [part.split()[0] for part in about["made_from"].split(" + ")]
        made.setdefault(tuple(kinds), []).append((clip.target, clip.fold, about["made_from"]))
    assert {kinds: len(each) for kinds, each in made.items()} == {
        ("cough",): 6,
        ("cough", "sound"): 6,
        ("sound",): 6,
    }
    assert all(value >= 0.95 for value, _, _ in made["cough",])
    assert all(value <= 0.05 for value, _, _ in made["sound",])
    assert all(0.03 < value < 0.97 for value, _, _ in made["cough", "sound"])
    assert not any("A-24" in text for each in made.values() for _, _, text in each)
    # What was made from one cough is in one fold.
    for _, fold, text in made["cough",] + made["cough", "sound"]:
        assert fold == fold_of(text.split(" + ")[0].split()[1])
    assert make_coughvid([str(out), *options]) == 1
    assert "holds files; name an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kitchen-3.wav", "kitchen"),
        ("kitchen_012.wav", "kitchen"),
        ("a-b_c-7.flac", "a-b_c"),
        ("kitchen.wav", "kitchen"),
        ("0017.wav", "0017"),
        ("take3.wav", "take3"),
        ("monday/x-1.wav", "monday"),
    ],
)
def test_source_of_a_file(path, source):
    assert source_of(Path(path)) == source


def test_sources_are_spread_evenly_and_stay_whole():
    random = np.random.default_rng(1)
    owners = random.integers(0, 40, 600)
    sources = [f"s{owner}" for owner in owners]
    targets = [int(owner) % 3 for owner in owners]
    folds = spread_sources(sources, targets)
    assert len({(s, f) for s, f in zip(sources, folds, strict=True)}) == len(set(sources))
    for target in range(3):
        counts = np.bincount([f for f, t in zip(folds, targets, strict=True) if t == target])
        assert counts[0] == 0
        assert counts[1:].min() > 0.6 * counts[1:].max()


def test_a_folder_of_ones_own_is_told_what_it_lacks(tmp_path):
    def refusal() -> str:
        with pytest.raises(DatasetError) as refused:
            recognise(tmp_path)
        return str(refused.value).removeprefix(f"{tmp_path}: ")

    write(tmp_path / "loose.wav")
    assert refusal() == (
        "holds 1 sound, but none in a class's folder: put each into a folder with the name of its "
        "sound (dog/one.wav), two folders or more"
    )
    write(tmp_path / "dog" / "night" / "mic" / "deep.wav")
    write(tmp_path / "dog" / "one.wav")
    (tmp_path / "dog" / "one.wav").rename(tmp_path / "dog" / "phone.3GP")
    assert refusal() == (
        "holds sounds of one class alone, 'dog': a second folder is needed beside it, such as "
        "'background' with other sounds of the place"
    )
    write(tmp_path / "cat" / "one.wav")
    listing = recognise(tmp_path).list_clips(tmp_path)
    assert [each.filename for each in listing.recordings] == ["cat/one.wav", "dog/phone.3GP"]
    assert listing.notes[1:] == (
        "1 sound beside the classes' folders left out: a class is a folder",
        "1 sound deeper than CLASS/RECORDING/ left out: take a level of folders away",
    )


def test_folder_counts_numbered_clips_as_sources_of_their_own(tmp_path, capsys):
    for label in ("dog", "cat"):
        for k in range(6):
            path = tmp_path / label / f"{label}_{k:03d}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, tone(440, 0.1), 16000)
    clips = open_clips(tmp_path, 8000)
    assert len(set(clips.sources)) == 12
    assert clips.folds == (1, 2, 3, 4, 5)
    assert "the names in cat, dog tell nothing of their sources" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "dataset", "counts", "n_labels"),
    [
        ("urbansound8k", "urbansound8k", {1: 100, 2: 100}, 10),
        ("fsdd", "fsdd", {1: 2250, 2: 250}, 10),
        ("fsdd", "fsdd-speakers", {1: 500, 2: 500, 3: 500, 4: 500, 5: 500}, 10),
        ("esc10-44k", "esc10", {1: 80, 2: 80, 3: 80, 4: 80}, 10),
    ],
)
def test_real_sets_are_whole(data_dir, tmp_path, folder, dataset, counts, n_labels):
    if not (data_dir / folder).is_dir():
        pytest.skip(f"no {folder}")
    clips = open_clips(data_dir / folder, 8000, dataset=dataset, out=tmp_path / "out")
    assert {fold: len(clips.of_folds([fold]).clips) for fold in clips.folds} == counts
    assert len(clips.labels) == n_labels
    assert (np.bincount(clips.targets, minlength=n_labels) > 0).all()
    if dataset == "urbansound8k":
        assert clips.lengths.max() == 32000
        assert clips.lengths.min() < 8000


@pytest.mark.data
def test_real_odd_encodings_decode(data_dir):
    for path in sorted((data_dir / "odd-encodings").glob("*.wav")):
        info = soundfile.info(path)
        clip = read_clip(path, 44100, 2)
        assert len(clip) == pytest.approx(info.duration * 44100, abs=2)
        assert clip.any()


def test_speech_and_music_among_others_are_two_classes_of_ones_own(tmp_path):
    """As `streamclf file --clips` writes them."""
    for label in ("speech", "music", "dog"):
        for recording in ("monday", "tuesday"):
            path = tmp_path / label / recording / "000001.000_93.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, tone(440, 0.5), 16000)
    clips = open_clips(tmp_path, 16000)
    assert clips.name == "folder"
    assert clips.labels == ("dog", "music", "speech")
    assert set(clips.sources) == {"monday", "tuesday"}
    # Prepared, and without the third class, it is told by its layout.
    assert open_clips(tmp_path, 16000).name == "folder"
    for path in sorted((tmp_path / "dog").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "dog").rmdir()
    assert recognise(tmp_path).name == "speech-music"


def test_a_folder_of_classes_leaves_hidden_ones_alone_and_refuses_a_closed_one(
    tmp_path, monkeypatch
):
    for name in ("dog/1.wav", "dog/night/2.wav", "dog/.Trash-1/3.wav", "cat/1.wav", "@eaDir/x.wav"):
        write(tmp_path / name)
    listing = FOLDER.list_clips(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [each.filename for each in listing.recordings] == [
        "cat/1.wav", "dog/1.wav", "dog/night/2.wav"
    ]  # fmt: skip
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == tmp_path / "dog" / "night":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match="night: cannot be read: permission denied; make it"):
        FOLDER.list_clips(tmp_path)
