"""Pictures of a run; they need matplotlib and no screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from train.nets.contract import System
from train.nets.log_mel import hz_to_mel, mel_to_hz
from train.run_folder.learned_filters import FILTERS, read_filter_history
from train.run_folder.run import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
FRAME_MS = 150
MAX_KERNELS = 64


def draw_run(run: RunFolder, system: System, network: nn.Module) -> None:
    """Draw all pictures of a finished training."""
    draw_history(run, run.read_json("history.json"))
    if (run.path / FILTERS).exists():
        draw_filters(run)
    kernels = system.kernels(network)
    if kernels is not None:
        draw_kernels(run, kernels.detach().float().cpu().numpy())


def draw_history(run: RunFolder, epochs: Sequence[dict[str, Any]]) -> None:
    """Write ``losses.png`` and ``accuracies.png`` (``errors.png`` for a regression)."""
    losses = {
        "loss": "training batches, as trained on",
        "validation_loss": "validation clips, single windows",
        "held_out_loss": "held-out fold, single windows",
    }
    _draw_lines(run, "losses.png", epochs, losses, "loss")
    is_regression = bool(epochs) and "error" in epochs[0]
    lines = {
        "accuracy": "training batches, mixed as trained on",
        "error": "training batches",
        "validation_clips": "validation clips, averaged windows",
        "held_out_windows": "held-out fold, single windows",
        "held_out_clips": "held-out fold, averaged windows",
    }
    what = "mean absolute error" if is_regression else "accuracy"
    _draw_lines(run, "errors.png" if is_regression else "accuracies.png", epochs, lines, what)


def draw_filters(run: RunFolder) -> None:
    """Write ``filters.png`` of the last epoch, and ``filters.gif`` with a frame per kept epoch.

    They show each filter's responses to sines, minus their mean over the frequencies, divided by
    the largest; the filters are in the order of their frequencies in that epoch (`order_filters`).
    """
    from PIL import Image

    epochs, film, frequencies = read_filter_history(run)
    frames = []
    for epoch, responses in zip(epochs, film, strict=True):
        content = _draw_filter_frame(order_filters(responses, frequencies), frequencies, int(epoch))
        frames.append(Image.open(io.BytesIO(content)).convert("P", palette=Image.Palette.ADAPTIVE))
    run.write("filters.png", content)
    moving = io.BytesIO()
    durations = [FRAME_MS] * (len(frames) - 1) + [10 * FRAME_MS]
    frames[0].save(
        moving, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    run.write("filters.gif", moving.getvalue())


def order_filters(responses: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Centre, scale and sort the filters' responses ``(filters, frequencies)``, lowest first.

    A filter's frequency is the centroid, in mel, of its responses above their mean. The peak would
    not do: it jumps between two maxima of nearly the same height, and a flat filter has it at
    either end.
    """
    centred = responses.astype(np.float64) - responses.mean(axis=1, keepdims=True, dtype=np.float64)
    scaled = centred / np.maximum(np.abs(centred).max(axis=1, keepdims=True), 1e-9)
    return scaled[np.argsort(find_centroids(scaled, frequencies), kind="stable")]


def find_centroids(centred: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """``(filters,)`` in mel: centroid of the power of each filter's responses above their mean."""
    power = np.maximum(centred, 0) ** 2
    return (power * hz_to_mel(frequencies)).sum(axis=1) / np.maximum(power.sum(axis=1), 1e-12)


def draw_kernels(run: RunFolder, kernels: np.ndarray) -> None:
    """Write ``kernels.png``: each kernel as a line over its length, or as a small image.

    Args:
        run: The run folder.
        kernels: ``(kernels, ..., length)``; two-dimensional ones ``(kernels, maps, h, w)``.
    """
    every = kernels.reshape(-1, *kernels.shape[2:])
    every = every[:, 0] if every.ndim == 3 and every.shape[1] == 1 else every
    flat = every[:MAX_KERNELS]
    columns = int(np.ceil(np.sqrt(len(flat))))
    rows = -(-len(flat) // columns)
    figure = _figure(1.3 * columns, 1.1 * rows + 0.4)
    # One pair of axes for all: one for each kernel takes seconds.
    axes = figure.add_subplot()
    axes.set_axis_off()
    if flat.ndim == 2:
        _draw_curves(axes, flat, columns)
    else:
        _draw_tiles(axes, flat, columns)
    which = f"{len(flat)} of the {len(every)}" if len(every) > len(flat) else f"the {len(flat)}"
    shape = " x ".join(map(str, flat.shape[1:]))
    figure.suptitle(f"{which} kernels of the first layer, each {shape}", fontsize=10)
    _save(run, "kernels.png", figure)


def _draw_curves(axes: Axes, curves: np.ndarray, columns: int) -> None:
    """Draw curves ``(curves, length)`` in cells, each as high as its cell, over a line at zero."""
    lows = np.minimum(curves.min(axis=1), 0)
    spans = np.maximum(np.maximum(curves.max(axis=1), 0) - lows, 1e-12)
    rows, places = np.divmod(np.arange(len(curves)), columns)
    length = curves.shape[1]
    # The bottom of a cell is at a whole number.
    x = places[:, None] + np.linspace(0.05, 0.85, length)
    y = -rows[:, None] + 0.1 + 0.7 * (curves - lows[:, None]) / spans[:, None]
    zeros = -rows + 0.1 - 0.7 * lows / spans
    axes.hlines(zeros, places, places + 0.9, color="0.8", linewidth=0.6)
    axes.plot(*_apart(x, y), linewidth=1, marker="." if length < 12 else "")
    _frame_cells(axes, places, -rows, 0.9, 0.9)


def _draw_tiles(axes: Axes, tiles: np.ndarray, columns: int) -> None:
    """Draw images ``(images, height, width)`` in cells, in the same colours."""
    _, height, width = tiles.shape
    rows, places = np.divmod(np.arange(len(tiles)), columns)
    tops, lefts = rows * (height + 1), places * (width + 1)
    mosaic = np.full((tops[-1] + height, (columns - 1) * (width + 1) + width), np.nan)
    for top, left, tile in zip(tops, lefts, tiles, strict=True):
        mosaic[top : top + height, left : left + width] = tile
    largest = np.abs(tiles).max() or 1.0
    axes.imshow(mosaic, cmap="RdBu_r", vmin=-largest, vmax=largest)
    _frame_cells(axes, lefts - 0.5, tops - 0.5, width, height)
    # Room for the frames at the edges, too.
    axes.set_xlim(-0.6, mosaic.shape[1] - 0.4)
    axes.set_ylim(mosaic.shape[0] - 0.4, -0.6)


def _frame_cells(
    axes: Axes, lefts: np.ndarray, bottoms: np.ndarray, width: float, height: float
) -> None:
    x = lefts[:, None] + width * np.array([0, 1, 1, 0, 0])
    y = bottoms[:, None] + height * np.array([0, 0, 1, 1, 0])
    axes.plot(*_apart(x, y), color="black", linewidth=0.8)


def _apart(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines ``(lines, points)`` as one, with a gap after each."""
    gap = ((0, 0), (0, 1))
    return tuple(np.pad(each.astype(float), gap, constant_values=np.nan).ravel() for each in (x, y))


def draw_confusion(run: RunFolder, counts: np.ndarray, labels: Sequence[str], name: str) -> None:
    """Draw a confusion matrix, ``(classes, classes)`` clips, coloured by part of the class."""
    n = len(labels)
    size = max(4.5, 0.2 * n + 2.2)
    figure = _figure(size, 0.86 * size)
    axes = figure.add_subplot()
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n), labels, rotation=90, fontsize=7)
    axes.set_yticks(range(n), labels, fontsize=7)
    axes.set_xlabel("named as")
    axes.set_ylabel("is")
    for row, column in zip(*np.nonzero(counts), strict=True):
        shade = "white" if parts[row, column] > 0.5 else "black"
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=shade)
    figure.colorbar(image, ax=axes, shrink=0.6, label="part of the class's clips")
    _save(run, name, figure)


def draw_reliability(
    run: RunFolder,
    bins: Sequence[dict[str, float]],
    error: float,
    name: str = "reliability.png",
    unit: str = "clips",
) -> None:
    """Draw how often scores are right, by the score."""
    figure = _figure(5, 5)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="as right as it says")
    scores, right = [row["score"] for row in bins], [row["accuracy"] for row in bins]
    axes.plot(scores, right, marker="o", label=f"calibration error {error:.3f}")
    for row in bins:
        place = (row["score"], row["accuracy"])
        text = str(row["clips"])
        axes.annotate(text, place, fontsize=7, xytext=(4, -9), textcoords="offset points")
    _name_axes(axes, f"mean score of the winning class ({unit} beside)", "part that is right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _save(run, name, figure)


def draw_scatter(run: RunFolder, values: np.ndarray, targets: np.ndarray) -> None:
    """Write ``scatter.png``: a regression's values over their targets."""
    figure = _figure(5, 5)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="equal")
    axes.scatter(targets, values, s=10, alpha=0.5, label=f"{len(values)} clips")
    _name_axes(axes, "target", "value of the averaged windows")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    _save(run, "scatter.png", figure)


def _draw_lines(
    run: RunFolder, name: str, epochs: Sequence[dict[str, Any]], lines: dict[str, str], what: str
) -> None:
    figure = _figure(8, 4.5)
    axes = figure.add_subplot()
    for key, label in lines.items():
        points = [(row["epoch"], row[key]) for row in epochs if row.get(key) is not None]
        if points:
            marker = "." if len(points) < 40 else ""
            axes.plot(*zip(*points, strict=True), label=label, marker=marker)
    _name_axes(axes, "epoch", what)
    _save(run, name, figure)


def _draw_filter_frame(responses: np.ndarray, frequencies: np.ndarray, epoch: int) -> bytes:
    """An image of ordered responses, compared with filters evenly in mel between the same ends."""
    figure = _figure(6, 5)
    axes = figure.add_subplot()
    n_filters = len(responses)
    mels = hz_to_mel(frequencies)
    half = (mels[1] - mels[0]) / 2
    sides = mel_to_hz(np.append(mels - half, mels[-1] + half))
    edges = np.arange(n_filters + 1)
    image = axes.pcolormesh(
        edges, sides, responses.T, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True
    )
    centroids = find_centroids(responses, frequencies)
    evenly = mel_to_hz(np.linspace(centroids[0], centroids[-1], n_filters))
    axes.plot(edges[:-1] + 0.5, mel_to_hz(centroids), "k.", markersize=4, label="centroid")
    axes.plot(edges[:-1] + 0.5, evenly, "k--", linewidth=1, label="evenly in mel")
    axes.set_ylim(frequencies[0], frequencies[-1])
    axes.set_xlabel("filter, in the order of their centroids")
    axes.set_ylabel("frequency of the sine, Hz")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_title(f"epoch {epoch}")
    figure.colorbar(image, ax=axes, label="answer, less its mean")
    return _render(figure)


def _name_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _render(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def _save(run: RunFolder, name: str, figure: Figure) -> None:
    run.write(name, _render(figure))
