"""The training loop: cut a batch, make a step, average the weights.

All randomness of a step comes from the run's seed and the step's number, so no generator's state
has to be saved: an interrupted and resumed run ends with exactly the weights that an uninterrupted
one has. The held-out fold is evaluated for the history alone and decides nothing. Where an epoch
is chosen, it is chosen by clips of the training folds that were set aside for that.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from train.base.errors import RunError
from train.base.interrupt import Interrupt
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.loop.batch_norm import N_BATCHES, recompute_statistics
from train.loop.batches import Batches
from train.loop.budget import Budget
from train.loop.learner import Learner
from train.loop.periodic_evaluation import PeriodicEvaluation
from train.loop.progress_display import ProgressDisplay
from train.nets.contract import System
from train.run_folder.checkpoint import Progress, load_best
from train.run_folder.learned_filters import FilterHistory
from train.run_folder.run import CONFIG, WEIGHTS, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
        system: Cuts batches, defines the loss and has the recipe.
        network: Freshly built.
        training: The clips to learn from.
        held_out: The test fold, for the history.
        run: The folder that everything is written into.
        fabric: The devices; of several processes each takes its share of every batch.
        seed: Seed of everything drawn at random.
        resume: Continue from the run's checkpoint.
        validation: Clips that choose the epoch; without them the last epoch is the result.
        keep: How many of the best epochs' weights to keep, by the validation clips.
        budget: The time that the run may take; the schedule is fitted to it again after epochs.
        began: Start of the command, by the monotonic clock; now if not given.
        full_epochs: Length of the full schedule, to recognise a shortened one.

    Returns:
        The network with its final weights: the averaged ones where the recipe averages.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved, and ``resume`` continues from it.
        RunError: There is nothing to resume, the run folder cannot be written, or the loss is no
            longer finite.
    """
    learner = Learner(system, network, fabric)
    evaluation = PeriodicEvaluation(
        system, network, learner.average, validation, held_out, run, keep, budget
    )
    session = _Session(
        learner, network, training, run, evaluation,
        seed=seed, resume=resume, budget=budget, began=began,
    )  # fmt: skip
    session.train()
    recipe = session.recipe
    lagging = recipe.epochs < full_epochs and not recipe.ema and validation is None
    return session.keep_result(full_epochs if lagging else 0)


class _Session:
    """One start of a training command: from new or saved weights to the schedule's end or Ctrl-C.

    Attributes:
        learner: The network with its optimiser.
        recipe: The system's; a budget may change the length of its schedule.
        evaluation: Evaluates the network after some of the epochs.
        batches: What it learns from.
        progress: How far the run is.
    """

    def __init__(
        self,
        learner: Learner,
        network: nn.Module,
        training: ClipSet,
        run: RunFolder,
        evaluation: PeriodicEvaluation,
        *,
        seed: int,
        resume: bool,
        budget: Budget | None,
        began: float | None,
    ) -> None:
        self.learner, self.network, self.run = learner, network, run
        self.system, self.fabric = learner.system, learner.fabric
        self.evaluation, self.budget = evaluation, budget
        self.recipe = self.system.recipe
        self.batches = Batches(self.system, network, training, self.fabric, seed)
        if not resume:
            self.system.prepare(network, self.batches.training_data)
        self.progress = self.learner.load(run) if resume else Progress()
        if budget:
            budget.start(self.progress.step // self.batches.per_epoch, self.progress.elapsed)
        self.began = (time.monotonic() if began is None else began) - self.progress.elapsed
        self.measure = "error" if self.system.task == "regression" else "accuracy"
        self.filters = FilterHistory(self.system, run, self.recipe.epochs, resume=resume)

    def train(self) -> None:
        """Make the steps that are left, and save the state.

        Raises:
            KeyboardInterrupt: Ctrl-C; the state is saved.
            RunError: The loss is no longer finite.
        """
        progress, batches, learner = self.progress, self.batches, self.learner
        saved = time.monotonic()
        if progress.step == 0 and self.run.writes:
            self.filters.record(self.network, 0)
        with (
            Interrupt(self.fabric) as interrupt,
            ProgressDisplay(self.recipe, batches.per_epoch, progress.step, self.measure) as display,
        ):
            learner.trainable.train()
            sums = torch.tensor(progress.sums[:3], device=self.fabric.device)
            while progress.step < self.recipe.epochs * batches.per_epoch:
                step_began = time.perf_counter()
                inputs, labels = batches.cut(progress.step)
                rate = self.recipe.rate_at(
                    self.recipe.progress_at(progress.step, batches.per_epoch)
                )
                sums += learner.learn(inputs, labels, rate, progress.step)
                progress.step += 1

                epoch, place = divmod(progress.step, batches.per_epoch)
                finished, last = place == 0, place == 0 and epoch == self.recipe.epochs
                requested = interrupt.was_requested()
                saving = requested or time.monotonic() - saved > SAVE_EVERY_S
                # Reading a number makes the host wait for the GPU, so it is not done at every step.
                if finished or saving or display.is_due():
                    progress.sums[:3] = _read_sums(sums, self.run, progress.step, rate)
                progress.sums[3] += time.perf_counter() - step_began
                if finished or display.is_due():
                    display.show_step(progress.step, progress.sums)
                if finished:
                    self._finish_epoch(epoch, rate, display, last=last)
                    sums.zero_()
                if saving:
                    self._save()
                    saved = time.monotonic()
                if requested and not last:
                    print(f"saved; --resume --save {self.run.path} goes on", file=sys.stderr)
                    raise KeyboardInterrupt
        self._save()

    def _finish_epoch(
        self, epoch: int, rate: float, display: ProgressDisplay, *, last: bool
    ) -> None:
        """Record a finished epoch, evaluate the network where it is time, replan the schedule."""
        row = _add_row(self.progress, epoch, rate, self.measure)
        if self.run.writes:
            self.filters.record(self.network, epoch, last=last)
            row |= self.evaluation.evaluate(self.progress, self.recipe.epochs)
        if self.budget and not last:
            self.recipe = display.recipe = _replan(
                self.system, self.run, self.fabric, self.budget, epoch
            )
        display.show_epoch(row, self.progress.step, self.batches.n_clips)
        self.run.write_json("history.json", self.progress.epochs)

    def _save(self) -> None:
        self.progress.elapsed = time.monotonic() - self.began
        self.learner.save(self.run, self.progress)

    def keep_result(self, full_epochs: int) -> nn.Module:
        """Put the final weights into the network, and write them.

        Args:
            full_epochs: Length of the full schedule where this one was too short for BatchNorm's
                statistics (`train.loop.batch_norm`), else 0.

        Returns:
            The network, in evaluation mode.
        """
        network, run = self.network, self.run
        self.learner.trainable.load_state_dict(self.learner.average)
        chosen = self.progress.best and run.writes
        epoch = load_best(run, network, self.progress) if chosen else self.system.recipe.epochs
        if full_epochs:
            self._recompute_statistics(full_epochs)
        self.system.finish_training(network)
        run.write_tensors(WEIGHTS, network.state_dict(), {"epoch": str(epoch)})
        return network.eval()

    def _recompute_statistics(self, full_epochs: int) -> None:
        """Recompute BatchNorm's statistics, and say so.

        This is not done where clips chose an epoch, as they chose it with the statistics that it
        had, nor for averaged weights, whose statistics are averaged, too.
        """
        epochs, run = self.system.recipe.epochs, self.run
        steps = epochs * self.batches.per_epoch + np.arange(N_BATCHES)
        inputs = (self.batches.cut(int(step))[0] for step in steps)
        if recompute_statistics(self.learner.trainable, inputs) and run.writes:
            print(
                f"BatchNorm's statistics are measured again over {N_BATCHES} training batches: "
                f"after {epochs} of {full_epochs} epochs they lag behind the weights",
                file=sys.stderr,
            )
            run.write_json(CONFIG, run.read_json(CONFIG) | {"statistics_batches": N_BATCHES})


def _replan(system: System, run: RunFolder, fabric: Fabric, budget: Budget, epoch: int) -> Recipe:
    """Fit the rest of the schedule to what is left of the budget.

    Returns:
        The recipe with the new length, which is written into the run's ``config.json``, too.
    """
    # One process measures; all use its result.
    recipe: Recipe = fabric.broadcast(budget.replan(system.recipe, epoch))
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


def _read_sums(sums: Tensor, run: RunFolder, step: int, rate: float) -> list[float]:
    """This process's sums as numbers; the loss among them must be finite."""
    numbers = sums.tolist()
    if not np.isfinite(numbers[0]):
        raise RunError(
            f"{run.path}: the loss is {numbers[0]} by step {step}; "
            f"lower the learning rate, {rate:.3g}"
        )
    return numbers


def _add_row(progress: Progress, epoch: int, rate: float, measure: str) -> dict[str, Any]:
    """Turn the sums of a finished epoch into a row of the history, and begin new ones."""
    loss, metric_sum, clips, seconds = progress.sums
    row = {
        "epoch": epoch,
        "loss": loss / clips,
        measure: metric_sum / clips,
        "learning_rate": rate,
        "seconds": round(seconds, 3),
    }
    progress.epochs.append(row)
    progress.sums = [0.0, 0.0, 0.0, 0.0]
    return row
