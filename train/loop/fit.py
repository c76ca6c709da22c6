"""The loop: cut a batch, step, average the weights; read it from top to bottom.

All chance of a step comes from the run's seed and the step's number, so nothing of it needs
saving: a run that was interrupted and continued ends with the very weights it would have had.
The held-out fold is looked at for the history's sake and decides nothing; where an epoch is to be
chosen, it is by clips of the training folds that were set aside for it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from train.base.errors import RunError, UsageError
from train.base.interrupt import Interrupt
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.loop.batch_norm import N_BATCHES, measure_statistics
from train.loop.budget import Budget
from train.loop.learner import Learner
from train.loop.periodic_evaluation import Looks
from train.loop.progress import Teller
from train.nets.contract import System
from train.run_folder.checkpoint import Progress, load_best
from train.run_folder.learned_filters import FilterFilm
from train.run_folder.run import CONFIG, WEIGHTS, RunFolder

SAVE_EVERY_S = 120.0


def fit(
    system: System,
    network: nn.Module,
    training: ClipSet,
    held_out: ClipSet | None,
    run: RunFolder,
    fabric: Fabric,
    *,
    seed: int,
    resume: bool = False,
    validation: ClipSet | None = None,
    keep: int = 1,
    budget: Budget | None = None,
    began: float | None = None,
    full_epochs: int = 0,
) -> nn.Module:
    """Train a network by its system's recipe, to the schedule's end.

    Args:
        system: Cuts batches, knows the loss and the recipe.
        network: Freshly built.
        training: The clips to learn from.
        held_out: The test fold, for the history.
        run: Where everything is written.
        fabric: The devices; every process of several takes its share of each batch.
        seed: Of all that is drawn at random.
        resume: Go on from the run's checkpoint.
        validation: Clips that choose the epoch; the last one counts where there are none.
        keep: How many of the best epochs' weights are kept, by the validation clips.
        budget: The time it may take; the schedule is fitted to it anew as it goes.
        began: When the command did, by the monotonic clock; now if not given.
        full_epochs: Of the full schedule, to tell a shortened one.

    Returns:
        The network with its final weights: the averaged ones where the recipe averages.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved, ``resume`` goes on from it.
        RunError: There is nothing to resume, the run folder cannot be written, or the loss is not
            finite any more.
    """
    recipe = system.recipe
    learner = Learner(system, network, fabric)
    batches = Batches(system, network, training, fabric, seed)
    if not resume:
        system.prepare(network, batches.material)
    progress = learner.load(run) if resume else Progress()
    if budget:
        budget.start(progress.step // batches.per_epoch, progress.elapsed)
    began = (time.monotonic() if began is None else began) - progress.elapsed
    measure = "error" if system.task == "regression" else "accuracy"
    film = FilterFilm(system, run, recipe.epochs, resume=resume)
    looks = Looks(system, network, learner.average, validation, held_out, run, keep, budget)
    saved = time.monotonic()
    if progress.step == 0 and run.writes:
        film.take(network, 0)

    with (
        Interrupt(fabric) as interrupt,
        Teller(recipe, batches.per_epoch, progress.step, measure) as teller,
    ):
        learner.trainee.train()
        sums = torch.tensor(progress.sums[:3], device=fabric.device)
        while progress.step < recipe.epochs * batches.per_epoch:
            step_began = time.perf_counter()
            inputs, labels = batches.cut(progress.step)
            rate = recipe.rate_at(recipe.progress_at(progress.step, batches.per_epoch))
            sums += learner.learn(inputs, labels, rate, progress.step)
            progress.step += 1

            epoch, place = divmod(progress.step, batches.per_epoch)
            finished, last = place == 0, place == 0 and epoch == recipe.epochs
            asked = interrupt.was_asked()
            saving = asked or time.monotonic() - saved > SAVE_EVERY_S
            # Reading a number makes the host wait for the card: not at every step.
            if finished or saving or teller.is_due():
                progress.sums[:3] = _read_sums(sums, run, progress.step, rate)
            progress.sums[3] += time.perf_counter() - step_began
            if finished or teller.is_due():
                teller.tell_step(progress.step, progress.sums)
            if finished:
                row = _finish_epoch(progress, epoch, rate, measure)
                sums.zero_()
                if run.writes:
                    film.take(network, epoch, last=last)
                    row |= looks.look(progress, recipe.epochs)
                if budget and not last:
                    recipe = teller.recipe = _plan_anew(system, run, fabric, budget, epoch)
                teller.tell_epoch(row, progress.step, len(training.clips))
                run.write_json("history.json", progress.epochs)
            if saving:
                progress.elapsed = time.monotonic() - began
                learner.save(run, progress)
                saved = time.monotonic()
            if asked and not last:
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt

    progress.elapsed = time.monotonic() - began
    learner.save(run, progress)
    lagging = recipe.epochs < full_epochs and not recipe.ema and validation is None
    return _conclude(learner, network, batches, run, progress, full_epochs if lagging else 0)


def _conclude(
    learner: Learner,
    network: nn.Module,
    batches: Batches,
    run: RunFolder,
    progress: Progress,
    full_epochs: int,
) -> nn.Module:
    """Put the weights that are kept into the network, and write them.

    Args:
        learner: With the averaged weights.
        network: That learned.
        batches: What it learned from.
        run: Where they are written.
        progress: With the best epochs, if clips chose one.
        full_epochs: Of the full schedule, where this one is too short for BatchNorm's statistics.
    """
    system = learner.system
    learner.trainee.load_state_dict(learner.average)
    chosen = progress.best and run.writes
    epoch = load_best(run, network, progress) if chosen else system.recipe.epochs
    if full_epochs:
        _measure_again(system, learner.trainee, batches, run, full_epochs)
    system.conclude(network)
    run.write_tensors(WEIGHTS, network.state_dict(), {"epoch": str(epoch)})
    return network.eval()


def _measure_again(
    system: System, trainee: nn.Module, batches: Batches, run: RunFolder, full_epochs: int
) -> None:
    """Measure BatchNorm's statistics again, and say so.

    Not where clips chose an epoch, which they did with the statistics that it had, nor of averaged
    weights, whose statistics are averaged, too.
    """
    recipe = system.recipe
    steps = recipe.epochs * batches.per_epoch + np.arange(N_BATCHES)
    if measure_statistics(trainee, (batches.cut(int(step))[0] for step in steps)) and run.writes:
        print(
            f"BatchNorm's statistics are measured again over {N_BATCHES} training batches: after "
            f"{recipe.epochs} of {full_epochs} epochs they lag behind the weights",
            file=sys.stderr,
        )
        run.write_json(CONFIG, run.read_json(CONFIG) | {"statistics_batches": N_BATCHES})


class Batches:
    """Each epoch's clips in an order of its own, cut and mixed a batch at a time.

    Attributes:
        per_epoch: How many.
    """

    def __init__(
        self, system: System, network: nn.Module, clips: ClipSet, fabric: Fabric, seed: int
    ) -> None:
        self.system, self.fabric, self.seed = system, fabric, seed
        self.material = system.material(network, clips, fabric.device)
        self.n_clips = len(clips.clips)
        self.per_epoch = max(1, round(self.n_clips / system.recipe.batch_size))

    def cut(self, step: int) -> tuple[Tensor, Tensor]:
        """This process's share of a step's batch; what follows from it is seeded, too.

        Raises:
            UsageError: A batch has fewer clips than there are processes.
        """
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, 0, epoch)).permutation(self.n_clips)
        indices = _share(np.array_split(order, self.per_epoch)[place], self.fabric)
        rank = self.fabric.global_rank
        torch.manual_seed((self.seed << 32) + step + rank * 2**24)
        random = np.random.default_rng((self.seed, 1 + rank, step))
        return self.system.batch(self.material, indices, random)


def _plan_anew(
    system: System, run: RunFolder, fabric: Fabric, budget: Budget, epoch: int
) -> Recipe:
    """Fit the rest of the schedule to what is left of the budget; the recipe, kept in the run."""
    # One process measures, all go by it.
    recipe: Recipe = fabric.broadcast(budget.reckon(system.recipe, epoch))
    if recipe != system.recipe:
        print(
            f"epoch {epoch}: {recipe.epochs} epochs fit into the budget, not "
            f"{system.recipe.epochs}",
            file=sys.stderr,
        )
        system.recipe = recipe
        if run.writes:
            run.write_json(CONFIG, run.read_json(CONFIG) | {"recipe": recipe.as_json()})
    return recipe


def _share(indices: np.ndarray, fabric: Fabric) -> np.ndarray:
    """This process's part of a batch."""
    if fabric.world_size == 1:
        return indices
    if len(indices) < fabric.world_size:
        raise UsageError(
            f"--devices is {fabric.world_size}, more than the {len(indices)} clips of a batch"
        )
    return np.array_split(indices, fabric.world_size)[fabric.global_rank]


def _read_sums(sums: Tensor, run: RunFolder, step: int, rate: float) -> list[float]:
    """This process's sums as numbers, checked."""
    numbers = sums.tolist()
    if not np.isfinite(numbers[0]):
        raise RunError(
            f"{run.path}: the loss is {numbers[0]} by step {step}; "
            f"lower the learning rate, {rate:.3g}"
        )
    return numbers


def _finish_epoch(progress: Progress, epoch: int, rate: float, measure: str) -> dict[str, Any]:
    loss, tally, clips, seconds = progress.sums
    row = {
        "epoch": epoch,
        "loss": loss / clips,
        measure: tally / clips,
        "learning_rate": rate,
        "seconds": round(seconds, 3),
    }
    progress.epochs.append(row)
    progress.sums = [0.0, 0.0, 0.0, 0.0]
    return row
