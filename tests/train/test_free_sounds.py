"""Sounds that are free for every use: taken, refused, told in a table."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from tiny_sets import write

from train.base.errors import DatasetError
from train.datasets import free_sounds
from train.datasets.command import main
from train.datasets.free_sounds import FREE_SOUNDS, Repository

pytestmark = pytest.mark.train

MIXED = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-2+

Files: sounds/wolf.wav
License: CC-BY-NC-3.0
"""


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """A Debian of two tools and packages, and a repository that has been cloned already."""
    tools, packages = tmp_path / "bin", tmp_path / "packages"
    scripts = {
        "apt-get": f'test -d "{packages}/$3" && echo "$3" > "$3_1.0_all.deb" || '
        '{ echo "E: Unable to locate package $3" >&2; exit 100; }',
        "dpkg-deb": f'cp -r "{packages}/$(cat "$2")/." "$3"',
    }
    tools.mkdir()
    for name, script in scripts.items():
        tool = tools / name
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setattr(free_sounds, "PACKAGES", ("bambam", "krank", "silent"))
    monkeypatch.setattr(free_sounds, "speak", lambda folder: write(folder / "de-n0.wav"))
    monkeypatch.setattr(
        free_sounds, "render_instruments", lambda font, folder: write(folder / "000-n0.wav")
    )
    monkeypatch.setattr(
        free_sounds, "write_made_sounds", lambda folder: write(folder / "beeps-n0.wav")
    )
    repository = Repository("owner/beasts", "sounds", "LIST.md", "file")
    monkeypatch.setattr(free_sounds, "REPOSITORIES", (repository,))
    make_package(packages / "bambam", {"dog.wav": 300.0, "cat.wav": 400.0}, "GPL-3, see /GPL-3")
    make_package(
        packages / "krank", {"wolf.wav": 500.0, "pop.wav": 600.0, "same.wav": 300.0}, MIXED
    )
    make_package(packages / "silent", {"hiss.wav": 700.0}, "Made by me; for personal use only.")
    make_package(packages / free_sounds.SOUNDFONT, {}, "MIT")
    make_repository(tmp_path / "sounds" / "archives" / "owner+beasts", tmp_path / "work")
    return tmp_path / "sounds"


def make_package(folder: Path, sounds: dict[str, float], licence: str) -> None:
    for name, frequency in sounds.items():
        write(folder / "usr/share" / folder.name / "sounds" / name, frequency=frequency)
    document = folder / "usr/share/doc" / folder.name / "copyright"
    document.parent.mkdir(parents=True)
    document.write_text(licence)


def make_repository(bare: Path, work: Path) -> None:
    for number, name in enumerate(("bear.wav", "crow.wav", "nobody.wav")):
        write(work / "sounds" / name, frequency=800.0 + 100 * number)
    (work / "LIST.md").write_text(
        "| File | License |\n| ---- | ------- |\n| bear | CC0 |\n| crow | CC BY-NC 4.0 |\n"
    )
    bare.parent.mkdir(parents=True)
    commit_all(work, bare)


def commit_all(work: Path, bare: Path) -> None:
    """Commit what lies in a folder, and clone it."""
    who = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "sounds"]):
        subprocess.run(["git", *arguments], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)


def test_what_is_free_is_taken_and_the_table_says_what_is_not(world) -> None:
    FREE_SOUNDS.download(world)
    there = {
        path.relative_to(world).as_posix()
        for path in world.rglob("*.wav")
        if "archives" not in path.parts
    }
    assert there == {
        "bambam/bambam-sounds-dog.wav", "bambam/bambam-sounds-cat.wav",
        # The wolf is not free, the third is the dog again.
        "krank/krank-sounds-pop.wav",
        "owner+beasts/bear.wav", "voices/de-n0.wav", "instruments/000-n0.wav", "made/beeps-n0.wav",
    }  # fmt: skip
    table = {
        row.split("\t")[0]: row.split("\t")[1:]
        for row in (world / "LICENCES.tsv").read_text().splitlines()
    }
    assert table["bambam"] == ["1.0_all", "GPL-3 (2)", "none"]
    assert table["krank"] == ["1.0_all", "GPL-2+ (1)", "CC-BY-NC-3.0 (1)"]
    assert table["silent"] == ["1.0_all", "", "personal use only (1)"]
    assert table["github.com/owner/beasts"][1:] == ["CC0 (1)", "CC BY-NC 4.0 (1), not told (1)"]
    assert FREE_SOUNDS.recognises(world)


def test_set_opens_without_labels_and_without_what_was_refused(world, tmp_path, capsys) -> None:
    assert main("free_sounds", [str(world), "--download", "--out", str(tmp_path / "out")]) == 0
    assert "free-sounds: 7 clips, no labels" in capsys.readouterr().out


def test_some_sources_are_fetched_alone_and_the_others_later(world, tmp_path, capsys) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main("free_sounds", [str(world), "--download", "--only", "krank,made", *out]) == 0
    assert "free-sounds: 3 clips" in capsys.readouterr().out  # krank's same.wav is no dog yet
    assert FREE_SOUNDS.of_sources(["made", "krank"]).is_fetched(world)
    assert not FREE_SOUNDS.is_fetched(world)
    assert main("free_sounds", [str(world), "--download", *out]) == 0
    assert FREE_SOUNDS.is_fetched(world)
    assert {path.name for path in world.iterdir() if path.is_dir()} == {
        "archives", "bambam", "krank", "owner+beasts", "voices", "instruments", "made",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--download", "--only", "krank,nowhere"], "--only: 'nowhere' is no source"),
        (["--only", "krank"], "--only says what --download fetches"),
    ],
)
def test_sources_that_are_not_there_are_told(world, capsys, more, said) -> None:
    assert main("free_sounds", [str(world), *more]) == 2
    assert said in capsys.readouterr().err


def test_a_set_without_sources_says_that_it_is_whole(tmp_path, capsys) -> None:
    assert main("esc", [str(tmp_path), "--download", "--only", "dogs"]) == 2
    assert "--only: esc50 is fetched whole" in capsys.readouterr().err


def test_packages_that_lie_there_are_not_fetched_again(world, tmp_path) -> None:
    FREE_SOUNDS.download(world)
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    FREE_SOUNDS.download(world)


def test_package_that_cannot_be_fetched_is_named_with_the_way_out(world, monkeypatch) -> None:
    monkeypatch.setattr(free_sounds, "PACKAGES", ("nowhere",))
    with pytest.raises(DatasetError, match=r"nowhere: .*Unable to locate.*run apt-get update"):
        FREE_SOUNDS.download(world)


def test_long_recording_is_taken_by_its_middle(world) -> None:
    FREE_SOUNDS.download(world)
    write(world / "voices" / "long-n0.wav", seconds=150.0)
    listing = FREE_SOUNDS.list_clips(world)
    (long,) = (each for each in listing.recordings if "long" in each.filename)
    assert long.stretch == pytest.approx((45.0, 105.0), abs=0.1)


def test_every_source_is_in_the_documented_table() -> None:
    document = Path(__file__).parents[2] / "docs/reference/free-sounds.md"
    rows = [row.split("|") for row in document.read_text(encoding="utf-8").splitlines()]
    told = {row[1].strip().removeprefix("github.com/") for row in rows if len(row) == 6}
    repositories = {each.name for each in free_sounds.REPOSITORIES}
    assert told >= {*free_sounds.PACKAGES, *repositories}


def test_every_source_is_named_once() -> None:
    names = [*free_sounds.PACKAGES, *(each.name for each in free_sounds.REPOSITORIES)]
    assert len(names) == len(set(names))
    assert not set(free_sounds.NOTHING_FREE) & set(names)


STATION = Repository(
    "owner/beasts", "sounds", "*/attributions.yml", free_sounds.LIST, left_out=("guns",), most_s=2
)


@pytest.fixture
def station(world, monkeypatch) -> Path:
    """The world's repository with two folders of sounds, each with its own list."""
    work = world.parent / "station"
    for number, name in enumerate(("animals/cow", "animals/owl", "doors/slam", "guns/shot")):
        write(work / "sounds" / f"{name}.wav", frequency=800.0 + 100 * number, seconds=4.0)
    (work / "sounds/animals/attributions.yml").write_text(
        '- files: ["cow.wav"]\n  license: "CC0-1.0"\n'
        '- files: ["owl.wav"]\n  license: "CC0-1.0"\n  source: "https://freesound.org/s/99955/"\n'
    )
    bare = world / "archives" / "owner+beasts"
    shutil.rmtree(bare)
    (work / "LICENSE").write_text("Code: MIT")
    commit_all(work, bare)
    monkeypatch.setattr(free_sounds, "REPOSITORIES", (STATION,))
    monkeypatch.setattr(free_sounds, "PACKAGES", ())
    return world


def test_each_folder_of_a_repository_has_its_own_list(station) -> None:
    FREE_SOUNDS.download(station)
    there = [path.name for path in (station / "owner+beasts").glob("*.wav")]
    assert there == ["animals-cow.wav"]
    (row,) = (
        row.split("\t")
        for row in (station / "LICENCES.tsv").read_text().splitlines()
        if "beasts" in row
    )
    assert row[2:] == ["CC0-1.0 (1)", "in ESC-50 or UrbanSound8K as well (1), not told (1)"]
    kept = (station / "owner+beasts" / "copyright").read_text()
    assert "cow.wav" in kept
    assert "Code: MIT" in kept


def test_repository_says_how_much_of_a_long_recording_is_taken(station) -> None:
    FREE_SOUNDS.download(station)
    listing = FREE_SOUNDS.list_clips(station)
    (cow,) = (each for each in listing.recordings if "cow" in each.filename)
    assert cow.stretch == pytest.approx((1.0, 3.0), abs=0.1)


def test_as_many_sounds_are_taken_as_are_wanted_of_a_repository(world, monkeypatch) -> None:
    few = Repository("owner/beasts", "sounds", "LICENSE", most=2)
    work = world.parent / "work"
    (work / "LICENSE").write_text("All sounds: CC0")
    bare = world / "archives" / "owner+beasts"
    shutil.rmtree(bare)
    commit_all(work, bare)
    monkeypatch.setattr(free_sounds, "REPOSITORIES", (few,))
    FREE_SOUNDS.download(world)
    there = sorted(path.name for path in (world / "owner+beasts").glob("*.wav"))
    assert there == ["bear.wav", "nobody.wav"]


def test_recordings_that_esc_50_has_are_left_out_where_it_is_fetched(station) -> None:
    esc = station.parent / "esc"
    write(esc / "audio" / "1-1234-A-0.wav", frequency=500.0)
    write(esc / "audio" / "5-1235-A-0.wav", frequency=600.0)
    rows = "1-1234-A-0.wav,1,True,1234\n5-1235-A-0.wav,5,True,1235\n"
    (esc / "meta").mkdir()
    (esc / "meta" / "esc50.csv").write_text(f"filename,fold,esc10,src_file\n{rows}")
    commit_all(esc, station / "archives" / "karolpiczak+ESC-50")
    seen: set[str] = set()
    archives = station / "archives"
    own = free_sounds.take_repository(free_sounds.ESC50, archives, station / "esc", seen)
    assert own.row().split("\t")[2:] == ["CC BY 3.0 (1)", "in a fold that judges (1)"]
    work = station.parent / "station"
    (work / "sounds/animals/attributions.yml").write_text(
        '- files: ["cow.wav"]\n  license: CC0\n  source: "https://freesound.org/s/1235/"\n'
        '- files: ["owl.wav"]\n  license: CC0\n  source: "https://freesound.org/s/1236/"\n'
    )
    shutil.rmtree(archives / "owner+beasts")
    commit_all(work, archives / "owner+beasts")
    others = free_sounds.take_repository(STATION, archives, station / "owner+beasts", seen)
    assert others.licences == {"CC0": 1}
    assert others.refused[free_sounds.JUDGED] == 1
