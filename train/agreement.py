"""``python -m train.agreement RUN``: how a run of `train.distil` agrees with its teacher.

    python -m train.agreement RUN --cache CACHE --teacher mn04_as_mAP_432.pt --labels LABELS.csv

The averaged weights of its last checkpoint hear mixtures of ten seconds of which CACHE holds what
the teacher said. From mixtures of the sounds that it learned from follow thresholds for each label;
those of the held-out packages judge them. Before that the labels get a common scale
(`train.distillation.common_scale`). ``--named ESC-50`` adds clips of known classes, whose names
mean labels (`train.datasets.audioset`), and soundscapes of them (`train.audio.soundscapes`): the
scale of the labels that mean a class is adjusted by the clips (`train.distillation.named_scale`),
and clips and soundscapes count where thresholds are chosen. No layer is trained on them. Speech and
music of ``--sounds``, unmixed (`train.distillation.unmixed`), say below which thresholds a label is
heard too often where it does not sound.
``--cross-validate`` says how many clips a scale names that was adjusted by those of other folds.
``agreement.json`` in the run's folder keeps all of it, and the exporter takes the thresholds and
the figures from there. No recording of AudioSet is needed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soxr
import torch
from torch import Tensor, nn

from streamclf.core.errors import UsageError
from train.audio.soundscapes import make_scenes
from train.base.arguments import Parser, numbers
from train.base.exit_codes import exit_codes
from train.datasets import open_clips
from train.datasets.audioset import MEANS, columns_of, no_events, read_label_names
from train.datasets.progress import show_progress
from train.distil import open_sounds, shards_of
from train.distillation.clean_sources import read_scores
from train.distillation.common_scale import CommonScale, find_scale
from train.distillation.heard import (
    COLUMN_S,
    N_COLUMNS,
    STEP_S,
    Heard,
    column_weights,
    decode_spectra,
)
from train.distillation.named_scale import adjust_scale, cross_validate
from train.distillation.pupil import AnyPupil
from train.distillation.unmixed import KINDS, PART_S, PIECE_S, Piece, make_pieces
from train.distillation.wide import AGREEMENT
from train.evaluation.agreement import (
    DENIED,
    FALSE_AN_HOUR,
    NAMED_PRECISION,
    PRECISION,
    PRECISIONS,
    Agreement,
    choose_thresholds,
    describe_labels,
    find_floors,
    hear_of_clips,
    hear_of_pieces,
    hear_of_scenes,
    join_agreements,
    judge_thresholds,
    peaks_of,
)
from train.nets.efficientat import SAMPLE_RATE as TEACHER_RATE
from train.nets.pocket_network import SAMPLE_RATE, WINDOW_SAMPLES
from train.probe import HOP_S, read_pupil
from train.probe import hear as hear_clips
from train.run_folder.run import RunFolder

AT_ONCE = 8
STRETCH_S = COLUMN_S * (N_COLUMNS - 1)
SNR_DB = (0.0, 10.0, 20.0, 30.0)


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    for name, least in (("shards", 1), ("judged", 1), ("scenes", 0)):
        if getattr(options, name) < least:
            raise UsageError(f"--{name} is {getattr(options, name)}, must be {least} or more")
    if (options.sounds is None) != (options.weights is None):
        raise UsageError("--sounds and --weights belong together: give both, or neither")
    if options.named is not None and options.sounds is None:
        raise UsageError(
            "--named alone would make sneezes of syllables: add --sounds and --weights, whose "
            "speech and music show what they are taken for"
        )
    pupil, step = read_pupil(options.run)
    labels = read_label_names(options.labels)
    unmixed = None if options.sounds is None else Unmixed(pupil, labels, options)
    counts = {"training": options.shards, "judged": options.judged}
    heard = {name: hear(pupil, name, n, options) for name, n in counts.items()}
    scale, named, more = find_scale(*heard["training"].windows()), None, {}
    if options.named is not None:
        clips = NamedClips(pupil, labels, options)
        scale, more = clips.adjust(scale)
        named = clips.agreement(scale)
    training, judged = (heard[name].agreement(scale) for name in counts)
    result = {
        "step": step,
        "factors": scale.factors.round(5).tolist(),
        "summands": scale.summands.round(5).tolist(),
    } | more
    floors = None
    if unmixed is not None:
        floors = find_floors(unmixed.agreement(scale), PART_S)
        result["unmixed"] = unmixed.describe()
    result |= conclude(training, judged, labels, named, floors)
    RunFolder.open(options.run).write_json(AGREEMENT, result)
    print(describe(result))
    return 0


@dataclass(frozen=True, eq=False)
class HeardWindows:
    """What a network and its teacher said of stretches.

    Attributes:
        logits: ``(stretches, windows, labels)``, the network's.
        denied: Of the same shape: whether the teacher denies the label in the window.
        said: ``(stretches, labels)``: the teacher's scores of the whole.
        first: ``(stretches,)``: part of the windows of which both put the same label first.
    """

    logits: np.ndarray
    denied: np.ndarray
    said: np.ndarray
    first: np.ndarray

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits and denials, ``(stretches * windows, labels)`` each."""
        n_labels = self.logits.shape[2]
        return self.logits.reshape(-1, n_labels), self.denied.reshape(-1, n_labels)

    def agreement(self, scale: CommonScale) -> Agreement:
        """The network's highest averages beside what the teacher said."""
        parts = (self.logits[k : k + AT_ONCE] for k in range(0, len(self.logits), AT_ONCE))
        peaks = [peaks_of(scale.scores(part)).astype(np.float32) for part in parts]
        return Agreement(np.concatenate(peaks), self.said, self.first)


def conclude(
    training: Agreement,
    judged: Agreement,
    labels: list[str],
    named: Agreement | None = None,
    floors: np.ndarray | None = None,
) -> dict[str, Any]:
    """Thresholds by the sounds learned from and by labelled clips; figures, of held-out ones, too.

    Args:
        training: What was said of the sounds learned from.
        judged: And of the held-out ones.
        labels: The labels.
        named: What labelled clips say, if there are any.
        floors: ``(labels,)``: thresholds below which none may lie, if there are any.
    """
    never = no_events(labels)
    chosen = {
        f"{p:g}": choose_thresholds(training, labels, never, p, named, floors=floors)
        for p in PRECISIONS
    }
    return {
        "thresholds": msgspec.to_builtins(
            choose_thresholds(training, labels, never, PRECISION, named, NAMED_PRECISION, floors)
        ),
        "precisions": msgspec.to_builtins(chosen),
        "training": describe_labels(training, labels),
        "held_out": describe_labels(judged, labels)
        | {
            "thresholds": {
                name: judge_thresholds(judged, labels, own, STRETCH_S)
                for name, own in chosen.items()
            }
        },
    }


def hear(pupil: AnyPupil, name: str, n_shards: int, options: argparse.Namespace) -> HeardWindows:
    """What both said of the last of the shards that are there."""
    from train.nets.efficientat import open_efficientat

    folder = shards_of(options.cache, name, type(pupil))
    numbers = sorted(int(path.stem) for path in folder.glob("[0-9]*.safetensors"))[-n_shards:]
    if not numbers:
        raise UsageError(
            f"--cache: {folder} holds nothing that the teacher heard; python -m train.distil "
            "--only-hear fills it"
        )
    heard = Heard(folder, None, options.teacher, 0, pupil.make_front_end(), pupil.hints_kept)
    head = open_efficientat(options.teacher)[0].classifier
    parts = []
    with show_progress(f"hearing {name}", len(numbers), "shards") as update:
        for number in numbers:
            parts.append(hear_shard(pupil, head, heard.get(number)))
            update(len(parts))
    return HeardWindows(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))


class NamedClips:
    """What a network says of a labelled set's clips, and of soundscapes of them.

    Args:
        pupil: The network.
        labels: Its labels.
        options: The command's.

    Raises:
        UsageError: Nothing says what the set's classes mean, or it lacks a fold.
        DatasetError: It cannot be opened.
    """

    def __init__(self, pupil: AnyPupil, labels: list[str], options: argparse.Namespace) -> None:
        clips = open_clips(options.named, SAMPLE_RATE, out=options.prepared)
        means = MEANS.get(clips.name)
        if means is None:
            raise UsageError(f"--named: nothing says what the classes of {clips.name} mean")
        self.judged = options.cross_validate or options.folds
        absent = sorted({*options.folds, *self.judged} - set(clips.folds))
        if absent:
            raise UsageError(f"--folds, --cross-validate: {clips.name} has no fold {absent[0]}")
        self.folds, self.names = options.folds, clips.labels
        self.columns = columns_of(labels, clips.labels, means)
        self.about = {
            "name": clips.name,
            "licence": clips.licence,
            "folds": self.folds,
            "labels": len({label for own in self.columns for label in own}),
        }
        kept = clips.of_folds(sorted({*self.folds, *self.judged}))
        self.fold_of = np.array([clip.fold for clip in kept.clips])
        self.targets = kept.targets
        self.logits = hear_clips(pupil, kept)[1].half().numpy()
        chosen = clips.of_folds(self.folds)
        self.scenes = list(make_scenes(chosen, options.scenes, snr_db=SNR_DB))
        self.of_scenes = [hear_waveform(pupil, scene.waveform) for scene in self.scenes]

    def adjust(self, scale: CommonScale) -> tuple[CommonScale, dict[str, Any]]:
        """The scale adjusted by the clips of ``--folds``, and figures, cross-validated."""
        kept = np.isin(self.fold_of, self.folds)
        adjusted = adjust_scale(scale, self.logits[kept], self.targets[kept], self.columns)
        about: dict[str, Any] = {"named": self.about | {"clips": int(kept.sum())}}
        if len(self.judged) < 2:
            return adjusted, about
        kept = np.isin(self.fold_of, self.judged)
        figures = cross_validate(
            scale, self.logits[kept], self.targets[kept], self.fold_of[kept], self.columns
        )
        return adjusted, about | {"names_cross_validated": figures}

    def agreement(self, scale: CommonScale) -> Agreement:
        """What the network and the names say of clips of ``--folds``, and of the soundscapes."""
        kept = np.isin(self.fold_of, self.folds)
        peaks = peaks_of(scale.scores(self.logits[kept])).astype(np.float32)
        parts = [hear_of_clips(peaks, self.targets[kept], self.columns)]
        if self.scenes:
            parts.append(
                hear_of_scenes(
                    [scale.scores(logits) for logits in self.of_scenes], self.scenes,
                    dict(zip(self.names, self.columns, strict=True)),
                    hop_s=HOP_S, window_s=WINDOW_SAMPLES / SAMPLE_RATE,
                )
            )  # fmt: skip
        return join_agreements(parts)


class Unmixed:
    """What a network and its teacher say of speech and music (`train.distillation.unmixed`).

    Args:
        pupil: The network.
        labels: Its labels.
        options: The command's.

    Raises:
        UsageError: The teacher hears neither speech nor music in the sounds.
    """

    def __init__(self, pupil: AnyPupil, labels: list[str], options: argparse.Namespace) -> None:
        from train.nets.efficientat import open_efficientat

        clips, _ = open_sounds(options)
        scores = read_scores(options.weights, [clip.source for clip in clips.clips])
        teacher, _ = open_efficientat(options.teacher)
        self.kinds: list[str] = []
        self.logits: list[np.ndarray] = []
        self.said: list[np.ndarray] = []
        for piece in make_pieces(clips, scores, labels):
            self.kinds.append(piece.kind)
            self.logits.append(hear_waveform(pupil, piece.waveform))
            self.said.append(np.maximum(piece.said, ask(teacher, piece)))
        if not self.kinds:
            raise UsageError(
                "--sounds: the teacher hears neither speech nor music in them; name more of them, "
                "and with --weights what train.hear_sources wrote of the same"
            )

    def agreement(self, scale: CommonScale) -> Agreement:
        """The network's highest averages in each stretch beside what the teacher said."""
        return hear_of_pieces(
            [scale.scores(logits) for logits in self.logits], self.said,
            hop_s=HOP_S, window_s=WINDOW_SAMPLES / SAMPLE_RATE, stretch_s=PART_S,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Hours of each kind, and how often a label may begin in them."""
        hours = {k: round(self.kinds.count(k) * PIECE_S / 3600, 2) for k in KINDS}
        return {"hours": hours, "false_an_hour": FALSE_AN_HOUR}


@torch.inference_mode()
def ask(teacher: nn.Module, piece: Piece) -> np.ndarray:
    """What the teacher says of each stretch: ``(stretches, labels)``."""
    stretches = piece.waveform.reshape(-1, round(PART_S * SAMPLE_RATE))
    higher = [soxr.resample(row, SAMPLE_RATE, TEACHER_RATE) for row in stretches]
    return torch.sigmoid(teacher(torch.from_numpy(np.stack(higher)))[1]).numpy()


@torch.inference_mode()
def hear_waveform(pupil: AnyPupil, waveform: np.ndarray) -> np.ndarray:
    """Logits, ``(windows, labels)``, of a waveform, ``(samples,)``, as of `train.probe.hear`."""
    front_end = pupil.make_front_end()
    spectra = front_end.compress(front_end.power_by_fft(torch.from_numpy(waveform)[None]))
    return pupil.listen(spectra, round(HOP_S / STEP_S))[1].half().numpy()


@torch.inference_mode()
def hear_shard(
    pupil: AnyPupil, head: nn.Module, shard: dict[str, Tensor]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `HeardWindows` has, of each mixture in a shard."""
    hop = round(HOP_S / STEP_S)
    parts = []
    for begin in range(0, len(shard["spectra"]), AT_ONCE):
        rows = slice(begin, begin + AT_ONCE)
        spectra = decode_spectra(shard["spectra"][rows])
        logits = torch.stack([pupil.listen(one[None], hop)[1] for one in spectra])
        columns = shard["features"][rows].float()
        starts = hop * torch.arange(logits.shape[1])
        weights = column_weights(int(starts[-1]) + 1)[starts]
        of_windows = head(torch.einsum("wc,bcn->bwn", weights, columns))
        first = (of_windows.argmax(dim=2) == logits.argmax(dim=2)).float().mean(dim=1)
        said = torch.sigmoid(head(columns.mean(dim=1)))
        denied = torch.sigmoid(of_windows) < DENIED
        parts.append((logits.half().numpy(), denied.numpy(), said.numpy(), first.numpy()))
    logits, denied, said, first = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    return logits, denied, said, first


def describe(result: dict[str, Any]) -> str:
    """Describe the result, in lines."""
    lines = []
    for name, title in (("training", "sounds learned from"), ("held_out", "held-out sounds")):
        row = result[name]
        mean = "-" if row["mAP"] is None else f"{row['mAP']:.3f}"
        lines.append(
            f"{title}: {row['stretches']} mixtures, the same label first in {row['first']:.1%} of "
            f"windows, mAP against the teacher {mean} ({row['labels']} labels)"
        )
    if "names_cross_validated" in result:
        row = result["names_cross_validated"]
        folds = ", ".join(f"{fold}: {part:.1%}" for fold, part in row["folds"].items())
        lines.append(
            f"{row['named']:.1%} of the named clips, each fold's by a scale from the others "
            f"({folds}); {row['common']:.1%} by the common scale"
        )
    for name, row in result["held_out"]["thresholds"].items():
        right = "-" if row["precision"] is None else f"{row['precision']:.1%}"
        lines.append(
            f"thresholds for {name}: {right} of events right, {row['recall']:.1%} found, "
            f"{row['denied_per_hour']:g} an hour that the teacher denies (held-out sounds)"
        )
    worst = ", ".join(f"{label} {ap:.2f}" for label, ap in result["training"]["worst"].items())
    lines.append(f"worst of the sounds learned from: {worst}")
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train.agreement",
        description="Choose thresholds by what the teacher says, and judge a run by it.",
    )
    option = parser.add_argument
    option("run", type=Path, metavar="RUN", help="a run of train.distil, ended or not")
    option("--cache", type=Path, required=True, metavar="DIR", help="the run's shards")
    option("--teacher", type=Path, required=True, metavar="PT", help="mn04_as_mAP_432.pt")
    option("--labels", type=Path, required=True, metavar="CSV",
           help="AudioSet's class_labels_indices.csv")  # fmt: skip
    option("--shards", type=int, default=14, help="shards to choose by, the last (14)")
    option("--judged", type=int, default=2, help="shards of held-out sounds to judge by (2)")
    option("--named", type=Path, metavar="DIR", help="ESC-50's folder: adjust the labels' scale "
           "and choose thresholds by its clips, too")  # fmt: skip
    option("--sounds", type=Path, nargs="+", metavar="PREPARED", help="prepared sounds of "
           "train.datasets.free_sounds: their speech and music say below which thresholds a label "
           "is heard too often where it does not sound (needs --weights)")  # fmt: skip
    option("--weights", type=Path, nargs="+", metavar="NPZ", help="what train.hear_sources heard "
           "in each of them")  # fmt: skip
    option("--folds", type=numbers(int), default=[1, 2, 3], help="of these clips (1,2,3)")
    option("--scenes", type=int, default=120, metavar="N", help="soundscapes of a minute of these "
           "clips (120)")  # fmt: skip
    option("--cross-validate", type=numbers(int), metavar="FOLDS", help="folds to judge the scale "
           "by, each by the others' (those of --folds)")  # fmt: skip
    option("--prepared", type=Path, help="where its prepared clips go")
    option("--threads", type=int, default=1, help="CPU threads (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
