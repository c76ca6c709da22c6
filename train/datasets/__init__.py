"""Data sets, one a file: provenance, licence, expected counts, and how each is prepared.

A new data set adds a module with ``recognises(folder)`` and a function that opens it, and a line
in `open_clips`.
"""

from __future__ import annotations

from pathlib import Path

from train.datasets.prepared import Clip, ClipSet, is_prepared, open_prepared
from train.errors import DatasetError

__all__ = ["Clip", "ClipSet", "open_clips"]


def open_clips(
    folder: Path, sample_rate: int, *, esc10: bool = False, out: Path | None = None
) -> ClipSet:
    """Open a data set in its official layout, or a prepared folder, at a rate.

    Raises:
        DatasetError: There is no such folder, no known data set in it, or its rate differs.
    """
    from train.datasets import esc  # here, so that python -m train.datasets.esc runs it once

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; --data must name a data set's folder")
    if is_prepared(folder):
        clips = open_prepared(folder)
        if clips.sample_rate != sample_rate:
            raise DatasetError(
                f"{folder}: prepared at {clips.sample_rate} Hz, the network hears "
                f"{sample_rate} Hz; give the official folder instead"
            )
        if esc10 and clips.name != esc.ESC10.name:
            raise DatasetError(f"{folder}: holds {clips.name}, not esc10; drop --esc10")
        return clips
    if esc.recognises(folder):
        return esc.open_esc(folder, sample_rate, esc10=esc10, out=out)
    raise DatasetError(
        f"{folder}: no data set known here; expected audio/ with meta/esc50.csv, "
        "or a prepared folder with clips.json"
    )
