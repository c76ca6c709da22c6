"""Folders of results of an archive whose contents are written down, and the same as a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from stores import Heard as StoredEvent
from stores import Run, make_store

from streamclf.archive.manifest import Item, Plan, PlannedRecording, make_manifest
from streamclf.archive.tables import make_tables, result_name
from streamclf.archive.whole import Heard, HeardEvent, HeardMinute
from streamclf.core.records import Gap, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.pipeline.levels import Levels

RATE = 16_000
RUN = "0123456789abcdef"
SHA = "sha of pocket"


def planned(number: int, run: Run, root: str) -> PlannedRecording:
    """A recording as the plan has it: 48 kHz, of the length that its run was heard."""
    path = str(run.recording).removeprefix(f"{root}/")
    length_s = run.heard_s + sum(length for _, length, _ in run.gaps)
    folder, _, _ = path.rpartition("/")
    return PlannedRecording(
        number, path, 1000, "", 48_000, 1, length_s, round(length_s * 48_000),
        site=folder.partition("/")[0], date=f"{run.begun:%Y-%m-%d}" if run.begun else "",
    )  # fmt: skip


def heard(run: Run, recording: PlannedRecording) -> Heard:
    """What a run says, as a worker of an archive hears it."""
    rate = run.sample_rate
    stream = StreamStarted(recording.path, rate, ["dog"], "single-label", run.begun)
    events = []
    for each in run.events:
        event = each if isinstance(each, StoredEvent) else StoredEvent(*each)
        onset, length = round(event.onset_s * rate), round((event.length_s or 0) * rate)
        score = event.score
        events.append(HeardEvent(event.label, onset, onset + length, score, False, score / 2, 0))
    gaps = [Gap(round(at * rate), round(n * rate), rate, cause) for at, n, cause in run.gaps]
    n_missing = sum(gap.n_samples for gap in gaps)
    n_heard = round(run.heard_s * rate)
    statistics = Statistics(
        rate, n_heard + n_missing, n_heard, n_missing, len(gaps), n_windows=n_heard // rate
    )
    return Heard(
        stream, 48_000, recording.seconds, events, gaps, minutes=list(_minutes(run, gaps)),
        statistics=statistics, fault="" if run.state == "ended" else "it is cut off",
    )  # fmt: skip


def _minutes(run: Run, gaps: Sequence[Gap]) -> Iterable[HeardMinute]:
    """Minutes of the wall clock where no offset is known, as a worker counts them."""
    rate = run.sample_rate
    end = round(run.heard_s * rate) + sum(gap.n_samples for gap in gaps)
    begun = run.begun
    zone = None if begun is None else begun.utcoffset()
    begun_us = None
    if begun is not None:
        aware = begun if zone is not None else begun.replace(tzinfo=UTC)
        begun_us = round(aware.timestamp() * 1e6)
    position = 0
    while position < end:
        us = None if begun_us is None else begun_us + position * 1_000_000 // rate
        into = position % (60 * rate) if us is None else us % 60_000_000 * rate // 1_000_000
        stop = min(position + 60 * rate - into, end)
        n_lost = sum(max(min(stop, gap.end) - max(position, gap.position), 0) for gap in gaps)
        level = run.level
        if stop - position > n_lost:
            yield HeardMinute(
                position, stop - position - n_lost, None if us is None else us - us % 60_000_000,
                None if zone is None else round(zone.total_seconds() / 60),
                None if level is None else Levels(60, level, level + 15, level + 5, level,
                                                  level - 5, level + 3),
            )  # fmt: skip
        position = stop


def make_results(folder: Path, runs: Sequence[Run], root: str, run: str = RUN) -> Path:
    """Make a folder of results; recordings that follow each other in one folder are one item."""
    recordings = [planned(number, each, root) for number, each in enumerate(runs)]
    paired = list(zip(recordings, runs, strict=True))
    items = []
    for (site, date), group in groupby(paired, lambda pair: (pair[0].site, pair[0].date)):
        together = list(group)
        number = len(items)
        items.append(Item(number, "whole", tuple(each for each, _ in together)))
        made = make_tables(
            [(each, heard(said, each) if said.heard_s else "cannot be opened")
             for each, said in together],
            run=run, item=number, sample_rate=RATE,
        )  # fmt: skip
        for table, data in made.items():
            put(folder, result_name(table, run, site, date, number), data)
    plan = Plan(root=root, id="", item_minutes=120, recordings=0, unopened=0, items=0,
                seconds=0, made="", version="")  # fmt: skip
    for name, data in make_manifest(plan, recordings, items)[1].items():
        put(folder, name, data)
    model = {"name": "pocket", "version": "8", "sha256": SHA,
             "display_names": dict(runs[0].display_names),
             "broader": dict(runs[0].broader), "sureness": runs[0].sureness}  # fmt: skip
    put(folder, f"runs/{run}.json", json.dumps({"run": run, "model": model}).encode())
    return folder


def put(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_both(folder: Path, runs: Sequence[Run], root: str = "/field/2026") -> tuple[Path, Path]:
    """Make a store and a folder of results that hold the same.

    Times without an offset are given to the store with that of this machine's zone.
    """
    aware = [
        Run(**{**vars(each), "begun": each.begun if each.begun is None or each.begun.tzinfo
               else each.begun.astimezone()})
        for each in runs if each.heard_s
    ]  # fmt: skip
    return make_store(folder / "s.db", aware), make_results(folder / "results", runs, root)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
