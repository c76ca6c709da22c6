"""Where data sets lie that nobody names: in the working directory, or in the user's cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from train.base.errors import DataNotFoundError
from train.datasets.dataset import DataSet
from train.datasets.prepared import REGRESSION

PREPARED = "prepared-"
"""What names of folders of prepared clips begin with."""


def cache_folder() -> Path:
    """The user's cache, for sets that were fetched and clips that were prepared.

    It is the system's own place for such things: ``~/.cache/streamclf`` on Linux, where
    ``XDG_CACHE_HOME`` moves it.
    """
    import platformdirs

    return platformdirs.user_cache_path("streamclf", appauthor=False)


def find_folder(dataset: DataSet) -> Path | None:
    """The first folder that holds a set in its official layout; None where none does."""
    return next((path for path in _candidates(dataset) if _holds(path, dataset)), None)


def find_or_fetch(
    dataset: DataSet, *, download: bool, wanted_by: str, option: str = "--data"
) -> Path:
    """The folder of a set; it is said which one was found.

    Args:
        dataset: Which.
        download: Fetch it into the user's cache where it is not found.
        wanted_by: Who asks, for messages.
        option: What would have named the folder, for messages.

    Raises:
        DataNotFoundError: It is nowhere; what is needed, and how to get it.
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
    except OSError:  # a folder that may not be looked into
        return False


def _describe_absence(dataset: DataSet, wanted_by: str, option: str) -> DataNotFoundError:
    """What is needed, and how to get it."""
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
