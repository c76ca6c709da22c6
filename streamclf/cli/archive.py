"""The commands about archives: what they do, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from streamclf.archive.account import RunAccount, add_up, hours
from streamclf.archive.check import check_run
from streamclf.archive.index import write_index
from streamclf.archive.manifest import PLAN_FILE, Manifest, read_manifest, read_plan
from streamclf.archive.place import Place
from streamclf.archive.places import check_apart, open_place
from streamclf.archive.plan import Planned, check_item_minutes, make_plan
from streamclf.archive.progress import describe_failures
from streamclf.archive.run_description import describe_versions, list_runs
from streamclf.archive.run_item import Hearing, Runner, find_open_items, remove_leftovers
from streamclf.archive.shard import Shard, ShardReport, run_shard
from streamclf.archive.workers import WorkerOptions
from streamclf.core.errors import FAILED, INTERRUPTED, OK, StoreError, UsageError
from streamclf.core.text_format import format_count
from streamclf.model.options import ModelOptions
from streamclf.runs.console import say
from streamclf.runs.interrupts import Interrupts

_MOST_LINES = 10
"""Failures that are told one by one; of more, the rest is counted."""
_HEADERS_S = 15.0
"""Seconds between two lines about headers."""


def plan(archive: str, out: str, *, item_minutes: float, overwrite: bool) -> int:
    """List an archive, and write its plan. Returns the exit code.

    Raises:
        UsageError: A plan is there already, or a value is out of range.
        PlaceError: The archive cannot be listed, or the plan cannot be written.
    """
    check_item_minutes(item_minutes)
    source, results = open_place(archive), open_place(out)
    check_apart(source, results)
    before = _find_before(results, overwrite=overwrite)
    tell = _tell_headers()

    def on_headers(n_done: int, n_files: int) -> None:
        if not n_done:
            results.check_takes()
        tell(n_done, n_files)

    planned = make_plan(source, item_minutes, on_headers)
    for name, data in planned.files.items():
        results.put_whole(name, data)
    for line in planned.notes:
        say(line)
    if before is not None and before.n_runs and before.id != planned.manifest.plan.id:
        runs = format_count(before.n_runs, "run")
        say(
            f"warning: {runs} of the plan before stay in {results} and count no longer: the new "
            "plan is heard anew as a whole"
        )
    print(f"{results}: {_describe_plan(planned)}")
    unopened = [f"{path}: {why}" for path, why in planned.manifest.unopened().items()]
    _say_failures(
        unopened,
        f"of {planned.manifest.plan.recordings} cannot be opened and are left out",
        "warning",
    )
    return OK


@dataclass(frozen=True)
class _Before:
    """A plan that is replaced.

    Attributes:
        id: Its hash.
        n_runs: Number of its runs.
    """

    id: str
    n_runs: int


def _find_before(results: Place, *, overwrite: bool) -> _Before | None:
    """Find the plan that a new one replaces; None if there is none.

    Raises:
        UsageError: It may not be replaced.
        StoreError: It is no plan that could be read, and is to stay.
        PlaceError: The place cannot be read.
    """
    if not results.exists(PLAN_FILE):
        return None
    try:
        plan = read_plan(results)
        n_runs = len(list_runs(results, plan))
    except StoreError:
        if overwrite:  # what cannot be read is what is replaced
            return None
        raise
    if overwrite:
        return _Before(plan.id, n_runs)
    there = f" and {format_count(n_runs, 'run')} of it" if n_runs else ""
    cost = ", after which all is heard again" if n_runs else ""
    raise UsageError(
        f"--out {results}: holds a plan of {plan.root}{there} already: run it; recordings that "
        "came since get a plan of their own, with another --out; or replace it with "
        f"--overwrite{cost}"
    )


def run(
    results: str,
    hearing: Hearing,
    workers: WorkerOptions,
    *,
    shard: str | None,
    archive: str | None,
) -> int:
    """Hear the items of a plan on Ray, or a share of them without. Returns the exit code.

    Raises:
        UsageError: The share makes no sense, the settings do not fit the model, or Ray is missing.
        StoreError: There is no plan.
        PlaceError: The archive cannot be read, or results cannot be written.
        ClusterError: No cluster can be joined, or no worker can hear anything.
    """
    if shard is None:
        return _run_on_ray(results, hearing, workers, archive)
    chosen = Shard.parse(shard)
    if workers != WorkerOptions():
        raise UsageError(
            f"--shard {shard}: is heard by this process, without Ray: leave out --ray, --workers "
            "and --gpus"
        )
    manifest = read_manifest(open_place(results))
    runner = Runner(results, hearing, archive=archive, say=say)
    with Interrupts(runner.stop) as interrupts:
        report = run_shard(runner, manifest, chosen, lambda: interrupts.happened)
        return end_run(runner.results, manifest, runner.run, report, interrupts.happened)


def _run_on_ray(results: str, hearing: Hearing, workers: WorkerOptions, archive: str | None) -> int:
    from streamclf.archive.on_ray import OpenRunner, run_on_ray  # which a share does without

    manifest = read_manifest(open_place(results))
    open_runner = OpenRunner.anywhere(results, hearing, archive, on_gpu=bool(workers.gpus))
    # This machine may have no GPU: here the model is only looked at.
    here = replace(hearing, model=replace(hearing.model, provider="cpu"))
    runner = Runner(results, here, archive=archive, say=say)
    with Interrupts(runner.stop) as interrupts:
        report = run_on_ray(runner, manifest, open_runner, workers, lambda: interrupts.happened)
        if report.n_workers:
            say(report.describe_workers())
        return end_run(runner.results, manifest, runner.run, report, interrupts.happened)


def end_run(
    results: Place, manifest: Manifest, run: str, report: ShardReport, interrupted: bool
) -> int:
    """Tell what became of a run, or of a share of it. Returns the exit code.

    Args:
        results: Where the results lie.
        manifest: The manifest.
        run: Hash of the run.
        report: What became of the share.
        interrupted: Whether a signal ended it.
    """
    _say_failures(report.failures, f"of {format_count(report.n_recordings, 'recording')} failed")
    _say_failures(
        report.unheard,
        f"of {format_count(report.n_items + len(report.unheard), 'item')} could not be read, and "
        "are tried again by the next run",
    )
    if interrupted:
        say("interrupted: what is done stays; the same command goes on")
        return INTERRUPTED
    left = find_open_items(results, manifest, run)
    if left:
        items = format_count(len(manifest), "item")
        say(f"{len(left)} of {items} left, for other shares of the run or for the next one")
    else:
        remove_leftovers(results, run)
        write_index(results, run)
        total = add_up(results, manifest, run)
        print(f"{results}: {total.describe()}")
    return FAILED if report.failures or report.unheard else OK


def status(results: str, *, json: bool) -> int:
    """Print how far each run of an archive is. Returns the exit code.

    Raises:
        StoreError: There is no plan, or results are not whole.
        PlaceError: The results cannot be read.
    """
    place = open_place(results)
    manifest = read_manifest(place)
    accounts = [add_up(place, manifest, each["run"]) for each in list_runs(place, manifest.plan)]
    if json:
        made = msgspec.to_builtins(manifest.plan)
        print(
            msgspec.json.encode(
                {"plan": made, "runs": [account.as_json() for account in accounts]}
            ).decode()
        )
        return OK
    print(_describe_manifest(place, manifest))
    for account in accounts:
        print(_describe_account(account))
    n_earlier = len(place.names("runs")) - len(accounts)
    if n_earlier:
        print(f"{format_count(n_earlier, 'run')} of an earlier plan: no longer counted")
    if not accounts:
        print(f"no run yet: streamclf archive run {place}")
    return OK


def check(
    results: str,
    *,
    sample: int,
    seed: int | None,
    run: str | None,
    archive: str | None,
    model: ModelOptions,
) -> int:
    """Check that all results are there, whole, and add up. Returns the exit code.

    Raises:
        UsageError: There is no such run, or the model is not the run's.
        StoreError: There is no plan, or no run.
        PlaceError: The results cannot be read.
    """
    place = open_place(results)
    manifest = read_manifest(place)
    runs = [each for each in list_runs(place, manifest.plan) if each["run"].startswith(run or "")]
    if not runs:
        raise StoreError(
            f"{place}: holds no run{f' {run}' if run else ''}: streamclf archive run {place}"
        )
    n_faults = 0
    for each in runs:
        found = check_run(
            place, manifest, each, sample=sample, seed=seed, archive=archive, model=model
        )
        for note in filter(None, [describe_versions(each), *found.notes]):
            say(note)
        for fault in found.faults:
            print(f"{each['run']}: {fault}")
        if not found.faults:
            print(f"{each['run']}: fine: {found.counts}")
        n_faults += len(found.faults)
    if n_faults:
        say(f"error: {place}: does not add up: {format_count(n_faults, 'line')} above")
    return FAILED if n_faults else OK


def _tell_headers() -> Callable[[int, int], None]:
    """Return what tells now and then how many headers are opened."""
    told = datetime.now(UTC)

    def tell(n_done: int, n_files: int) -> None:
        nonlocal told
        moment = datetime.now(UTC)
        if (moment - told).total_seconds() >= _HEADERS_S:
            told = moment
            say(f"{n_done:,} of {n_files:,} headers opened")

    return tell


def _describe_plan(planned: Planned) -> str:
    made = planned.manifest.plan
    opened = made.recordings - made.unopened
    unopened = f"; {made.unopened} cannot be opened" if made.unopened else ""
    return (
        f"{format_count(opened, 'recording')}, {hours(made.seconds)}, in "
        f"{format_count(made.items, 'item')}{unopened}"
    )


def _describe_manifest(place: Place, manifest: Manifest) -> str:
    made = manifest.plan
    unopened = f", of which {made.unopened} cannot be opened" if made.unopened else ""
    return (
        f"{place}: {format_count(made.recordings, 'recording')} of {made.root}{unopened}; "
        f"{hours(made.seconds)} in {format_count(made.items, 'item')}, planned {made.made}"
    )


def _describe_account(account: RunAccount) -> str:
    model, settings = account.description["model"], account.description["settings"]
    waiting = ""
    if account.n_waiting:
        pieces = format_count(account.n_waiting, "piece")
        waiting = f"; {pieces} of long recordings heard, not yet joined"
    lines = [
        f"run {account.run}: {model['name']} {model['version']}, a window every "
        f"{settings['hop_s']:g} s, averaged over {settings['average_s']:g} s: "
        f"{account.n_done} of {format_count(account.n_items, 'item')} done{waiting}",
        f"  {account.describe()}",
    ]
    for cause, (n_gaps, length) in sorted(account.gaps.items()):
        lines.append(f"  {format_count(n_gaps, 'gap')} of {hours(length)}: {cause}")
    if account.reasons:
        lines.append(f"  {describe_failures(account.reasons, most=None)}")
    if len(account.rules) > 1:
        by_rules = (f"{n} by rules {rules}" for rules, n in sorted(account.rules.items()))
        lines.append(f"  made by several event rules: results {', '.join(by_rules)}")
    if told := describe_versions(account.description):
        lines.append(f"  {told}")
    return "\n".join(lines)


def _say_failures(failures: list[str], what: str, level: str = "error") -> None:
    """Say what failed: how many, and the first ones a line each."""
    if failures:
        say(f"{level}: {len(failures)} {what}:")
    for failure in failures[:_MOST_LINES]:
        say(f"{level}: {failure}")
    if len(failures) > _MOST_LINES:
        say(f"{level}: and {len(failures) - _MOST_LINES} more: status counts all by their reasons")
