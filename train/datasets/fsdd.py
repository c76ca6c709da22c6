"""Free Spoken Digit Dataset: the digits zero to nine, 50 times each by six speakers, at 8 kHz.

Source: https://github.com/Jakobovski/free-spoken-digit-dataset (3,000 clips). Citation:
Z. Jackson, C. Souza, J. Flaks, Y. Pan, H. Nicolas, A. Thite, "Jakobovski/free-spoken-digit-dataset:
v1.0.8", 2018, doi:10.5281/zenodo.1342401. Licence: CC BY-SA 4.0.

Official layout: ``recordings/DIGIT_SPEAKER_INDEX.wav`` (or flac). The official test split is the
clips of index 0 to 4, by speakers that are in the training split, too: fold 1 is ``train``, fold 2
``test``. ``fsdd-speakers`` makes a fold of each speaker, which tests with voices that are new to
the network.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from train.datasets.dataset import DataSet, Listing, Recording, names_in
from train.datasets.speech_commands import DIGITS

URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
N_TAKES = 50
"""Recordings of each digit by each speaker."""

N_TEST = 5
"""How many of these, from the first on, are the official test split."""

_FILENAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]+)\.(?:wav|flac|ogg)")


@dataclass(frozen=True, kw_only=True)
class Fsdd(DataSet):
    """The whole set, split officially or by speaker."""

    url: str = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    licence: str = "CC BY-SA 4.0"
    citation: str = (
        "Z. Jackson et al., Free Spoken Digit Dataset v1.0.8, 2018, doi:10.5281/zenodo.1342401"
    )
    layout: str = "recordings/DIGIT_SPEAKER_INDEX.wav"
    n_clips: int = 3000
    n_classes: int = 10
    places: tuple[str, ...] = (
        "free-spoken-digit-dataset",
        "free-spoken-digit-dataset-1.0.10",
        "free-spoken-digit-dataset-master",
        "fsdd",
    )
    megabytes: int = 16
    by_speaker: bool = False

    downloads: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise the set by its files' names."""
        return any(map(_FILENAME.fullmatch, names_in(folder / "recordings")))

    def list_clips(self, folder: Path) -> Listing:
        """List every clip whose name has digit, speaker and index; the source is the speaker."""
        matches = [
            match
            for name in names_in(folder / "recordings")
            if (match := _FILENAME.fullmatch(name))
        ]
        parsed = sorted((int(m[1]), m[2], int(m[3]), m[0]) for m in matches)
        there = {(digit, speaker, index) for digit, speaker, index, _ in parsed}
        missing = tuple(
            f"{digit}_{speaker}_{index}.wav"
            for speaker in sorted({speaker for _, speaker, _ in there} & set(SPEAKERS))
            for digit in range(10)
            for index in range(N_TAKES)
            if (digit, speaker, index) not in there
        )
        others = {speaker for _, speaker, _, _ in parsed} - set(SPEAKERS)
        speakers = (*SPEAKERS, *sorted(others))
        digits = sorted({digit for digit, _, _, _ in parsed})
        recordings = tuple(
            Recording(
                folder / "recordings" / name,
                name,
                1 + (speakers.index(speaker) if self.by_speaker else int(index < N_TEST)),
                digits.index(digit),
                speaker,
            )
            for digit, speaker, index, name in parsed
        )
        names = dict(enumerate(speakers, start=1)) if self.by_speaker else {1: "train", 2: "test"}
        labels = tuple(DIGITS[digit] for digit in digits)
        return Listing(recordings, labels, missing, fold_names=names)

    def download(self, folder: Path) -> None:
        """Fetch the set (16 MB)."""
        from train.datasets.download import fetch_zip

        fetch_zip(URL, folder)


FSDD = Fsdd(name="fsdd", title="Free Spoken Digit Dataset, official split")
FSDD_SPEAKERS = Fsdd(
    name="fsdd-speakers", title="Free Spoken Digit Dataset, a fold a speaker", by_speaker=True
)
DATASETS = (FSDD, FSDD_SPEAKERS)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("fsdd"))
