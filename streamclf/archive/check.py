"""Check of a run: every result is there and whole, lengths add up, and a sample is heard again."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from streamclf.archive.account import add_up, hours
from streamclf.archive.hearing import Hearing, open_model
from streamclf.archive.manifest import Item, Manifest
from streamclf.archive.many import call_for_each
from streamclf.archive.place import Place
from streamclf.archive.run_item import (
    Runner,
    find_open_items,
    number_in,
)
from streamclf.archive.tables import METADATA_KEY, TABLES, Account, Table, read_account, result_name
from streamclf.core.card import Thresholds
from streamclf.core.errors import PlaceError, UsageError
from streamclf.core.settings import Settings
from streamclf.core.text_format import format_count
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.classifier import Classifier
from streamclf.model.options import DEFAULT_MODEL, ModelOptions
from streamclf.pipeline.engine import Engine

SCORE_SLACK = 1e-4
"""Scores of another machine or library may differ by this much without being other results."""


@dataclass
class Checked:
    """What a check found.

    Attributes:
        faults: What does not add up, one line each.
        notes: What is worth knowing and no fault, one line each.
        counts: What was checked, in words.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: str = ""


@dataclass
class _ItemCheck:
    """What was found in the files of one item.

    Attributes:
        faults: What is wrong.
        rows: Rows of its table ``heard``.
    """

    faults: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def check_run(
    results: Place,
    manifest: Manifest,
    description: dict[str, Any],
    *,
    sample: int,
    seed: int | None,
    archive: str | None,
    model: ModelOptions,
) -> Checked:
    """Check a run.

    Args:
        results: Where the results lie.
        manifest: The manifest.
        description: What `describe_run` wrote about the run.
        sample: Number of items that are heard again here.
        seed: Seed of the choice of these; None for another choice each time.
        archive: Where the archive lies, if not where the plan says.
        model: Where the model is, if not where the run found it.

    Raises:
        UsageError: The model or the settings are not those of the run.
        PlaceError: The results, or the recordings of the sample, cannot be read.
    """
    check = _RunCheck(results, manifest, description)
    check.find_strays()
    check.find_unheard()
    check.read_items()
    if not check.found.faults:
        check.add_up()
    if sample and check.items:
        numbers = sorted(check.items)
        chosen = random.Random(seed).sample(numbers, min(sample, len(numbers)))  # noqa: S311
        check.hear_again(sorted(chosen), archive, model)
    return check.found


class _RunCheck:
    """Check of one run, step by step.

    Attributes:
        found: What was found so far.
        items: The items that are done, by their numbers.
    """

    def __init__(self, results: Place, manifest: Manifest, description: dict[str, Any]) -> None:
        self._results, self._manifest, self._description = results, manifest, description
        self._run = str(description["run"])
        self.found = Checked()
        kept = description["settings"]
        self._tables: list[Table] = [
            name for name in TABLES if name not in ("scores", "features") or kept[name]
        ]
        self._names = {table: set(results.names(f"{table}/{self._run}")) for table in TABLES}
        done = sorted(number_in(name) for name in self._names["events"])
        self.items = {number: manifest.item(number) for number in done if number < len(manifest)}

    def find_strays(self) -> None:
        """Find files that belong to no item of the plan."""
        expected = {
            result_name(table, self._run, item.site, item.date, number)
            for table in self._tables
            for number, item in self.items.items()
        }
        for name in sorted(set().union(*self._names.values()) - expected):
            # A worker that died left them; whoever hears the item puts the same files.
            if number_in(name) in self.items or name.startswith("events/"):
                self.found.faults.append(f"{name}: belongs to no item of the plan")

    def find_unheard(self) -> None:
        """Find items that have no result."""
        left = find_open_items(self._results, self._manifest, self._run)
        if left:
            seconds = self._manifest.column("seconds")
            left_s = sum(seconds[number] for number in left)
            self.found.faults.append(
                f"{format_count(len(left), 'item')} of {len(self._manifest)} ({hours(left_s)}) "
                "not heard: streamclf archive run goes on"
            )

    def read_items(self) -> None:
        """Read the files of all items that are done, and what they say of each recording."""
        heard: dict[int, list[float]] = {}

        def check(item: Item) -> _ItemCheck:
            return _check_item(self._results, self._run, item, self._tables)

        for each in call_for_each(check, self.items.values(), self._results.max_requests):
            self.found.faults += each.faults
            for row in each.rows:
                heard.setdefault(row["recording"], []).append(row["promised_s"])
                _check_recording(row, self.found)
        _check_recordings(self.items, heard, self.found)

    def add_up(self) -> None:
        """Check that the sums of all items add up."""
        total = add_up(self._results, self._manifest, self._run)
        if not total.adds_up:
            self.found.faults.append(f"the sums do not add up: {total.describe()}")
        results = format_count(len(self.items), "result")
        self.found.counts = f"{results} whole; {total.describe()}"

    def hear_again(self, numbers: list[int], archive: str | None, model: ModelOptions) -> None:
        """Hear some items again, and compare their files."""
        found, runner = self.found, self._open_runner(archive, model)
        n_same = 0
        for number in numbers:
            item = self.items[number]
            try:
                again = runner.make_tables(item, runner.hear(item))
            except PlaceError as error:
                raise PlaceError(f"item {number} cannot be heard again: {error}") from error
            differences = list(_compare(self._results, self._run, item, again))
            n_same += not differences
            for is_fault, line in differences:
                (found.faults if is_fault else found.notes).append(f"item {number}: {line}")
        heard = format_count(len(numbers), "item")
        found.counts += f"; {n_same} of {heard} heard again, the same bytes"

    def _open_runner(self, archive: str | None, model: ModelOptions) -> Runner:
        """Open what hears items as the run did.

        Raises:
            UsageError: The model is not that of the run.
        """
        said, trained = self._description["settings"], self._description["model"]
        if model.name == DEFAULT_MODEL:
            model = replace(model, name=trained["file"])
        settings = _settings_of(said)
        engine = Engine(Classifier(open_model(model), features=said["features"]), settings)
        kept = {name: said.get(name, True) for name in ("scores", "features", "levels")}
        rules = self._description.get("rules")
        hearing = Hearing(model, settings, ThresholdOptions(), **kept, rules=rules)
        runner = Runner(self._results.url, hearing, archive=archive, engine=engine)
        if runner.run != self._run:
            raise UsageError(
                f"--model {model.name}: gives run {runner.run}, not {self._run}: give the model of "
                f"the run, {trained['file']} (SHA-256 {trained['sha256'][:16]}...)"
            )
        return runner


def _check_item(results: Place, run: str, item: Item, tables: list[Table]) -> _ItemCheck:
    """Check that all files of an item are there and whole, and name it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    checked, n_rows = _ItemCheck(), dict[str, int]()
    account: Account | None = None
    for table in tables:
        name = result_name(table, run, item.site, item.date, item.result_number)
        try:
            data = results.read(name)
            rows = pq.read_table(io.BytesIO(data))
            metadata = msgspec.json.decode(
                pq.read_metadata(io.BytesIO(data)).metadata[METADATA_KEY]
            )
            if table == "events":
                account = read_account(data)
        except FileNotFoundError:
            checked.faults.append(f"{name}: is not there, but the item counts as done")
            continue
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            checked.faults.append(f"{name}: is not whole: {error}")
            continue
        named = metadata.get("run"), metadata.get("item")
        if named != (run, item.result_number):
            checked.faults.append(
                f"{name}: says that it is item {named[1]} of run {named[0]}, not "
                f"{item.result_number}"
            )
        n_rows[table] = rows.num_rows
        if table == "heard":
            checked.rows = rows.to_pylist()
    if account is not None:
        for counted, number in n_rows.items():
            if account.rows[counted] != number:
                checked.faults.append(
                    f"{counted}/.../{item.result_number:08}: has {number} rows, its account says "
                    f"{account.rows[counted]}"
                )
    return checked


def _check_recording(row: dict[str, Any], found: Checked) -> None:
    """Check the lengths of a recording: promised and beyond are heard, missing and failed."""
    came = row["heard_samples"] + row["missing_samples"] + row["failed_samples"]
    if row["promised_samples"] + row["beyond_samples"] != came:
        found.faults.append(
            f"{row['source']}: {row['promised_s']:.3f} s promised and {row['beyond_s']:.3f} s "
            f"beyond are not {came / row['sample_rate']:.3f} s heard, missing and failed"
        )
    if row["beyond_s"] >= 1:
        found.notes.append(
            f"{row['source']}: {row['beyond_s']:.1f} s beyond the {row['promised_s']:.1f} s of its "
            "header were heard, too"
        )
    if row["state"] == "whole" and row["failed_s"] >= 1:
        found.notes.append(
            f"{row['source']}: ended {row['failed_s']:.1f} s before the {row['promised_s']:.1f} s "
            "that its header lets expect"
        )


def _check_recordings(
    items: dict[int, Item], heard: dict[int, list[float]], found: Checked
) -> None:
    """Check that each recording of an item that is done was heard once, with the planned length."""
    for item in items.values():
        for planned in item.recordings:
            lengths = heard.get(planned.recording, [])
            if len(lengths) != 1:
                times = f"{len(lengths)} times"
                found.faults.append(f"{planned.path}: is {times} in heard/, must be once")
            elif abs(lengths[0] - planned.seconds) >= 1:
                found.faults.append(
                    f"{planned.path}: {lengths[0]:.3f} s are accounted for, the plan has "
                    f"{planned.seconds:.3f} s"
                )


def _compare(
    results: Place, run: str, item: Item, again: dict[Table, bytes]
) -> Iterator[tuple[bool, str]]:
    """Compare files with those of a result.

    Yields:
        Each difference in a line, and whether it is more than rounding.
    """
    import pyarrow.parquet as pq

    for table, data in again.items():
        name = result_name(table, run, item.site, item.date, item.result_number)
        try:
            there = results.read(name)
        except FileNotFoundError:
            continue  # told already
        if there == data:
            continue
        before, after = (pq.read_table(io.BytesIO(each)).to_pylist() for each in (there, data))
        if len(before) != len(after):
            yield True, f"{table}: {len(before)} rows, heard again {len(after)}"
            continue
        worst, fault = 0.0, ""
        for old, new in zip(before, after, strict=True):
            for key in old:
                gap = _distance(old[key], new[key])
                worst = max(worst, gap)
                if gap > SCORE_SLACK and not fault:
                    fault = f"{key} of {old['source']} is {old[key]}, heard again {new[key]}"
        if fault:
            yield True, f"{table}: {fault}"
        elif worst:
            yield False, f"{table}: the same rows, with values that differ by up to {worst:.1e}"
        else:
            yield False, f"{table}: the same rows in other bytes, of another pyarrow or streamclf"


def _distance(old: Any, new: Any) -> float:
    """Distance of two values: of numbers their difference, of others 0 or infinity."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return max(map(_distance, old, new), default=0.0)
    if isinstance(old, float) and isinstance(new, float):
        return 0.0 if old == new or (old != old and new != new) else abs(old - new)
    return 0.0 if old == new else float("inf")


def _settings_of(said: dict[str, Any]) -> Settings:
    """Return the settings of a run, from what its description says of them."""
    return Settings(
        hop_s=said["hop_s"],
        average_s=said["average_s"],
        average_kind=said["average_kind"],
        channel=said["channel"],
        exact_hop=True,
        name_unknown=said["unknown"],
        max_duration_s=said["max_duration_s"],
        begin=said["begin"],
        broader=said["broader"],
        thresholds=msgspec.convert(said["thresholds"], Thresholds),
        labels=None if said["labels"] is None else frozenset(said["labels"]),
    )
