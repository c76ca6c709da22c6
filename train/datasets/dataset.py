"""The interface of a data set's module: where the set is from, and a list of its clips.

Opening, preparing and checking are the same for all data sets (`train.datasets.open_dataset`).
"""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from train.base.errors import DatasetError, UsageError
from train.datasets.prepared import SINGLE_LABEL


@dataclass(frozen=True)
class Recording:
    """A clip as it lies in the official folder.

    Attributes:
        path: The file.
        filename: Its name in the data set.
        fold: Number of its fold, from 1.
        target: Index into the labels; in a regression the value, in [0, 1].
        source: What a split must not divide: the recording it was cut from, or the speaker.
        stretch: Start and end of the clip in the file, in seconds; None for all of the file.
    """

    path: Path
    filename: str
    fold: int
    target: int | float
    source: str
    stretch: tuple[float, float] | None = None


@dataclass(frozen=True)
class Listing:
    """The clips of a folder.

    Attributes:
        recordings: The clips that are there.
        labels: Label of each class, in the order of the targets.
        missing: Clips that are in the set's own table but not in the folder.
        notes: Notices for the user, a line each.
        fold_names: Names of folds that have names.
    """

    recordings: tuple[Recording, ...]
    labels: tuple[str, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fold_names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataSet(ABC):
    """A data set: its provenance, and how its official folder is read.

    Attributes:
        name: Name as in ``--dataset``.
        title: Description in a line.
        url: Where the set comes from.
        licence: Licence of the recordings.
        citation: Citation that the authors ask for.
        layout: What the official folder holds, for error messages.
        n_clips: Clips of the whole set; 0 where that is not known.
        n_classes: Classes of the whole set; 0 where that is not known, or in a regression.
        task: ``single-label``, ``regression`` or ``unlabelled``.
        places: Names of its folder when unpacked, under which it is looked for.
        megabytes: Size of the download; 0 where that is not known.
    """

    name: str
    title: str
    url: str
    licence: str
    citation: str
    layout: str
    n_clips: int = 0
    n_classes: int = 0
    task: str = SINGLE_LABEL
    places: tuple[str, ...] = ()
    megabytes: int = 0

    downloads: ClassVar[bool] = False
    """Whether `download` can fetch it."""

    leaves_out_broken: ClassVar[bool] = False
    """Whether clips that do not decode are left out unasked, as in a collection from many
    authors."""

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder looks like this set in its official layout."""

    def is_fetched(self, folder: Path) -> bool:
        """Whether there is nothing left for `download` to fetch into a folder."""
        return folder.is_dir() and self.recognises(folder)

    def of_sources(self, names: Sequence[str]) -> DataSet:
        """Give the set that `download` fetches from some of its sources alone.

        Raises:
            UsageError: The set has no such sources.
        """
        raise UsageError(f"--only: {self.name} is fetched whole, leave --only out")

    def subset_in(self, folder: Path) -> DataSet:
        """The subset that a folder holds, where that is a data set of its own; else this set.

        Args:
            folder: A folder that `recognises` accepts.
        """
        return self

    @abstractmethod
    def list_clips(self, folder: Path) -> Listing:
        """Find the clips, in an order that depends on nothing but the files.

        Raises:
            DatasetError: A table is missing or malformed.
        """

    def download(self, folder: Path) -> None:
        """Fetch the set into a folder.

        Raises:
            DatasetError: It cannot be fetched.
        """
        raise DatasetError(f"--download: {self.name} is not fetched from here; see {self.url}")


def read_table(
    table: Path, columns: Sequence[str], integers: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Read a csv file with a header.

    Args:
        table: The file.
        columns: Columns that it must have.
        integers: Columns that must hold integers.

    Raises:
        DatasetError: It is missing, empty or malformed; the message names line and column.
    """
    if not table.is_file():
        raise DatasetError(f"{table}: not found; is the folder the data set's own?")
    try:
        rows = [_check_row(row, line, columns, integers) for line, row in number_rows(table)]
        if not rows:
            raise ValueError("has no lines")
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{table}: {error}; expected are the columns {', '.join(columns)}"
        ) from error
    return rows


def number_rows(table: Path, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a csv file with a header, each with the number of the line that it ends in.

    Args:
        table: The file.
        columns: Columns that its header must have.

    Raises:
        OSError: It cannot be read.
        ValueError: A column is missing, a row is not csv, or not UTF-8 text; the message names its
            line.
    """
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line}: byte {content[error.start]:#x} is no UTF-8 text") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        lacking = [name for name in columns if name not in (rows.fieldnames or ())]
        if lacking:
            raise ValueError(f"has no column {lacking[0]!r}, must have {', '.join(columns)}")
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {rows.reader.line_num}: {error}") from error


def _check_row(
    row: dict[str, str], line: int, columns: Sequence[str], integers: Sequence[str]
) -> dict[str, str]:
    for column in columns:
        if row.get(column) is None:
            raise ValueError(f"line {line} lacks column {column!r}")
    for column in integers:
        try:
            _ = int(row[column])
        except ValueError:
            raise ValueError(
                f"line {line}: {column} is {row[column]!r}, must be an integer"
            ) from None
    return row


def names_in(folder: Path) -> set[str]:
    """Names of the files and folders in a folder; none if there is no such folder."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def pick_name(filename: str, there: set[str], endings: Iterable[str]) -> str | None:
    """Find the name of a clip's file, which may have been converted to another format.

    Args:
        filename: Its name in the set's table.
        there: Names of the files that are there.
        endings: Other endings to try.

    Returns:
        The name; None if the clip is missing.
    """
    stem = Path(filename).stem
    names = (filename, *(stem + ending for ending in endings))
    return next((name for name in names if name in there), None)
