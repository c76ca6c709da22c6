"""The account of a run: hours planned are hours heard, gaps, failed and left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from streamclf.archive.manifest import Manifest
from streamclf.archive.many import call_for_each
from streamclf.archive.place import Place
from streamclf.archive.run_description import read_description
from streamclf.archive.run_item import kind_of, number_in
from streamclf.archive.tables import Account, read_account
from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count


@dataclass
class RunAccount:
    """What became of an archive in one run. Lengths are exact, in seconds.

    Attributes:
        run: Hash of the run.
        description: What `describe_run` wrote about it.
        n_items: Number of items that are planned.
        n_done: Number of items whose results are there, the pieces of joined recordings included.
        n_waiting: Number of pieces that are heard, and wait for the others of their recording.
        planned_s: Length of all items, as the headers state it.
        left_s: Length of the items that are not done.
        promised_s: Length of the items that are done, as the headers state it.
        heard_s: Audio heard.
        missing_s: Audio of gaps.
        failed_s: Audio promised that never came.
        beyond_s: Audio beyond what was promised.
        gaps: Number and seconds of gaps by cause.
        failures: Reason of each recording that was not heard to its end, by its path.
        unopened: Reason of each recording that the plan could not open, by its path.
        n_events: Number of events.
        n_windows: Number of windows.
        n_recordings: Number of recordings in the items that are done.
        rules: Number of items that are done by the event rules that made them.
    """

    run: str
    description: dict[str, Any]
    n_items: int
    n_done: int = 0
    n_waiting: int = 0
    planned_s: Fraction = Fraction()
    left_s: Fraction = Fraction()
    promised_s: Fraction = Fraction()
    heard_s: Fraction = Fraction()
    missing_s: Fraction = Fraction()
    failed_s: Fraction = Fraction()
    beyond_s: Fraction = Fraction()
    gaps: dict[str, tuple[int, Fraction]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unopened: dict[str, str] = field(default_factory=dict)
    n_events: int = 0
    n_windows: int = 0
    n_recordings: int = 0
    rules: Counter[int] = field(default_factory=Counter)

    @property
    def is_done(self) -> bool:
        """Whether all items are done."""
        return self.n_done == self.n_items

    @property
    def adds_up(self) -> bool:
        """Whether what was promised and came beyond is what was heard, is missing or failed."""
        came = self.heard_s + self.missing_s + self.failed_s
        return self.promised_s + self.beyond_s == came

    @property
    def reasons(self) -> Counter[str]:
        """Number of recordings by the kind of reason why they were not heard to their end."""
        return Counter(map(kind_of, [*self.failures.values(), *self.unopened.values()]))

    def add(self, account: Account) -> None:
        """Add an item that is done."""
        rate = account.sample_rate
        self.promised_s += Fraction(account.promised, rate)
        self.heard_s += Fraction(account.heard, rate)
        self.missing_s += Fraction(account.missing, rate)
        self.failed_s += Fraction(account.failed, rate)
        self.beyond_s += Fraction(account.beyond, rate)
        for cause, (n_gaps, n_samples) in account.gaps.items():
            n_before, before_s = self.gaps.get(cause, (0, Fraction()))
            self.gaps[cause] = n_before + n_gaps, before_s + Fraction(n_samples, rate)
        self.failures |= account.failures
        self.n_events += account.rows["events"]
        self.n_windows += account.windows
        self.n_recordings += account.recordings
        self.rules[account.rules] += 1

    def describe(self) -> str:
        """Describe it in one line: hours planned = heard + gaps + failed, and what was found."""
        came = round_together([self.heard_s, self.missing_s, self.failed_s])
        names = ("heard", "gaps", "failed")
        parts = [f"{name} {hours(part)}" for name, part in zip(names, came, strict=True)]
        beyond = f", {hours(self.beyond_s)} beyond the headers" if self.beyond_s else ""
        left = f"; {hours(self.left_s)} are left" if not self.is_done else ""
        failed = format_count(len(self.failures) + len(self.unopened), "recording")
        return (
            f"{hours(self.promised_s + self.beyond_s)} = {' + '.join(parts)}{beyond}{left}; "
            f"{format_count(self.n_events, 'event')} in "
            f"{format_count(self.n_recordings, 'recording')}; {failed} failed"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures, for machines."""
        lengths = ("planned", "left", "promised", "heard", "missing", "failed", "beyond")
        return {
            "run": self.run,
            "model": self.description["model"]["name"],
            "settings": self.description["settings"],
            "streamclf": self.description["streamclf"],
            "results_by_event_rules": {str(rules): n for rules, n in sorted(self.rules.items())},
            "items": self.n_items,
            "items_done": self.n_done,
            "pieces_waiting": self.n_waiting,
            **{f"{name}_s": round(float(getattr(self, f"{name}_s")), 6) for name in lengths},
            "gaps": {
                cause: {"n_gaps": n_gaps, "seconds": round(float(length), 6)}
                for cause, (n_gaps, length) in sorted(self.gaps.items())
            },
            "recordings": self.n_recordings,
            "events": self.n_events,
            "windows": self.n_windows,
            "failures": self.failures,
            "unopened": self.unopened,
        }


def round_together(parts: list[Fraction]) -> list[int]:
    """Round lengths so that they add up to their rounded sum: an account must add up as written."""
    rounded = [int(part) for part in parts]
    by_rest = sorted(range(len(parts)), key=lambda n: rounded[n] - parts[n])
    for n in by_rest[: round(sum(parts)) - sum(rounded)]:
        rounded[n] += 1
    return rounded


def hours(seconds: Fraction | float) -> str:
    """Write a length in hours to the second: ``12:03:07 h``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def add_up(results: Place, manifest: Manifest, run: str) -> RunAccount:
    """Add up the accounts of all items that are done in a run.

    Args:
        results: Where the results lie.
        manifest: The manifest.
        run: Hash of the run.

    Raises:
        StoreError: A file of events is not whole: the account would be wrong.
        PlaceError: The results cannot be read.
    """
    total = RunAccount(run, read_description(results, run), len(manifest))
    names = {number_in(name): name for name in results.names(f"events/{run}")}
    for name, account in read_accounts(results, names.values()):
        if isinstance(account, str):
            raise StoreError(f"{results}/{name}: {account}: remove it, and run again")
        total.add(account)
    microseconds = np.rint(manifest.numbers("seconds") * 1e6).astype(np.int64)
    is_done = np.isin(np.arange(len(manifest)) - manifest.numbers("piece"), list(names))
    total.n_done = int(is_done.sum())
    waiting = manifest.first_recordings()[~is_done & (manifest.numbers("n_pieces") > 0)]
    if waiting.size:
        there = [int(name.rsplit("/", 2)[1]) for name in results.names(f"pieces/{run}")]
        total.n_waiting = int(np.isin(there, waiting).sum())
    total.planned_s = Fraction(int(microseconds.sum()), 10**6)
    total.left_s = Fraction(int(microseconds[~is_done].sum()), 10**6)
    total.unopened = manifest.unopened()
    return total


def read_accounts(results: Place, names: Iterable[str]) -> Iterator[tuple[str, Account | str]]:
    """Read the accounts of files of events, several at once.

    Yields:
        The name of each, with its account, or with the reason why it has none.

    Raises:
        PlaceError: The results cannot be read.
    """

    def read(name: str) -> tuple[str, Account | str]:
        try:
            return name, read_account(results.read(name))
        except FileNotFoundError:
            return name, "is gone"
        except ValueError as error:
            return name, str(error)

    return call_for_each(read, names, results.max_requests)
