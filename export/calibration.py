"""``python -m export.calibration RUN``: how far scores are from how often they are right.

The command compares ways to calibrate, on clips that the temperature was not fitted to. It also
draws the reliability diagram of the engine's own way into the run's folder (``calibration.png``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from export.card.held_out import find_held_out
from export.card.temperature import (
    AVERAGE_S,
    BOTH,
    MIN_CLIPS,
    RUNNING,
    WHOLE,
    Averaging,
    calibration_error,
    clip_averages,
    fit_temperature,
    running_averages,
)
from export.errors import ExportError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.evaluation.metrics import reliability
from train.evaluation.plots import draw_reliability
from train.nets.inference import WindowLogits
from train.run_folder.run import CONFIG, RunFolder

PICTURE = "calibration.png"


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m export.calibration",
        description="Measure how far scores are from how often they are right, on held-out clips.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args(arguments)
    results = {str(path): measure_run(path) for path in options.runs}
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        print_results(results)
    return 0


def measure_run(path: Path) -> list[dict[str, Any]]:
    """Measure each way to calibrate, and draw the picture.

    Returns:
        A row for each way.

    Raises:
        ExportError: The run held no classes' clips out, or too few.
        RunError: It cannot be read.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    held_out = None if "cross_validation" in config else find_held_out(run, config)
    if held_out is None or held_out.outputs.is_regression:
        raise ExportError(f"{path}: held no clips of classes out; name a run that did")
    outputs = held_out.outputs
    if len(outputs.targets) < MIN_CLIPS:
        raise ExportError(
            f"{path}: held {len(outputs.targets)} clips out, a calibration needs {MIN_CLIPS}; "
            "name a run that held out more"
        )
    error, bins = calibration_error(outputs, BOTH, RUNNING)
    draw_reliability(run, bins, error, PICTURE, "averages")
    return measure(outputs)


def measure(outputs: WindowLogits) -> list[dict[str, Any]]:
    """Measure each way's error of averages over `AVERAGE_S` and over whole clips."""
    rows: list[dict[str, Any]] = [
        {
            "calibration": "none",
            "temperature": 1.0,
            "error": round(_uncalibrated(outputs, running_averages), 4),
            "error_of_clips": round(_uncalibrated(outputs, clip_averages), 4),
        }
    ]
    for name, fitted, running, whole in (
        ("temperature of windows", running_averages, running_averages, clip_averages),
        (f"temperature of averages over {AVERAGE_S:g} s", RUNNING, RUNNING, WHOLE),
        ("temperature of both averages", BOTH, RUNNING, WHOLE),
    ):
        rows.append(
            {
                "calibration": name,
                "temperature": fit_temperature(outputs, fitted),
                "error": round(calibration_error(outputs, fitted, running)[0], 4),
                "error_of_clips": round(calibration_error(outputs, fitted, whole)[0], 4),
            }
        )
    return rows


def _uncalibrated(outputs: WindowLogits, averages: Averaging) -> float:
    scores = averages(outputs, 1.0)
    targets = [np.full(len(own), t) for own, t in zip(scores, outputs.targets, strict=True)]
    return reliability(np.concatenate(scores), np.concatenate(targets))[0]


def print_results(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print the table for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("run", "calibration"):
        table.add_column(heading, overflow="fold")
    for heading in ("temperature", f"error, averages of {AVERAGE_S:g} s", "error, whole clips"):
        table.add_column(heading, justify="right")
    for path, rows in results.items():
        for row in rows:
            figures = (f"{row[name]:.3f}" for name in ("temperature", "error", "error_of_clips"))
            table.add_row(path, row["calibration"], *figures)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 160
    console.print(table, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
