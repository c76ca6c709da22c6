"""The loop: cut a batch, step, average the weights; read it from top to bottom.

All chance of a step comes from the run's seed and the step's number, so nothing of it needs
saving: a run that was interrupted and continued ends with the very weights it would have had.
The held-out fold is looked at for the history's sake and decides nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from train.checkpoint import Progress, load_checkpoint, save_checkpoint
from train.datasets.prepared import ClipSet
from train.errors import RunError
from train.hearing import hear_windows
from train.runs import RunFolder
from train.system import System

N_LOOKS = 12
"""How often, over a run, the held-out fold is looked at."""

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
) -> nn.Module:
    """Train a network by its system's recipe, to the schedule's end.

    Returns:
        The network with its final weights: the averaged ones where the recipe averages.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved, ``resume`` goes on from it.
        RunError: There is nothing to resume, or the loss is not finite any more.
    """
    recipe = system.recipe
    network.to(fabric.device)
    material = system.material(network, training, fabric.device)
    trainee = system.trainee(network)
    average = {name: value.clone() for name, value in trainee.state_dict().items()}
    module, optimiser = fabric.setup(trainee, recipe.optimiser_for(trainee))
    progress = Progress()
    if resume:
        progress = load_checkpoint(run, trainee, optimiser, average)
    n_clips = len(training.clips)
    n_batches = max(1, round(n_clips / recipe.batch_size))
    n_steps = recipe.epochs * n_batches
    look_every = max(1, round(recipe.epochs / N_LOOKS))
    saved = time.monotonic()

    with _Interrupt() as interrupt:
        module.train()
        while progress.step < n_steps:
            began = time.perf_counter()
            epoch, place = divmod(progress.step, n_batches)
            order = np.random.default_rng((seed, 0, epoch)).permutation(n_clips)
            indices = np.array_split(order, n_batches)[place]

            torch.manual_seed((seed << 32) + progress.step)
            random = np.random.default_rng((seed, 1, progress.step))
            inputs, labels = system.batch(material, indices, random)

            rate = recipe.rate_at(progress.step / n_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            logits = module(inputs)
            loss = system.loss(logits, labels)
            value = loss.item()
            if not np.isfinite(value):
                raise RunError(
                    f"{run.path}: the loss is {value} at step {progress.step + 1}; "
                    f"lower the learning rate, {rate:.3g}"
                )
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            if recipe.clip_norm:
                fabric.clip_gradients(module, optimiser, max_norm=recipe.clip_norm)
            optimiser.step()
            progress.step += 1
            _average_weights(average, trainee, recipe.ema, progress.step)

            right = (logits.argmax(dim=1) == labels.argmax(dim=1)).sum()
            seconds = time.perf_counter() - began
            sums = value * len(indices), right.item(), len(indices), seconds
            progress.sums = [a + b for a, b in zip(progress.sums, sums, strict=True)]
            if place + 1 == n_batches:
                row = _finish_epoch(progress, epoch, rate)
                if (
                    held_out is not None
                    and (epoch + 1) % look_every == 0
                    and progress.step < n_steps
                ):
                    row |= _look(system, network, average, held_out)
                _say(row, recipe.epochs, n_clips)
                run.write_json("history.json", progress.epochs)
            if interrupt.asked or time.monotonic() - saved > SAVE_EVERY_S:
                save_checkpoint(run, trainee, optimiser, average, progress)
                saved = time.monotonic()
            if interrupt.asked and progress.step < n_steps:
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt

    save_checkpoint(run, trainee, optimiser, average, progress)
    trainee.load_state_dict(average)
    run.write_tensors("weights.safetensors", network.state_dict())
    return network.eval()


def time_step(system: System, network: nn.Module, training: ClipSet, fabric: Fabric) -> float:
    """Seconds of one training step, tried on a network that is thrown away afterwards."""
    network.to(fabric.device)
    material = system.material(network, training, fabric.device)
    trainee = system.trainee(network)
    module, optimiser = fabric.setup(trainee, system.recipe.optimiser_for(trainee))
    random = np.random.default_rng(0)
    n_batch = min(system.recipe.batch_size, len(training.clips))
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        inputs, labels = system.batch(material, np.arange(n_batch), random)
        loss = system.loss(module(inputs), labels)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimiser.step()
        loss.item()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[2:]))


def _average_weights(
    average: dict[str, Tensor], module: nn.Module, decay: float, step: int
) -> None:
    """Exponential moving average; it follows faster at the start, when it has little to go by."""
    decay = min(decay, step / (step + 9))
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)


def _finish_epoch(progress: Progress, epoch: int, rate: float) -> dict[str, Any]:
    loss, right, clips, seconds = progress.sums
    row = {
        "epoch": epoch + 1,
        "loss": loss / clips,
        "accuracy": right / clips,
        "learning_rate": rate,
        "seconds": round(seconds, 3),
    }
    progress.epochs.append(row)
    progress.sums = [0.0, 0.0, 0.0, 0.0]
    return row


def _look(
    system: System, network: nn.Module, average: dict[str, Tensor], held_out: ClipSet
) -> dict[str, float]:
    """How the averaged weights do on the held-out fold; the network's own are put back."""
    trainee = system.trainee(network)
    own = {name: value.clone() for name, value in trainee.state_dict().items()}
    trainee.load_state_dict(average)
    heard = hear_windows(network, held_out, system.window_samples)
    trainee.load_state_dict(own)
    trainee.train()
    return {
        "held_out_clips": heard.clip_accuracy(),
        "held_out_windows": heard.window_accuracy(),
    }


def _say(row: dict[str, Any], n_epochs: int, n_clips: int) -> None:
    left = (n_epochs - row["epoch"]) * row["seconds"] / 60
    held = f", held out {row['held_out_clips']:.1%}" if "held_out_clips" in row else ""
    print(
        f"epoch {row['epoch']}/{n_epochs}: loss {row['loss']:.3f}, accuracy {row['accuracy']:.1%}"
        f"{held}, {n_clips / max(row['seconds'], 1e-9):.0f} clips/s, {left:.1f} min left",
        file=sys.stderr,
        flush=True,
    )


class _Interrupt:
    """Ctrl-C asks the loop to stop at the end of its step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Interrupt:
        self._former = signal.getsignal(signal.SIGINT)
        try:
            signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread: whoever runs us there handles it
            self._former = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping after this step, once more to stop at once", file=sys.stderr)
