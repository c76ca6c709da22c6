"""The command `heard`: questions about what was heard, and their answers."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from streamclf.cli.question_options import AnswerOptions, QuestionOptions, of_today
from streamclf.core.errors import OK, UsageError
from streamclf.core.text_format import format_count
from streamclf.core.unknown import UNKNOWN_LABEL
from streamclf.runs.console import say

if TYPE_CHECKING:
    from streamclf.store.question import Database, Question


def heard(asked: QuestionOptions, answer: AnswerOptions) -> int:
    """Answer a question. Returns the exit code.

    Raises:
        UsageError: A date, a label or a source is none, or a file exists.
        StoreError: The store cannot be opened or read.
        SinkError: A file cannot be written.
    """
    if answer.alike:
        _write_groups(asked, answer)
        return OK
    with asked.open_any() as connection:
        question = asked.ask(connection)
        of_past = answer.of_everything or asked.is_of_results  # an archive is not of today
        if not question.has_range and not of_past:
            question = of_today(question)
        if answer.unknown:
            question = replace(question, labels=(UNKNOWN_LABEL,))
        if answer.plot is not None:
            _draw(connection, question, answer)
        elif answer.row_format is not None:
            _write_rows(connection, question, answer)
        else:
            from streamclf.cli.heard_screen import describe

            sys.stdout.write(
                "".join(f"{line}\n" for line in describe(connection, question, answer.groups))
            )
    return OK


def _write_groups(asked: QuestionOptions, answer: AnswerOptions) -> None:
    """Group events by their features, which lie beside a store alone."""
    from streamclf.cli.heard_groups import describe_groups

    if asked.is_of_results:
        raise UsageError(
            "--groups: compares features beside a store, and results of an archive have no store: "
            "take --by label"
        )
    with asked.open() as connection:
        question = asked.ask(connection)
        if answer.unknown:
            question = replace(question, labels=(UNKNOWN_LABEL,))
        if answer.unknown and question.reviewed is None:
            question = replace(question, reviewed="not")  # what has a name is unknown no more
        as_json, named = answer.format == "jsonl", asked.store is not None
        for line in describe_groups(connection, question, asked.path, as_json=as_json, named=named):
            sys.stdout.write(f"{line}\n")


def _draw(connection: Database, question: Question, answer: AnswerOptions) -> None:
    from streamclf.cli.heard_screen import describe_range
    from streamclf.store.heat_map import draw_heat_map

    assert answer.plot is not None
    title = describe_range(question)
    n_labels = draw_heat_map(
        connection, question, answer.plot, title=title, overwrite=answer.overwrite
    )
    say(f"{answer.plot}: {format_count(n_labels, 'label')} over the hours of the day")


def _write_rows(connection: Database, question: Question, answer: AnswerOptions) -> None:
    from streamclf.store import event_rows

    form = answer.row_format
    assert form is not None
    if form == "audacity":
        _check_single(connection, question)
    if answer.by:
        from streamclf.store.rates import list_rates

        rates = list_rates(connection, question, answer.groups)
        rows = (event_rows.count_values(rate, answer.groups) for rate in rates)
        kinds = {
            name: event_rows.COUNT_KINDS[name] for name in event_rows.count_names(answer.groups)
        }
        lines = event_rows.count_lines(rates, answer.groups, form)
    else:
        from streamclf.store.display_names import read_display_names
        from streamclf.store.listing import list_events

        events = list_events(connection, question)
        rows = (event_rows.event_values(event) for event in events)
        kinds = event_rows.EVENT_KINDS
        lines = event_rows.event_lines(events, form, read_display_names(connection))
    if form == "parquet":
        assert answer.output is not None
        event_rows.write_parquet(rows, kinds, answer.output, overwrite=answer.overwrite)
    else:
        event_rows.write_lines(lines, answer.output, overwrite=answer.overwrite)


def _check_single(connection: Database, question: Question) -> None:
    """Refuse labels of several recordings in one file, as their times would be mixed up.

    Raises:
        UsageError: There are several.
    """
    from streamclf.store.listing import count_runs

    n_runs = count_runs(connection, question)
    if n_runs > 1:
        raise UsageError(
            f"--format audacity: its times are those of one recording, and these events lie in "
            f"{n_runs}: choose one by --source FILE, or take raven or csv"
        )
