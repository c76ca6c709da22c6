"""Google Speech Commands: single spoken words, a second each, at 16 kHz.

Source: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition",
arXiv:1804.03209 (version 0.02: 105,829 clips of 35 words, 38,908 of them digits). Licence:
CC BY 4.0.

Official layout: ``WORD/SPEAKER_nohash_N.wav``, ``validation_list.txt`` and ``testing_list.txt``.
The lists divide by speaker; clips in neither list are for training. Fold 1 is ``train``, 2
``validation``, 3 ``test``. ``speech-commands`` is the ten digits, ``speech-commands-all`` every
word. ``_background_noise_`` is left out.

``--download`` fetches version 0.02 (2.3 GB) through torchaudio, which checks its digest; decoding
is done by this package.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from streamclf.core.folder_walk import is_hidden
from train.base.errors import DatasetError
from train.datasets.dataset import DataSet, Listing, Recording, names_in
from train.datasets.prepared import is_prepared

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENDINGS = (".wav", ".flac", ".ogg")
FOLD_NAMES = {1: "train", 2: "validation", 3: "test"}
LISTS = {2: "validation_list.txt", 3: "testing_list.txt"}
VERSION = "speech_commands_v0.02"


@dataclass(frozen=True, kw_only=True)
class SpeechCommands(DataSet):
    """All words, or some of them."""

    url: str = "https://arxiv.org/abs/1804.03209"
    licence: str = "CC BY 4.0"
    citation: str = (
        "P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, "
        "arXiv:1804.03209, 2018"
    )
    layout: str = "WORD/*.wav with validation_list.txt and testing_list.txt"
    places: tuple[str, ...] = (VERSION, "SpeechCommands", "speech_commands")
    megabytes: int = 2400
    words: tuple[str, ...] = ()

    downloads: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise the set by its lists."""
        return _root(folder) is not None

    def list_clips(self, folder: Path) -> Listing:
        """List the words' clips; the source is the speaker."""
        root = _root(folder)
        if root is None:
            raise DatasetError(f"{folder}: no testing_list.txt; expected is {self.layout}")
        folds = {name: fold for fold in LISTS for name in _read_list(root / LISTS[fold])}
        words = self.words or _words(root)
        listed: dict[str, set[str]] = {}
        for name in folds:
            word, filename = name.split("/")
            listed.setdefault(word, set()).add(filename)
        recordings, missing, labels = [], [], []
        for word in words:
            there = names_in(root / word)
            clips = {name for name in there if Path(name).suffix.lower() in ENDINGS}
            stems = {Path(name).stem for name in clips}
            gone = {name for name in listed.get(word, ()) if Path(name).stem not in stems}
            missing += [f"{word}/{name}" for name in sorted(gone)]
            if not clips:
                continue
            for name in sorted(clips):
                official = f"{word}/{Path(name).stem}.wav"
                recordings.append(
                    Recording(
                        root / word / name,
                        official,
                        folds.get(official, 1),
                        len(labels),
                        Path(name).stem.split("_nohash_")[0],
                    )
                )
            labels.append(word)
        return Listing(
            tuple(recordings), tuple(labels), tuple(missing), fold_names=dict(FOLD_NAMES)
        )

    def download(self, folder: Path) -> None:
        """Fetch all words of version 0.02 (2.3 GB) into ``SpeechCommands/`` in a folder."""
        from torchaudio.datasets import SPEECHCOMMANDS

        try:
            folder.mkdir(parents=True, exist_ok=True)
            SPEECHCOMMANDS(folder, url=VERSION, download=True)
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"{self.name}: cannot be fetched into {folder}: {error}; "
                "download and unpack it there by other means"
            ) from error


def _root(folder: Path) -> Path | None:
    """The folder of the lists: this one, or the one where torchaudio unpacks the archive."""
    places = (folder, folder / VERSION, folder / "SpeechCommands" / VERSION)
    return next((place for place in places if (place / LISTS[3]).is_file()), None)


def _words(root: Path) -> tuple[str, ...]:
    paths = [path for path in root.iterdir() if path.is_dir() and not is_prepared(path)]
    names = [path.name for path in paths]
    return tuple(sorted(name for name in names if name[0] != "_" and not is_hidden(name)))


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; unpack the set again") from error
    for line in lines:
        if line.count("/") != 1:
            raise DatasetError(f"{path}: {line[:80]!r} must be WORD/NAME.wav; unpack the set again")
    return lines


SPEECH_COMMANDS = SpeechCommands(
    name="speech-commands",
    title="Speech Commands, the ten digits",
    n_clips=38908,
    n_classes=10,
    words=DIGITS,
)
SPEECH_COMMANDS_ALL = SpeechCommands(
    name="speech-commands-all",
    title="Speech Commands, all 35 words",
    n_clips=105829,
    n_classes=35,
)
DATASETS = (SPEECH_COMMANDS, SPEECH_COMMANDS_ALL)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("speech_commands"))
