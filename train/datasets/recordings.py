"""Recordings of any length, in any folders, without labels: for `train.imitate`.

They may be weeks of field recordings. A file is cut into stretches of a minute (`STRETCH_S`), each
a clip that is sought and decoded alone, so memory does not grow with the recording. If there are
more than `MAX_HOURS`, evenly spread minutes are taken. Files that do not decode are left out and
counted; a missing end of a truncated recording does no harm.

    python -m train.datasets.recordings DIR
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from train.datasets.dataset import DataSet, Listing, Recording
from train.datasets.decode import OWN_ENDINGS, duration_of
from train.datasets.files import audio_below
from train.datasets.folder import spread_sources
from train.datasets.prepared import UNLABELLED, is_prepared

STRETCH_S = 60.0
MAX_HOURS = 24.0
SHORTEST_S = 1.5
"""Shortest rest after a file's last whole minute that becomes a clip."""


class Recordings(DataSet):
    """All audio below a folder, without labels."""

    leaves_out_broken: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise nothing: `train.datasets.open_sounds` selects this set itself."""
        return False

    def list_clips(self, folder: Path) -> Listing:
        """List the minutes of all files; each file is in one fold."""
        notes: list[str] = []
        files = audio_below(folder, endings=OWN_ENDINGS, skip=is_prepared, on_failure=notes.append)
        minutes = [
            (path, stretch) for path in files for stretch in split_into_minutes(duration_of(path))
        ]
        n_most = round(MAX_HOURS * 3600 / STRETCH_S)
        if len(minutes) > n_most:
            hours = len(minutes) * STRETCH_S / 3600
            notes.append(
                f"{hours:.0f} h of recordings, {MAX_HOURS:.0f} h of them are taken, a minute "
                "at a time and evenly spread"
            )
            chosen = np.linspace(0, len(minutes) - 1, n_most).astype(int)
            minutes = [minutes[index] for index in chosen]
        sources = [path.relative_to(folder).as_posix() for path, _ in minutes]
        folds = spread_sources(sources, [0] * len(sources))
        recordings = tuple(
            Recording(path, f"{source}#{stretch[0]:.0f}", fold, 0, source, stretch)
            for (path, stretch), source, fold in zip(minutes, sources, folds, strict=True)
        )
        return Listing(recordings, ("sound",), notes=tuple(notes))


def split_into_minutes(seconds: float) -> list[tuple[float, float]]:
    """Start and end of each minute of a file; the first minute if its duration is unknown."""
    begins = np.arange(0.0, max(seconds - SHORTEST_S, 0.0) + 1e-9, STRETCH_S).tolist()
    return [(begin, begin + STRETCH_S) for begin in begins]


RECORDINGS = Recordings(
    name="recordings",
    title="recordings of any length without labels, for imitation",
    url="your own recordings",
    licence="not stated: recordings of one's own",
    citation="none",
    layout="audio files, in folders of any depth",
    task=UNLABELLED,
)
DATASETS = (RECORDINGS,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("recordings"))
