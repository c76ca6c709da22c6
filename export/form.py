"""The forms a model file can take: as trained, with half the bytes, or in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import onnx
from torch import nn

from export import half, int8
from export.check import compare
from export.errors import ExportError
from export.graph import make_graph
from export.prune import prune
from streamclf.card import Card
from train.evaluate import open_data_of
from train.hearing import WindowLogits
from train.runs import RunFolder
from train.system import System

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
        model = half.store_half(model)
        difference = compare(network, model, window_samples, tolerance=half.TOLERANCE)
    if form != "int8":
        return Formed(model, difference), run
    fold = config["data"]["test_fold"]
    if not fold:
        raise ExportError(
            f"--int8: {run.path} held no fold out, so nothing shows what 8 bits cost: try --half"
        )
    clips = open_data_of(run, system, config, data=data, prepared=prepared)
    training, held_out = clips.of_folds(config["data"]["folds"]), clips.of_folds([fold])
    if not training.clips or not held_out.clips:
        raise ExportError(
            f"--int8: the data lacks clips of folds {config['data']['folds']} or {fold}, which "
            f"{run.path} was trained and judged on: give its own with --data"
        )
    quantised = int8.quantise(model, training, held_out, window_samples)
    return Formed(quantised.model, difference, quantised), JudgedAnew(run, quantised.heard)
