"""The interface of a network's module, for the shared loop, evaluation and export."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamclf.core.card import Fill
from train.base.errors import RunError
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.nets.inference import ten_crops


class System(ABC):
    """A network with its recipe, instantiated with the command's choices; one in a module.

    Randomness comes from the ``numpy`` generator that `batch` is given, and from torch's global
    generator (dropout). Both are seeded again at every step from the run's seed and the step's
    number.

    Attributes:
        name: Name of the module, as in ``python -m train.NAME``.
        title: Description in a line.
        sample_rate: Sample rate in Hz.
        window_samples: Length of the network's input in samples.
        n_channels: Channels of the clips it is trained on; the network itself always has one.
        fill: What fills a window where a recording is shorter: ``zeros`` for a network that is
            trained on short clips with zeros after them.
        dataset: Data set it is trained on where none is named.
        task: ``single-label`` or ``regression``. A regression has one value in [0, 1] for a clip
            instead of classes: ``build(1)``, targets ``(batch, 1)``, and a `loss` of its own.
        n_evaluations: Evaluations of the held-out fold over a whole run, for the history alone.
        recipe: The recipe; it has everything that `build` must know again at export.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    sample_rate: ClassVar[int]
    window_samples: ClassVar[int]
    n_channels: ClassVar[int] = 1
    fill: ClassVar[Fill] = "mirror"
    dataset: ClassVar[str] = "esc50"
    task: Literal["single-label", "regression"] = "single-label"
    n_evaluations: int = 12
    recipe_type: ClassVar[type[Recipe]]

    def __init__(self, recipe: Recipe | None = None) -> None:
        self.recipe: Any = recipe or self.default_recipe()
        self.n_classes = 0

    @classmethod
    @abstractmethod
    def default_recipe(cls) -> Recipe:
        """The recipe of the full schedule, as published where there is a publication."""

    @classmethod
    def variants(cls) -> dict[str, Recipe]:
        """The forms of the network that a recipe can select, each by a short name."""
        return {"default": cls.default_recipe()}

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add this network's own options to the command."""

    @classmethod
    def check_options(cls, options: Namespace) -> None:
        """Check this network's own options before any data is opened.

        Raises:
            UsageError: Options make no sense together; the message says the way out.
        """

    def adapt(self, clips: ClipSet, options: Namespace) -> ClipSet:
        """The clips in the form that this network takes, before they are split by fold."""
        return clips

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over this network's own options.

        Args:
            options: Options of the command.
            clips: The training clips.

        Returns:
            Entries for ``config.json``.
        """
        return {}

    @abstractmethod
    def build(self, n_classes: int) -> nn.Module:
        """Build the network: ``(batch, window_samples)`` in [-1, 1] -> ``(batch, classes)``."""

    def trainable(self, network: nn.Module) -> nn.Module:
        """The part of the network that is trained; `batch` makes its inputs."""
        return network

    @abstractmethod
    def training_data(self, network: nn.Module, clips: ClipSet, device: torch.device) -> Any:
        """The training clips as `batch` takes them, made once and kept on the device."""

    def prepare(self, network: nn.Module, training_data: Any) -> None:
        """Prepare a new training before its first step; most networks need nothing."""

    def finish_training(self, network: nn.Module) -> None:
        """Change the weights that a training keeps, at its end; most networks need nothing."""

    @abstractmethod
    def batch(
        self, training_data: Any, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Cut, augment and mix a batch on the device.

        Args:
            training_data: From `training_data`.
            indices: ``(batch,)``, the clips to take.
            random: Source of all random numbers.

        Returns:
            The input of the trainable part, and ``(batch, classes)`` probabilities as its target.
        """

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the labels, summed over classes, mean over the batch."""
        return F.kl_div(F.log_softmax(logits, dim=1), labels, reduction="batchmean")

    def metric_sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A batch's right answers, or a regression's summed absolute errors, for the history."""
        if self.task == "regression":
            return (logits.float() - labels).abs().sum()
        return (logits.argmax(dim=1) == labels.argmax(dim=1)).sum()

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """The crops of a clip that the published protocol averages; by default EnvNet's ten.

        Args:
            waveform: ``(samples,)``, mixed down.

        Returns:
            Crops of ``(window_samples,)`` each.
        """
        return ten_crops(waveform, self.window_samples)

    def front_end(self, network: nn.Module) -> nn.Module | None:
        """The layers that learn filters over the waveform; their frequency responses are drawn.

        Returns:
            A module ``(batch, samples)`` -> ``(batch, filters, ..., time)`` for any number of
            samples that holds a frame; None where no filters are learned.
        """
        return None

    def kernels(self, network: nn.Module) -> Tensor | None:
        """The first layer's kernels, to be drawn: ``(kernels, ..., length)``."""
        for module in self.trainable(network).modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                return module.weight
        return None

    def card_note(self) -> str:
        """A sentence for the model card about what is special in this network."""
        return ""


def find_system(name: str) -> type[System]:
    """Find the system of ``train/NAME.py``.

    Raises:
        RunError: There is none. The name is checked first: importing runs code, and this name may
            come from a file that somebody sent.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name):
        try:
            return importlib.import_module(f"train.{name}").SYSTEM
        except (ModuleNotFoundError, AttributeError):
            pass
    raise RunError(f"{name!r} is no network of this package; python -m train lists them")
