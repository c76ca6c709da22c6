"""Teach a small network for streams what EfficientAT hears, without labels: long and resumable.

    python -m train.distil --sounds PREPARED [--weights NPZ] --teacher mn04_as_mAP_432.pt
        --shards 240 --passes 6 --cache DIR --save RUN [--resume]

Mixtures of ten seconds are heard by the teacher once (`train.distillation.heard`) and by the pupil
(`train.distillation.pupil`) in every pass: another four seconds of each, quieter, coloured, under
noise that the teacher did not hear. The first pass makes the shards as it goes, unless
``--only-hear`` in another process has made them; a run that stops at any time goes on from its last
checkpoint, at most `SAVE_EVERY_S` before (``--resume``), exactly.

The learning rate stays the same until the last `COOLING` of the run. Until then ``--passes`` may be
changed: more of them go on as if they had been planned, and as many as are done anyway bring it to
an end.

Where there is a GPU, shards are no use: with ``--fresh --minutes 10`` it makes and hears mixtures
that nothing has learned from yet, as fast as the pupil learns (`train.distillation.fresh`), until
the time is over; ``--start RUN`` begins with another run's state.

Sources: knowledge distillation (Hinton et al. 2015) with features as hints (Romero et al. 2015);
teacher: EfficientAT's mn04_as (`train.nets.efficientat`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.audio.tracks import Tracks
from train.audio.tracks_on_device import Mixer
from train.base.arguments import Parser, parse_folds
from train.base.devices import make_fabric
from train.base.errors import RunError, UsageError
from train.base.exit_codes import exit_codes
from train.base.interrupt import Interrupt
from train.base.recipe import Recipe
from train.datasets.free_sounds import HELD_OUT
from train.datasets.prepared import ClipSet, open_prepared, pool
from train.distillation.fresh import DeviceEar, Fresh
from train.distillation.fresh_run import check_start, hasten, learn_fresh, windows_of
from train.distillation.heard import PER_SHARD, Heard
from train.distillation.names import Named, as_sounds, open_named, weigh
from train.distillation.pupil import PUPILS, WIDE, AnyPupil, Pupil, StreamedPupil
from train.distillation.schooling import NOISE_SHARE, QUIET_DB, QUIET_SHARE, SNR_DB, Schooling
from train.distillation.wide import PUPIL
from train.loop.batch_norm import N_BATCHES, recompute_statistics
from train.loop.learner import Learner
from train.pocket_parts.mel_power import make_noises
from train.pocket_parts.pretrained_run import IMITATION
from train.run_folder.checkpoint import Progress
from train.run_folder.reproduce import describe_command
from train.run_folder.run import CONFIG, RESULT, WEIGHTS, RunFolder

SAVE_EVERY_S = 300.0
TOGETHER = 4
"""Shards whose mixtures share batches."""

N_MEASURED = 2
"""Shards that say how far what the teacher says spreads."""

COOLING = 0.2
"""Part of the run at whose end the learning rate falls."""

N_JUDGED = 2
"""Shards of the held-out sources."""

JUDGED_SEED = 10_000

SCHEDULE = ("passes", "minutes", "recipe", "steps", "commands")
"""Fields of a run's description that depend on its length."""

EVERY = 50
"""Steps of a row of history."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = make_parser().parse_args(arguments)
    check(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.fresh:
        return distil_fresh(options)
    training, judged = open_heard(options)
    if options.only_hear:
        return hear_all(training, judged, options)
    recipe = make_recipe(options, options.passes)
    n_steps = options.passes * len(group_numbers(options.shards)) * steps_of_group(options)
    config = describe(options, recipe, describe_sources(training.tracks.clips), n_steps)
    run = open_run(options, config)
    torch.manual_seed(options.seed)
    learner, progress = learn(training, recipe, run, options)
    pupil = finish(run, learner, progress)
    return conclude(run, pupil, judged, windows_of(config, n_steps))


def distil_fresh(options: argparse.Namespace) -> int:
    """A run that learns from fresh mixtures; its exit code."""
    from train.nets.efficientat import open_efficientat

    named = open_named_set(options)
    free, held_out = open_sounds(options)
    tracks, judged_by = make_tracks(options, free, held_out, named)
    recipe = make_recipe(options, 1)
    config = describe(options, recipe, describe_sources(free, named), options.steps or 0)
    if named is not None:
        config |= {"names": list(named.clips.labels), "named": named.describe()}
    run = open_run(options, config)
    torch.manual_seed(options.seed)
    fabric = make_fabric(options.accelerator, options.precision)
    hasten(fabric)
    kind, device = PUPILS[options.layers], fabric.device
    mixer = Mixer(tracks, device)
    network, _ = open_efficientat(options.teacher)
    ear = DeviceEar(network, kind.make_front_end(), device, hints=kind.hints_kept)
    fresh = Fresh(tracks, options.seed, mixer, ear, options.teacher)
    learner, progress = learn_fresh(fresh, recipe, run, options, fabric, named)
    run.write_json(CONFIG, run.read_json(CONFIG) | {"steps": progress.step})
    pupil = finish(run, learner, progress)
    judged = Fresh(judged_by, JUDGED_SEED, mixer, ear, options.teacher)
    return conclude(run, pupil, judged, windows_of(config, progress.step))


def open_run(options: argparse.Namespace, config: dict[str, Any]) -> RunFolder:
    """Make the run's folder, or open it to go on."""
    if options.resume:
        run = RunFolder.open(options.save)
        run.lock()
        check_same(run, config)
        return run
    RunFolder.check_free(options.save, overwrite=options.overwrite)
    run = RunFolder.create(options.save, IMITATION, overwrite=options.overwrite)
    run.write_json(CONFIG, config)
    return run


def make_recipe(options: argparse.Namespace, passes: int) -> Recipe:
    """How it learns."""
    return Recipe(
        epochs=passes, batch_size=options.batch, optimiser="adamw",
        learning_rate=options.rate, weight_decay=0.02, schedule="trapezoid", warm_up=0.01,
        drops=(1 - COOLING,), clip_norm=5.0, ema=options.average,
    )  # fmt: skip


def finish(run: RunFolder, learner: Learner, progress: Progress) -> AnyPupil:
    """Keep the averaged weights."""
    learner.save(run, progress)
    run.write_json("history.json", progress.epochs)
    pupil = learner.system.network
    pupil.load_state_dict(learner.average)
    kept = {k: v for k, v in pupil.body.state_dict().items() if not k.startswith("output.")}
    run.write_tensors(PUPIL, dict(pupil.state_dict()))
    run.write_tensors(WEIGHTS, kept)
    return pupil.eval()


def conclude(run: RunFolder, pupil: AnyPupil, judged: Heard | Fresh, n_windows: int) -> int:
    """Judge, and write down the result."""
    result = {
        "windows": n_windows,
        "windows_quieter": n_windows,
        "windows_through_noise": n_windows,
    }
    result |= judge(pupil, judged)
    run.write_json(RESULT, result)
    run.unlock()
    print(f"{run.path}: {json.dumps(result)}")
    return 0


def make_parser() -> Parser:
    """Its options."""
    parser = Parser(
        prog="python -m train.distil",
        description="Train a small network to hear what EfficientAT hears, without labels.",
    )
    option = parser.add_argument
    option("--sounds", type=Path, required=True, nargs="+", metavar="PREPARED",
           help="prepared at 16 kHz (train.datasets.free_sounds DIR --out PREPARED); several are "
           "as one")  # fmt: skip
    option("--weights", type=Path, nargs="+", metavar="NPZ", help="how often each source is drawn "
           "(python -m train.hear_sources); of several, the last that names it counts")  # fmt: skip
    option("--teacher", type=Path, required=True, metavar="PT", help="mn04_as_mAP_432.pt")
    option("--layers", choices=PUPILS, default="teacher", help="teacher: its own layers, made for "
           "streams, beginning with its weights; pocket: wider ones than pocket's, beginning with "
           "random weights (teacher)")  # fmt: skip
    option("--rate", type=float, default=3e-3, help="highest learning rate (0.003)")
    option("--shards", type=int, default=240, help=f"of {PER_SHARD} mixtures each (240)")
    option("--passes", type=int, default=6, help="how often each mixture is heard (6)")
    option("--batch", type=int, default=32, help="mixtures a batch (32)")
    option("--seed", type=int, default=1, help="of everything drawn at random (1)")
    option("--cache", type=Path, metavar="DIR", help="where shards are kept")
    option("--only-hear", action="store_true", help="make the shards, from the last to the first, "
           "and learn nothing")  # fmt: skip
    option("--fresh", action="store_true", help="learn from mixtures made as they are needed, "
           "instead of shards: for a GPU")  # fmt: skip
    option("--minutes", type=float, metavar="M", help="length of a --fresh run, in time")
    option("--steps", type=int, metavar="N", help="length of a --fresh run, in batches")
    option("--crops", type=int, default=2, help="crops of each fresh mixture (2)")
    option("--filtered", type=float, default=0.3, metavar="SHARE", help="part of the fresh tracks "
           "that are filtered, 0 to 1 (0.3)")  # fmt: skip
    option("--alone", type=float, default=0.0, metavar="SHARE", help="part of the fresh stretches "
           "of short sounds in which these come alone, with long pauses, 0 to 1 (0)")  # fmt: skip
    option("--clean", type=float, metavar="DB", help="learn labels of fresh mixtures also from "
           "what the teacher says of each source alone (scores in --weights), in windows in which "
           "it is so many dB over all else, or more")  # fmt: skip
    option("--noise", type=float, default=NOISE_SHARE, metavar="SHARE", help="part of what it "
           f"hears that lies under noise, 0 to 1 ({NOISE_SHARE:g})")  # fmt: skip
    option("--lowest-snr", type=float, default=SNR_DB[0], metavar="DB", help="the loudest moment "
           f"over this noise at least, in dB ({SNR_DB[0]:g})")  # fmt: skip
    option("--workers", type=int, default=0, help="processes that decide what is in fresh mixtures "
           "(0)")  # fmt: skip
    option("--start", type=Path, metavar="RUN", help="begin a --fresh run with the state of "
           "another run of the same layers")  # fmt: skip
    option("--named", type=Path, metavar="DIR", help="a labelled set, such as ESC-50, that a "
           "--fresh run hears as well, and whose names it learns to give as the teacher "
           "would")  # fmt: skip
    option("--folds", type=parse_folds, metavar="1,2,3", help="folds of that set that may be heard")
    option("--named-share", type=float, default=0.5, metavar="SHARE", help="part of the tracks "
           "that are of that set (0.5)")  # fmt: skip
    option("--names-weight", type=float, default=1.0, metavar="W", help="weight of the names in "
           "the loss; 0 hears the set without them (1)")  # fmt: skip
    option("--average", type=float, default=0.999, metavar="DECAY", help="decay of the averaged "
           "weights, a step (0.999)")  # fmt: skip
    option("--threads", type=int, default=1, help="CPU threads (1)")
    option("--accelerator", default="auto", help="auto, cpu, cuda (auto)")
    option("--precision", default="bf16-mixed", help="32-true or bf16-mixed (bf16-mixed)")
    option("--save", type=Path, metavar="RUN", help="the run folder")
    option("--overwrite", action="store_true", help="replace an existing run folder")
    option("--resume", action="store_true", help="go on with the run that --save names")
    return parser


def check(options: argparse.Namespace) -> None:
    """That the options make sense together.

    Raises:
        UsageError: They do not.
    """
    if options.save is None and not options.only_hear:
        raise UsageError("--save is missing: name the run's folder")
    if not options.fresh and options.cache is None:
        raise UsageError("--cache is missing: name a folder for shards, or learn with --fresh")
    least = {"shards": N_MEASURED, "passes": 1, "batch": 2, "crops": 1, "workers": 0, "steps": 1}
    for option, lowest in least.items():
        value = getattr(options, option)
        if value is not None and value < lowest:
            raise UsageError(f"--{option} is {value}, must be {lowest} or more")
    for option in ("filtered", "average", "alone", "noise"):
        if not 0 <= getattr(options, option) <= 1:
            raise UsageError(f"--{option} is {getattr(options, option)}, must lie in 0..1")
    if options.minutes is not None and not options.minutes > 0:
        raise UsageError(f"--minutes is {options.minutes:g}, must be more than 0")
    if options.fresh and (options.minutes is None) == (options.steps is None):
        raise UsageError("--fresh takes --minutes or --steps: give one of them")
    if options.fresh and options.only_hear:
        raise UsageError("--only-hear makes shards, --fresh takes none: give one of them")
    if (options.named is None) != (options.folds is None):
        raise UsageError("--named and --folds belong together: give both, or neither")
    if options.named is not None and options.layers != StreamedPupil.layers:
        raise UsageError(f"--named is for --layers {StreamedPupil.layers}: leave --layers out")
    if not 0 < options.named_share < 1:
        raise UsageError(f"--named-share is {options.named_share:g}, must lie between 0 and 1")
    if options.names_weight < 0:
        raise UsageError(f"--names-weight is {options.names_weight:g}, must be 0 or more")
    if not options.lowest_snr <= SNR_DB[1]:
        raise UsageError(f"--lowest-snr is {options.lowest_snr:g}, must be {SNR_DB[1]:g} or less")
    only_fresh = ("minutes", "steps", "start", "named", "clean")
    given = {name: getattr(options, name) for name in only_fresh}
    for option, value in (given | {"alone": options.alone or None}).items():
        if not options.fresh and value is not None:
            raise UsageError(f"--{option} goes with --fresh: add it")


def open_named_set(options: argparse.Namespace) -> Named | None:
    """The labelled set that is heard, too."""
    if options.named is None:
        return None
    return open_named(options.named, options.folds, options.named_share, options.names_weight)


def open_sounds(options: argparse.Namespace) -> tuple[ClipSet, ClipSet]:
    """Sounds that are learned from, and those that are held out."""
    clips = pool([open_prepared(folder) for folder in options.sounds])
    held = [k for k, clip in enumerate(clips.clips) if clip.source.split("/")[0] in HELD_OUT]
    others = sorted(set(range(len(clips.clips))) - set(held))
    return clips.take(others), clips.take(held or others)


def make_tracks(
    options: argparse.Namespace, clips: ClipSet, held_out: ClipSet, named: Named | None = None
) -> tuple[Tracks, Tracks]:
    """Mixtures of what is learned from, and of what is held out."""
    weights = read_weights(options.weights or ())
    if named is not None:
        sources = dict.fromkeys(clip.source for clip in clips.clips)
        free = {source: weights.get(source, 1.0) for source in sources}
        weights |= weigh(named.clips, free, named.share)
        clips = pool([clips, as_sounds(named.clips, clips)])
    return _tracks(clips, weights, options.alone), _tracks(held_out, weights)


def open_heard(options: argparse.Namespace) -> tuple[Heard, Heard]:
    """Shards of what is learned from, and of what is held out."""
    kind = PUPILS[options.layers]
    front_end = kind.make_front_end()
    names = ("training", options.seed), ("judged", JUDGED_SEED)
    both = make_tracks(options, *open_sounds(options))
    training, judged = (
        Heard(
            shards_of(options.cache, name, kind),
            tracks,
            options.teacher,
            seed,
            front_end,
            kind.hints_kept,
        )
        for tracks, (name, seed) in zip(both, names, strict=True)
    )
    return training, judged


def shards_of(cache: Path, name: str, kind: type[AnyPupil]) -> Path:
    """Where shards are kept: each front end has its own."""
    return cache / f"{name}-{kind.layers}"


def read_weights(paths: Sequence[Path]) -> dict[str, float]:
    """How often each source is drawn; empty where they are all alike."""
    weights: dict[str, float] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            weights |= zip(file["source"].tolist(), file["weight"].tolist(), strict=True)
    return weights


def _tracks(clips: ClipSet, weights: dict[str, float], alone: float = 0.0) -> Tracks:
    sources = dict.fromkeys(clip.source for clip in clips.clips)
    return Tracks(clips, [weights.get(source, 1.0) for source in sources], alone)


def describe(
    options: argparse.Namespace, recipe: Recipe, sources: list[dict[str, Any]], n_steps: int
) -> dict[str, Any]:
    """For ``config.json``: what decides of the weights; as of a run of `train.imitate`."""
    digest = hashlib.sha256(options.teacher.read_bytes()).hexdigest()
    config: dict[str, Any] = {
        "network": IMITATION,
        "layers": options.layers,
        "widths": list(WIDE) if options.layers == Pupil.layers else [],
        "recipe": recipe.as_json(),
        "shards": options.shards,
        "passes": options.passes,
        "steps": n_steps,
        "seed": options.seed,
        "test_fold": 0,
        "precision": options.precision,
        "teacher": {"name": "EfficientAT mn04_as", "file": options.teacher.name, "sha256": digest},
        "held_out": list(HELD_OUT),
        "quieter": {"share": QUIET_SHARE, "db": QUIET_DB},
        "through_noise": True,
        "sources": sources,
        "commands": [describe_command("distil", make_parser(), vars(options))],
    }
    if options.fresh:
        config |= {"shards": 0, "passes": 0, "minutes": options.minutes}
        config["fresh"] = {"crops": options.crops, "filtered": options.filtered}
        config["fresh"] |= {"alone": options.alone} if options.alone else {}
        config["fresh"] |= {} if options.clean is None else {"clean": options.clean}
    noise = {"share": options.noise, "lowest_snr": options.lowest_snr}
    if noise != {"share": NOISE_SHARE, "lowest_snr": SNR_DB[0]}:
        config["noise"] = noise
    if options.start is not None:
        start = check_start(options.start, options.layers, names=options.named is not None)
        config["commands"] = [*start.pop("commands"), *config["commands"]]
        config["start"] = start
    return config


def describe_sources(free: ClipSet, named: Named | None = None) -> list[dict[str, Any]]:
    """Entries for ``config.json`` of the sets that are heard."""
    if named is None:
        return [_describe_source(free, 1.0)]
    own = _describe_source(named.clips, named.share) | {"folds": list(named.clips.folds)}
    return [_describe_source(free, 1 - named.share), own]


def _describe_source(clips: ClipSet, share: float) -> dict[str, Any]:
    return {
        "name": clips.name,
        "folds": [],
        "clips": len(clips.clips),
        "sources": len({clip.source for clip in clips.clips}),
        "hours": round(float(clips.lengths.sum()) / clips.sample_rate / 3600, 2),
        "licence": clips.licence,
        "citation": clips.citation,
        "share": share,
        "origin": clips.origin,
    }


def check_same(run: RunFolder, config: dict[str, Any]) -> None:
    """That a run goes on as it began.

    Raises:
        UsageError: It was begun with other options.
    """
    begun, now = run.read_json(CONFIG), json.loads(json.dumps(config))
    for name in now:
        if name in SCHEDULE:
            continue  # it may be made longer or shorter; each length is written down
        if begun.get(name) != now[name]:
            raise UsageError(
                f"{run.path}: was begun with other {name}: {str(begun.get(name))[:60]}, not "
                f"{str(now[name])[:60]}; go on with the same options"
            )
    length = "minutes" if now.get("minutes") is not None else "passes"
    if begun[length] != now[length]:
        begun["plan"] = [*begun.get("plan", [begun[length]]), now[length]]
        run.write_json(CONFIG, begun | {name: now[name] for name in SCHEDULE if name in now})


def hear_all(training: Heard, judged: Heard, options: argparse.Namespace) -> int:
    """Make what shards are missing, the last first: a run that learns makes the first itself."""
    for number in range(N_JUDGED):
        if not judged.path(number).exists():
            judged.make(number)
    for number in range(options.shards - 1, -1, -1):
        if not training.path(number).exists():
            training.make(number)
    return 0


def begin_learner(
    training: Heard, recipe: Recipe, run: RunFolder, options: argparse.Namespace
) -> tuple[Learner, Schooling, Progress]:
    """Make what learns, or load it where a run goes on; also how far it came."""
    from train.nets.efficientat import open_efficientat

    fabric = make_fabric(options.accelerator, options.precision)
    device = fabric.device
    pupil = PUPILS[options.layers]()
    teacher, _ = open_efficientat(options.teacher)
    front_end = training.front_end
    schooling = Schooling(recipe, front_end, make_noises(front_end, 16000, torch.device("cpu")))
    schooling.noise_share, schooling.snr_db = options.noise, (options.lowest_snr, SNR_DB[1])
    if not options.resume:
        pupil.begin(teacher)
        first = [training.get(number) for number in range(N_MEASURED)]
        said = [schooling.said(shard, *schooling.middles(shard)) for shard in first]
        pupil.measure(torch.cat(said))
        measure_statistics(pupil, schooling, first[0], options)
    schooling.teacher_head = teacher.classifier.to(device).requires_grad_(False)
    learner = Learner(schooling, pupil.to(device), fabric)
    progress = learner.load(run) if options.resume else Progress()
    pupil.train()
    return learner, schooling, progress


def learn(
    training: Heard, recipe: Recipe, run: RunFolder, options: argparse.Namespace
) -> tuple[Learner, Progress]:
    """Go through the shards, some at a time; what is kept are the averaged weights.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is not finite any more, or the run cannot be written.
    """
    learner, schooling, progress = begin_learner(training, recipe, run, options)
    device = learner.fabric.device
    per_group, n_groups = steps_of_group(options), len(group_numbers(options.shards))
    n_steps = n_groups * per_group * options.passes
    saved = begun = time.monotonic()
    sums = np.zeros(3)
    with Interrupt(learner.fabric) as interrupt:
        while progress.step < n_steps:
            lesson, within = divmod(progress.step, per_group)
            group, rows = read_group(training, options, lesson, n_groups)
            for k in range(within, per_group):
                random = np.random.default_rng((options.seed, 1, progress.step))
                chosen = rows[k * options.batch : (k + 1) * options.batch]
                inputs, said = schooling.batch(group, chosen, random)
                rate = recipe.rate_at(progress.step / n_steps)
                totals = learner.learn(inputs.to(device), said.to(device), rate, progress.step)
                loss, error, n = totals.tolist()
                if not math.isfinite(loss):
                    raise RunError(f"{run.path}: the loss is {loss} at batch {progress.step}; take "
                                   "another --seed")  # fmt: skip
                progress.step += 1
                sums += (loss / n, error / n, 1)
                if progress.step % EVERY == 0:
                    row = {"step": progress.step, "loss": sums[0] / sums[2],
                           "error": sums[1] / sums[2]}  # fmt: skip
                    progress.epochs.append(row)
                    pace = (time.monotonic() - begun) / EVERY
                    print(f"{progress.step} of {n_steps}: loss {row['loss']:.4f}, error "
                          f"{row['error']:.4f}, rate {rate:.2e}, {pace:.2f} s a batch",
                          flush=True)  # fmt: skip
                    sums[:], begun = 0, time.monotonic()
                asked = interrupt.was_requested()
                if asked or time.monotonic() - saved > SAVE_EVERY_S:
                    learner.save(run, progress)
                    run.write_json("history.json", progress.epochs)
                    saved = time.monotonic()
                if asked and progress.step < n_steps:
                    print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                    raise KeyboardInterrupt
    return learner, progress


def measure_statistics(
    pupil: AnyPupil, schooling: Schooling, shard: dict[str, Tensor], options: argparse.Namespace
) -> None:
    """Measure the statistics of BatchNorm: layers that were changed give others than they knew."""
    random = np.random.default_rng((options.seed, 4))
    rows = (random.choice(PER_SHARD, options.batch) for _ in range(N_BATCHES))
    recompute_statistics(pupil, (schooling.batch(shard, own, random)[0] for own in rows))


def group_numbers(n_shards: int) -> range:
    """Groups of shards in a pass."""
    return range(-(-n_shards // TOGETHER))


def steps_of_group(options: argparse.Namespace) -> int:
    """Batches of a group."""
    return TOGETHER * PER_SHARD // options.batch


def read_group(
    heard: Heard, options: argparse.Namespace, lesson: int, n_groups: int
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Some shards together and the order of their mixtures; another grouping in each pass."""
    turn, place = divmod(lesson, n_groups)
    order = np.arange(options.shards)
    if turn:
        order = np.random.default_rng((options.seed, 2, turn)).permutation(options.shards)
    numbers = np.resize(order, n_groups * TOGETHER)[place * TOGETHER : (place + 1) * TOGETHER]
    shards = [heard.get(int(number)) for number in numbers]
    group = {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}
    rows = np.random.default_rng((options.seed, 3, lesson)).permutation(TOGETHER * PER_SHARD)
    return group, rows


@torch.no_grad()
def judge(pupil: AnyPupil, judged: Heard | Fresh) -> dict[str, float]:
    """On sources that it has not learned from: what it explains, and how often it agrees.

    Returns:
        ``explained_variance`` of the teacher's features by window, and ``agreement``: how often
        both put the same label first.
    """
    from train.nets.efficientat import N_FEATURES, N_LABELS, open_efficientat

    device = next(pupil.parameters()).device
    head = open_efficientat(judged.teacher)[0].classifier.to(device)
    schooling = Schooling(None, judged.front_end, torch.zeros(0))
    pupil.eval()
    wanted, given, same = [], [], []
    for number in range(N_JUDGED):
        shard = judged.get(number)
        for rows, starts in zip(*map(_in_parts, schooling.middles(shard)), strict=True):
            said = schooling.said(shard, rows, starts).to(device)
            answer = pupil(schooling.cut(shard, rows, starts).to(device))
            scaled = (said - pupil.mean) / pupil.spread
            wanted.append(scaled[:, :N_FEATURES])
            given.append(answer[:, :N_FEATURES])
            top = head(said[:, :N_FEATURES]).argmax(dim=1)
            same.append(answer[:, -N_LABELS:].argmax(dim=1) == top)
    all_wanted, all_given = torch.cat(wanted), torch.cat(given)
    error = (all_given - all_wanted).square().mean()
    spread = (all_wanted - all_wanted.mean(dim=0)).square().mean()
    return {
        "explained_variance": round(1 - float(error / spread), 4),
        "agreement": round(float(torch.cat(same).float().mean()), 4),
    }


def _in_parts(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, range(16, len(values), 16))


if __name__ == "__main__":
    sys.exit(main())
