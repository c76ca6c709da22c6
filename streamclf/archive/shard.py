"""A share of the items of an archive, heard by this process without any engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streamclf.archive.account import kind_of
from streamclf.archive.manifest import Manifest
from streamclf.archive.place import Place
from streamclf.archive.progress import Progress
from streamclf.archive.run_item import ItemReport, Runner, find_open_items
from streamclf.core.errors import PlaceError, UsageError

_MOST_IN_A_ROW = 5
"""Items that may fail one after the other, before a run ends: the store is then not there."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal shares.

    Attributes:
        number: Its number, from 1.
        of: Number of all shares.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/40``.

        Raises:
            UsageError: It is no such text, or there is no such share.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            raise UsageError(f"--shard {text}: must be I/N, from 1/N to N/N, such as 3/40")
        return cls(number, of)

    def holds(self, item: int) -> bool:
        """Whether an item belongs to this share."""
        return item % self.of == self.number - 1


@dataclass
class ShardReport:
    """What became of a share.

    Attributes:
        n_items: Number of its items that were heard here.
        n_recordings: Number of recordings in them; a long one counts with each piece.
        n_skipped: Number of its items whose results were there.
        failures: One line for each recording that failed here.
        unheard: One line for each item that has no result, for the archive could not be read.
    """

    n_items: int = 0
    n_recordings: int = 0
    n_skipped: int = 0
    failures: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)

    def add(self, report: ItemReport) -> None:
        """Count an item."""
        self.n_items += report.outcome == "done"
        self.n_skipped += report.outcome == "skipped"
        self.failures += report.failures
        if report.outcome == "failed":
            self.unheard.append(report.reason)


def run_shard(
    runner: Runner,
    manifest: Manifest,
    shard: Shard,
    interrupted: Callable[[], bool],
) -> ShardReport:
    """Hear the open items of a share, and join recordings whose pieces are all there.

    Args:
        runner: Hears them.
        manifest: The manifest.
        shard: The share.
        interrupted: Called after each item; True leaves out the rest.

    Raises:
        PlaceError: Results cannot be written, or the archive cannot be read at all.
    """
    seconds = manifest.column("seconds")
    mine = [number for number in range(len(manifest)) if shard.holds(number)]
    open_items = find_open_items(runner.results, manifest, runner.run)
    chosen = [number for number in open_items if shard.holds(number)]
    total_s, left_s = (sum(seconds[n] for n in numbers) for numbers in (mine, chosen))
    report = ShardReport(n_skipped=len(mine) - len(chosen))
    progress = Progress(total_s, total_s - left_s)
    try:
        _run(runner, manifest, chosen, report, progress, interrupted)
        if not interrupted():
            # Pieces that were put at the same moment elsewhere: nobody may have seen all of them.
            unjoined = find_unjoined(runner.results, manifest, runner.run)
            _run(runner, manifest, unjoined, report, progress, interrupted)
        if chosen:
            progress.tell(now=True)
    finally:
        progress.close()
    return report


def _run(
    runner: Runner,
    manifest: Manifest,
    numbers: Iterable[int],
    total: ShardReport,
    progress: Progress,
    interrupted: Callable[[], bool],
) -> None:
    in_a_row = 0
    for number in numbers:
        if interrupted():
            return
        item = manifest.item(number)
        report = runner.run_item(item)
        if report.outcome == "stopped":
            return
        total.add(report)
        total.n_recordings += len(item.recordings) if report.outcome == "done" else 0
        failures = [report.reason] if report.outcome == "failed" else report.failures
        reasons = [failure.partition(": ")[2] or failure for failure in failures]
        progress.add(report.planned_s, map(kind_of, reasons))
        in_a_row = in_a_row + 1 if report.outcome == "failed" else 0
        if in_a_row == _MOST_IN_A_ROW:
            raise PlaceError(
                f"{in_a_row} items in a row could not be read; the last: {failures[0]}"
            )


def find_unjoined(results: Place, manifest: Manifest, run: str) -> list[int]:
    """List the first pieces of recordings all of whose pieces are there, but no result."""
    if not any(manifest.column("n_pieces")):
        return []
    there = results.names(f"pieces/{run}")
    n_there: dict[int, int] = {}
    for name in there:
        recording = int(name.rsplit("/", 2)[1])
        n_there[recording] = n_there.get(recording, 0) + 1
    recordings = manifest.column("recordings")
    n_pieces = manifest.column("n_pieces")
    return [
        number
        for number in find_open_items(results, manifest, run)
        if n_pieces[number] and n_there.get(recordings[number][0]) == n_pieces[number]
    ]
