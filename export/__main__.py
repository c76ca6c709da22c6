"""``python -m export RUN -o NAME.onnx``: turn a training run into a model file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.card.model_warnings import list_warnings
from export.card.thresholds import TARGET_PRECISION
from export.export_run import export
from export.graph.formats import STORED, FormattedGraph
from export.published import Wanted, export_published, export_pupil
from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.distillation.wide import PUPIL


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.run.suffix == ".pt" or (options.run / PUPIL).exists():
        return _export_published(options)
    for option in ("labels", "ontology"):
        if getattr(options, option) is not None:
            raise UsageError(
                f"--{option} is for mn04_as_mAP_432.pt and its pupil, {options.run.name} has its "
                "own labels: leave it out"
            )
    if options.target_precision is not None and not 0 < options.target_precision <= 1:
        raise UsageError(
            f"--target-precision is {options.target_precision:g}, must be above 0 and at most 1"
        )
    card, graph = export(
        options.run,
        options.output,
        name=options.name,
        version=options.version,
        licence=options.licence,
        precision=options.target_precision,
        number_format=options.number_format,
        data=options.data,
        prepared=options.prepared,
        calibrated_by=options.calibrated_by,
        overwrite=options.overwrite,
    )
    size = options.output.stat().st_size / 1e6
    print(
        f"{options.output}: {size:.2f} MB, {len(card.labels)} label(s), torch and ONNX Runtime "
        f"differ by {graph.difference:.1g}{_describe(card)}{_describe_int8(graph)}"
    )
    print(describe_stem(card))
    for warning in list_warnings(card, options.target_precision):
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _parser() -> Parser:
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
        dest="number_format",
        action="store_const",
        const="half",
        default="float32",
        help="store the weights as float16: half the size, the same arithmetic",
    )
    forms.add_argument(
        "--int8-weights",
        dest="number_format",
        action="store_const",
        const="int8-weights",
        help="store the weights in 8 bits, a scale for each channel: a third of the size or less, "
        "the same arithmetic",
    )
    forms.add_argument(
        "--int8",
        dest="number_format",
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
    add("--ontology", type=Path, metavar="JSON", help="of the same: AudioSet's ontology.json, "
        "which says which labels are broader than others (none)")  # fmt: skip
    add("--window", type=float, default=10.0, metavar="SECONDS",
        help="of mn04_as_mAP_432.pt: what it hears at a time, 5 to 10 (10)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace an existing file")
    return parser


def _export_published(options: argparse.Namespace) -> int:
    """Export published weights, or their pupil; refuse what only labels can give."""
    for option in ("number_format", "data", "prepared", "calibrated_by", "target_precision",
                   "licence"):  # fmt: skip
        if getattr(options, option) not in (None, [], "float32", *STORED):
            name = "int8" if option == "number_format" else option.replace("_", "-")
            raise UsageError(
                f"--{name} is for runs that learned from labels, {options.run.name} did not: leave "
                "it out"
            )
    wanted = Wanted(
        options.output,
        options.labels,
        options.ontology,
        options.number_format,
        options.overwrite,
        options.version,
    )
    if options.run.is_dir():
        card, difference = export_pupil(options.run, wanted)
    else:
        card, difference = export_published(options.run, wanted, options.window)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {size:.2f} MB, {len(card.labels)} label(s), torch and ONNX Runtime "
          f"differ by {difference:.1g}")  # fmt: skip
    print(describe_stem(card))
    return 0


def _describe_int8(graph: FormattedGraph) -> str:
    if graph.quantised is None:
        return ""
    before, speed = graph.quantised.before, graph.quantised.speed
    return f"; in 8 bits, {before:.1%} before; {speed:.2f} times as fast as float32 here"


def describe_stem(card: Card) -> str:
    """Describe in a line what windows of the model share."""
    if card.stem is None:
        return f"windows share no work: {card.stem_note}"
    stem = card.stem
    return (
        f"windows share all work up to {stem.tensor!r}, at hops of whole multiples of "
        f"{stem.stride / card.sample_rate:g} s; the limit: {card.stem_note}"
    )


def _describe(card: Card) -> str:
    """Describe what the export set and measured, for the command's line."""
    n_clips = card.accuracy.get("clips")
    if card.task == "regression":
        error = card.accuracy.get("mean_absolute_error")
        return f", mean absolute error {error:.3f} on {n_clips} held-out clips" if n_clips else ""
    text = f", temperature {card.temperature:g}, thresholds "
    text += f"{card.thresholds.on:g}/{card.thresholds.off:g}"
    if n_clips:
        text += f", {card.accuracy['averaged_windows']:.1%} of {n_clips} held-out clips"
    return text


if __name__ == "__main__":
    sys.exit(main())
