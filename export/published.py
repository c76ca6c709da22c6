"""Model files of AudioSet's 527 labels: of EfficientAT's published weights, and of its pupil.

    python -m export mn04_as_mAP_432.pt --labels class_labels_indices.csv -o mn04.onnx
    python -m export RUN_OF_DISTIL --labels class_labels_indices.csv -o wide.onnx

Of the published weights the front end goes into the graph as convolutions (`train.nets.dft`), as
everywhere here; the engine brings the audio to its 32 kHz. It hears 10 s at a time, or, with
``--window 5``, half of that, and knows less by shorter windows. Its windows share no work:
squeeze-and-excitation takes each window together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.errors import ExportError
from export.graph.compare_outputs import compare
from export.graph.export_graph import make_graph
from export.graph.find_features import find_features
from export.graph.formats import FormattedGraph, NumberFormat, store
from export.graph.prune import prune
from export.stem.find_stem import find_stem
from streamclf.core.card import METADATA_KEY, Card, Thresholds, format_card, parse_card
from streamclf.core.errors import UsageError
from streamclf.model.write_file import write_model
from train.datasets.audioset import no_events, read_broader, read_label_names
from train.distillation.common_scale import CommonScale
from train.distillation.wide import AGREEMENT, make_wide, read_pupil
from train.evaluation.agreement import DENIED, FEWEST, MIXTURES_COUNT, SAID
from train.nets.dft import FramePower
from train.nets.efficientat import (
    FLOOR,
    HOP_LENGTH,
    N_FFT,
    N_LABELS,
    PRE_EMPHASIS,
    SAMPLE_RATE,
    WIN_LENGTH,
    EfficientAT,
    open_efficientat,
)
from train.nets.pocket_network import SAMPLE_RATE as POCKET_RATE
from train.nets.pocket_network import WINDOW_SAMPLES
from train.pocket_parts.pretrained_run import list_sources
from train.run_folder.run import CONFIG, RESULT, RunFolder

NOT_TUNED = "Thresholds are not tuned."
TUNED = (
    "Labels have a common scale, and thresholds are chosen by what the teacher says of 10 s and by "
    "labelled clips."
)

NAMED = "names_cross_validated"
NAMED_PROTOCOL = (
    "clips of each fold named by the labels that mean their classes, by scores whose factors and "
    "summands were adjusted by the other folds' clips (train.distillation.named_scale); common: by "
    "the scale before that, which knows no clip; the model's own are adjusted by folds 1 to 3"
)
"""Of a field of what `train.agreement` writes."""

SCALE = ("factors", "summands")
"""Fields of what `train.agreement` writes: the labels' common scale."""

WINDOWS_S = (5.0, 10.0)
"""How long it may hear at a time, from and to: below that padding is most of what it hears."""


class Exportable(nn.Module):
    """The network with its front end as convolutions: logits of a waveform."""

    def __init__(self, network: EfficientAT) -> None:
        super().__init__()
        self.network = network
        margin = (N_FFT - WIN_LENGTH) // 2
        window = np.pad(network.front_end.window.double().numpy(), margin)
        self.frame_power = FramePower(window, HOP_LENGTH)
        # Its lowest band begins at 0 Hz, where a triangle's edge is nought: no bin is lost.
        banks = network.front_end.banks[:, self.frame_power.bins, None]
        self.register_buffer("banks", banks, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] at 32 kHz -> ``(batch, 527)``."""
        emphasised = waveform[:, 1:] - PRE_EMPHASIS * waveform[:, :-1]
        half = N_FFT // 2
        padded = F.pad(emphasised[:, None], (half, half), mode="reflect")
        power = F.conv1d(self.frame_power(padded), self.banks)
        mel = (torch.log(power + FLOOR) + 4.5) / 5.0
        features = self.network.features(mel[:, None]).mean(dim=(2, 3))
        return self.network.classifier(features)


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        output: The model file.
        labels: AudioSet's list of labels; None if it was not named.
        ontology: AudioSet's ontology, for the labels' groups; None for none.
        number_format: How the weights are stored.
        overwrite: Whether to replace an existing file.
        version: Of the model, for its card.
    """

    output: Path
    labels: Path | None
    ontology: Path | None = None
    number_format: NumberFormat = "float32"
    overwrite: bool = False
    version: str = "1"


def export_published(path: Path, wanted: Wanted, window_s: float) -> tuple[Card, float]:
    """Write the model file of the published weights, whole and checked, or not at all.

    Returns:
        The card, and how far ONNX Runtime is from torch.

    Raises:
        UsageError: The labels are missing, or the window is too short or too long.
        DatasetError: A file is missing or another one.
        ExportError: The file exists, cannot be written, or would not say what the network says.
    """
    names = read_names(path, wanted)
    if not WINDOWS_S[0] <= window_s <= WINDOWS_S[1]:
        raise UsageError(
            f"--window is {window_s:g} s, must be {WINDOWS_S[0]:g} to {WINDOWS_S[1]:g} s for "
            f"{path.name}"
        )
    teacher, digest = open_efficientat(path)
    card = describe(wanted.output.stem, names, round(window_s * SAMPLE_RATE), digest)
    return write(Exportable(teacher).eval(), card, wanted)


def export_pupil(path: Path, wanted: Wanted) -> tuple[Card, float]:
    """Write the model file of a run of `train.distil`, as above; its windows share their layers.

    Thresholds and figures come from what `train.agreement` wrote into the run's folder, if it did.

    Raises:
        RunError: The run has not ended.
    """
    names = read_names(path, wanted)
    run = RunFolder.open(path)
    pupil = read_pupil(run)
    card = describe_pupil(wanted.output.stem, names, run.read_json(CONFIG), run.read_json(RESULT))
    card = msgspec.structs.replace(card, version=wanted.version)
    if (run.path / AGREEMENT).exists():
        agreement = run.read_json(AGREEMENT)
        card = add_agreement(card, agreement, str(run.path / AGREEMENT))
        CommonScale(*(np.array(agreement[name]) for name in SCALE)).fold(pupil.head)
    return write(make_wide(pupil).eval(), card, wanted)


def add_agreement(card: Card, agreement: dict[str, Any], origin: str) -> Card:
    """The card with the thresholds that follow from the agreement with the teacher.

    Raises:
        ExportError: They are not thresholds for these labels.
    """
    accuracy = dict(card.accuracy)
    try:
        for name in SCALE:
            if np.shape(agreement[name]) != (len(card.labels),):
                raise ExportError(f"{origin}: {name} are not a number for each label; make it anew")
        for name in ("training", "held_out"):
            accuracy[name] = agreement[name]
        if NAMED in agreement:
            accuracy[NAMED] = agreement[NAMED] | {"protocol": NAMED_PROTOCOL}
        accuracy["agreement_protocol"] = (
            "mixtures of 10 s; mAP: highest average over 3 s in each against what the teacher says "
            f"of the whole ({SAID:g} or more), of the labels it says of {FEWEST} or more; first: "
            "the same label first, of windows; thresholds: chosen by the mixtures of sounds it "
            "learned from, judged on those of the held-out packages; an event is right where the "
            f"teacher says the label, wrong where its score is below {DENIED:g}; of labels that "
            f"labelled clips decide on, one in a mixture counts {MIXTURES_COUNT:g}"
            f"{describe_unmixed(agreement.get('unmixed'))}"
        )
        return msgspec.convert(
            msgspec.to_builtins(card)
            | {name: agreement[name] for name in ("thresholds", "precisions")}
            | {"accuracy": accuracy, "description": card.description.replace(NOT_TUNED, TUNED)}
            | {"training_data": card.training_data + describe_named(agreement.get("named"))},
            Card,
        )
    except (KeyError, msgspec.ValidationError) as error:
        raise ExportError(
            f"{origin}: not for these labels: {error}; make it anew with train.agreement"
        ) from error


def describe_unmixed(unmixed: dict[str, Any] | None) -> str:
    """What speech and music have decided, as part of a sentence; nothing without any."""
    if unmixed is None:
        return ""
    hours = " and ".join(f"{n:g} h of {kind.lower()}" for kind, n in unmixed["hours"].items())
    return (
        f"; each threshold is so high that in {hours}, of sounds it learned from, the label is "
        f"heard at most {unmixed['false_an_hour']:g} times an hour where it does not sound"
    )


def describe_named(named: dict[str, Any] | None) -> str:
    """What labelled clips have decided, as a sentence after others; nothing without any."""
    if named is None:
        return ""
    folds = ", ".join(map(str, named["folds"]))
    return (
        f" {named['clips']} labelled clips of {named['name']} ({named['licence']}; folds {folds}) "
        f"decided on two numbers, scale and offset, of {named['labels']} labels and on thresholds; "
        "no layer was trained on them."
    )


def read_names(path: Path, wanted: Wanted) -> list[str]:
    """AudioSet's labels, if a file may be written."""
    output, labels = wanted.output, wanted.labels
    if labels is None:
        raise UsageError(
            "--labels is missing: name AudioSet's class_labels_indices.csv, the names of what "
            f"{path.name} says"
        )
    if output.suffix != ".onnx":
        raise ExportError(f"{output}: must end in .onnx")
    if output.exists() and not wanted.overwrite:
        raise ExportError(f"{output}: exists; --overwrite replaces it")
    names = read_label_names(labels)
    if len(names) != N_LABELS:
        raise ExportError(f"{labels}: names {len(names)} labels, must be {N_LABELS}")
    return names


def write(network: nn.Module, card: Card, wanted: Wanted) -> tuple[Card, float]:
    """Trace, compare, find what windows share and their features, check and write."""
    model = prune(make_graph(network, card.window_samples, "logits"))
    graph = FormattedGraph(model, compare(network, model, card.window_samples))
    graph = store(graph, network, card.window_samples, wanted.number_format)
    model, card = graph.model, graph.complete(card)
    found = find_stem(model, card.window_samples, card.sample_rate)
    features = find_features(model, card.window_samples, card.sample_rate)
    card = msgspec.structs.replace(card, stem=found.stem, stem_note=found.note, features=features)
    if wanted.ontology is not None and wanted.labels is not None:
        groups = read_broader(wanted.ontology, wanted.labels)
        card = msgspec.structs.replace(card, broader=groups)
    model.producer_name = "streamclf"
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, format_card(card)
    onnx.checker.check_model(model, full_check=True)
    parse_card(entry.value, str(wanted.output))
    write_model(wanted.output, model.SerializeToString())
    return card, graph.difference


def choose_thresholds(labels: list[str]) -> Thresholds:
    """One threshold for all labels, which nobody has tuned."""
    return Thresholds(on=0.5, off=0.3, never=no_events(labels))


def describe(name: str, labels: list[str], window_samples: int, digest: str) -> Card:
    """Its card; thresholds are not tuned."""
    return Card(
        name=name,
        labels=labels,
        sample_rate=SAMPLE_RATE,
        window_samples=window_samples,
        task="multi-label",
        activation="sigmoid",
        thresholds=choose_thresholds(labels),
        training_data="AudioSet (Gemmeke et al. 2017), by its authors; nothing was trained here.",
        licence="MIT (F. Schmid, K. Koutini, G. Widmer)",
        accuracy={"mAP": 0.432, "protocol": "AudioSet's evaluation set, as the authors publish it"},
        description=(
            "EfficientAT mn04_as, everyday sounds by AudioSet's 527 labels, several at once. "
            f"Weights as published (SHA-256 {digest}); thresholds are not tuned."
        ),
    )


def describe_pupil(
    name: str, labels: list[str], config: dict[str, Any], result: dict[str, Any]
) -> Card:
    """The card of a pupil; thresholds are not tuned."""
    sources = list_sources(config)
    heard = "; ".join(
        f"{source['name']}, {source['hours']:.1f} h ({source['licence']})" for source in sources
    )
    labelled = [source for source in sources if source.get("folds")]
    labels_used = "; of the labels only its teacher's head knows" if labelled else ""
    teacher = config["teacher"]
    return Card(
        name=name,
        labels=labels,
        sample_rate=POCKET_RATE,
        window_samples=WINDOW_SAMPLES,
        task="multi-label",
        activation="sigmoid",
        thresholds=choose_thresholds(labels),
        training_data=(
            f"{heard}, without labels{labels_used}: it "
            f"learned to say of {result['windows']:,} windows mixed from them what "
            f"{teacher['name']} ({teacher['file']}, SHA-256 {teacher['sha256']}; trained on "
            "AudioSet) says of them."
        ),
        licence="MIT (its teacher's weights, from which it began, too: F. Schmid, K. Koutini, G. "
        "Widmer)"
        + "".join(f"; {own['licence']}, as the recordings of {own['name']}" for own in labelled),
        accuracy={
            "explained_variance": result["explained_variance"],
            "agreement": result["agreement"],
            "protocol": (
                "of the teacher's features, and how often both put the same label first, on "
                f"mixtures of sources it had not heard: {', '.join(config['held_out'])}"
            ),
        },
        description=(
            f"Everyday sounds by AudioSet's 527 labels, several at once. {NOT_TUNED} "
            f"Made by: {'; '.join(config['commands'])}{_begun(config)}"
        ),
    )


def _begun(config: dict[str, Any]) -> str:
    """How long a run was to be before its length was changed."""
    before = [str(length) for length in config.get("plan", [])[:-1]]
    option = "--minutes" if config.get("minutes") else "--passes"
    return f" (begun with {option} {', then '.join(before)})" if before else ""
