"""Pretrain `pocket` without labels: it imitates YAMNet on mixtures of sounds.

    python -m train.imitate --data ESC-50 --folds 1,2,3 --test-fold 4 [--speech-music DIR]
        [--others DIR ...] --teacher yamnet.tflite --save RUN
    python -m train.imitate --start MODEL.onnx --others FIELD --teacher yamnet.tflite --save RUN
    python -m train.pocket --start RUN ...

A few thousand labelled clips show little of how sounds differ. A teacher that was trained on
millions gives targets for any window: its features and some earlier layers, which hold other
information (mean square errors, each value scaled to the same spread), and its scores
(cross-entropy). New windows are mixed for every batch (`train.audio.mixtures`) by processes of
their own, which also run the teacher. Batch ``k`` depends on the seed and ``k`` alone, so an
interrupted run continues exactly (``--resume``).

Most mixtures are quieter for the network than for the teacher, by up to 40 dB. With
``--through-noise`` they are also under noise that the teacher does not get, so that the network
learns to recognise sounds under noise.

``--start`` continues from such a run, or from the layers of a model file of one. They
can so adapt to a user's own microphones and places: ``--others`` takes recordings of any
length from there, without labels.

Source: knowledge distillation (Hinton et al. 2015) with features as hints (Romero et al. 2015), on
unlabelled mixtures.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from train.audio.mixtures import QUIET_DB, QUIET_SHARE, Mixtures, Source
from train.base.arguments import Parser, parse_folds
from train.base.errors import UsageError
from train.base.exit_codes import exit_codes
from train.base.recipe import Recipe
from train.datasets import ClipSet, open_clips, open_sounds
from train.nets.pocket_network import SAMPLE_RATE, WIDTHS, WINDOW_SAMPLES, PocketBody, PocketNet
from train.nets.yamnet import Yamnet
from train.pocket_parts.imitation import TeacherBatches, explained_variance, learn
from train.pocket_parts.pretrained_onnx import read_layers, restore_batch_norms, warn_if_trained_on
from train.pocket_parts.pretrained_run import IMITATION, read_imitator, shorten_text
from train.run_folder.reproduce import describe_command
from train.run_folder.run import CONFIG, RESULT, RunFolder

SHARES = {"data": 0.5, "speech and music": 0.1, "others": 0.37}
"""Relative frequency of each kind of source; the share of one that is not given goes to the
others."""

NOISE_SHARE = 0.03
N_TEST_BATCHES = 16
"""Batches of the held-out fold that the result is measured on."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = make_parser().parse_args(arguments)
    check_options(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.resume:
        RunFolder.check_free(options.save, overwrite=options.overwrite)
    teacher = Yamnet(options.teacher)
    training, held_out = open_sources(options)
    recipe = Recipe(
        epochs=1, batch_size=options.batch, optimiser="adamw", learning_rate=4e-3,
        weight_decay=0.02, schedule="one-cycle", warm_up=0.1, clip_norm=5.0, ema=0.998,
    )  # fmt: skip
    config = describe(options, recipe, teacher, training)
    start = read_start(options, config, training.sources[0].clips)
    run = _open_run(options, config)
    torch.manual_seed(options.seed)
    network = PocketNet(2)
    batches = TeacherBatches(
        training, options.teacher, network, options.batch, (options.seed, 0), options.steps
    )
    if start.layers is not None:
        network.body.load_state_dict(start.layers, strict=False)
        restore_batch_norms(network.body, batches[0][0])
    imitator = learn(batches, recipe, run, options, start.learned)
    drawn = options.steps * options.batch
    result: dict[str, Any] = {"windows": start.windows + drawn}
    for name, before in start.of_these.items():
        if n_windows := before + drawn * bool(config.get(name)):
            result[f"windows_{name}"] = n_windows
    said = ""
    if held_out is not None:
        seed = (options.seed, 2)
        exam = TeacherBatches(
            held_out, options.teacher, network, options.batch, seed, N_TEST_BATCHES
        )
        result["explained_variance"] = explained_variance(imitator, exam)
        said = f", explains {result['explained_variance']:z.1%} of its features' variance on "
        said += f"mixtures of fold {options.test_fold}"
    run.write_json(RESULT, result)
    run.unlock()
    print(f"{run.path}: imitates {teacher.about['name']} after {result['windows']:,} windows{said}")
    return 0


def describe(
    options: argparse.Namespace, recipe: Recipe, teacher: Yamnet, training: Mixtures
) -> dict[str, Any]:
    """Entries for ``config.json`` that decide the weights, except for the start."""
    config = {
        "network": IMITATION,
        "steps": options.steps,
        "seed": options.seed,
        "test_fold": options.test_fold,
        "widths": list(WIDTHS),
        "recipe": recipe.as_json(),
        "teacher": teacher.about,
        "sources": describe_sources(training),
        "quieter": {"share": QUIET_SHARE, "db": QUIET_DB},
    }
    if options.through_noise:
        config["through_noise"] = True
    if options.precision != "auto":
        config["precision"] = options.precision
    return config


@dataclass(frozen=True)
class Start:
    """The weights that a run begins with.

    Attributes:
        layers: Layers of a model file.
        learned: All weights of an `Imitator`.
        windows: Number of windows it has learned from.
        of_these: How many of them were quieter than for the teacher, and how many noisier.
    """

    layers: dict[str, torch.Tensor] | None
    learned: dict[str, torch.Tensor] | None
    windows: int
    of_these: dict[str, int]


def read_start(options: argparse.Namespace, config: dict[str, Any], data: ClipSet) -> Start:
    """Read the weights that ``--start`` names; their origin is added to ``config``.

    Raises:
        RunError: It is neither a run of imitation like this one nor a model file of pocket.
    """
    before: dict[str, Any] = {}
    layers, learned = None, None
    if options.start is not None and not Path(options.start).is_dir():
        layers, config["layers_of"] = read_layers(options.start, PocketBody(1, WIDTHS), data)
        warn_if_trained_on(config["layers_of"], data)
    elif options.start is not None:
        learned, before = read_imitator(Path(options.start), json.loads(json.dumps(config)))
        config["earlier_seeds"] = [*before.get("earlier_seeds", ()), before["seed"]]
        if "layers_of" in before:
            config["layers_of"] = before["layers_of"]
    own = describe_command("imitate", make_parser(), vars(options))
    config["commands"] = [*before.get("commands", ()), own]
    of_these = {name: before.get(f"windows_{name}", 0) for name in ("quieter", "through_noise")}
    return Start(layers, learned, before.get("windows", 0), of_these)


def make_parser() -> Parser:
    """Make the parser of the command's options."""
    parser = Parser(
        prog="python -m train.imitate",
        description="Train the layers of pocket to hear what YAMNet hears, without labels.",
    )
    option = parser.add_argument
    option("--data", type=Path, help="a data set's folder; its labels are not used")
    option("--prepared", type=Path, help="where its prepared clips go")
    option("--folds", type=parse_folds, help="folds to mix (all but the test fold), as in 1,2,3")
    option("--test-fold", type=int, default=0, help="the fold to judge by (none)")
    option("--speech-music", type=Path, metavar="DIR", help="speech and music, by the same folds")
    option("--others", type=Path, nargs="+", default=[], metavar="DIR",
           help="other sounds: audio of any length, in folders of any depth")  # fmt: skip
    option("--teacher", type=Path, required=True, metavar="TFLITE", help="YAMNet's file")
    option("--start", metavar="MODEL",
           help="begin with the layers of a model file that was made so, or with what "
           "such a run has learned (give another --seed)")  # fmt: skip
    option("--through-noise", action="store_true",
           help="give the network most mixtures under noise, the teacher none of it")  # fmt: skip
    option("--steps", type=int, default=8000, help="batches to learn from (8000)")
    option("--batch", type=int, default=128, help="windows a batch (128)")
    option("--seed", type=int, default=1, help="of everything drawn at random (1)")
    option("--workers", type=int, default=1, help="processes that mix and ask the teacher (1)")
    option("--threads", type=int, help="CPU threads of the network itself (torch's own choice)")
    option("--accelerator", default="auto", help="auto, cpu, cuda (auto)")
    option("--precision", default="auto",
           help="bf16-mixed takes a third less time where the processor can (auto: tf32 on a card, "
           "else 32-true)")  # fmt: skip
    option("--save", type=Path, required=True, metavar="RUN", help="the run folder")
    option("--overwrite", action="store_true", help="replace an existing run folder")
    option("--resume", action="store_true", help="go on with the run that --save names")
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Check the options before any data is opened.

    Raises:
        UsageError: The message has the option, its value and its limit.
    """
    for option, least in (("steps", 1), ("batch", 2), ("workers", 0)):
        value = getattr(options, option)
        if value < least:
            raise UsageError(f"--{option} is {value}, must be {least} or more")
    if options.teacher.suffix == ".pt":
        raise UsageError(
            f"--teacher is {options.teacher.name}, weights of EfficientAT, must be YAMNet's TFLite "
            "file; python -m train.distil learns from EfficientAT"
        )
    if options.resume and options.overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: give one of them")
    if options.data is None:
        if not options.others:
            raise UsageError("neither --data nor --others: there is nothing to hear; give one")
        for option in ("folds", "test_fold", "speech_music", "prepared"):
            if getattr(options, option):
                raise UsageError(f"--{option.replace('_', '-')} is about --data; give that, too")
    if options.folds and options.test_fold in options.folds:
        raise UsageError(f"--test-fold is {options.test_fold}, which --folds trains on")


def open_sources(options: argparse.Namespace) -> tuple[Mixtures, Mixtures | None]:
    """Open the sounds to mix for training, and those of the held-out fold, where there is one."""
    training, judged = [], []
    if options.data is not None:
        data = open_clips(options.data, SAMPLE_RATE, out=options.prepared)
        folds = options.folds or [fold for fold in data.folds if fold != options.test_fold]
        training = [Source(_of_folds(data, folds), SHARES["data"])]
        if options.test_fold:
            judged = [Source(_of_folds(data, [options.test_fold]), 1.0)]
        if options.speech_music:
            both = open_clips(options.speech_music, SAMPLE_RATE, dataset="speech-music")
            training.append(Source(_of_folds(both, folds), SHARES["speech and music"]))
    for folder in options.others:
        others = open_sounds(folder, SAMPLE_RATE)
        training.append(Source(others, SHARES["others"] / len(options.others), by_fold=False))
    make = partial(Mixtures, n_samples=WINDOW_SAMPLES, through_noise=options.through_noise)
    return make(training, NOISE_SHARE), make(judged, 0.0) if judged else None


def describe_sources(mixtures: Mixtures) -> list[dict[str, Any]]:
    """Entries for ``config.json``: names, licences and amounts of the sources."""
    return [
        {
            "name": source.clips.name,
            "folds": list(source.clips.folds) if source.by_fold else [],
            "clips": len(source.clips.clips),
            "hours": round(float(source.clips.lengths.sum()) / SAMPLE_RATE / 3600, 2),
            "licence": source.clips.licence,
            "citation": source.clips.citation,
            "share": source.share,
        }
        for source in mixtures.sources
    ]


def _of_folds(clips: ClipSet, folds: list[int]) -> ClipSet:
    chosen = clips.of_folds(folds)
    if not chosen.clips:
        there = ", ".join(map(str, clips.folds))
        raise UsageError(f"{clips.name} has no fold {folds}, there are {there}")
    return chosen


def _open_run(options: argparse.Namespace, config: dict[str, Any]) -> RunFolder:
    """Make a new run folder, or open that of the run to be resumed.

    Raises:
        UsageError: That run was begun with other options.
    """
    if not options.resume:
        run = RunFolder.create(options.save, IMITATION, overwrite=options.overwrite)
        run.write_json(CONFIG, config)
        return run
    run = RunFolder.open(options.save)
    run.lock()
    begun, now = run.read_json(CONFIG), json.loads(json.dumps(config))
    for name in {**begun, **now}:
        # Folders may have other names by now; only their contents are compared.
        if name != "commands" and begun.get(name) != now.get(name):
            raise UsageError(
                f"{run.path}: was begun with other {name}: {shorten_text(begun.get(name))}, not "
                f"{shorten_text(now.get(name))}; go on with the same options"
            )
    return run


if __name__ == "__main__":
    sys.exit(main())
