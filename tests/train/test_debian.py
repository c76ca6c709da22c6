from __future__ import annotations

import stat
import struct
from pathlib import Path

import pytest
from tiny_sets import write

pytest.importorskip("torch")

from train.base.errors import DatasetError
from train.datasets import open_clips
from train.datasets.command import main
from train.datasets.debian_packages import fetch_packages
from train.datasets.debian_sounds import DEBIAN_SOUNDS, PACKAGES, take_sounds
from train.datasets.decode import read_clip
from train.datasets.speech_music import SPEECH_MUSIC

pytestmark = pytest.mark.train


@pytest.fixture
def debian(tmp_path, monkeypatch) -> Path:
    """A Debian of two tools and the packages that a test puts into the folder given."""
    tools, packages = tmp_path / "bin", tmp_path / "packages"
    scripts = {
        "apt-get": f'test -d "{packages}/$3" && echo "$3" > "$3_1.0_all.deb" || '
        '{ echo "E: Unable to locate package $3" >&2; exit 100; }',
        "dpkg-deb": f'cp -r "{packages}/$(cat "$2")" "$3"',
    }
    for name, script in scripts.items():
        tool = tools / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return packages


def make_package(folder: Path, sounds: list[str]) -> None:
    for number, name in enumerate(sounds):
        write(folder / "usr/share" / folder.name / name, frequency=300.0 + number)
    copyright_file = folder / "usr/share/doc" / folder.name / "copyright"
    copyright_file.parent.mkdir(parents=True)
    copyright_file.write_text("GPL-2+\n")


def test_sounds_are_fetched_and_opened_by_package(debian, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.datasets.debian_sounds.PACKAGES", ("bambam", "krank"))
    make_package(debian / "bambam", ["dog.wav", "cat.wav", "readme_desc.wav"])
    make_package(debian / "krank", ["a/pop.wav", "b/pop.wav", "notes.txt.flac"])
    folder = tmp_path / "sounds"
    DEBIAN_SOUNDS.download(folder)
    # Packages hold files that FFmpeg cannot read, too: no reason to do without the others.
    (folder / "krank" / "noise.ogg").write_bytes(b"no sound")
    assert main("debian_sounds", [str(folder), "--download"]) == 0
    said = capsys.readouterr()
    assert "debian-sounds: 5 clips, 2 classes" in said.out
    assert "1 of 6 clips left out" in said.err
    clips = open_clips(folder, 16000)
    assert clips.name == "debian-sounds"
    assert clips.labels == ("bambam", "krank")
    # Two sounds of one name are both kept, a spoken description isn't.
    assert [clip.filename for clip in clips.clips] == [
        "bambam/share-bambam-cat.wav", "bambam/share-bambam-dog.wav",
        "krank/krank-a-pop.wav", "krank/krank-b-pop.wav", "krank/share-krank-notes.txt.flac",
    ]  # fmt: skip
    assert (folder / "SOURCES.txt").read_text() == "bambam_1.0_all\nkrank_1.0_all\n"
    assert (folder / "krank/krank.copyright").read_text() == "GPL-2+\n"


def test_speech_and_music_are_fetched_into_languages_and_albums(debian, tmp_path, monkeypatch):
    places = {
        "talk": ("speech", "it", "usr/share/talk/*.wav"),
        "songs": ("music", "supertux", "usr/**/*.ogg"),
    }
    monkeypatch.setattr("train.datasets.speech_music.PACKAGES", places)
    monkeypatch.setattr("train.datasets.speech_music._MIN_BYTES", 100)
    make_package(debian / "talk", ["yes.wav"])
    make_package(debian / "songs", ["theme.ogg", "noise.wav"])
    SPEECH_MUSIC.download(tmp_path / "both")
    clips = open_clips(tmp_path / "both", 16000)
    assert [(clip.filename, clip.fold) for clip in clips.clips] == [
        ("speech/it/share-talk-yes.wav", 4), ("music/supertux/share-songs-theme.ogg", 4),
    ]  # fmt: skip


def test_as_many_as_wanted_are_taken_from_first_to_last(tmp_path, monkeypatch):
    monkeypatch.setattr("train.datasets.debian_sounds.MAX_PER_PACKAGE", 3)
    make_package(tmp_path / "many", [f"{k}.wav" for k in range(9)])
    (tmp_path / "many/usr/share/many/again.wav").symlink_to("0.wav")
    (tmp_path / "many/usr/share/many/5.wav").write_bytes(bytes(4_000_001))
    take_sounds(tmp_path / "many", tmp_path / "taken")
    names = sorted(path.name for path in (tmp_path / "taken").glob("*.wav"))
    assert names == ["share-many-0.wav", "share-many-3.wav", "share-many-8.wav"]


def test_a_package_that_is_not_there_is_named(debian, tmp_path, capsys):
    debian.mkdir()
    assert main("debian_sounds", [str(tmp_path / "none"), "--download"]) == 1
    said = capsys.readouterr().err
    assert f"{PACKAGES[0]}: apt-get cannot fetch it: E: Unable to locate package" in said
    assert "run apt-get update and try again" in said


def test_a_package_that_does_not_unpack_is_named(debian, tmp_path):
    (debian / "broken").mkdir(parents=True)

    def fail(_: str, __: Path) -> None:
        raise OSError("No space left on device")

    with pytest.raises(DatasetError, match=r"broken_1\.0_all\.deb: cannot be unpacked"):
        fetch_packages(["broken"], tmp_path, fail)


def test_without_debian_the_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match="apt-get is not here; unpack krank into"):
        fetch_packages(["krank"], tmp_path, lambda *_: None)


def test_packages_are_named_once_and_in_order():
    assert list(PACKAGES) == sorted(set(PACKAGES))


def test_a_coding_that_nobody_knows_is_named(tmp_path):
    # Ogg within WAV, as some packages have it: FFmpeg sees a stream, and no decoder for it.
    fmt = struct.pack("<HHIIHHH", 0x674F, 1, 44100, 11000, 1, 16, 0)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", 64)
    path = tmp_path / "kick.ogg"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 64) + chunks + bytes(64))
    with pytest.raises(DatasetError, match="in a coding that FFmpeg does not know"):
        read_clip(path, 16000)
