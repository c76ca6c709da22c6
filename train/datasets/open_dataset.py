"""Opening a data set's official folder as clips, the same for every data set."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.base.errors import DatasetError
from train.datasets.dataset import DataSet, Listing, Recording
from train.datasets.decode import read_clip
from train.datasets.locations import PREPARED, cache_folder
from train.datasets.prepare import describe_broken, preparation_lock, prepare
from train.datasets.prepared import REGRESSION, UNLABELLED, ClipSet, is_prepared, open_prepared
from train.datasets.progress import show_progress


def open_dataset(
    dataset: DataSet,
    folder: Path,
    sample_rate: int,
    *,
    channels: int = 1,
    out: Path | None = None,
    skip_broken: bool = False,
) -> ClipSet:
    """Open a set at a sample rate, and prepare it at first use.

    Args:
        dataset: The set.
        folder: Folder in its official layout.
        sample_rate: In Hz; clips are resampled to it.
        channels: 1 or 2.
        out: Folder for prepared clips; the user's cache if not given. Clips that an earlier version
            prepared beside the set are used as long as they are complete and from the same files.
        skip_broken: Leave out clips that do not decode.

    Raises:
        DatasetError: Something is missing or broken; the message names it.
    """
    skip_broken = skip_broken or dataset.leaves_out_broken
    listing = list_clips(dataset, folder)
    origin = _digest(listing, sample_rate, channels)
    table = {
        "name": dataset.name,
        "folder": str(folder.resolve()),
        "sample_rate": sample_rate,
        "labels": list(listing.labels),
        "licence": dataset.licence,
        "citation": dataset.citation,
        "origin": origin,
        "stamp": _stamp(listing),
        "task": dataset.task,
        "fold_names": listing.fold_names,
    }
    target = out or _choose_target(folder, table, channels)
    if not _is_current(target, table):
        with preparation_lock(target):
            # Checked again: another process may have prepared it while this one waited.
            if not _is_current(target, table):
                _prepare(target, listing, table, channels, skip_broken=skip_broken)
    opened = open_prepared(target)
    if opened.skipped:
        n_all = len(listing.recordings)
        if not skip_broken:
            raise DatasetError(describe_broken(opened.skipped, n_all))
        print(f"{folder}: {len(opened.skipped)} of {n_all} clips left out", file=sys.stderr)
    _check_targets(dataset, folder, [clip.target for clip in opened.clips])
    return opened


def _prepare(
    target: Path, listing: Listing, table: dict[str, Any], channels: int, *, skip_broken: bool
) -> None:
    if is_prepared(target):
        print(f"{target}: prepared from other files, doing it anew", file=sys.stderr)
    about = {"sample_rate": table["sample_rate"], "channels": channels}

    def read(recording: Recording) -> npt.NDArray[np.int16]:
        return read_clip(recording.path, stretch=recording.stretch, **about)

    print(
        f"preparing {table['name']} at {table['sample_rate']} Hz, once, into {target}",
        file=sys.stderr,
    )
    prepare(target, listing.recordings, read, table, channels=channels, skip_broken=skip_broken)


def list_clips(dataset: DataSet, folder: Path) -> Listing:
    """List a folder's clips, and say on standard error what of the set is missing.

    Raises:
        DatasetError: There is no such folder, a table is missing or malformed, or there are fewer
            than two classes.
    """
    if not folder.is_dir():
        way_out = "; --download fetches the set into it" if dataset.downloads else ""
        raise DatasetError(f"{folder}: no such folder{way_out}")
    listing = dataset.list_clips(folder)
    recordings = listing.recordings
    if not recordings:
        absent = f" (not found: {_name_some(listing.missing)})" if listing.missing else ""
        raise DatasetError(
            f"{folder}: holds no clips of {dataset.name}{absent}; expected is {dataset.layout}"
        )
    _check_targets(dataset, folder, [recording.target for recording in recordings])
    for note in listing.notes:
        print(f"{folder}: {note}", file=sys.stderr)
    expected = dataset.n_clips or len(recordings) + len(listing.missing)
    if len(recordings) != expected:
        folds = sorted({recording.fold for recording in recordings})
        names = [listing.fold_names.get(fold, str(fold)) for fold in folds]
        absent = f"; not found: {_name_some(listing.missing)}" if listing.missing else ""
        print(
            f"{folder}: {len(recordings)} of {expected} clips of {dataset.name}, "
            f"folds {', '.join(names)}{absent}: incomplete, going on with these",
            file=sys.stderr,
        )
    return listing


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def find_broken(recordings: Sequence[Recording]) -> list[str]:
    """Decode every clip; return a line for each clip that does not decode, with the reason."""
    broken = []
    with show_progress("decoding", len(recordings), "clips") as update:
        for number, recording in enumerate(recordings, start=1):
            try:
                read_clip(recording.path, 8000, stretch=recording.stretch)
            except DatasetError as error:
                broken.append(str(error))
            update(number)
    return broken


def prepared_folder(folder: Path, name: str, sample_rate: int, channels: int = 1) -> Path:
    """The folder for a set's prepared clips: in the user's cache, under a name of its own."""
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return cache_folder() / f"{_leaf(name, sample_rate, channels)}-{key}"


def _leaf(name: str, sample_rate: int, channels: int) -> str:
    return f"{PREPARED}{name}-{sample_rate}" + ("" if channels == 1 else f"-{channels}ch")


def _choose_target(folder: Path, table: dict[str, Any], channels: int) -> Path:
    """The folder in the user's cache, or one beside the set with an earlier version's clips."""
    name, sample_rate = table["name"], table["sample_rate"]
    target = prepared_folder(folder, name, sample_rate, channels)
    beside = folder / _leaf(name, sample_rate, channels)
    if not is_prepared(beside) or is_prepared(target):
        return target
    try:
        if _is_current(beside, table):
            return beside
        why = "is of other files"
    except DatasetError as error:
        why = str(error)
    print(f"{beside}: {why}; not used any more, it may be deleted", file=sys.stderr)
    return target


def _is_current(target: Path, table: dict[str, Any]) -> bool:
    """Whether a folder holds exactly these clips.

    Raises:
        DatasetError: It holds other files, which must not be replaced.
    """
    if is_prepared(target):
        opened = open_prepared(target)
        return opened.origin == table["origin"] and opened.stamp in ("", table["stamp"])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DatasetError(f"{target}: holds other files; name an empty folder (--prepared, --out)")
    return False


def _check_targets(dataset: DataSet, folder: Path, targets: Sequence[int | float]) -> None:
    there = set(targets)
    if len(there) >= 2 or dataset.task == UNLABELLED:
        return
    if dataset.task == REGRESSION:
        raise DatasetError(
            f"{folder}: all {len(targets)} clips have the value {targets[0] if targets else None}, "
            "a regression needs at least 2 values"
        )
    whole = f" ({dataset.name} has {dataset.n_classes})" if dataset.n_classes else ""
    raise DatasetError(
        f"{folder}: has clips of {len(there)} class{'' if len(there) == 1 else 'es'}, training "
        f"needs at least 2{whole}; expected is {dataset.layout}"
    )


def _stamp(listing: Listing) -> str:
    """A digest that changes when a file is written again, even if its size stays the same."""
    digest = hashlib.sha256()
    for clip in listing.recordings:
        digest.update(str(clip.path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


def _digest(listing: Listing, sample_rate: int, channels: int) -> str:
    """A digest of sizes, labels, folds and sample rate, the same for a copy of the files."""
    digest = hashlib.sha256(str(sample_rate).encode())
    if channels != 1:
        digest.update(f" {channels} channels ".encode())
    for clip in listing.recordings:
        label = listing.labels[clip.target if isinstance(clip.target, int) else 0]
        line = f"{clip.path.name} {clip.path.stat().st_size} {clip.fold} {clip.target} {label}"
        digest.update((line if clip.stretch is None else f"{line} {clip.stretch}").encode())
    return digest.hexdigest()
