"""ESC-50 and its part ESC-10: environmental sounds, 5 s each, in five folds.

Source: https://github.com/karolpiczak/ESC-50 (2,000 clips of 50 classes; ESC-10: 400 of 10).
Citation: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia
2015, doi:10.1145/2733373.2806390. Licence: ESC-50 CC BY-NC 3.0, the ESC-10 part CC BY 3.0; the
authors of the single clips are named in the set's ``LICENSE``.

Official layout: ``meta/esc50.csv`` and ``audio/``, whose files may be wav, flac or ogg, whatever
ending the csv gives them. ``python -m train.datasets.esc DIR`` prepares it; training does so by
itself at first use.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from train.base.errors import DatasetError
from train.datasets.dataset import DataSet, Listing, Recording, names_in, pick_name, read_table

URL = "https://github.com/karoldvl/ESC-50/archive/master.zip"
CITATION = (
    "K. J. Piczak, ESC: Dataset for Environmental Sound Classification, "
    "ACM Multimedia 2015, doi:10.1145/2733373.2806390"
)
ENDINGS = (".wav", ".flac", ".ogg")
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


@dataclass(frozen=True, kw_only=True)
class Esc(DataSet):
    """ESC-50, or its part ESC-10."""

    url: str = "https://github.com/karolpiczak/ESC-50"
    citation: str = CITATION
    layout: str = "audio/ and meta/esc50.csv as ESC-50 comes"
    places: tuple[str, ...] = ("ESC-50", "ESC-50-master", "esc50")
    megabytes: int = 600
    only_esc10: bool = False

    downloads: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise the set by its table."""
        return (folder / "meta" / "esc50.csv").is_file()

    def subset_in(self, folder: Path) -> DataSet:
        """ESC-10 if only its clips are there, as another licence holds for them."""
        try:
            rows = read_table(folder / "meta" / "esc50.csv", COLUMNS)
        except DatasetError:  # reported when the clips are listed
            return self
        there = names_in(folder / "audio")
        own = [row for row in rows if pick_name(Path(row["filename"]).name, there, ENDINGS)]
        return ESC10 if own and all(map(_is_esc10, own)) else self

    def list_clips(self, folder: Path) -> Listing:
        """List the table's clips, whatever the endings of their files."""
        rows = read_table(folder / "meta" / "esc50.csv", COLUMNS, ("fold", "target"))
        if self.only_esc10:
            rows = [row for row in rows if _is_esc10(row)]
        audio = folder / "audio"
        there = names_in(audio)
        found, missing = [], []
        for row in rows:
            filename = Path(row["filename"]).name
            name = pick_name(filename, there, ENDINGS)
            if name is None:
                missing.append(filename)
            else:
                found.append((row, filename, audio / name))
        labels = {int(row["target"]): row["category"] for row, _, _ in found}
        order = sorted(labels)
        recordings = tuple(
            Recording(
                path, filename, int(row["fold"]), order.index(int(row["target"])), row["src_file"]
            )
            for row, filename, path in found
        )
        return Listing(recordings, tuple(labels[number] for number in order), tuple(missing))

    def download(self, folder: Path) -> None:
        """Fetch all of ESC-50 (600 MB)."""
        from train.datasets.download import fetch_zip

        fetch_zip(URL, folder)


def _is_esc10(row: dict[str, str]) -> bool:
    return row["esc10"].strip().lower() in ("true", "1")


ESC50 = Esc(
    name="esc50",
    title="ESC-50, environmental sounds",
    licence="CC BY-NC 3.0",
    n_clips=2000,
    n_classes=50,
)
ESC10 = Esc(
    name="esc10",
    title="ESC-10, the part of ESC-50 that is easiest to tell apart",
    licence="CC BY 3.0",
    n_clips=400,
    n_classes=10,
    places=("ESC-50", "ESC-50-master", "esc50", "ESC-10", "esc10"),
    only_esc10=True,
)
DATASETS = (ESC50, ESC10)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("esc"))
