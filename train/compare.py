"""``python -m train.compare RUN ...``: runs side by side, in one table."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamclf.core.errors import StreamclfError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.nets.inference import HOP_S
from train.nets.layers import count_multiply_adds, count_parameters
from train.run_folder.load_network import load_network
from train.run_folder.reproduce import describe_variant
from train.run_folder.run import CONFIG, RESULT, RunFolder

MEASURED_S = 1.0
"""Seconds of timing for each network, one window at a time as in live use."""

HEADINGS = {
    "run": "run",
    "network": "network",
    "data": "data",
    "figure": "accuracy, or mean absolute error",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "megabytes": "MB",
    "speed": "x real time",
}


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.compare",
        description="Compare runs: accuracy, size and speed on this machine's processor.",
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="run folders; their models, RUN.onnx or "
        "RUN/*.onnx, are measured where they are there")  # fmt: skip
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="JSON instead of a table")
    formats.add_argument("--csv", action="store_true", help="CSV instead of a table")
    options = parser.parse_args(arguments)
    rows, failures = [], []
    for path in options.runs:
        try:
            rows.append(describe_run(path))
        except StreamclfError as error:
            failures.append(error)
    if rows:
        print_rows(rows, options)
    for error in failures:
        print(f"error: {error}", file=sys.stderr)
    return 1 if failures else 0


def print_rows(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the runs on standard output, in the form that the options name."""
    if options.json:
        print(json.dumps(rows, indent=1))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_table(rows)


def describe_run(path: Path) -> dict[str, Any]:
    """Collect a run's figures.

    Raises:
        RunError: It cannot be read.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    first, folds = run, config.get("cross_validation")
    if folds:
        first = RunFolder.open(path / f"fold-{folds[0]}")
        config = first.read_json(CONFIG)
    result = run.read_json(RESULT) if (run.path / RESULT).exists() else {}
    _, network = load_network(first, config)
    model = find_model(path)
    window_samples = config["window_samples"]
    window = np.zeros((1, window_samples), dtype=np.float32)
    window[:] = np.random.default_rng(1).uniform(-0.1, 0.1, window.shape)
    run_window = _in_onnx_runtime(model, window) if model else _in_torch(network, window)
    low, high = result.get("interval_95", (None, None))
    return {
        "run": str(path),
        "network": describe_variant(config),
        "data": f"{config['data']['name']}, fold {result.get('fold', '-')}",
        "clips": result.get("clips"),
        "accuracy": result.get("averaged_windows"),
        "mean_absolute_error": result.get("mean_absolute_error"),
        "interval_low": low,
        "interval_high": high,
        "spread": result.get("averaged_windows_spread", result.get("mean_absolute_error_spread")),
        "parameters": count_parameters(network),
        "multiply_adds": count_multiply_adds(network, window_samples),
        "megabytes": round(model.stat().st_size / 1e6, 2) if model else None,
        "x_real_time": round(HOP_S / time_window(run_window), 1),
        "measured_with": "ONNX Runtime" if model else "torch",
    }


def find_model(path: Path) -> Path | None:
    """Find the exported model of a run: ``RUN/*.onnx``, or ``RUN.onnx`` beside it."""
    beside = path.resolve().with_name(path.resolve().name + ".onnx")
    return next((file for file in (*sorted(path.glob("*.onnx")), beside) if file.is_file()), None)


def time_window(run_window: Callable[[], object]) -> float:
    """Median seconds of a call that scores one window."""
    run_window()
    seconds: list[float] = []
    while sum(seconds) < MEASURED_S and len(seconds) < 1000:
        began = time.perf_counter()
        run_window()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the table for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, heading in HEADINGS.items():
        is_number = name in ("parameters", "multiply_adds", "megabytes", "speed")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        shown = {name: str(row.get(name) or "-") for name in HEADINGS}
        shown["figure"] = _format_figure(row)
        shown["parameters"] = f"{row['parameters'] / 1e6:.3f} M"
        shown["multiply_adds"] = f"{row['multiply_adds'] / 1e6:.0f} M"
        shown["speed"] = f"{row['x_real_time']:g} ({row['measured_with']})"
        table.add_row(*shown.values())
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 200
    console.print(table, highlight=False)
    note = f"x real time: {HOP_S:g} s (the hop) / the time of one window, alone, on this processor"
    print(note, file=sys.stderr)


def _format_figure(row: dict[str, Any]) -> str:
    spread = row["spread"]
    if row["mean_absolute_error"] is not None:
        text = f"MAE {row['mean_absolute_error']:.3f}"
        return text + (f" +- {spread:.3f}" if spread is not None else "")
    if row["accuracy"] is None:
        return "-"
    text = f"{row['accuracy']:.1%}" + (f" +- {spread:.1%}" if spread is not None else "")
    return f"{text} ({row['interval_low']:z.1%} to {row['interval_high']:.1%}) of {row['clips']}"


def _in_onnx_runtime(model: Path, window: np.ndarray) -> Callable[[], object]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: window}
    return lambda: session.run(None, inputs)


def _in_torch(network: torch.nn.Module, window: np.ndarray) -> Callable[[], object]:
    tensor = torch.from_numpy(window)

    def run_window() -> object:
        with torch.inference_mode():
            return network(tensor)

    return run_window


if __name__ == "__main__":
    sys.exit(main())
