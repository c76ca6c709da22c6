"""``python -m train.event_scores TRUTH.csv FOUND.csv``: the accuracy of found events.

Both are tables as ``streamclf file --output found.csv`` writes them: type, source, label, onset,
offset. Recordings are matched by their file names; folders do not count. Columns ``snr_db`` and
``seconds`` of the truth (`train.soundscape` writes them) give figures by level and each recording's
length. Without a length a recording ends with its last event.

With ``--scores NAME.npz``, which ``streamclf file --scores`` writes of the same recordings, figures
that no threshold decides are added (`train.evaluation.psds`).
"""

from __future__ import annotations

import json
import math
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.core.errors import UsageError
from streamclf.core.text_format import format_length
from train.base.arguments import Parser
from train.base.errors import TrainError
from train.base.exit_codes import exit_codes
from train.datasets.dataset import number_rows
from train.evaluation.event_metrics import COLLAR_S, SEGMENT_S, Event, evaluate_events
from train.evaluation.psds import Recording, measure_psds

COLUMNS = ("source", "label", "onset", "offset")


@dataclass
class EventTable:
    """A table of events as read.

    Attributes:
        events: Events in the order of the rows.
        levels: ``snr_db`` of each recording, where the table has it.
        lengths: Length of each recording in seconds, where the table has it.
    """

    events: list[Event] = field(default_factory=list)
    levels: dict[str, float] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.event_scores",
        description="Judge found events by the true ones, with sed_eval's definitions.",
    )
    add = parser.add_argument
    add("truth", type=Path, metavar="TRUTH.csv", help="the true events")
    add("found", type=Path, metavar="FOUND.csv", help="streamclf's table of the same recordings")
    add("--collar", type=float, default=COLLAR_S, metavar="S", help="by which an onset may be "
        f"missed, in seconds ({COLLAR_S:g})")  # fmt: skip
    add("--segment", type=float, default=SEGMENT_S, metavar="S", help="length of a segment in "
        f"seconds ({SEGMENT_S:g})")  # fmt: skip
    add("--scores", type=Path, metavar="SCORES.npz", help="streamclf's scores of the same "
        "recordings (file --scores): PSDS1, over all thresholds")  # fmt: skip
    add("--json", action="store_true", help="JSON instead of tables")
    options = parser.parse_args(arguments)
    for name in ("collar", "segment"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"--{name} is {value:g}, must be above 0 seconds")
    truth, found = read_events(options.truth), read_events(options.found)
    if found.levels and not truth.levels:
        raise UsageError(
            f"{options.found}: has a column snr_db, as only the truth of soundscapes has: name the "
            "truth first, then what was found"
        )
    result = evaluate_tables(truth, found, options.collar, options.segment)
    if options.scores is not None:
        add_psds(result, options.scores, truth)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print_result(result)
    return 0


def read_events(path: Path) -> EventTable:
    """Read a table of events; rows of gaps are passed over.

    Raises:
        TrainError: It cannot be read, lacks a column, or a row makes no sense.
    """
    table = EventTable()
    try:
        for line, row in number_rows(path, COLUMNS):
            if row.get("type", "event") == "event":
                _take_row(table, row, line)
    except OSError as error:
        raise TrainError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TrainError(f"{path}: {error}; expected is what --output NAME.csv writes") from error
    return table


def _take_row(table: EventTable, row: dict[str, str], line: int) -> None:
    source = Path(row["source"] or "").name
    try:
        onset, offset = float(row["onset"]), float(row["offset"])
        if not (math.isfinite(onset) and math.isfinite(offset) and 0 <= onset <= offset):
            raise ValueError(f"onset is {onset:g}, offset {offset:g}")
        for name, kept in (("snr_db", table.levels), ("seconds", table.lengths)):
            if row.get(name):
                kept[source] = float(row[name])
    except (TypeError, ValueError) as error:
        raise ValueError(f"line {line}: no event: {error}") from error
    table.events.append(Event(source, row["label"], onset, offset))


def evaluate_tables(
    truth: EventTable, found: EventTable, collar_s: float = COLLAR_S, segment_s: float = SEGMENT_S
) -> dict[str, Any]:
    """Compute all figures of `evaluate_events`, and the same by level where the truth has levels.

    Raises:
        TrainError: There is no true event, or a found recording is not among the true ones.
    """
    sources = {event.source for event in truth.events}
    if not sources:
        raise TrainError("the truth holds no events: there is nothing to judge by")
    foreign = sorted({event.source for event in found.events} - sources)
    if foreign:
        raise TrainError(
            f"{foreign[0]}: has found events, but the truth knows no recording of this name"
        )
    lengths = {
        source: truth.lengths.get(source, _last_end(source, truth, found)) for source in sources
    }
    result = evaluate_events(truth.events, found.events, lengths, collar_s, segment_s)
    levels = sorted({level for source, level in truth.levels.items() if source in sources})
    by_level = {}
    for level in levels:
        own = {source: lengths[source] for source in sources if truth.levels.get(source) == level}
        judged = evaluate_events(
            [event for event in truth.events if event.source in own],
            [event for event in found.events if event.source in own],
            own, collar_s, segment_s,
        )  # fmt: skip
        by_level[f"{level:g}"] = {key: judged[key] for key in judged if key != "classes"}
    settings = {"collar_s": collar_s, "segment_s": segment_s}
    return settings | result | ({"snr_db": by_level} if by_level else {})


def add_psds(result: dict[str, Any], path: Path, truth: EventTable) -> None:
    """Add the figures that no threshold decides, of the windows' scores in a file.

    Raises:
        TrainError: The file is another one, or lacks a recording of the truth.
    """
    recordings, labels = read_scores(path, truth)
    measured = measure_psds(recordings, labels, truth.events)
    result["psds1"] = measured["psds1"]
    for label, area in measured["classes"].items():
        result["classes"][label]["psd_area"] = area


def read_scores(path: Path, truth: EventTable) -> tuple[dict[str, Recording], list[str]]:
    """Read the windows' scores of the true recordings, and their labels.

    A window's score stands for the time around its middle, half way to those of its neighbours.

    Raises:
        TrainError: The file is another one, or lacks a recording of the truth.
    """
    names = ("sources", "source", "labels", "onset", "offset", "scores")
    try:
        with np.load(path, allow_pickle=False) as file:
            if lacking := sorted(set(names) - set(file.files)):
                raise ValueError(f"lacks {lacking[-1]!r}")
            kept = {name: file[name] for name in names}
    except OSError as error:
        raise TrainError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise TrainError(f"{path}: {error}; expected is what --scores NAME.npz writes") from error
    recordings = {}
    wanted = {event.source for event in truth.events}
    for number, source in enumerate(kept["sources"].tolist()):
        own = kept["source"] == number
        if (name := Path(source).name) in wanted and own.any():
            middles = (kept["onset"][own] + kept["offset"][own]) / 2
            length = truth.lengths.get(name, float(kept["offset"][own].max()))
            between = (middles[1:] + middles[:-1]) / 2
            edges = np.concatenate(
                [[0.0], between, [max(length, float(between[-1:].max(initial=0)))]]
            )
            recordings[name] = Recording(edges, kept["scores"][own], length)
    if missing := sorted(wanted - set(recordings)):
        raise TrainError(f"{path}: has no scores of {missing[0]}, which has true events")
    return recordings, kept["labels"].tolist()


def _last_end(source: str, *tables: EventTable) -> float:
    return max(
        (event.offset for table in tables for event in table.events if event.source == source),
        default=0.0,
    )


def print_result(result: dict[str, Any]) -> None:
    """Print the table for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for heading in ("event F1", "precision", "recall", "right/found/there",
                    "segment F1", "precision", "recall"):  # fmt: skip
        table.add_column(heading, justify="right")
    table.add_row("all", *_cells(result))
    for level, judged in result.get("snr_db", {}).items():
        table.add_row(f"at {level} dB", *_cells(judged))
    table.add_section()
    for label, judged in result["classes"].items():
        table.add_row(label, *_cells(judged))
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 200
    console.print(table, highlight=False)
    console.print(
        f"{result['recordings']} recordings, {format_length(3600 * result['hours'])}; "
        f"{result['false_alarms_per_hour']:g} false alarms an hour (events of a class that does "
        "not sound)",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if "psds1" in result:
        console.print(f"PSDS1 {result['psds1']:.3f}, over all thresholds", highlight=False)


def _cells(judged: dict[str, Any]) -> list[str]:
    cells = []
    for kind in ("events", "segments"):
        figures = judged[kind]
        cells += [_format(figures[name]) for name in ("f1", "precision", "recall")]
        if kind == "events":
            cells.append("/".join(str(figures[name]) for name in ("right", "found", "there")))
    return cells


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
