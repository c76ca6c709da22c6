"""Options of the commands that ask the store, and the question that they make."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, cast

from streamclf.core.declare_option import option
from streamclf.core.errors import StoreError, UsageError
from streamclf.core.redaction import mask_url

if TYPE_CHECKING:
    from streamclf.store.queries import By
    from streamclf.store.question import Database, Question

PLAN_FILE = "manifest/plan.json"
"""What a folder of results holds."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
_RUN = re.compile(r"#([0-9a-f]{2,16})$")
"""What chooses one of several runs: the first digits of its name."""
Reviewed: TypeAlias = Literal["right", "wrong", "not"]
RowFormat: TypeAlias = Literal["text", "csv", "jsonl", "parquet", "audacity", "raven"]


@dataclass(frozen=True)
class QuestionOptions:
    """Choice of events.

    Attributes:
        since: First moment, as people write it.
        until: End, likewise.
        labels: Labels; empty for all.
        sources: Names of sources or recordings; empty for all.
        min_score: Lowest of the highest scores.
        reviewed: What was said of them last; ``not`` for nothing, None for all.
        store: The store, or the URL or folder of an archive's results; None for the user's own.

    Raises:
        UsageError: A score is out of range.
    """

    panel: ClassVar[str] = "Events"

    since: str | None = option(
        None,
        "--since",
        metavar="DATE",
        help="Events from this day or time on: yesterday, 'monday 22:00', 2026-11-01, "
        "'7 days ago'.",
    )
    until: str | None = option(
        None,
        "--until",
        metavar="DATE",
        help="Events before this time; of a day, all of it.",
    )
    labels: tuple[str, ...] = option(
        (),
        "--label",
        metavar="LABEL",
        help="Events of this label and all narrower ones (Alarm: sirens and bells as well); may be "
        "repeated.",
    )
    sources: tuple[str, ...] = option(
        (),
        "--source",
        metavar="NAME",
        help="Events of this source, folder or recording: its name, the end of its path, or a "
        "pattern in quotes; may be repeated.",
    )
    min_score: float = option(
        0.0, "--min-score", metavar="0..1", help="Events whose highest score is at least this."
    )
    reviewed: Reviewed | None = option(
        None,
        "--reviewed",
        help="Events that somebody called right or wrong, or of which nothing was said (not).",
    )
    store: str | None = option(
        None,
        "--store",
        metavar="FILE",
        help="The store to ask; by default the user's own.",
        panel="Source",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"--min-score {self.min_score:g}: must be 0 to 1")

    @property
    def path(self) -> Path:
        """Path of the store.

        Raises:
            StoreError: None is named, and the user has no home.
        """
        from streamclf.store.database import default_store

        return Path(self.store) if self.store else default_store()

    @property
    def is_of_results(self) -> bool:
        """Whether what is asked are results of an archive, and no store."""
        if self.store is None:
            return False
        folder = _RUN.sub("", self.store)
        return _URL.match(folder) is not None or Path(folder, PLAN_FILE).is_file()

    @contextmanager
    def open_any(self) -> Iterator[Database]:
        """Open the store or the results of an archive, to ask what both can answer.

        Raises:
            UsageError: Results have no reviews, or a package that reads them is not installed.
            StoreError: It cannot be opened or read.
        """
        if self.store is None or not self.is_of_results:
            with self.open() as connection:
                yield connection
            return
        if self.reviewed is not None:
            raise UsageError(
                f"--reviewed {self.reviewed}: results of an archive have no reviews: leave it out, "
                "or hear the recordings with `file --store`"
            )
        from streamclf.archive.reading import open_results

        time, run = self.ask_time(), _RUN.search(self.store)
        with open_results(
            _RUN.sub("", self.store),
            time.since_us,
            time.until_us,
            run=run[1] if run else "",
        ) as results:
            yield results

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open the store to ask it.

        Raises:
            UsageError: It is no store, but results of an archive.
            StoreError: It cannot be opened or read.
        """
        if self.is_of_results:
            raise UsageError(
                f"--store {mask_url(str(self.store))}: is a folder of an archive's results, which "
                "heard and report ask: name a store"
            )
        from streamclf.store.database import (
            DamagedStoreError,
            connect_to_read,
            is_damage,
            reason_of,
        )

        path = self.path
        connection = connect_to_read(path)
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise DamagedStoreError(path, reason_of(error)) from error
            raise StoreError(f"{path}: cannot be read: {reason_of(error)}") from error
        finally:
            connection.close()

    def ask(self, connection: Database) -> Question:
        """Make the question.

        Raises:
            UsageError: A date, a label or a source is none.
        """
        from streamclf.store.names import find_labels, find_sources

        question = replace(
            self.ask_time(),
            labels=find_labels(connection, self.labels),
            min_score=self.min_score,
            reviewed=self.reviewed,
        )
        if not self.sources:
            return question
        source_ids, recording_ids = find_sources(connection, self.sources)
        return replace(question, source_ids=source_ids, recording_ids=recording_ids)

    def ask_time(self) -> Question:
        """Make the question of the time alone, which needs no store.

        Raises:
            UsageError: A date is none, or has not come yet.
        """
        from streamclf.core.dates import read_date
        from streamclf.store.question import Question

        now = datetime.now(UTC)
        since = None if self.since is None else read_date(self.since, "--since", now=now)
        until = None if self.until is None else read_date(self.until, "--until", end=True, now=now)
        if since is not None and since > now:
            raise UsageError(
                f"--since {self.since}: {since:%Y-%m-%d %H:%M} has not come yet: name an earlier "
                f"time, such as 'yesterday {since:%H:%M}'"
            )
        if since is not None and until is not None and until <= since:
            raise UsageError(
                f"--until {self.until}: {until:%Y-%m-%d %H:%M} is not after --since, "
                f"{since:%Y-%m-%d %H:%M}: exchange them"
            )
        return Question(since, until)


@dataclass(frozen=True)
class AnswerOptions:
    """Form of the answer.

    Attributes:
        by: What is counted apart.
        format: Of rows; None for a table for people.
        output: File of the rows; None for standard output.
        plot: File of a picture; None for none.
        overwrite: Whether files that are there are replaced.
        unknown: Whether only events of unknown sounds count.
        alike: Whether events are grouped by likeness.

    Raises:
        UsageError: What is asked for does not go together, or a name says no format.
    """

    panel: ClassVar[str] = "Output"

    by: tuple[str, ...] = option(
        (),
        "--by",
        metavar="hour|day|source|label|model",
        help="Count by this, with the events in an hour heard; an hour is one of the day. May be "
        "repeated: --by day --by hour.",
    )
    format: RowFormat | None = option(
        None,
        "--format",
        "-f",
        help="Write a row for each event, or with --by for each count; by default a table for "
        "people.",
    )
    output: Path | None = option(
        None,
        "--output",
        "-o",
        metavar="FILE",
        help="Write the rows to this file; its ending says the format: .csv, .jsonl, .parquet, "
        ".txt (Audacity) or .selections.txt (Raven).",
    )
    plot: Path | None = option(
        None,
        "--plot",
        metavar="FILE",
        help="Draw labels over the hours of the day, to a .png or .svg file.",
    )
    overwrite: bool = option(False, "--overwrite", help="Replace files that exist.")
    unknown: bool = option(False, "--unknown", help="Events of unknown sounds alone.")
    alike: bool = option(
        False,
        "--groups",
        help="Group the events by likeness: which sound came again, when, and how it gets a name.",
    )

    def __post_init__(self) -> None:
        if self.alike and (self.by or self.output or self.plot):
            raise UsageError(
                "--groups is an answer of its own: leave --by, --output and --plot out"
            )
        if self.alike and self.format not in (None, "text", "jsonl"):
            raise UsageError(f"--format {self.format}: --groups has text and jsonl")
        for each in self.by:
            if each not in ("hour", "day", "source", "label", "model"):
                raise UsageError(f"--by {each}: must be hour, day, source, label or model")
        twice = [each for each in self.by if self.by.count(each) > 1]
        if twice:
            raise UsageError(f"--by {twice[0]}: is given twice: leave one out")
        if self.plot is not None and self.plot.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--plot {self.plot}: must end in .png or .svg")
        if self.plot is not None and (self.by or self.format or self.output):
            raise UsageError(
                "--plot draws labels over hours: leave --by, --format and --output out"
            )
        form = self.row_format
        if form == "parquet" and self.output is None:
            raise UsageError("--format parquet: is no text: name a file by --output")
        if self.by and form in ("text", "audacity", "raven"):
            raise UsageError(
                f"--format {form}: has a row for each event, and --by asks for counts: take csv, "
                "jsonl or parquet, or leave --by out"
            )

    @property
    def groups(self) -> tuple[By, ...]:
        """What is counted apart."""
        return cast("tuple[By, ...]", self.by)

    @property
    def row_format(self) -> RowFormat | None:
        """Format of the rows; None for a table for people."""
        if self.format is not None or self.output is None:
            return self.format
        if self.output.suffix.lower() == ".parquet":
            return "parquet"
        from streamclf.sinks.file_names import format_of

        return format_of(self.output, ".parquet")

    @property
    def of_everything(self) -> bool:
        """Whether a question without a time is about all that the store holds, not today."""
        return bool(self.by or self.row_format or self.plot or self.alike)


def of_today(question: Question) -> Question:
    """The same question about today."""
    from streamclf.core.dates import midnight

    return replace(question, since=midnight(datetime.now().astimezone().date()))


def of_last_days(question: Question, n_days: int) -> Question:
    """The same question about so many days, of which today is the last."""
    from streamclf.core.dates import midnight

    today = datetime.now().astimezone().date()
    return replace(question, since=midnight(today - timedelta(days=n_days - 1)))
