"""``python -m export RUN -o NAME.onnx``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx

from export.card.cautions import list_doubts
from export.card.run_card import make_card
from export.card.thresholds import TARGET_PRECISION
from export.errors import ExportError
from export.graph.formats import Form, Formed, form_graph
from export.published import export_published, export_pupil
from export.stem.find_stem import find_stem
from export.write_file import write_model
from streamclf.core.card import METADATA_KEY, Card, format_card, parse_card
from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.distillation.wide import PUPIL
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; the exit code."""
    parser = Parser(prog="python -m export", description="Turn a training run into a model file.")
    add = parser.add_argument
    add("run", type=Path, help="the run folder, or EfficientAT's mn04_as_mAP_432.pt")
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
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--half",
        dest="form",
        action="store_const",
        const="half",
        default="float32",
        help="store the weights as float16: half the size, the same arithmetic",
    )
    forms.add_argument(
        "--int8",
        dest="form",
        action="store_const",
        const="int8",
        help="compute in 8 bits, if that costs at most a point of accuracy; needs the run's data",
    )
    add("--data", type=Path, help="of --int8: the data set (where it was when it was trained on)")
    add("--prepared", type=Path, help="of --int8: its prepared clips")
    add("--calibrated-by", type=Path, action="append", default=[], metavar="CVRUN", help="a run of "
        "the same recipe that held a fold out, where RUN did not; repeatable")  # fmt: skip
    add("--labels", type=Path, metavar="CSV", help="of mn04_as_mAP_432.pt and its pupil: "
        "AudioSet's labels, class_labels_indices.csv")  # fmt: skip
    add("--window", type=float, default=10.0, metavar="SECONDS",
        help="of mn04_as_mAP_432.pt: what it hears at a time, 5 to 10 (10)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.run.suffix == ".pt" or (options.run / PUPIL).exists():
        return _export_published(options)
    if options.target_precision is not None and not 0 < options.target_precision <= 1:
        raise UsageError(
            f"--target-precision is {options.target_precision:g}, must be above 0 and at most 1"
        )
    card, formed = export(
        options.run,
        options.output,
        name=options.name,
        version=options.version,
        licence=options.licence,
        precision=options.target_precision,
        form=options.form,
        data=options.data,
        prepared=options.prepared,
        calibrated_by=options.calibrated_by,
        overwrite=options.overwrite,
    )
    size = options.output.stat().st_size / 1e6
    print(
        f"{options.output}: {size:.2f} MB, {len(card.labels)} label(s), torch and ONNX Runtime "
        f"differ by {formed.difference:.1g}{_describe(card)}{_describe_int8(formed)}"
    )
    print(describe_stem(card))
    for doubt in list_doubts(card, options.target_precision):
        print(f"warning: {doubt}", file=sys.stderr)
    return 0


def _export_published(options: argparse.Namespace) -> int:
    """Weights that others published, or their pupil; what only labels can give is refused."""
    for option in ("form", "data", "prepared", "calibrated_by", "target_precision", "licence"):
        if getattr(options, option) not in (None, [], "float32"):
            name = "half or --int8" if option == "form" else option.replace("_", "-")
            raise UsageError(
                f"--{name} is for runs that learned from labels, {options.run.name} did not: leave "
                "it out"
            )
    if options.run.is_dir():
        card, difference = export_pupil(
            options.run, options.output, options.labels, overwrite=options.overwrite
        )
    else:
        card, difference = export_published(
            options.run, options.output, options.labels, options.window, overwrite=options.overwrite
        )
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {size:.2f} MB, {len(card.labels)} label(s), torch and ONNX Runtime "
          f"differ by {difference:.1g}")  # fmt: skip
    print(describe_stem(card))
    return 0


def _describe_int8(formed: Formed) -> str:
    if formed.quantised is None:
        return ""
    before, speed = formed.quantised.before, formed.quantised.speed
    return f"; in 8 bits, {before:.1%} before; {speed:.2f} times as fast as float32 here"


def describe_stem(card: Card) -> str:
    """What windows of the model share, in a line."""
    if card.stem is None:
        return f"windows share no work: {card.stem_note}"
    stem = card.stem
    return (
        f"windows share all work up to {stem.tensor!r}, at hops of whole multiples of "
        f"{stem.stride / card.sample_rate:g} s; the limit: {card.stem_note}"
    )


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
    form: Form = "float32",
    data: Path | None = None,
    prepared: Path | None = None,
    precision: float | None = None,
    calibrated_by: Sequence[Path] = (),
    overwrite: bool = False,
) -> tuple[Card, Formed]:
    """Write a run's network as a model file, whole and checked, or not at all.

    Returns:
        The card, and the graph with how far ONNX Runtime is from torch.

    Raises:
        UsageError: 8 bits need data that is not known.
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
    output_name = "value" if system.task == "regression" else "logits"
    formed, described = form_graph(
        run,
        config,
        system,
        network,
        form,
        output=output_name,
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
    card, model = formed.complete(card), formed.model
    model.producer_name = "streamclf"
    found = find_stem(model, card.window_samples, card.sample_rate)
    card = msgspec.structs.replace(card, stem=found.stem, stem_note=found.note)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, format_card(card)
    onnx.checker.check_model(model, full_check=True)
    parse_card(entry.value, str(output))
    write_model(output, model.SerializeToString())
    return card, formed


if __name__ == "__main__":
    sys.exit(main())
