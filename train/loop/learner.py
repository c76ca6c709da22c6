"""The learner: a network with its optimiser and its averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from train.nets.contract import System
from train.run_folder.checkpoint import Progress, load_checkpoint, save_checkpoint
from train.run_folder.run import RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Learner:
    """A network in training by its system's recipe, on one device or several.

    Attributes:
        trainable: The part of the network that is trained.
        average: Its averaged weights; the weights themselves where the recipe averages none.
    """

    def __init__(self, system: System, network: nn.Module, fabric: Fabric) -> None:
        self.system, self.recipe, self.fabric = system, system.recipe, fabric
        network.to(fabric.device)
        self.trainable = system.trainable(network)
        optimiser = self.recipe.optimiser_for(self.trainable)
        self._module, self._optimiser = fabric.setup(self.trainable, optimiser)
        state = self.trainable.state_dict()
        if self.recipe.ema:
            state = {name: value.clone() for name, value in state.items()}
        self.average: dict[str, Tensor] = state

    def learn(self, inputs: Tensor, labels: Tensor, rate: float, step: int) -> Tensor:
        """Make a training step.

        Args:
            inputs: From `System.batch`.
            labels: ``(batch, classes)`` probabilities, or a regression's values ``(batch, 1)``.
            rate: The learning rate.
            step: The step's number, from 0.

        Returns:
            ``(3,)`` on the device: the sum of the clips' losses, the sum of their metric (see
            `System.metric_sum`), and the number of clips.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        logits = self._module(inputs)
        loss = self.system.loss(logits, labels)
        self._optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if self.recipe.clip_norm:
            self.fabric.clip_gradients(
                self._module,
                self._optimiser,
                max_norm=self.recipe.clip_norm,
                error_if_nonfinite=False,
            )
        self._optimiser.step()
        with torch.no_grad():
            if self.recipe.ema:
                self._follow(step + 1)
            n = len(labels)
            return torch.stack(
                # A tensor that is filled, unlike one that is copied, waits for nothing on a GPU.
                [loss * n, self.system.metric_sum(logits, labels), loss.new_full((), n)]
            )

    def _follow(self, n_steps: int) -> None:
        """Update the exponential moving average; it follows faster at the start, over few steps."""
        decay = min(self.recipe.ema, n_steps / (n_steps + 9))
        # One call for all tensors: on a GPU each call takes as long as the work of a small tensor.
        pairs = [(self.average[name], value) for name, value in self.trainable.state_dict().items()]
        floats = [pair for pair in pairs if pair[1].is_floating_point()]
        counts = [pair for pair in pairs if not pair[1].is_floating_point()]
        if floats:
            averages, values = map(list, zip(*floats, strict=True))
            torch._foreach_lerp_(averages, values, 1 - decay)
        if counts:
            averages, values = map(list, zip(*counts, strict=True))
            torch._foreach_copy_(averages, values)

    def save(self, run: RunFolder, progress: Progress) -> None:
        """Write everything that is needed to resume the run."""
        save_checkpoint(run, self.trainable, self._optimiser, self.average, progress)

    def load(self, run: RunFolder) -> Progress:
        """Load a saved state.

        Returns:
            How far the run was.

        Raises:
            RunError: There is no checkpoint, or it belongs to another network.
        """
        return load_checkpoint(run, self.trainable, self._optimiser, self.average)
