"""``python -m train.datasets.cache``: list or delete what is in the user's cache.

Clips are prepared once for each data set, place and sample rate, and kept there. ``--download``
fetches data sets into it where no folder is named. Deleting it costs nothing but the time to
prepare and fetch again.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.errors import DatasetError
from train.base.exit_codes import exit_codes
from train.datasets import MODULES, find_dataset
from train.datasets.locations import PREPARED, cache_folder
from train.datasets.prepared import is_prepared

ALL = "all"


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.datasets.cache",
        description="List the data sets and prepared clips in the user's cache, or delete some.",
    )
    parser.add_argument(
        "--delete", nargs="+", metavar="NAME", help="as they are listed, or 'all' of them"
    )
    options = parser.parse_args(arguments)
    entries = list_entries()
    if options.delete:
        delete(options.delete, entries)
    else:
        _show(entries)
    return 0


def list_entries() -> list[Path]:
    """Folders that this package wrote into the cache: fetched sets, and clips, even unfinished."""
    cache = cache_folder()
    sets = {place for name in MODULES for place in find_dataset(name).places}
    names = [path.name for path in cache.iterdir() if path.is_dir()] if cache.is_dir() else []
    return [cache / n for n in sorted(names) if n in sets or n.lstrip(".").startswith(PREPARED)]


def delete(names: Sequence[str], entries: Sequence[Path]) -> None:
    """Delete entries by their names; all names are checked first.

    Raises:
        UsageError: There is no such entry.
        DatasetError: An entry cannot be deleted.
    """
    by_name = {path.name: path for path in entries}
    if list(names) == [ALL]:
        names = list(by_name)
    for name in names:
        if name not in by_name:
            there = ", ".join(by_name) or "nothing"
            raise UsageError(f"--delete: {name!r} is not in {cache_folder()}, there is {there}")
    for name in names:
        try:
            shutil.rmtree(by_name[name])
        except OSError as error:
            raise DatasetError(f"{by_name[name]}: cannot be deleted: {error}") from error
        print(f"{by_name[name]}: deleted")


def _show(entries: Sequence[Path]) -> None:
    if not entries:
        print(f"{cache_folder()}: no data sets and no prepared clips")
        return
    sizes = [_megabytes(path) for path in entries]
    width = max(len(path.name) for path in entries)
    print(f"{cache_folder()}: {sum(sizes):.0f} MB; --delete NAME ... deletes, or 'all'")
    for path, size in zip(entries, sizes, strict=True):
        print(f"  {path.name:<{width}}  {size:6.0f} MB  {_describe(path)}")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _describe(path: Path) -> str:
    if not path.name.lstrip(".").startswith(PREPARED):
        return "data set"
    if not is_prepared(path):
        return "not finished; the same command goes on with it"
    try:
        table = json.loads((path / "clips.json").read_text(encoding="utf-8"))
        return f"{len(table['clips'])} clips of {table.get('folder', table['name'])}"
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged"


if __name__ == "__main__":
    sys.exit(main())
