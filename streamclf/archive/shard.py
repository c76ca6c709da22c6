"""A share of the items of an archive, heard by this process without any engine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
        n_recordings: Number of recordings in them; a long one counts with its last piece.
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
        self.n_recordings += report.n_recordings
        self.failures += [f"{path}: {reason}" for path, reason in report.failures.items()]
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
        report = runner.run_item(manifest.item(number))
        if report.outcome == "stopped":
            return
        total.add(report)
        progress.add(report.planned_s, report.kinds)
        if not report.is_gone:
            in_a_row = in_a_row + 1 if report.outcome == "failed" else 0
        if in_a_row == _MOST_IN_A_ROW:
            raise PlaceError(
                f"{in_a_row} items in a row could not be read; the last: {report.reason}"
            )


def find_unjoined(results: Place, manifest: Manifest, run: str) -> list[int]:
    """List the first pieces of recordings all of whose pieces are there, but no result."""
    if not manifest.numbers("n_pieces").any():
        return []
    there = Counter(int(name.rsplit("/", 2)[1]) for name in results.names(f"pieces/{run}"))
    recordings, n_pieces = manifest.first_recordings(), manifest.numbers("n_pieces")
    return [
        number
        for number in find_open_items(results, manifest, run)
        if n_pieces[number] and there[int(recordings[number])] == n_pieces[number]
    ]
