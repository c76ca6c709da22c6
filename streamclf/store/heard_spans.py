"""Spans of time in which a source was heard without a gap."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from streamclf.store.writers import LENGTH_US

_RUNS = f"""
SELECT id, sample_rate, first_position, begun_us,
       begun_us + {LENGTH_US.format("elapsed_samples")} AS until_us
FROM runs
WHERE source_id = ? AND begun_us IS NOT NULL AND begun_us < ?
      AND begun_us + {LENGTH_US.format("elapsed_samples")} > ?
ORDER BY begun_us"""
_GAPS = "SELECT position, n_samples FROM gaps WHERE run_id = ? ORDER BY position"
_OFFSETS = """
SELECT min(minute_us), levels.utc_offset_min FROM levels JOIN runs ON runs.id = run_id
WHERE source_id = ? AND minute_us IS NOT NULL AND levels.utc_offset_min IS NOT NULL
GROUP BY run_id, levels.utc_offset_min ORDER BY 1"""


def heard_spans(
    connection: sqlite3.Connection, source_id: int, since_us: int, until_us: int
) -> Iterator[tuple[int, int]]:
    """Yield the spans in which a source was heard, the earliest first.

    Args:
        connection: The store.
        source_id: Row of the source.
        since_us: Begin of the time that is asked for, in microseconds since 1970-01-01 UTC.
        until_us: Its end.

    Yields:
        Begin and end of each span. Those of two runs at one time overlap.
    """
    for run, rate, position, begun_us, end_us in connection.execute(
        _RUNS, (source_id, until_us, since_us)
    ).fetchall():
        from_us = begun_us
        for at, n_samples in connection.execute(_GAPS, (run,)).fetchall():
            gap_us = begun_us + (at - position) * 1_000_000 // rate
            yield from _within(from_us, gap_us, since_us, until_us)
            from_us = gap_us + n_samples * 1_000_000 // rate
        yield from _within(from_us, end_us, since_us, until_us)


def _within(first: int, end: int, since: int, until: int) -> Iterator[tuple[int, int]]:
    first, end = max(first, since), min(end, until)
    if first < end:
        yield first, end


def utc_offsets(connection: sqlite3.Connection, source_id: int) -> list[tuple[int, int]]:
    """Return the offsets of a source's place from UTC.

    Args:
        connection: The store.
        source_id: Row of the source.

    Returns:
        The moment from which each held, in microseconds since 1970-01-01 UTC, and the offset in
        minutes, the earliest first.
    """
    return connection.execute(_OFFSETS, (source_id,)).fetchall()
