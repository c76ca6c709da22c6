"""The number formats of a model file: as trained, weights in 16 or 8 bits, or all in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import onnx
from torch import nn

from export.errors import ExportError
from export.graph import float16, int8, int8_weights
from export.graph.compare_outputs import compare
from export.graph.export_graph import make_graph
from export.graph.prune import prune
from streamclf.core.card import Card
from train.evaluate import reopen_data
from train.nets.contract import System
from train.nets.inference import WindowLogits
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder

NumberFormat: TypeAlias = Literal["float32", "half", "int8-weights", "int8"]
"""As `python -m export` names them: ``--half``, ``--int8-weights``, ``--int8``."""


@dataclass(frozen=True)
class Stored:
    """A format that changes how weights are stored, and not how the graph computes.

    Attributes:
        store: Gives a copy of a graph in this format.
        tolerance: Largest difference allowed between two logits.
        note: What the card's description says of it.
    """

    store: Callable[[onnx.ModelProto], onnx.ModelProto]
    tolerance: float
    note: str = ""


STORED: dict[NumberFormat, Stored] = {
    "half": Stored(float16.store_float16, float16.TOLERANCE),
    "int8-weights": Stored(
        int8_weights.store_int8,
        int8_weights.TOLERANCE,
        "Weights stored in 8 bits; figures are of the network before that.",
    ),
}


@dataclass(frozen=True)
class FormattedGraph:
    """A graph in its number format.

    Attributes:
        model: The graph.
        difference: Largest difference between torch and ONNX Runtime; for 8 bits that of the graph
            before quantisation.
        quantised: Accuracy and speed of arithmetic in 8 bits; None for other formats.
        note: What the card's description says of the format.
    """

    model: onnx.ModelProto
    difference: float
    quantised: int8.Quantised | None = None
    note: str = ""

    def complete(self, card: Card) -> Card:
        """The card with the entries that the format changes."""
        if self.quantised is None:
            description = f"{card.description} {self.note}".strip()
            return msgspec.structs.replace(card, description=description)
        accuracy = int8.update_accuracy(self.quantised, card.accuracy)
        note = f"{card.description} Weights and activations in 8 bits."
        return msgspec.structs.replace(card, accuracy=accuracy, description=note)


class ReevaluatedRun(RunFolder):
    """A run whose held-out clips were run again, by another format of its network."""

    def __init__(self, run: RunFolder, outputs: WindowLogits) -> None:
        super().__init__(run.path, writes=False)
        self._heard = outputs

    def read_held_out(self) -> WindowLogits:
        """The new outputs."""
        return self._heard


def store(
    graph: FormattedGraph, network: nn.Module, window_samples: int, number_format: NumberFormat
) -> FormattedGraph:
    """Store a graph's weights in a format of `STORED`, and compare it again; else leave it alone.

    Raises:
        ExportError: It differs from the network by more than the format may cost.
    """
    form = STORED.get(number_format)
    if form is None:
        return graph
    model = form.store(graph.model)
    difference = compare(network, model, window_samples, tolerance=form.tolerance)
    return FormattedGraph(model, difference, note=form.note)


def build_graph(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    network: nn.Module,
    number_format: NumberFormat,
    *,
    output: str,
    data: Path | None = None,
    prepared: Path | None = None,
    judged_by: Path | None = None,
) -> tuple[FormattedGraph, RunFolder]:
    """Trace a run's network and convert the graph to a number format, checked at every step.

    Args:
        run: The run folder.
        config: Its ``config.json``.
        system: System of its network.
        network: The network, with its weights.
        number_format: The format.
        output: Name of the graph's output.
        data: Folder of the data set, if not where it was; 8 bits need it.
        prepared: Folder of its prepared clips.
        judged_by: A run of the same recipe that held a fold out, which shows the loss by 8 bits if
            this one held none out.

    Returns:
        The graph, and the run to describe it by.

    Raises:
        ExportError: The graph's outputs differ from the network's.
        UsageError: 8 bits need data whose place is not known.
    """
    window_samples = config["window_samples"]
    model = prune(make_graph(network, window_samples, output))
    difference = compare(network, model, window_samples)
    if number_format != "int8":
        return store(FormattedGraph(model, difference), network, window_samples, number_format), run
    if config["data"]["test_fold"]:
        quantised = _quantise(run, config, system, model, data, prepared)
        return FormattedGraph(quantised.model, difference, quantised), ReevaluatedRun(
            run, quantised.outputs
        )
    if judged_by is None:
        raise ExportError(
            f"--int8: {run.path} held no fold out, so nothing shows what 8 bits cost: try --half, "
            "or name a run of the same recipe that did with --calibrated-by"
        )
    other = RunFolder.open(judged_by)
    own = other.read_json(CONFIG)
    _, twin = load_network(other, own)
    graph = prune(make_graph(twin, window_samples, output))
    shown = _quantise(other, own, system, graph, data, prepared)
    clips = reopen_data(run, system, config, data=data, prepared=prepared)
    windows = int8.draw_windows(clips.of_folds(config["data"]["folds"]), window_samples)
    quantised = replace(shown, model=int8.quantise_graph(model, windows))
    return FormattedGraph(quantised.model, difference, quantised), run


def _quantise(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    model: onnx.ModelProto,
    data: Path | None,
    prepared: Path | None,
) -> int8.Quantised:
    """Quantise a run's graph to 8 bits, and evaluate it on the fold that the run held out."""
    fold, folds = config["data"]["test_fold"], config["data"]["folds"]
    clips = reopen_data(run, system, config, data=data, prepared=prepared)
    training, held_out = clips.of_folds(folds), clips.of_folds([fold])
    if not training.clips or not held_out.clips:
        raise ExportError(
            f"--int8: the data lacks clips of folds {folds} or {fold}, which {run.path} was "
            "trained and judged on: give its own with --data"
        )
    return int8.quantise_and_evaluate(
        model, training, held_out, config["window_samples"], system.fill
    )
