"""The description of a run, which says with what its results are made, and by which streamclf.

A run is begun by one streamclf and may be finished by another. Where that makes events by other
rules (`streamclf.pipeline.event_rules`), nothing is heard before the user has said what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from streamclf import __version__
from streamclf.archive.manifest import Plan
from streamclf.archive.place import Place
from streamclf.core.errors import StoreError, UsageError
from streamclf.pipeline.event_rules import EVENT_RULES


def description_name(run: str) -> str:
    """Return the name of the file that describes a run."""
    return f"runs/{run}.json"


def begin_run(
    results: Place, described: dict[str, Any], rules: int | None, say: Callable[[str], None]
) -> None:
    """Put the description of a run if there is none, and tell if another streamclf began it.

    Args:
        results: Where the results lie.
        described: What `streamclf.archive.hearing.describe_run` says of the run.
        rules: Event rules that the user names; None for those of this streamclf.
        say: Called with a line about the versions, if they differ.

    Raises:
        UsageError: A run of the same model and settings was begun by other event rules, and the
            user has not said what is wanted; or no run was begun by those that are named.
        PlaceError: The results cannot be read or written.
    """
    if results.exists(description_name(described["run"])):
        begun = read_description(results, described["run"])
        if described["rules"] != EVENT_RULES:
            say(
                f"warning: run {described['run']} has event rules {described['rules']} (streamclf "
                f"{begun['streamclf']}) and goes on with rules {EVENT_RULES} ({__version__}): "
                "its events are of both"
            )
        elif told := describe_versions(begun):
            say(told)
        return
    others = [
        each
        for each in _read_descriptions(results)
        if each.get("hearing") == described["hearing"] and each["rules"] != described["rules"]
    ]
    if described["rules"] != EVENT_RULES:
        there = ", ".join(sorted({str(each["rules"]) for each in others})) or "none"
        raise UsageError(
            f"--event-rules {rules}: {results} has no such run of this model and these settings "
            f"(there: {there}): this streamclf begins one by rules {EVENT_RULES}"
        )
    if others and rules is None:
        other = max(others, key=lambda each: int(each["rules"]))
        raise UsageError(
            f"{results}: run {other['run']} was begun by streamclf {other['streamclf']} with event "
            f"rules {other['rules']}, this one has rules {EVENT_RULES}: --event-rules "
            f"{other['rules']} goes on with that run all the same, --event-rules {EVENT_RULES} "
            "hears all anew beside it"
        )
    results.put_whole(
        description_name(described["run"]), msgspec.json.format(msgspec.json.encode(described))
    )


def describe_versions(described: dict[str, Any]) -> str:
    """Tell in a line that another streamclf began a run; empty where it was this one."""
    begun, rules = described["streamclf"], described.get("rules")
    if rules is None:
        return ""  # of a form before there were any
    if rules != EVENT_RULES:
        return (
            f"warning: run {described['run']} was begun by streamclf {begun} with event rules "
            f"{rules}; this is {__version__}, with rules {EVENT_RULES}: --event-rules {rules} goes "
            f"on with it, --event-rules {EVENT_RULES} hears all anew"
        )
    if begun != __version__:
        return (
            f"run {described['run']} was begun by streamclf {begun}; this is {__version__}, whose "
            f"event rules are the same ({rules})"
        )
    return ""


def list_runs(results: Place, plan: Plan) -> list[dict[str, Any]]:
    """Read the descriptions of all runs of a plan, sorted by their hashes.

    Runs of a plan that was replaced are left out: their items are others.

    Raises:
        StoreError: One of them cannot be read.
        PlaceError: The results cannot be read.
    """
    return [described for described in _read_descriptions(results) if described["plan"] == plan.id]


def _read_descriptions(results: Place) -> list[dict[str, Any]]:
    names = sorted(name for name in results.names("runs") if name.endswith(".json"))
    return [read_description(results, _run_in(name)) for name in names]


def _run_in(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".json")


def read_description(results: Place, run: str) -> dict[str, Any]:
    """Read the description of a run.

    Raises:
        StoreError: There is none, or it cannot be read.
        PlaceError: The results cannot be read.
    """
    try:
        return msgspec.json.decode(results.read(description_name(run)), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError) as error:
        name = f"{results}/{description_name(run)}"
        raise StoreError(f"{name}: cannot be read as the settings of a run") from error
