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

from train.checkpoint import Progress, load_best, load_checkpoint, save_checkpoint
from train.datasets.prepared import ClipSet
from train.errors import RunError, UsageError
from train.filters import FilterFilm
from train.interrupt import Interrupt
from train.looks import Looks
from train.runs import WEIGHTS, RunFolder
from train.system import System
from train.telling import Teller

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

    Returns:
        The network with its final weights: the averaged ones where the recipe averages.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved, ``resume`` goes on from it.
        RunError: There is nothing to resume, the run folder cannot be written, or the loss is not
            finite any more.
    """
    recipe = system.recipe
    network.to(fabric.device)
    material = system.material(network, training, fabric.device)
    trainee = system.trainee(network)
    module, optimiser = fabric.setup(trainee, recipe.optimiser_for(trainee))
    average = _start_average(trainee, recipe.ema)
    progress = load_checkpoint(run, trainee, optimiser, average) if resume else Progress()
    n_clips = len(training.clips)
    n_batches = max(1, round(n_clips / recipe.batch_size))
    n_steps = recipe.epochs * n_batches
    measure = "error" if system.task == "regression" else "accuracy"
    film = FilterFilm(system, run, recipe.epochs, resume=resume)
    looks = Looks(system, network, average, validation, held_out, run, keep)
    saved = time.monotonic()
    if progress.step == 0 and run.writes:
        film.take(network, 0)

    with Interrupt(fabric) as interrupt, Teller(
        recipe.epochs, n_batches, progress.step, measure
    ) as teller:  # fmt: skip
        module.train()
        sums = torch.tensor(progress.sums[:3], device=fabric.device)
        while progress.step < n_steps:
            began = time.perf_counter()
            epoch, place = divmod(progress.step, n_batches)
            order = np.random.default_rng((seed, 0, epoch)).permutation(n_clips)
            indices = _share(np.array_split(order, n_batches)[place], fabric)

            rank = fabric.global_rank
            torch.manual_seed((seed << 32) + progress.step + rank * 2**24)
            random = np.random.default_rng((seed, 1 + rank, progress.step))
            inputs, labels = system.batch(material, indices, random)

            rate = recipe.rate_at(progress.step / n_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            logits = module(inputs)
            loss = system.loss(logits, labels)
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            if recipe.clip_norm:
                fabric.clip_gradients(
                    module, optimiser, max_norm=recipe.clip_norm, error_if_nonfinite=False
                )
            optimiser.step()
            progress.step += 1
            _average_weights(average, trainee, recipe.ema, progress.step)

            n = len(indices)
            with torch.no_grad():
                sums += torch.stack([loss * n, system.tally(logits, labels), loss.new_tensor(n)])
            finished = place + 1 == n_batches
            asked = interrupt.was_asked()
            saving = asked or time.monotonic() - saved > SAVE_EVERY_S
            # Reading a number makes the host wait for the card: not at every step.
            if finished or saving or teller.is_due():
                progress.sums[:3] = _read_sums(sums, fabric, run, progress.step, rate)
            progress.sums[3] += time.perf_counter() - began
            if finished or teller.is_due():
                teller.tell_step(progress.step, progress.sums)
            if finished:
                row = _finish_epoch(progress, epoch, rate, measure)
                sums.zero_()
                if run.writes:
                    film.take(network, epoch + 1, last=progress.step == n_steps)
                    row |= looks.look(progress, recipe.epochs)
                teller.tell_epoch(row, progress.step, n_clips)
                run.write_json("history.json", progress.epochs)
            if saving:
                save_checkpoint(run, trainee, optimiser, average, progress)
                saved = time.monotonic()
            if asked and progress.step < n_steps:
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt

    save_checkpoint(run, trainee, optimiser, average, progress)
    trainee.load_state_dict(average)
    epoch = load_best(run, network, progress) if progress.best and run.writes else recipe.epochs
    run.write_tensors(WEIGHTS, network.state_dict(), {"epoch": str(epoch)})
    return network.eval()


def _share(indices: np.ndarray, fabric: Fabric) -> np.ndarray:
    """This process's part of a batch."""
    if fabric.world_size == 1:
        return indices
    if len(indices) < fabric.world_size:
        raise UsageError(
            f"--devices is {fabric.world_size}, more than the {len(indices)} clips of a batch"
        )
    return np.array_split(indices, fabric.world_size)[fabric.global_rank]


def _start_average(trainee: nn.Module, decay: float) -> dict[str, Tensor]:
    """Where the averaged weights are kept; without averaging they are the weights themselves."""
    state = trainee.state_dict()
    return {name: value.clone() for name, value in state.items()} if decay else state


def _average_weights(
    average: dict[str, Tensor], module: nn.Module, decay: float, step: int
) -> None:
    """Exponential moving average; it follows faster at the start, when it has little to go by."""
    if not decay:
        return
    decay = min(decay, step / (step + 9))
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)


def _read_sums(sums: Tensor, fabric: Fabric, run: RunFolder, step: int, rate: float) -> list[float]:
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
        "epoch": epoch + 1,
        "loss": loss / clips,
        measure: tally / clips,
        "learning_rate": rate,
        "seconds": round(seconds, 3),
    }
    progress.epochs.append(row)
    progress.sums = [0.0, 0.0, 0.0, 0.0]
    return row
