"""``python -m export RUN -o NAME.onnx``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from export.card import make_card
from export.check import compare
from export.errors import ExportError
from export.graph import make_graph
from export.thresholds import TARGET_PRECISION
from streamclf.card import METADATA_KEY, Card, format_card, parse_card
from streamclf.errors import StreamclfError
from train.loading import load_network
from train.runs import CONFIG, RunFolder


def main(arguments: list[str] | None = None) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export", description="Turn a training run into a model file."
    )
    add = parser.add_argument
    add("run", type=Path, help="the run folder")
    add("-o", "--output", type=Path, required=True, metavar="NAME.onnx", help="the model file")
    add("--name", help="of the model, for its card (the file's)")
    add("--version", default="1", help="of the model, for its card (1)")
    add("--licence", help="of the weights (follows from the data's)")
    add(
        "--target-precision",
        type=float,
        metavar="P",
        help="part of the held-out clips' events that should be right (thresholds as tuned by "
        f"export.tune, or {TARGET_PRECISION:g})",
    )
    add("--calibrated-by", type=Path, action="append", default=[], metavar="CVRUN", help="a run of "
        "the same recipe that held a fold out, where RUN did not; repeatable")  # fmt: skip
    add("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.target_precision is not None and not 0 < options.target_precision <= 1:
        parser.error(f"--target-precision is {options.target_precision}, must be in 0..1")
    try:
        card, difference = export(
            options.run,
            options.output,
            name=options.name,
            version=options.version,
            licence=options.licence,
            precision=options.target_precision,
            calibrated_by=options.calibrated_by,
            overwrite=options.overwrite,
        )
    except StreamclfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    size = options.output.stat().st_size / 1e6
    print(
        f"{options.output}: {size:.2f} MB, {len(card.labels)} label(s), torch and ONNX Runtime "
        f"differ by {difference:.1g}{_describe(card)}"
    )
    return 0


def _describe(card: Card) -> str:
    """What the export set and measured, for the command's line."""
    n_clips = card.accuracy.get("clips")
    if card.task == "regression":
        error = card.accuracy.get("mean_absolute_error")
        return f", mean absolute error {error:.3f} on {n_clips} held-out clips" if n_clips else ""
    text = f", temperature {card.temperature:g}, thresholds "
    text += f"{card.thresholds.on:g}/{card.thresholds.off:g}"
    if n_clips:
        text += f", {card.accuracy['averaged_windows']:.1%} of {n_clips} held-out clips"
    return text


def export(
    run_path: Path,
    output: Path,
    *,
    name: str | None = None,
    version: str = "1",
    licence: str | None = None,
    precision: float | None = None,
    calibrated_by: Sequence[Path] = (),
    overwrite: bool = False,
) -> tuple[Card, float]:
    """Write a run's network as a model file, whole and checked, or not at all.

    Returns:
        The card, and the largest difference between torch and ONNX Runtime.

    Raises:
        ExportError: The file exists, cannot be written, or would not say what the network says.
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
    card = make_card(
        run,
        config,
        system,
        name=name or output.stem,
        version=version,
        licence=licence,
        precision=precision,
        calibrated_by=calibrated_by,
    )
    model = make_graph(network, card.window_samples, card.output_name)
    model.producer_name = "streamclf"
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, format_card(card)
    onnx.checker.check_model(model, full_check=True)
    difference = compare(network, model, card.window_samples)
    parse_card(entry.value, str(output))
    _write(output, model.SerializeToString())
    return card, difference


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
