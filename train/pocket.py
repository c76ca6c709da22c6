"""Pocket: a small log-mel network for 16 kHz and 1.5 s, the one that streamclf comes with.

The mel front end of `train.nets.pocket_network` is in the graph and learns nothing. So training
caches its output, and mixes, colours and masks spectrograms instead of waveforms.

ESC-50 has neither speech nor music, which most microphones pick up most: ``--speech-music`` adds
both. Windows of made noise alone have all labels alike, so that noise gets no confident label.

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
from train.datasets.prepared import join, open_prepared
from train.datasets.speech_music import LABELS, SPEECH_MUSIC, choose_pieces
from train.distillation.streamed_layers import check_unheard, read_distilled
from train.nets.contract import System
from train.nets.pocket_network import SAMPLE_RATE, WIDTHS, WINDOW_SAMPLES
from train.nets.streamed_pocket import StreamedPocketBody
from train.pocket_parts.batches import draw_batch
from train.pocket_parts.last_layer import fit_last_layer
from train.pocket_parts.mel_power import MelPower, MelPowerData, make_noises
from train.pocket_parts.more_speech import LABEL as SPEECH
from train.pocket_parts.more_speech import N_STRETCHES, WEIGHT, MoreSpeech, choose_speech
from train.pocket_parts.networks import STREAMED, AnyPocket, make_network
from train.pocket_parts.noise_training import NOISE_TRAINING_RECIPE, BodyWithFeatures, EarlierSelf
from train.pocket_parts.pretrained_onnx import (
    read_file_kind,
    read_layers,
    restore_batch_norms,
    warn_if_trained_on,
)
from train.pocket_parts.pretrained_run import (
    read_imitation,
    read_layers_kind,
    read_pocket_run,
    read_widths,
)
from train.pocket_parts.recipe import PocketRecipe
from train.pocket_parts.strangers import choose_strangers
from train.pocket_parts.streamed_windows import fit_streamed_layer
from train.pocket_parts.teacher import HOP_S, soft_labels

MIN_CLIP_S = 0.35
"""Least of the clip, in seconds between frames, in a window that reaches beyond its edge."""

FINE_TUNING_RATE = 2e-3
STREAMED_RECIPE: Any = {"epochs": 12, "learning_rate": 1e-3, "shift_bands": 2}
"""Fields of the recipe for streamed layers that learn on with the last one."""

STREAMED_EVALUATIONS = 2
"""Evaluations of the held-out fold in such a run, each of which takes as long as an epoch."""

LAST_LAYER_RECIPE: Any = {
    "epochs": 1, "learning_rate": 1e-6, "ema": 0.0, "mixup": 0.0, "noise_share": 0.5,
}  # fmt: skip
"""Recipe for a last layer that is at its optimum: one epoch, for the reports, that changes
nothing."""

N_NORM_WINDOWS = 256
"""Windows that BatchNorm statistics of a model file's layers are measured on."""

PIECE_S = 5.0
N_PIECES = 40
"""Pieces of speech, and of music, in each fold: as many clips of 5 s as five classes of ESC-50
have."""


class Pocket(System):
    """Trains `PocketNet`, or `StreamedPocketNet` where its layers are to be streamed ones.

    Attributes:
        teacher_labels: ``(clips, windows, classes)`` probabilities from a teacher's features.
        pretrained_weights: Weights that the layers begin with.
        has_folded_norms: Whether these come from a model file, with BatchNorms folded in.
        last_layer: Whether the last layer alone is trained.
        earlier_weights: Body of the run that noise training starts from.
        earlier_self: The network with these weights, which gives the targets.
        folds: ``(clips,)``, the training clips' folds.
        heard_cache: Folder that keeps what streamed layers heard.
        strangers: Sounds that resemble no label.
        more_speech: Speech that is heard word after word.
    """

    name = "pocket"
    title = "a small log-mel network for 16 kHz, the bundled one"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    recipe_type = PocketRecipe

    teacher_labels: Tensor | None = None
    pretrained_weights: dict[str, Tensor] | None = None
    has_folded_norms = False
    last_layer = False
    earlier_weights: dict[str, Tensor] | None = None
    earlier_self: EarlierSelf | None = None
    folds: np.ndarray
    heard_cache: Path | None = None
    strangers: ClipSet | None = None
    more_speech: MoreSpeech | None = None

    @classmethod
    def default_recipe(cls) -> PocketRecipe:
        """The recipe of the bundled model."""
        return PocketRecipe(
            epochs=240, batch_size=64, optimiser="adamw", learning_rate=4e-3, weight_decay=0.05,
            schedule="one-cycle", warm_up=0.15, clip_norm=5.0, ema=0.998, widths=WIDTHS,
            mixup=1.0, noise_share=0.65, snr_db=(0.0, 35.0), quiet_share=0.5, noise_alone=0.05,
        )  # fmt: skip

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add options for the origin of layers, labels, speech and music."""
        option = parser.add_argument
        option("--start", metavar="MODEL",
               help="begin with the layers of a model file ('pocket' is the bundled one), or of a "
               "run of train.imitate or train.distil")  # fmt: skip
        option("--last-layer", action="store_true",
               help="keep those layers as they are and fit the last one alone")  # fmt: skip
        option("--cache", type=Path, metavar="DIR",
               help="keep there what streamed layers (of train.distil) hear in the clips of each "
               "fold, for other runs that begin with them")  # fmt: skip
        option("--through-noise", type=Path, metavar="RUN",
               help="go on with such a run: say under noise what it says without")  # fmt: skip
        option("--teacher", type=Path, metavar="NPZ",
               help="features of a teacher; a head on them gives most of each label")  # fmt: skip
        option("--speech-music", type=Path, metavar="DIR",
               help="speech and music to know as well (speech/LANGUAGE, music/ALBUM); with "
               "--download from Debian's packages (600 MB) where DIR has none")  # fmt: skip
        option("--strangers", type=Path, metavar="PREPARED",
               help="sounds from which those that resemble no label are chosen: of these all "
               "labels are alike, as of noise (streamed layers; needs --heard and "
               "--audioset)")  # fmt: skip
        option("--more-speech", type=Path, metavar="PREPARED",
               help="sounds from which speech is chosen: with the recordings of --speech-music it "
               "is put one after the other, and known as speech, too (streamed layers; needs "
               "--heard and --audioset)")  # fmt: skip
        option("--heard", type=Path, metavar="NPZ", help="what a teacher hears in these sounds, of "
               "train.hear_sources")  # fmt: skip
        option("--audioset", type=Path, metavar="CSV", help="AudioSet's class_labels_indices.csv")

    @classmethod
    def check_options(cls, options: Namespace) -> None:
        """Check that ``--last-layer`` has layers, and that ``--through-noise`` has only a run.

        Raises:
            UsageError: They do not; the message says the way out.
        """
        together = options.strangers or options.more_speech, options.heard, options.audioset
        if any(together) and not all(together):
            raise UsageError("--strangers or --more-speech, --heard and --audioset belong "
                             "together: give all three")  # fmt: skip
        if options.more_speech and options.speech_music is None:
            raise UsageError("--more-speech adds to that of --speech-music DIR: name that, too")
        for name in ("strangers", "more_speech"):
            if getattr(options, name) and options.start is None:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} needs streamed layers: name them with --start RUN of "
                                 "train.distil")  # fmt: skip
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
        """Add speech and music, where they are asked for."""
        folder = options.speech_music
        if folder is None:
            return clips
        if options.download and not (folder.is_dir() and SPEECH_MUSIC.recognises(folder)):
            SPEECH_MUSIC.download(folder)
        others = open_clips(folder, SAMPLE_RATE, dataset=SPEECH_MUSIC.name)
        n_samples = round(PIECE_S * SAMPLE_RATE)
        return join(clips, choose_pieces(others.of_folds(clips.folds), n_samples, N_PIECES))

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over what was learned before, and fit the teacher's head, as the options say."""
        if options.through_noise is not None:
            self.recipe = replace(self.recipe, **NOISE_TRAINING_RECIPE)
            kind = read_layers_kind(options.through_noise)
            self.recipe = replace(self.recipe, layers=kind)
            body = make_network(len(clips.labels), self.recipe).body
            self.pretrained_weights, about = read_pocket_run(
                options.through_noise, clips, self.recipe.widths, body
            )
            self.earlier_weights = self.pretrained_weights
            return about
        self.folds = np.array([clip.fold for clip in clips.clips])
        self.heard_cache = options.cache
        about: dict[str, Any] = {}
        if options.start is not None:
            self._load_layers(options.start, clips, about)
            self.recipe = replace(self.recipe, learning_rate=FINE_TUNING_RATE)
        if self.recipe.layers == STREAMED:
            self.recipe = replace(self.recipe, **STREAMED_RECIPE)
            self.n_evaluations = STREAMED_EVALUATIONS
        if options.strangers:
            about["strangers"] = self._choose_strangers(options, clips)
        if options.more_speech:
            about["more_speech"] = self._choose_speech(options, clips)
        if options.last_layer:
            self.last_layer = about["last_layer_alone"] = True
            self.recipe = replace(self.recipe, **LAST_LAYER_RECIPE)
        if options.teacher is None:
            return about
        n_others = len(LABELS) if options.speech_music else 0
        taught = np.flatnonzero(clips.targets < len(clips.labels) - n_others)
        teacher_labels, teacher = soft_labels(options.teacher, clips.take(taught.tolist()))
        about["teacher"] = teacher | {"share": self.recipe.teacher_share}
        self.teacher_labels = _one_hot(clips).repeat(1, teacher_labels.shape[1], 1)
        self.teacher_labels[torch.from_numpy(taught)] = teacher_labels
        return about

    def _load_layers(self, name: str, clips: ClipSet, about: dict[str, Any]) -> None:
        """Load layers from a run of imitation or distillation, or from a model file."""
        widths = self.recipe.widths
        model_file = None
        if Path(name).is_dir() and read_layers_kind(Path(name)) == STREAMED:
            self.recipe = replace(self.recipe, layers=STREAMED)
            self.pretrained_weights, about["imitation"] = read_distilled(Path(name))
            check_unheard(name, about["imitation"], clips)
        elif Path(name).is_dir():
            widths = read_widths(name) or widths
            self.recipe = replace(self.recipe, widths=widths)
            self.pretrained_weights, about["imitation"] = read_imitation(name, widths)
            model_file = about["imitation"].pop("layers_of", None)
        else:
            self.has_folded_norms = True
            self.recipe = replace(self.recipe, layers=read_file_kind(name))
            body = make_network(1, self.recipe).body
            self.pretrained_weights, model_file = read_layers(name, body, clips)
        if model_file is not None:
            about["layers_of"] = model_file
            warn_if_trained_on(model_file, clips)

    def _choose_strangers(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Choose sounds of which all labels are alike; an entry for ``config.json``."""
        self._check_streamed("--strangers", options)
        sounds = open_prepared(options.strangers)
        chosen = choose_strangers(sounds, options.heard, options.audioset, clips.labels)
        self.strangers = chosen
        return {"name": chosen.name, "sounds": len(chosen.clips), "licence": chosen.licence,
                "citation": chosen.citation}  # fmt: skip

    def _choose_speech(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Choose speech for stretches of it; an entry for ``config.json``."""
        self._check_streamed("--more-speech", options)
        sounds = open_prepared(options.more_speech)
        chosen = choose_speech(sounds, options.heard, options.audioset, clips.labels)
        all_folds = open_clips(options.speech_music, SAMPLE_RATE, dataset=SPEECH_MUSIC.name)
        recordings = all_folds.of_folds(clips.folds)
        own = recordings.labels.index(SPEECH)
        rows = [k for k, clip in enumerate(recordings.clips) if clip.target == own]
        sets = chosen, recordings.take(rows)
        self.more_speech = MoreSpeech(clips.labels.index(SPEECH), sets)
        return {"name": sounds.name, "sounds": len(chosen.clips), "recordings": len(rows),
                "stretches": N_STRETCHES, "weight": WEIGHT, "licence": sounds.licence,
                "citation": sounds.citation}  # fmt: skip

    def _check_streamed(self, option: str, options: Namespace) -> None:
        if self.recipe.layers != STREAMED:
            raise UsageError(
                f"{option} needs streamed layers, {options.start} has others: take a run of "
                f"train.distil, or leave {option} out"
            )

    def build(self, n_classes: int) -> AnyPocket:
        """Build the network, with new weights where it has no earlier ones."""
        network = make_network(n_classes, self.recipe)
        if self.pretrained_weights is not None:
            network.body.load_state_dict(self.pretrained_weights, strict=False)
        if self.last_layer:
            network.body.freeze_layers()
        return network

    def trainable(self, network: nn.Module) -> nn.Module:
        """All but the front end; noise training needs the last layer's input as an output, too."""
        return network.body if self.earlier_weights is None else BodyWithFeatures(network.body)

    def training_data(
        self, network: AnyPocket, clips: ClipSet, device: torch.device
    ) -> MelPowerData:
        """The power in each band of every clip, and where its windows may begin."""
        front_end = network.front_end
        n_frames = front_end.n_frames(WINDOW_SAMPLES)
        with torch.no_grad():
            min_clip_frames = round(MIN_CLIP_S * SAMPLE_RATE / front_end.hop_length)
            mel_power = MelPower.from_clips(clips, front_end, n_frames, min_clip_frames, device)
            noises = make_noises(front_end, SAMPLE_RATE, device)
        labels = _one_hot(clips).to(device)
        if self.teacher_labels is not None:
            share = self.recipe.teacher_share
            labels = (1 - share) * labels + share * self.teacher_labels.to(device)
        targets = torch.from_numpy(clips.targets).to(device)
        hop = HOP_S * SAMPLE_RATE / front_end.hop_length
        training_data = MelPowerData(mel_power, noises, labels, targets, hop, front_end, n_frames)
        if self.earlier_weights is not None:
            body = make_network(labels.shape[2], self.recipe).body
            body.load_state_dict(self.earlier_weights)
            self.earlier_self = training_data.earlier_self = EarlierSelf(
                body.to(device), training_data.middle_windows()
            )
        return training_data

    def prepare(self, network: AnyPocket, training_data: MelPowerData) -> None:
        """Restore a model file's BatchNorms; fit the last layer, if it alone learns or begins.

        Streamed layers always begin with a last layer that is fitted to them: with a random one
        they would unlearn before it has learned.
        """
        if self.has_folded_norms:
            restore_batch_norms(network.body, training_data.middle_windows(N_NORM_WINDOWS))
        if isinstance(network.body, StreamedPocketBody) and self.earlier_weights is None:
            fit_streamed_layer(
                network.body, training_data, self.folds, self.recipe, self.heard_cache,
                self.strangers, self.more_speech,
            )  # fmt: skip
        elif self.last_layer:
            fit_last_layer(network.body, training_data, partial(self.batch, training_data))

    def batch(
        self, training_data: MelPowerData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Windows of the clips, augmented and mixed (`train.pocket_parts.batches`)."""
        return draw_batch(self.recipe, training_data, indices, random)

    def finish_training(self, network: AnyPocket) -> None:
        """Move the weights of noise training a part of the way back to where it began."""
        if self.earlier_weights is not None:
            for name, value in network.body.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(self.earlier_weights[name].to(value), self.recipe.kept_share)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every system; in noise training also the error of the channels."""
        if self.earlier_self is None:
            return super().loss(logits, labels)
        return self.earlier_self.loss(logits, labels)

    def metric_sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Count windows with the class of their label (in noise training, of the earlier self)."""
        n_classes = labels.shape[1] if self.earlier_self is None else self.earlier_self.n_classes
        return super().metric_sum(logits[:, :n_classes], labels[:, :n_classes])

    def card_note(self) -> str:
        """The note on training with noise alone."""
        return "Noise alone was trained with all labels alike."


def _one_hot(clips: ClipSet) -> Tensor:
    """Labels as probabilities: ``(clips, 1, classes)``."""
    targets = torch.from_numpy(clips.targets)
    return F.one_hot(targets, len(clips.labels)).float()[:, None]


SYSTEM = Pocket

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("pocket"))
