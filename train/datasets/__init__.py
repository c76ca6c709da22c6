"""Data sets, a module for each: provenance, licence, expected counts, and how it is read.

`open_clips` opens any of them: from a folder in a set's official layout, or a prepared one, to a
`ClipSet` at the network's sample rate. A new data set needs a module with a `DataSet` and
``DATASETS``, and a line in `MODULES`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from train.base.errors import DatasetError, UsageError
from train.datasets.dataset import DataSet
from train.datasets.prepared import (
    REGRESSION,
    SINGLE_LABEL,
    UNLABELLED,
    Clip,
    ClipSet,
    fits_in_memory,
    is_prepared,
    open_prepared,
)

__all__ = [
    "AUTO",
    "DATASET_NAMES",
    "REGRESSION",
    "SINGLE_LABEL",
    "Clip",
    "ClipSet",
    "find_dataset",
    "fits_in_memory",
    "open_clips",
    "open_sounds",
    "recognise",
]

AUTO = "auto"
MODULES = {
    "esc50": "esc",
    "esc10": "esc",
    "urbansound8k": "urbansound8k",
    "speech-commands": "speech_commands",
    "speech-commands-all": "speech_commands",
    "fsdd": "fsdd",
    "fsdd-speakers": "fsdd",
    "coughvid-made": "coughvid",
    "coughvid": "coughvid",
    "speech-music": "speech_music",
    "debian-sounds": "debian_sounds",
    "folder": "folder",
}
"""Module of each data set, in the order in which a folder is recognised."""

DATASET_NAMES = (AUTO, *MODULES)
"""Values of ``--dataset``."""


def open_clips(
    folder: Path,
    sample_rate: int,
    *,
    channels: int = 1,
    dataset: str = AUTO,
    esc10: bool = False,
    out: Path | None = None,
    skip_broken: bool = False,
) -> ClipSet:
    """Open a data set in its official layout, or a prepared folder, at a sample rate.

    Args:
        folder: Folder of the data set.
        sample_rate: The network's, in Hz.
        channels: 1 (stereo is averaged) or 2 (mono is doubled).
        dataset: One of `DATASET_NAMES`; ``auto`` recognises the set by its layout.
        esc10: The same as ``dataset="esc10"``.
        out: Folder for prepared clips (the user's cache).
        skip_broken: Leave out clips that do not decode.

    Raises:
        DatasetError: There is no such folder, no known data set in it, something in it is broken,
            or a prepared one's sample rate differs.
        UsageError: There is no such data set.
    """
    from train.datasets.open_dataset import open_dataset

    wanted = "esc10" if esc10 else dataset
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise DatasetError(f"{folder}: {what}; --data must name a data set's folder")
    if is_prepared(folder):
        return _open_prepared_as(folder, sample_rate, channels, wanted)
    chosen = recognise(folder) if wanted == AUTO else find_dataset(wanted)
    return open_dataset(
        chosen, folder, sample_rate, channels=channels, out=out, skip_broken=skip_broken
    )


def open_sounds(folder: Path, sample_rate: int) -> ClipSet:
    """Open any sounds, labelled or not, as clips of one channel.

    Args:
        folder: A known data set, a prepared folder, or audio in folders of any depth.
        sample_rate: The network's, in Hz.

    Raises:
        DatasetError: There is no such folder, or no audio in it.
    """
    from train.datasets.open_dataset import open_dataset
    from train.datasets.recordings import RECORDINGS

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if is_prepared(folder):
        return _open_prepared_as(folder, sample_rate, 1, AUTO, labelled=False)
    try:
        chosen = recognise(folder)
    except DatasetError:
        chosen = RECORDINGS
    # Recordings in class folders may be long, so they are cut like any other recordings.
    chosen = RECORDINGS if chosen.name == "folder" else chosen
    return open_dataset(chosen, folder, sample_rate, skip_broken=True)


def find_dataset(name: str) -> DataSet:
    """Find a data set by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in MODULES:
        raise UsageError(f"{name!r} is no data set; there are {', '.join(DATASET_NAMES)}")
    # Imported here, so that python -m train.datasets.NAME runs the module only once.
    module = importlib.import_module(f"train.datasets.{MODULES[name]}")
    return next(dataset for dataset in module.DATASETS if dataset.name == name)


def recognise(folder: Path) -> DataSet:
    """Find the data set that lies in a folder, by its layout.

    Raises:
        DatasetError: No known data set looks like it.
    """
    for name in MODULES:
        dataset = find_dataset(name)
        if dataset.recognises(folder):
            return dataset.subset_in(folder)
    from train.datasets.folder import describe_too_few

    if lack := describe_too_few(folder):
        raise DatasetError(f"{folder}: {lack}")
    raise DatasetError(
        f"{folder}: no data set known here; expected is ESC-50 (meta/esc50.csv), UrbanSound8K "
        "(metadata/UrbanSound8K.csv), Speech Commands (testing_list.txt), FSDD (recordings/), "
        "COUGHVID (UUID.json beside the audio), two folders of sounds or more, one a class, "
        "or a prepared folder (clips.json)"
    )


def _open_prepared_as(
    folder: Path, sample_rate: int, channels: int, wanted: str, *, labelled: bool = True
) -> ClipSet:
    clips = open_prepared(folder)
    if labelled and clips.task == UNLABELLED:
        raise DatasetError(
            f"{folder}: has no labels; --data takes labelled clips, train.imitate --others any"
        )
    if clips.sample_rate != sample_rate:
        raise DatasetError(
            f"{folder}: prepared at {clips.sample_rate} Hz, the network hears "
            f"{sample_rate} Hz; give the official folder instead"
        )
    if clips.channels != channels:
        raise DatasetError(
            f"{folder}: prepared with {clips.channels} channel(s), the network hears {channels}; "
            "give the official folder instead"
        )
    if wanted not in (AUTO, clips.name):
        raise DatasetError(f"{folder}: holds {clips.name}, not {wanted}; drop the option")
    return clips
