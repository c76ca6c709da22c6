"""The forms a model file can take: as trained, with half the bytes, or in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import onnx
from torch import nn

from export.errors import ExportError
from export.graph import float16, int8
from export.graph.compare_outputs import compare
from export.graph.export_graph import make_graph
from export.graph.prune import prune
from streamclf.core.card import Card
from train.evaluate import open_data_of
from train.nets.contract import System
from train.nets.inference import WindowLogits
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder

Form: TypeAlias = Literal["float32", "half", "int8"]


@dataclass(frozen=True)
class Formed:
    """A graph in its form.

    Attributes:
        model: The graph.
        difference: The largest between torch and ONNX Runtime; in 8 bits that of the graph before.
        quantised: Of 8 bits, what they are worth.
    """

    model: onnx.ModelProto
    difference: float
    quantised: int8.Quantised | None = None

    def complete(self, card: Card) -> Card:
        """The card with what the form changes."""
        if self.quantised is None:
            return card
        accuracy = int8.judged(self.quantised, card.accuracy)
        note = f"{card.description} Weights and activations in 8 bits."
        return msgspec.structs.replace(card, accuracy=accuracy, description=note)


class JudgedAnew(RunFolder):
    """A run whose held-out clips were heard again, by another form of its network."""

    def __init__(self, run: RunFolder, heard: WindowLogits) -> None:
        super().__init__(run.path, writes=False)
        self._heard = heard

    def read_held_out(self) -> WindowLogits:
        """What was heard now."""
        return self._heard


def form_graph(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    network: nn.Module,
    form: Form,
    *,
    output: str,
    data: Path | None = None,
    prepared: Path | None = None,
    judged_by: Path | None = None,
) -> tuple[Formed, RunFolder]:
    """Trace a run's network and bring the graph into a form, checked at every step.

    Args:
        run: The run folder.
        config: Its ``config.json``.
        system: Of its network.
        network: With its weights.
        form: Which.
        output: Name of the graph's output.
        data: Where the data set lies, if not where it was; 8 bits need it.
        prepared: Where its prepared clips are.
        judged_by: A run of the same recipe that held a fold out, which shows what 8 bits cost
            where this one held none out.

    Returns:
        The graph, and the run to describe it by.

    Raises:
        ExportError: The form does not say what the network says.
        UsageError: 8 bits need data that is not known.
    """
    window_samples = config["window_samples"]
    model = prune(make_graph(network, window_samples, output))
    difference = compare(network, model, window_samples)
    if form == "half":
        model = float16.store_half(model)
        difference = compare(network, model, window_samples, tolerance=float16.TOLERANCE)
    if form != "int8":
        return Formed(model, difference), run
    if config["data"]["test_fold"]:
        quantised = _quantise(run, config, system, model, data, prepared)
        return Formed(quantised.model, difference, quantised), JudgedAnew(run, quantised.heard)
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
    clips = open_data_of(run, system, config, data=data, prepared=prepared)
    windows = int8.draw_windows(clips.of_folds(config["data"]["folds"]), window_samples)
    quantised = replace(shown, model=int8.put_in_8_bits(model, windows))
    return Formed(quantised.model, difference, quantised), run


def _quantise(
    run: RunFolder,
    config: dict[str, Any],
    system: System,
    model: onnx.ModelProto,
    data: Path | None,
    prepared: Path | None,
) -> int8.Quantised:
    """A run's graph in 8 bits, judged on the fold that it held out."""
    fold, folds = config["data"]["test_fold"], config["data"]["folds"]
    clips = open_data_of(run, system, config, data=data, prepared=prepared)
    training, held_out = clips.of_folds(folds), clips.of_folds([fold])
    if not training.clips or not held_out.clips:
        raise ExportError(
            f"--int8: the data lacks clips of folds {folds} or {fold}, which {run.path} was "
            "trained and judged on: give its own with --data"
        )
    return int8.quantise(model, training, held_out, config["window_samples"], system.fill)
