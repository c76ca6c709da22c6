"""COUGHVID: crowdsourced recordings of coughs, each with a detector's certainty that it is one.

Source: https://zenodo.org/records/7024894 (version 3; 34,434 recordings). Citation: L. Orlandic,
T. Teijeiro, D. Atienza, "The COUGHVID crowdsourcing dataset, a corpus for the study of large-scale
cough analysis algorithms", Scientific Data 8, 156 (2021), doi:10.1038/s41597-021-00937-4. Licence:
CC BY 4.0.

Official layout: ``UUID.json`` beside ``UUID.webm``, ``.ogg`` or ``.wav``, in the folder itself
or in its ``public_dataset/``. The values in the json are strings (``"cough_detected": "0.9609"``).
If a recording has no json, its line of ``metadata_compiled.csv`` is used, where there is one.

The target is ``cough_detected``, in [0, 1]: a regression. The set does not say who made which
recording, so five folds are made from a hash of the UUID: a recording's fold never changes,
whatever else is there.

`train.datasets.make_coughvid` makes a set of this layout with made-up values. It is recognised as
``coughvid-made``, so that no figure measured on it passes for one of COUGHVID.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from train.base.errors import DatasetError
from train.datasets.dataset import DataSet, Listing, Recording, names_in, number_rows
from train.datasets.prepared import REGRESSION

ENDINGS = (".webm", ".ogg", ".wav", ".flac", ".mp3")
N_FOLDS = 5
TARGET = "cough_detected"
TABLE = "metadata_compiled.csv"
MADE = "MADE.txt"
"""File beside recordings whose values were made up."""

N_JSON_CHECKED = 20
"""How many json files are read to recognise the set; some of them lack the value."""


def fold_of(uuid: str) -> int:
    """The fold of a recording, 1 to 5, uniformly distributed and always the same."""
    return 1 + int.from_bytes(hashlib.sha256(uuid.encode()).digest()[:8], "big") % N_FOLDS


@dataclass(frozen=True, kw_only=True)
class CoughVid(DataSet):
    """All recordings with a usable ``cough_detected``."""

    layout: str = "UUID.json beside UUID.webm, .ogg or .wav"
    task: str = REGRESSION
    made: bool = False

    def recognises(self, folder: Path) -> bool:
        """Recognise a json with ``cough_detected``, or the compiled table."""
        root = _root(folder)
        if self.made:
            return (root / MADE).is_file()
        if (root / TABLE).is_file():
            return True
        some = itertools.islice(root.glob("*.json"), N_JSON_CHECKED)
        return any(_from_json(path) is not None for path in some)

    def list_clips(self, folder: Path) -> Listing:
        """List the recordings by UUID; those without a value are counted in the notes."""
        root = _root(folder)
        there = names_in(root)
        audio = {Path(name).stem: name for name in sorted(there) if _is_audio(name)}
        values = _from_table(root / TABLE)
        about = {Path(name).stem for name in there if name.endswith(".json")}
        recordings, without = [], []
        for uuid, name in sorted(audio.items()):
            value = _from_json(root / f"{uuid}.json") if uuid in about else None
            value = values.get(uuid) if value is None else value
            if value is None:
                without.append(name)
            else:
                recordings.append(Recording(root / name, name, fold_of(uuid), value, uuid))
        missing = sorted((about | set(values)) - set(audio))
        notes = ()
        if without:
            notes = (
                f"{len(without)} of {len(audio)} recordings left out, they have no {TARGET} in "
                f"[0, 1]: {', '.join(without[:3])}{', ...' if len(without) > 3 else ''}",
            )
        return Listing(tuple(recordings), ("cough",), tuple(missing), notes)


def _root(folder: Path) -> Path:
    inner = folder / "public_dataset"
    return inner if inner.is_dir() else folder


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lower() in ENDINGS and not name.startswith(".")


def _from_json(path: Path) -> float | None:
    try:
        return _value(json.loads(path.read_text(encoding="utf-8"))[TARGET])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _from_table(path: Path) -> dict[str, float]:
    """``cough_detected`` by UUID; empty where there is no table."""
    if not path.is_file():
        return {}
    try:
        rows = number_rows(path, ("uuid", TARGET))
        pairs = [(row["uuid"], _value(row[TARGET])) for _, row in rows]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: {error}; restore it, or delete it if there is json") from error
    return {uuid: value for uuid, value in pairs if uuid and value is not None}


def _value(text: object) -> float | None:
    """Parse a certainty, which is a string; None if it is not in [0, 1]."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and 0 <= value <= 1 else None


COUGHVID = CoughVid(
    name="coughvid",
    title="COUGHVID, coughs with a detector's certainty",
    url="https://zenodo.org/records/7024894",
    licence="CC BY 4.0",
    citation=(
        "L. Orlandic, T. Teijeiro, D. Atienza, The COUGHVID crowdsourcing dataset, Scientific "
        "Data 8, 156 (2021), doi:10.1038/s41597-021-00937-4"
    ),
    places=("coughvid", "coughvid_20211012", "public_dataset"),
)
COUGHVID_MADE = CoughVid(
    name="coughvid-made",
    title="coughs and mixtures with made-up values, in COUGHVID's layout",
    url="python -m train.datasets.make_coughvid",
    licence="that of the sounds it was made from",
    citation="none",
    made=True,
)
DATASETS = (COUGHVID, COUGHVID_MADE)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("coughvid"))
