"""Check of a store: what the tables promise, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count
from streamclf.store.database import connect_to_read, reason_of
from streamclf.store.schema import VERSION
from streamclf.store.writers import LENGTH_US

MAX_LISTED = 20
"""Most rows that are named for each promise; the others are counted."""

_RUN = "'run ' || runs.id"
_EVENT = "'event ' || events.id || ' (' || label || ', run ' || run_id || ')'"
_GAP = "'gap ' || gaps.id || ' (run ' || run_id || ')'"
_END = "(first_position + elapsed_samples)"


_PROMISES = (
    # In each run, what its rows say adds up to what it says itself.
    f"""
        SELECT {_RUN} || ': heard_samples is ' || heard_samples
               || ', its levels add up to ' || total
        FROM (SELECT *, (SELECT coalesce(sum(levels.heard_samples), 0) FROM levels
                         WHERE run_id = runs.id) AS total FROM runs) AS runs
        WHERE heard_samples != total""",
    f"""
        SELECT {_RUN} || ': gap_samples is ' || gap_samples || ', its gaps add up to ' || total
        FROM (SELECT *, (SELECT coalesce(sum(n_samples), 0) FROM gaps
                         WHERE run_id = runs.id) AS total FROM runs) AS runs
        WHERE gap_samples != total""",
    f"""
        SELECT {_RUN} || ': elapsed_samples is ' || elapsed_samples || ', heard and gaps add up to '
               || (heard_samples + gap_samples)
        FROM runs WHERE elapsed_samples != heard_samples + gap_samples""",
    f"""
        SELECT {_RUN} || ': ' || heard_samples || ' samples heard and ' || gap_samples
               || ' in gaps at ' || sample_rate || ' Hz, none may be negative and a rate is above 0'
        FROM runs WHERE heard_samples < 0 OR gap_samples < 0 OR sample_rate <= 0""",
    # Each begin has one end, and lies in what was heard.
    f"""
        SELECT {_EVENT} || ': is open, its run is ' || runs.state
        FROM events JOIN runs ON run_id = runs.id
        WHERE events.state = 'open' AND runs.state != 'open'""",
    f"""
        SELECT {_EVENT} || ': is ' || state || ', its offset is ' || coalesce(offset, 'none')
        FROM events WHERE (state = 'open') != (offset IS NULL)""",
    f"""
        SELECT {_EVENT} || ': its offset is ' || offset || ', its onset ' || onset
        FROM events WHERE offset < onset""",
    f"""
        SELECT {_EVENT} || ': ends at ' || coalesce(offset, onset) || ', its run at ' || {_END}
        FROM events JOIN runs ON run_id = runs.id
        WHERE coalesce(offset, onset) > {_END}""",
    f"""
        SELECT {_EVENT} || ': lasts ' || (offset_us - onset_us) || ' us by its times, '
               || {LENGTH_US.format("(offset - onset)")} || ' us by its samples'
        FROM events JOIN runs ON run_id = runs.id
        WHERE abs(offset_us - onset_us - {LENGTH_US.format("(offset - onset)")}) > 1""",
    f"""
        SELECT {_EVENT} || ': its score is ' || highest_score || ', and lies from 0 to 1'
        FROM events WHERE highest_score NOT BETWEEN 0 AND 1.0001
           OR score NOT BETWEEN 0 AND 1.0001""",
    f"""
        SELECT {_EVENT} || ': its source is ' || events.source_id || ', that of its run '
               || runs.source_id
        FROM events JOIN runs ON run_id = runs.id WHERE events.source_id != runs.source_id""",
    # Gaps lie in their run, one behind the other.
    f"""
        SELECT {_GAP} || ': goes from ' || position || ' to ' || (position + n_samples)
               || ', its run from ' || first_position || ' to ' || {_END}
        FROM gaps JOIN runs ON run_id = runs.id
        WHERE n_samples <= 0 OR position < first_position OR position + n_samples > {_END}""",
    f"""
        SELECT {_GAP} || ': begins at ' || position || ', the one before it ends at ' || before_end
        FROM (SELECT *, lag(position + n_samples) OVER (PARTITION BY run_id ORDER BY position)
                        AS before_end FROM gaps) AS gaps
        WHERE position < before_end""",
    # Minutes lie in their run.
    f"""
        SELECT 'minute at ' || position || ' (run ' || run_id || '): ' || levels.heard_samples
               || ' samples from there, its run goes from ' || first_position || ' to ' || {_END}
        FROM levels JOIN runs ON run_id = runs.id
        WHERE levels.heard_samples < 0 OR position < first_position
           OR position + levels.heard_samples > {_END}""",
)


@dataclass(frozen=True)
class StoreCheck:
    """What a check found.

    Attributes:
        faults: A line for each thing that does not add up; empty where all does.
        counts: What the store holds, in a line.
    """

    faults: list[str]
    counts: str


def check_store(path: Path, *, clips: bool = False) -> StoreCheck:
    """Check a store; another process may write it meanwhile.

    Args:
        path: The store.
        clips: Look for the files of the clips, too.

    Raises:
        StoreError: There is no store, it is damaged so that it cannot be read, or is locked.
    """
    with closing(connect_to_read(path)) as connection:
        faults: list[str] = []
        try:
            # One transaction: all rows are of one moment.
            connection.execute("BEGIN")
            faults += _check_file(connection)
            for question in _PROMISES:
                faults += _find_broken(connection, question)
            if clips:
                faults += _limit(_check_clips(connection))
            counts = _count(connection)
        except sqlite3.DatabaseError as error:
            # What was found before tells more than the error that it led to.
            if not faults:
                raise StoreError(f"{path}: cannot be checked: {reason_of(error)}") from error
            counts = ""
        return StoreCheck(faults, counts)


def _check_file(connection: sqlite3.Connection) -> Iterator[str]:
    yield from _limit(
        f"file: {line}"
        for (found,) in connection.execute("PRAGMA integrity_check")
        for line in str(found).splitlines()
        if found != "ok" and not line.startswith("***")
    )
    yield from _limit(
        f"{table} {row}: there is no row in {parent} that it names"
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check")
    )


def _find_broken(connection: sqlite3.Connection, question: str) -> Iterator[str]:
    return _limit(line for (line,) in connection.execute(question))


def _check_clips(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute("SELECT id, folder, path, bytes FROM clips WHERE gone_us IS NULL")
    for number, folder, name, n_bytes in rows:
        file, size = Path(folder) / name, -1
        with suppress(OSError, ValueError):
            size = file.stat().st_size
        if size < 0:
            yield f"clip {number}: {file} is not there, and its row does not say so"
        elif size != n_bytes:
            yield f"clip {number}: {file} has {size} bytes, its row says {n_bytes}"


def _limit(lines: Iterator[str]) -> Iterator[str]:
    """Yield the first lines, and the number of the others."""
    n_more, last = 0, ""
    for n_lines, line in enumerate(lines):
        if n_lines < MAX_LISTED:
            yield line
        else:
            n_more, last = n_more + 1, line
    if n_more:
        yield last if n_more == 1 else f"{n_more} more like this, the last of them: {last}"


def _count(connection: sqlite3.Connection) -> str:
    def ask(question: str) -> int:
        (number,) = connection.execute(question).fetchone()
        return int(number)

    n_open = ask("SELECT count(*) FROM runs WHERE state = 'open'")
    (hours,) = connection.execute(
        "SELECT coalesce(sum(1.0 * heard_samples / sample_rate), 0) / 3600 FROM runs"
    ).fetchone()
    n_lost = ask("SELECT coalesce(sum(rows_lost), 0) FROM runs")
    return ", ".join(
        [
            f"version {VERSION}",
            format_count(ask("SELECT count(*) FROM sources"), "source"),
            format_count(ask("SELECT count(*) FROM runs"), "run")
            + (f" ({n_open} open)" if n_open else ""),
            f"{hours:,.2f} h heard",
            format_count(ask("SELECT count(*) FROM events"), "event"),
            format_count(ask("SELECT count(*) FROM gaps"), "gap"),
            *([f"{format_count(n_lost, 'row')} lost while it was written"] if n_lost else []),
        ]
    )
