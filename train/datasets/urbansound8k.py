"""UrbanSound8K: sounds of ten kinds from city field recordings, up to 4 s, in ten folds.

Source: https://urbansounddataset.weebly.com/urbansound8k.html (8,732 clips cut out of 1,302
recordings from Freesound). Citation: J. Salamon, C. Jacoby, J. P. Bello, "A Dataset and Taxonomy
for Urban Sound Research", ACM Multimedia 2014, doi:10.1145/2647868.2655045. Licence: CC BY-NC 3.0;
the authors of the recordings are named in the set's ``FREESOUNDCREDITS.txt``.

Official layout: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``audio/fold10``. The files
are as they were uploaded: 8 to 96 kHz, mono or stereo, 8-bit to float. Clips keep their lengths;
the network chooses how a shorter one is padded. The folds keep clips of one recording together; any
other split gives figures that are too good.

``python -m train.datasets.urbansound8k DIR`` prepares it; training does so at first use.
"""

from __future__ import annotations

import sys
from pathlib import Path

from train.datasets.dataset import DataSet, Listing, Recording, names_in, pick_name, read_table

COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")
ENDINGS = (".wav", ".flac", ".ogg")


class UrbanSound8k(DataSet):
    """The whole set, or the folds that are there."""

    def recognises(self, folder: Path) -> bool:
        """Recognise the set by its table."""
        return (folder / "metadata" / "UrbanSound8K.csv").is_file()

    def list_clips(self, folder: Path) -> Listing:
        """List the table's clips; the source is the Freesound recording."""
        table = folder / "metadata" / "UrbanSound8K.csv"
        rows = read_table(table, COLUMNS, ("fold", "classID"))
        there: dict[int, set[str]] = {}
        found, missing = [], []
        for row in rows:
            fold = int(row["fold"])
            place = folder / "audio" / f"fold{fold}"
            if fold not in there:
                there[fold] = names_in(place)
            filename = Path(row["slice_file_name"]).name
            name = pick_name(filename, there[fold], ENDINGS)
            if name is None:
                missing.append(f"fold{fold}/{filename}")
            else:
                found.append((row, filename, place / name))
        labels = {int(row["classID"]): row["class"] for row, _, _ in found}
        order = sorted(labels)
        recordings = tuple(
            Recording(
                path, filename, int(row["fold"]), order.index(int(row["classID"])), row["fsID"]
            )
            for row, filename, path in found
        )
        return Listing(recordings, tuple(labels[number] for number in order), tuple(missing))


URBANSOUND8K = UrbanSound8k(
    name="urbansound8k",
    title="UrbanSound8K, sounds of the city",
    url="https://urbansounddataset.weebly.com/urbansound8k.html",
    licence="CC BY-NC 3.0",
    citation=(
        "J. Salamon, C. Jacoby, J. P. Bello, A Dataset and Taxonomy for Urban Sound Research, "
        "ACM Multimedia 2014, doi:10.1145/2647868.2655045"
    ),
    layout="audio/fold1 to audio/fold10 and metadata/UrbanSound8K.csv",
    places=("UrbanSound8K", "urbansound8k"),
    n_clips=8732,
    n_classes=10,
)
DATASETS = (URBANSOUND8K,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("urbansound8k"))
