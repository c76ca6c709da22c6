"""The places where data sets are looked for: the working directory and the user's cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from train.base.errors import DataNotFoundError
from train.datasets.dataset import DataSet
from train.datasets.prepared import REGRESSION

PREPARED = "prepared-"
"""Prefix of the names of folders with prepared clips."""


def cache_folder() -> Path:
    """The user's cache, for fetched sets and prepared clips.

    It is the system's own place for such files: ``~/.cache/streamclf`` on Linux, where
    ``XDG_CACHE_HOME`` moves it.
    """
    import platformdirs

    return platformdirs.user_cache_path("streamclf", appauthor=False)


def find_folder(dataset: DataSet) -> Path | None:
    """The first folder that holds a set in its official layout; None if there is none."""
    return next((path for path in _candidates(dataset) if _holds(path, dataset)), None)


def find_or_fetch(
    dataset: DataSet, *, download: bool, wanted_by: str, option: str = "--data"
) -> Path:
    """Find the folder of a set, and say on standard error which one it is.

    Args:
        dataset: The set.
        download: Fetch it into the user's cache if it is not found.
        wanted_by: Name of the command, for messages.
        option: Option that could have named the folder, for messages.

    Raises:
        DataNotFoundError: It is nowhere; the message says what is needed and how to get it.
        DatasetError: It cannot be fetched.
    """
    found = find_folder(dataset)
    if found is None and download and dataset.places:
        found = cache_folder() / dataset.places[0]
        dataset.download(found)
    if found is None:
        raise _describe_absence(dataset, wanted_by, option)
    print(f"{wanted_by} takes {dataset.title}, from {found.resolve()}", file=sys.stderr)
    return found


def _candidates(dataset: DataSet) -> Iterator[Path]:
    yield from map(Path, dataset.places)
    yield Path()
    cache = cache_folder()
    yield from (cache / name for name in dataset.places)


def _holds(folder: Path, dataset: DataSet) -> bool:
    try:
        return folder.is_dir() and dataset.recognises(folder)
    except OSError:  # a folder that must not be read
        return False


def _describe_absence(dataset: DataSet, wanted_by: str, option: str) -> DataNotFoundError:
    """The error for a missing set: what is needed, and how to get it."""
    names = ", ".join(f"./{name}" for name in dataset.places) or "."
    needs = f"{wanted_by} needs {dataset.title}: it is neither here ({names}) nor in "
    needs += str(cache_folder())
    if not dataset.places:
        return DataNotFoundError(needs, f"{option} names its folder")
    if dataset.downloads:
        size = f"{dataset.megabytes} MB, " if dataset.megabytes else ""
        way = f"--download fetches it ({size}{dataset.licence}), or {option} names its folder"
    else:
        way = f"get it from {dataset.url} ({dataset.licence}) and unpack it here, or {option} "
        way += "names its folder"
    if option == "--data" and dataset.task != REGRESSION:
        way += ", or one with a folder a class of your own sounds"
    return DataNotFoundError(needs, way)
