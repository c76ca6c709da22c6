"""Teach `pocket` to hear before it learns any names: it imitates YAMNet on mixtures without labels.

    python -m train.imitate --data ESC-50 --folds 1,2,3 --test-fold 4 [--speech-music DIR]
        [--others DIR ...] --teacher yamnet.tflite --save RUN
    python -m train.imitate --start pocket --others FIELD --teacher yamnet.tflite --save RUN
    python -m train.pocket --start RUN ...

A few thousand labelled clips say little of how sounds differ. A teacher that has heard millions
says of any window what it hears in it: its features and a layer halfway to them, which says other
things (mean square errors, each value scaled to the same spread), and its scores (cross-entropy).
Windows are mixed anew for every batch
(`train.audio.mixtures`) by processes of their own, which ask the teacher, too; what batch ``k``
holds follows from the seed and ``k``, so that an interrupted run goes on exactly (``--resume``).

Most mixtures the network hears quieter than the teacher, up to 40 dB, and with ``--through-noise``
under noise that the teacher does not hear, and so learns to hear through it.

``--start`` goes on from such a run, or from the layers of a model file: those of the bundled one,
say, that are to know one's own microphones and places better. ``--others`` takes recordings of any
length from there; nobody need say what is in them.

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
from train.base.arguments import Parser
from train.base.errors import UsageError
from train.base.exit_codes import exit_codes
from train.base.recipe import Recipe
from train.datasets import ClipSet, open_clips, open_sounds
from train.nets.pocket_network import SAMPLE_RATE, WIDTHS, WINDOW_SAMPLES, PocketNet
from train.nets.yamnet import Yamnet
from train.pocket_parts.imitation import Lessons, judge, learn
from train.pocket_parts.pretrained_onnx import measure_norms, read_layers, warn_if_heard
from train.pocket_parts.pretrained_run import IMITATION, read_imitator, shorten
from train.run_folder.reproduce import describe_command
from train.run_folder.run import CONFIG, RESULT, RunFolder

SHARES = {"data": 0.5, "speech and music": 0.1, "others": 0.37}
"""How often a sound is drawn from each; what is not given leaves its share to the rest."""

NOISE_SHARE = 0.03
N_JUDGED = 16
"""Batches of the held-out fold that the result is judged on."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
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
    run = _begin(options, config)
    torch.manual_seed(options.seed)
    network = PocketNet(2)
    lessons = Lessons(
        training, options.teacher, network, options.batch, (options.seed, 0), options.steps
    )
    if start.layers is not None:
        network.body.load_state_dict(start.layers, strict=False)
        measure_norms(network.body, lessons[0][0])
    imitator = learn(lessons, recipe, run, options, start.learned)
    drawn = options.steps * options.batch
    result: dict[str, Any] = {"windows": start.windows + drawn}
    for name, before in start.of_these.items():
        if n_windows := before + drawn * bool(config.get(name)):
            result[f"windows_{name}"] = n_windows
    said = ""
    if held_out is not None:
        seed = (options.seed, 2)
        exam = Lessons(held_out, options.teacher, network, options.batch, seed, N_JUDGED)
        result["explained_variance"] = judge(imitator, exam)
        said = f", explains {result['explained_variance']:z.1%} of its features' variance on "
        said += f"mixtures of fold {options.test_fold}"
    run.write_json(RESULT, result)
    run.release()
    print(f"{run.path}: imitates {teacher.about['name']} after {result['windows']:,} windows{said}")
    return 0


def describe(
    options: argparse.Namespace, recipe: Recipe, teacher: Yamnet, training: Mixtures
) -> dict[str, Any]:
    """For ``config.json``: what decides of the weights, but for what the run begins with."""
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
    """What a run begins with.

    Attributes:
        layers: Of a model file.
        learned: All of an `Imitator`.
        windows: How many it has learned from.
        of_these: How many of them were quieter than the teacher heard them, how many noisier.
    """

    layers: dict[str, torch.Tensor] | None
    learned: dict[str, torch.Tensor] | None
    windows: int
    of_these: dict[str, int]


def read_start(options: argparse.Namespace, config: dict[str, Any], data: ClipSet) -> Start:
    """What ``--start`` names; what it was made of goes into ``config``.

    Raises:
        RunError: It is neither a run of imitation like this one nor a model file of pocket.
    """
    before: dict[str, Any] = {}
    layers, learned = None, None
    if options.start is not None and not Path(options.start).is_dir():
        layers, config["layers_of"] = read_layers(options.start, WIDTHS, data)
        warn_if_heard(config["layers_of"], data)
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
    """Its options."""
    parser = Parser(
        prog="python -m train.imitate",
        description="Train the layers of pocket to hear what YAMNet hears, without labels.",
    )
    option = parser.add_argument
    option("--data", type=Path, help="a data set's folder; its labels are not used")
    option("--prepared", type=Path, help="where its prepared clips go")
    option("--folds", type=_folds, help="folds to mix (all but the test fold), as in 1,2,3")
    option("--test-fold", type=int, default=0, help="the fold to judge by (none)")
    option("--speech-music", type=Path, metavar="DIR", help="speech and music, by the same folds")
    option("--others", type=Path, nargs="+", default=[], metavar="DIR",
           help="other sounds: audio of any length, in folders of any depth")  # fmt: skip
    option("--teacher", type=Path, required=True, metavar="TFLITE", help="YAMNet's file")
    option("--start", metavar="MODEL",
           help="begin with the layers of a model file ('pocket' is the bundled one), or with what "
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
    """Say what makes no sense before any data is opened.

    Raises:
        UsageError: The option, its value and its limit.
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
    """What is mixed for training, and of the held-out fold for judging, where there is one."""
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
    """For ``config.json``: names, licences and how much there is."""
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


def _begin(options: argparse.Namespace, config: dict[str, Any]) -> RunFolder:
    """A new run folder, or that of the run to go on with.

    Raises:
        UsageError: That one was begun with other options.
    """
    if not options.resume:
        run = RunFolder.create(options.save, IMITATION, overwrite=options.overwrite)
        run.write_json(CONFIG, config)
        return run
    run = RunFolder.open(options.save)
    run.hold()
    begun, now = run.read_json(CONFIG), json.loads(json.dumps(config))
    for name in {**begun, **now}:
        # Folders may be called otherwise by now; what is in them is compared.
        if name != "commands" and begun.get(name) != now.get(name):
            raise UsageError(
                f"{run.path}: was begun with other {name}: {shorten(begun.get(name))}, not "
                f"{shorten(now.get(name))}; go on with the same options"
            )
    return run


def _folds(text: str) -> list[int]:
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be folds as in 1,2,3") from None


if __name__ == "__main__":
    sys.exit(main())
