"""What a network's file must offer so that the shared loop, evaluation and export can use it."""

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
    """A network with its recipe: one a file, instantiated with the command's choices.

    Randomness comes from the ``numpy`` generator that `batch` is given, and from torch's global
    one (dropout); both are seeded anew at every step from the run's seed and the step's number.

    Attributes:
        name: As in ``python -m train.NAME``.
        title: What it is, in a line.
        sample_rate: In Hz.
        window_samples: Samples the network hears at once.
        n_channels: Of the clips it is trained on; the network itself always hears one.
        fill: What fills a window where a recording is shorter: ``zeros`` for a network that is
            trained on short clips with zeros behind them.
        dataset: The data set it is trained on where none is named.
        task: A ``regression`` has one value in [0, 1] a clip instead of classes: ``build(1)``,
            targets ``(batch, 1)``, and a `loss` of its own.
        recipe: How it is trained; all that `build` must know again at export is in it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    sample_rate: ClassVar[int]
    window_samples: ClassVar[int]
    n_channels: ClassVar[int] = 1
    fill: ClassVar[Fill] = "mirror"
    dataset: ClassVar[str] = "esc50"
    task: Literal["single-label", "regression"] = "single-label"
    recipe_type: ClassVar[type[Recipe]]

    def __init__(self, recipe: Recipe | None = None) -> None:
        self.recipe: Any = recipe or self.default_recipe()
        self.n_classes = 0

    @classmethod
    @abstractmethod
    def default_recipe(cls) -> Recipe:
        """The full schedule, as published where there is a publication."""

    @classmethod
    def variants(cls) -> dict[str, Recipe]:
        """The forms of the network that a recipe can ask for, each by a short name."""
        return {"default": cls.default_recipe()}

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add options of this network's own to the command."""

    @classmethod
    def check_options(cls, options: Namespace) -> None:
        """Say what makes no sense among the options of its own, before any data is opened.

        Raises:
            UsageError: The option and the way out.
        """

    def adapt(self, clips: ClipSet, options: Namespace) -> ClipSet:
        """The clips as this network takes them, before they are split by fold."""
        return clips

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take the command's own options in, with the clips to train on.

        Returns:
            What ``config.json`` should say of them.
        """
        return {}

    @abstractmethod
    def build(self, n_classes: int) -> nn.Module:
        """The whole network: ``(batch, window_samples)`` in [-1, 1] -> ``(batch, classes)``."""

    def trainee(self, network: nn.Module) -> nn.Module:
        """The part that learns; `batch` makes its inputs."""
        return network

    @abstractmethod
    def material(self, network: nn.Module, clips: ClipSet, device: torch.device) -> Any:
        """What batches are cut from, made once and kept on the device."""

    def prepare(self, network: nn.Module, material: Any) -> None:
        """Do what a new training begins with, before its first step; most do nothing."""

    def conclude(self, network: nn.Module) -> None:
        """Do what a training ends with, to the weights that are kept; most do nothing."""

    @abstractmethod
    def batch(
        self, material: Any, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Cut, augment and mix a batch on the device.

        Args:
            material: From `material`.
            indices: ``(batch,)``, the clips to take.
            random: The only source of chance.

        Returns:
            The trainee's input, and ``(batch, classes)`` probabilities it should give.
        """

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the labels, summed over classes, mean over the batch."""
        return F.kl_div(F.log_softmax(logits, dim=1), labels, reduction="batchmean")

    def tally(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of a batch, for the history: how many are right, or a regression's absolute errors."""
        if self.task == "regression":
            return (logits.float() - labels).abs().sum()
        return (logits.argmax(dim=1) == labels.argmax(dim=1)).sum()

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """The crops of a clip that the published protocol averages; EnvNet's ten by default.

        Args:
            waveform: ``(samples,)``, mixed down.

        Returns:
            Each ``(window_samples,)``.
        """
        return ten_crops(waveform, self.window_samples)

    def front_end(self, network: nn.Module) -> nn.Module | None:
        """What learns filters over the waveform, whose responses to sines are drawn.

        Returns:
            ``(batch, samples)`` -> ``(batch, filters, ..., time)``, any number of samples that
            holds a frame; nothing where no filters are learned.
        """
        return None

    def kernels(self, network: nn.Module) -> Tensor | None:
        """The first layer's kernels, to be drawn: ``(kernels, ..., length)``."""
        for module in self.trainee(network).modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                return module.weight
        return None

    def card_note(self) -> str:
        """What the model card should say that is special about this network; a sentence."""
        return ""


def find_system(name: str) -> type[System]:
    """The system of ``train/NAME.py``.

    Raises:
        RunError: There is none. The name is checked first: importing runs code, and this one may
            come from a file somebody sent.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name):
        try:
            return importlib.import_module(f"train.{name}").SYSTEM
        except (ModuleNotFoundError, AttributeError):
            pass
    raise RunError(f"{name!r} is no network of this package; python -m train lists them")
