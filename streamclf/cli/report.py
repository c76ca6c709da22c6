"""The command `report`: a page about what was heard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from streamclf.cli.question_options import QuestionOptions, of_last_days
from streamclf.core.declare_option import option
from streamclf.core.errors import OK, UsageError

if TYPE_CHECKING:
    from streamclf.store.question import Database, Question

DAYS_OF_WEEK = 7


@dataclass(frozen=True)
class ReportOptions:
    """The page.

    Attributes:
        week: Whether it is about the last seven days, today included.
        day: Whether it is about today.
        output: Its file.
        overwrite: Whether a file that is there is replaced.

    Raises:
        UsageError: What is asked for does not go together, or the file's name does not end so.
    """

    panel: ClassVar[str] = "Output"

    week: bool = option(
        False,
        "--week",
        help="Report the last seven days, today included (the default).",
        panel="Events",
    )
    day: bool = option(False, "--day", help="Report today.", panel="Events")
    output: Path | None = option(
        None, "--output", "-o", metavar="FILE", help="Write the page to this .html file."
    )
    overwrite: bool = option(False, "--overwrite", help="Replace a file that exists.")

    def __post_init__(self) -> None:
        if self.week and self.day:
            raise UsageError("--week and --day are two times: leave one out")
        if self.output is not None and self.output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output {self.output}: must end in .html")


def report(asked: QuestionOptions, page: ReportOptions) -> int:
    """Write a page and print its path. Returns the exit code.

    Raises:
        UsageError: A date, a label or a source is none, or the file exists.
        StoreError: The store cannot be opened or read.
        SinkError: The file cannot be written.
    """
    from streamclf.cli.heard_screen import describe_range
    from streamclf.sinks.output_files import write_whole
    from streamclf.store.queries import measure_extent
    from streamclf.store.report import make_report

    if page.output is None:
        raise UsageError("--output is missing: name the page's file, as in --output week.html")
    if (page.week or page.day) and (asked.since or asked.until):
        raise UsageError("--week and --day are times, as --since and --until: leave one out")
    now = datetime.now().astimezone()
    with asked.open_any() as connection:
        question = asked.ask(connection)
        if not question.has_range:
            if asked.is_of_results and not (page.week or page.day):
                question = _of_all(connection, question)
            else:
                question = of_last_days(question, 1 if page.day else DAYS_OF_WEEK)
        if question.since is None:
            begun = measure_extent(connection).first_heard or now
            question = replace(question, since=min(begun, question.until or now))
        title = describe_range(replace(question, until=question.until or _end_of_day(now)))
        text = make_report(
            connection,
            replace(question, until=question.until or now),
            title,
            asked.path,
            now,
        )
    with write_whole(page.output, overwrite=page.overwrite) as part:
        part.write_text(text, encoding="utf-8")
    print(page.output)
    return OK


def _of_all(connection: Database, question: Question) -> Question:
    """The same question up to the last event: an archive is of any time."""
    from streamclf.store.queries import measure_extent

    last = measure_extent(connection).last
    return question if last is None else replace(question, until=_end_of_day(last.astimezone()))


def _end_of_day(now: datetime) -> datetime:
    from streamclf.core.dates import midnight

    return midnight(now.date() + timedelta(days=1))
