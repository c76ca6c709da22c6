"""Turning a run into a model file: one ONNX file with the model card inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx

from export.card.run_card import make_card
from export.errors import ExportError
from export.graph.find_features import find_features
from export.graph.formats import FormattedGraph, NumberFormat, build_graph
from export.stem.find_stem import find_stem
from streamclf.core.card import METADATA_KEY, Card, format_card, parse_card
from streamclf.model.write_file import write_model
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder


def export(
    run_path: Path,
    output: Path,
    *,
    name: str | None = None,
    version: str = "1",
    licence: str | None = None,
    number_format: NumberFormat = "float32",
    data: Path | None = None,
    prepared: Path | None = None,
    precision: float | None = None,
    calibrated_by: Sequence[Path] = (),
    overwrite: bool = False,
) -> tuple[Card, FormattedGraph]:
    """Write a run's network as a model file, complete and checked, or not at all.

    Args:
        run_path: The run folder.
        output: The model file.
        name: Name of the model, for its card; the file's name if not given.
        version: Version of the model, for its card.
        licence: Licence of the weights; follows from the data's if not given.
        number_format: Format of weights and arithmetic.
        data: Folder of the data set, if not where it was; 8 bits need it.
        prepared: Folder of its prepared clips.
        precision: Part of the events that should be right, for the thresholds.
        calibrated_by: Runs of the same recipe that held a fold out, if this one did not.
        overwrite: Replace an existing file.

    Returns:
        The card, and the graph with its largest difference between torch and ONNX Runtime.

    Raises:
        UsageError: 8 bits need data whose place is not known.
        ExportError: The file exists, cannot be written, or its outputs differ from the network's.
        RunError: The run folder cannot be used.
    """
    if output.suffix != ".onnx":
        raise ExportError(f"{output}: must end in .onnx")
    if output.exists() and not overwrite:
        raise ExportError(f"{output}: exists; --overwrite replaces it")
    run = RunFolder.open(run_path)
    config = run.read_json(CONFIG)
    if "cross_validation" in config:
        raise ExportError(f"{run_path}: a cross-validation, not one network; name one of its folds")
    system, network = load_network(run, config)
    graph, described = build_graph(
        run,
        config,
        system,
        network,
        number_format,
        output="value" if system.task == "regression" else "logits",
        data=data,
        prepared=prepared,
        judged_by=calibrated_by[0] if calibrated_by else None,
    )
    card = make_card(
        described,
        config,
        system,
        name=name or output.stem,
        version=version,
        licence=licence,
        precision=precision,
        calibrated_by=calibrated_by,
    )
    card = _write(output, graph.model, graph.complete(card))
    return card, graph


def _write(output: Path, model: onnx.ModelProto, card: Card) -> Card:
    """Write the model file with its card; return the card with the stem and features found."""
    model.producer_name = "streamclf"
    found = find_stem(model, card.window_samples, card.sample_rate)
    features = find_features(model, card.window_samples, card.sample_rate)
    card = msgspec.structs.replace(card, stem=found.stem, stem_note=found.note, features=features)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, format_card(card)
    onnx.checker.check_model(model, full_check=True)
    parse_card(entry.value, str(output))
    write_model(output, model.SerializeToString())
    return card
