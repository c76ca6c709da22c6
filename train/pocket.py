"""Pocket: a small log-mel network for 16 kHz and 1.5 s, the one that streamclf comes with.

The mel front end of `train.nets.pocket_network` is in the graph and learns nothing, so training
caches its output and mixes, colours and masks spectrograms instead of waveforms.

ESC-50 has neither speech nor music, which is what most microphones hear: ``--speech-music`` adds
both. Windows of made noise alone have all labels alike, so that noise is named without confidence.

Sources: mixup of H. Zhang et al., 2018; SpecAugment of D. Park et al., 2019; noise with even labels
of D. Hendrycks et al., "Outlier Exposure", ICLR 2019.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamclf.core.errors import UsageError
from train.datasets import ClipSet, open_clips
from train.datasets.prepared import join
from train.datasets.speech_music import LABELS, SPEECH_MUSIC, choose_pieces
from train.nets.contract import System
from train.nets.pocket_network import (
    HOP_LENGTH,
    SAMPLE_RATE,
    WIDTHS,
    WINDOW_SAMPLES,
    PocketBody,
    PocketNet,
)
from train.pocket_parts.batches import draw_batch
from train.pocket_parts.last_layer import fit_last_layer
from train.pocket_parts.mel_power import PowerMaterial, Powers, make_noises
from train.pocket_parts.noise_training import THROUGH_NOISE, Before, Hearer
from train.pocket_parts.pretrained_onnx import measure_norms, read_layers, warn_if_heard
from train.pocket_parts.pretrained_run import read_imitation, read_named, read_widths
from train.pocket_parts.recipe import PocketRecipe
from train.pocket_parts.teacher import HOP_S, soft_labels

N_HEARD = 14
"""Frames (0.4 s) of a clip that a window at its edge holds at least."""

RATE_BEHIND_IMITATION = 2e-3
LAST_LAYER: Any = {
    "epochs": 1, "learning_rate": 1e-6, "ema": 0.0, "mixup": 0.0, "noise_share": 0.5,
}  # fmt: skip
"""Behind a last layer that is at its optimum one epoch, for the reports, that changes nothing."""

N_MEASURED = 256
"""Windows that say what the layers of a model file hear."""

PIECE_S = 5.0
N_PIECES = 40
"""Of speech, and of music, in each fold: as many clips of 5 s as five classes of ESC-50 have."""


class Pocket(System):
    """Trains `PocketNet`."""

    name = "pocket"
    title = "a small log-mel network for 16 kHz, the bundled one"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    recipe_type = PocketRecipe

    soft: Tensor | None = None
    started_from: dict[str, Tensor] | None = None
    folded = False
    last_layer = False
    named: dict[str, Tensor] | None = None
    before: Before | None = None

    @classmethod
    def default_recipe(cls) -> PocketRecipe:
        """Ours."""
        return PocketRecipe(
            epochs=240, batch_size=64, optimiser="adamw", learning_rate=4e-3, weight_decay=0.05,
            schedule="one-cycle", warm_up=0.15, clip_norm=5.0, ema=0.998, widths=WIDTHS,
            mixup=1.0, noise_share=0.65, snr_db=(0.0, 35.0), quiet_share=0.5, noise_alone=0.05,
        )  # fmt: skip

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Where layers, labels, speech and music come from."""
        option = parser.add_argument
        option("--start", metavar="MODEL",
               help="begin with the layers of a model file ('pocket' is the bundled one), or of a "
               "run of train.imitate")  # fmt: skip
        option("--last-layer", action="store_true",
               help="keep those layers as they are and fit the last one alone")  # fmt: skip
        option("--through-noise", type=Path, metavar="RUN",
               help="go on with such a run: say under noise what it says without")  # fmt: skip
        option("--teacher", type=Path, metavar="NPZ",
               help="features of a teacher; a head on them gives most of each label")  # fmt: skip
        option("--speech-music", type=Path, metavar="DIR",
               help="speech and music to know as well (speech/LANGUAGE, music/ALBUM); with "
               "--download from Debian's packages (600 MB) where DIR has none")  # fmt: skip

    @classmethod
    def check_options(cls, options: Namespace) -> None:
        """``--last-layer`` needs layers, ``--through-noise`` takes only a run.

        Raises:
            UsageError: The option and the way out.
        """
        others = options.start or options.teacher or options.last_layer
        if options.through_noise is not None and others:
            raise UsageError(
                "--through-noise learns from its own run: "
                "leave --start, --teacher, --last-layer out"
            )
        if options.last_layer and options.start is None:
            raise UsageError(
                "--last-layer keeps layers that --start names: give it, --start pocket for those "
                "of the bundled model"
            )

    def adapt(self, clips: ClipSet, options: Namespace) -> ClipSet:
        """With speech and music, where they are asked for."""
        folder = options.speech_music
        if folder is None:
            return clips
        if options.download and not (folder.is_dir() and SPEECH_MUSIC.recognises(folder)):
            SPEECH_MUSIC.download(folder)
        others = open_clips(folder, SAMPLE_RATE, dataset=SPEECH_MUSIC.name)
        n_samples = round(PIECE_S * SAMPLE_RATE)
        return join(clips, choose_pieces(others.of_folds(clips.folds), n_samples, N_PIECES))

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over what was learned before, fit the teacher's head, if there are any."""
        if options.through_noise is not None:
            self.recipe = replace(self.recipe, **THROUGH_NOISE)
            self.started_from, about = read_named(options.through_noise, clips, self.recipe.widths)
            self.named = self.started_from
            return about
        about: dict[str, Any] = {}
        if options.start is not None:
            self._start(options.start, clips, about)
            self.recipe = replace(self.recipe, learning_rate=RATE_BEHIND_IMITATION)
        if options.last_layer:
            self.last_layer = about["last_layer_alone"] = True
            self.recipe = replace(self.recipe, **LAST_LAYER)
        if options.teacher is None:
            return about
        n_others = len(LABELS) if options.speech_music else 0
        taught = np.flatnonzero(clips.targets < len(clips.labels) - n_others)
        soft, teacher = soft_labels(options.teacher, clips.take(taught.tolist()))
        about["teacher"] = teacher | {"share": self.recipe.teacher_share}
        self.soft = _one_hot(clips).repeat(1, soft.shape[1], 1)
        self.soft[torch.from_numpy(taught)] = soft
        return about

    def _start(self, name: str, clips: ClipSet, about: dict[str, Any]) -> None:
        """Take layers over from a run of imitation, or from a model file."""
        widths = self.recipe.widths
        if Path(name).is_dir():
            widths = read_widths(name) or widths
            self.recipe = replace(self.recipe, widths=widths)
            self.started_from, about["imitation"] = read_imitation(name, widths)
            before = about["imitation"].pop("layers_of", None)
        else:
            self.folded = True
            self.started_from, before = read_layers(name, widths, clips)
        if before is not None:
            about["layers_of"] = before
            warn_if_heard(before, clips)

    def build(self, n_classes: int) -> PocketNet:
        """The network, freshly initialised but for what it has learned before."""
        network = PocketNet(n_classes, self.recipe.widths)
        if self.started_from is not None:
            network.body.load_state_dict(self.started_from, strict=False)
        if self.last_layer:
            network.body.keep_layers()
        return network

    def trainee(self, network: nn.Module) -> nn.Module:
        """All but the front end."""
        return network.body if self.named is None else Hearer(network.body)

    def material(self, network: PocketNet, clips: ClipSet, device: torch.device) -> PowerMaterial:
        """The power in each band of every clip, and where its windows may begin."""
        front_end = network.front_end
        n_frames = front_end.n_frames(WINDOW_SAMPLES)
        with torch.no_grad():
            powers = Powers.of(clips, front_end, n_frames, N_HEARD, device)
            noises = make_noises(front_end, SAMPLE_RATE, device)
        labels = _one_hot(clips).to(device)
        if self.soft is not None:
            share = self.recipe.teacher_share
            labels = (1 - share) * labels + share * self.soft.to(device)
        targets = torch.from_numpy(clips.targets).to(device)
        hop = HOP_S * SAMPLE_RATE / HOP_LENGTH
        material = PowerMaterial(powers, noises, labels, targets, hop, front_end, n_frames)
        if self.named is not None:
            body = PocketBody(labels.shape[2], self.recipe.widths)
            body.load_state_dict(self.named)
            self.before = material.before = Before(body.to(device), material.middles())
        return material

    def prepare(self, network: PocketNet, material: PowerMaterial) -> None:
        """Unfold a model file's layers; fit the last layer, where it is to learn alone."""
        if self.folded:
            measure_norms(network.body, material.middles(N_MEASURED))
        if self.last_layer:
            fit_last_layer(network.body, material, partial(self.batch, material))

    def batch(
        self, material: PowerMaterial, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Windows of the clips, changed and mixed (`train.pocket_parts.batches`)."""
        return draw_batch(self.recipe, material, indices, random)

    def conclude(self, network: PocketNet) -> None:
        """Keep a part of the weights that going on through noise began with."""
        if self.named is not None:
            for name, value in network.body.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(self.named[name].to(value), self.recipe.kept_share)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As of every system; through noise its channels' error, too."""
        if self.before is None:
            return super().loss(logits, labels)
        return self.before.loss(logits, labels)

    def tally(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many are named as by the labels, or by itself before."""
        n_classes = labels.shape[1] if self.before is None else self.before.n_classes
        return super().tally(logits[:, :n_classes], labels[:, :n_classes])

    def card_note(self) -> str:
        """What is special about it."""
        return "Noise alone was trained with all labels alike."


def _one_hot(clips: ClipSet) -> Tensor:
    """``(clips, 1, classes)``."""
    targets = torch.from_numpy(clips.targets)
    return F.one_hot(targets, len(clips.labels)).float()[:, None]


SYSTEM = Pocket

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("pocket"))
