"""A tiny data set of each layout, made of tones of 440 Hz, and what is expected of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile


def tone(frequency: float, seconds: float, *, rate: int = 16000, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@dataclass(frozen=True)
class Tiny:
    """A tiny data set and what is expected of it.

    Attributes:
        module: Its file in `train.datasets`.
        make: Writes it into a folder.
        folds: Clips in each fold.
        targets: Of the clips, in their order.
        source: Of the first clip.
    """

    name: str
    module: str
    make: Callable[[Path], None]
    labels: tuple[str, ...]
    folds: dict[int, int]
    targets: list[float]
    source: str
    fold_names: tuple[str, ...] = ()


def write(path: Path, seconds: float = 0.1, frequency: float = 440.0, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".webm":
        from train.datasets.make_coughvid import write_webm

        write_webm(path, tone(frequency, seconds, rate=48000))
    else:
        soundfile.write(path, tone(frequency, seconds, rate=rate), rate)


def write_csv(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


def make_esc(folder: Path) -> None:
    rows = []
    for fold in (1, 2):
        for target, label, esc10 in ((0, "dog", True), (1, "rooster", True), (5, "cat", False)):
            write(folder / "audio" / f"{fold}-10{fold}-A-{target}.wav")
            rows.append(f"{fold}-10{fold}-A-{target}.wav,{fold},{target},{label},{esc10},10{fold}")
    write_csv(folder / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file", rows)


def make_urbansound(folder: Path) -> None:
    rows = []
    for fold in (1, 2):
        for number, label in ((3, "dog_bark"), (8, "siren")):
            name = f"{fold}77-{number}-0-0.wav"
            write(folder / "audio" / f"fold{fold}" / name, seconds=0.1 * fold)
            rows.append(f"{name},{fold}77,0,4,1,{fold},{number},{label}")
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    write_csv(folder / "metadata" / "UrbanSound8K.csv", header, rows)


def make_speech_commands(folder: Path) -> None:
    for word in ("zero", "two", "happy"):
        for speaker in ("aa", "bb", "cc"):
            write(folder / word / f"{speaker}_nohash_0.wav")
    write(folder / "_background_noise_" / "running_tap.wav")
    lines = {"validation": "bb", "testing": "cc"}
    for name, speaker in lines.items():
        words = [f"{word}/{speaker}_nohash_0.wav" for word in ("zero", "two", "happy")]
        (folder / f"{name}_list.txt").write_text("\n".join(words) + "\n")


def make_fsdd(folder: Path) -> None:
    for digit in (0, 7):
        for speaker in ("jackson", "theo"):
            for index in (4, 5, 10):
                write(folder / "recordings" / f"{digit}_{speaker}_{index}.flac")


UUIDS = [f"{k:08x}-0000-4000-8000-000000000000" for k in range(6)]
CERTAINTIES = ["0.9609", "0.0100", "0.5", "1.0", "0", "0.25"]


def make_coughvid(folder: Path) -> None:
    for k, (uuid, value) in enumerate(zip(UUIDS, CERTAINTIES, strict=True)):
        write(folder / "public_dataset" / (uuid + (".webm", ".ogg", ".wav")[k % 3]))
        about = {"datetime": "2020", "cough_detected": value, "age": "15.0"}
        (folder / "public_dataset" / f"{uuid}.json").write_text(json.dumps(about))


def make_made(folder: Path) -> None:
    make_coughvid(folder)
    (folder / "public_dataset" / "MADE.txt").write_text("made up")


def make_speech_music(folder: Path, seconds: float = 0.1) -> None:
    for language in ("en", "es"):
        for k in (1, 2):
            write(folder / "speech" / language / f"{k}.ogg", seconds)
    for album in ("one", "two"):
        write(folder / "music" / album / "track.flac", seconds)
    (folder / "music" / "one.copyright").write_text("mine")


def make_folder(folder: Path) -> None:
    for place in ("attic", "kitchen", "yard"):
        for k in (1, 2):
            write(folder / "knock" / f"{place}-{k}.flac")
            write(folder / "ring" / f"{place}_{k}.mp3", rate=16000)
    write(folder / ".hidden" / "x.wav")
    (folder / "knock" / "notes.txt").write_text("no audio")


def make_debian_sounds(folder: Path) -> None:
    for name in ("gong-1", "gong-2", "bell"):
        write(folder / "bambam" / f"share-bambam-{name}.wav")
        write(folder / "krank" / f"sounds-krank-{name}.ogg")
    (folder / "krank" / "krank.copyright").write_text("GPL-2+")
    (folder / "SOURCES.txt").write_text("bambam_1.0_all\nkrank_1.0_all\n")


COUGH_TARGETS = [float(np.float32(value)) for value in CERTAINTIES]
SETS = [
    Tiny("esc50", "esc", make_esc, ("dog", "rooster", "cat"), {1: 3, 2: 3}, [0, 1, 2] * 2, "101"),
    Tiny("esc10", "esc", make_esc, ("dog", "rooster"), {1: 2, 2: 2}, [0, 1, 0, 1], "101"),
    Tiny(
        "urbansound8k",
        "urbansound8k",
        make_urbansound,
        ("dog_bark", "siren"),
        {1: 2, 2: 2},
        [0, 1, 0, 1],
        "177",
    ),
    Tiny(
        "speech-commands",
        "speech_commands",
        make_speech_commands,
        ("zero", "two"),
        {1: 2, 2: 2, 3: 2},
        [0, 0, 0, 1, 1, 1],
        "aa",
        ("train", "validation", "test"),
    ),
    Tiny(
        "speech-commands-all",
        "speech_commands",
        make_speech_commands,
        ("happy", "two", "zero"),
        {1: 3, 2: 3, 3: 3},
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        "aa",
        ("train", "validation", "test"),
    ),
    Tiny(
        "fsdd",
        "fsdd",
        make_fsdd,
        ("zero", "seven"),
        {1: 8, 2: 4},
        [0] * 6 + [1] * 6,
        "jackson",
        ("train", "test"),
    ),
    Tiny(
        "fsdd-speakers",
        "fsdd",
        make_fsdd,
        ("zero", "seven"),
        {2: 6, 5: 6},
        [0] * 6 + [1] * 6,
        "jackson",
        ("jackson", "theo"),
    ),
    Tiny("coughvid", "coughvid", make_coughvid, ("cough",), {}, COUGH_TARGETS, UUIDS[0]),
    Tiny("coughvid-made", "coughvid", make_made, ("cough",), {}, COUGH_TARGETS, UUIDS[0]),
    Tiny(
        "speech-music",
        "speech_music",
        make_speech_music,
        ("speech", "music"),
        {1: 3, 2: 3},
        [0] * 4 + [1] * 2,
        "en",
    ),
    Tiny(
        "debian-sounds",
        "debian_sounds",
        make_debian_sounds,
        ("bambam", "krank"),
        {1: 2, 2: 2, 3: 1, 4: 1},
        [0, 0, 0, 1, 1, 1],
        "share-bambam-bell",
    ),
    Tiny(
        "folder",
        "folder",
        make_folder,
        ("knock", "ring"),
        {1: 4, 2: 4, 3: 4},
        [0] * 6 + [1] * 6,
        "attic",
    ),
]
