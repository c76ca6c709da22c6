"""Pictures of a run; they need matplotlib and no screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot_history(folder: Path, epochs: Sequence[dict[str, Any]]) -> None:
    """Write ``losses.png`` and ``accuracies.png`` from a run's history."""
    _plot(folder / "losses.png", epochs, {"loss": "training"}, "loss")
    lines = {
        "accuracy": "training batches, mixed as trained on",
        "held_out_windows": "held-out fold, single windows",
        "held_out_clips": "held-out fold, averaged windows",
    }
    _plot(folder / "accuracies.png", epochs, lines, "accuracy")


def _plot(path: Path, epochs: Sequence[dict[str, Any]], lines: dict[str, str], what: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for key, label in lines.items():
        points = [(epoch["epoch"], epoch[key]) for epoch in epochs if epoch.get(key) is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True), label=label, marker="." if len(points) < 40 else ""
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(path, dpi=110)
