"""With what an archive is heard, and the hash by which its results are known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streamclf import __version__
from streamclf.archive.manifest import FORMAT, Plan
from streamclf.core.settings import Settings
from streamclf.core.sureness import find_sureness_limits
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import ModelOptions
from streamclf.model.vetting.vetting import vet_model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.event_rules import EVENT_RULES
from streamclf.pipeline.make_engine import make_engine


@dataclass(frozen=True)
class Hearing:
    """With what an archive is heard: the model, its settings, and what is kept.

    It can be pickled, and is the same on each machine.

    Attributes:
        model: The model, whose file each worker must find under the same name.
        settings: Settings of the engine.
        thresholds: Options of the thresholds.
        scores: Whether the scores of each window are kept.
        features: Whether the features of each window are kept.
        levels: Whether sound levels are measured.
        rules: Event rules of the run; None for those of this streamclf.
    """

    model: ModelOptions
    settings: Settings
    thresholds: ThresholdOptions
    scores: bool = False
    features: bool = False
    levels: bool = True
    rules: int | None = None


def open_engine(hearing: Hearing, say: Callable[[str], None]) -> Engine:
    """Open the model, and make the engine of a run.

    Raises:
        ModelError: The model cannot be opened, or has no features that are to be kept.
        UsageError: The settings do not fit the model.
    """
    model = open_model(hearing.model)
    if model.notice:
        say(model.notice)
    classifier = Classifier(model, features=hearing.features)
    return make_engine(classifier, hearing.settings, hearing.thresholds, say)


def open_model(options: ModelOptions) -> Model:
    """Open a model for recordings.

    Raises:
        ModelError: It cannot be opened.
    """
    return Model(
        find_model(options.name),
        provider=options.provider,
        options=options.card,
        n_threads=options.n_threads,
        live=False,
    )


def describe_run(engine: Engine, hearing: Hearing, plan: Plan) -> dict[str, object]:
    """Describe a run by all that its results follow from, and by the hash of that.

    Args:
        engine: The engine.
        hearing: Model and settings as given.
        plan: The plan.
    """
    model: Model = engine.scorer.model  # type: ignore[attr-defined]
    card, settings = engine.card, engine.settings
    kept = {"scores": hearing.scores, "features": hearing.features, "levels": hearing.levels}
    chosen: dict[str, object] = {
        "hop_s": engine.hop_s,
        "average_s": settings.average_s,
        "average_kind": settings.average_kind,
        "thresholds": msgspec.to_builtins(engine.thresholds),
        "channel": settings.channel,
        "unknown": settings.name_unknown,
        "labels": None if settings.labels is None else sorted(settings.labels),
        "max_duration_s": settings.max_duration_s,
        "begin": settings.begin,
        "broader": settings.broader,
        **kept,
    }
    digest = _hash_model(model.path)
    heard_with = _hash([FORMAT, plan.id, digest, msgspec.to_builtins(card), chosen])
    rules = EVENT_RULES if hearing.rules is None else hearing.rules
    names = {label: card.display_name(label) for label in card.labels}
    return {
        "format": FORMAT,
        "run": _hash([heard_with, rules]),
        "hearing": heard_with,
        "rules": rules,
        "plan": plan.id,
        "model": {
            "name": card.name,
            "version": card.version,
            "file": hearing.model.name,
            "sha256": digest,
            "sample_rate": card.sample_rate,
            "labels": card.labels,
            "display_names": names,
            "broader": card.broader_sounds,
            "sureness": find_sureness_limits(card),
        },
        "settings": chosen,
        "streamclf": __version__,
    }


def _hash(values: list[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()[:16]


def _hash_model(path: Path) -> str:
    """Return a hash of a model's file, and of its weights in files beside it."""
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    if vet_model(path) > len(data):
        import onnx  # which few models need here

        tensors = onnx.load(str(path), load_external_data=False).graph.initializer
        entries = [entry for tensor in tensors for entry in tensor.external_data]
        for name in sorted({entry.value for entry in entries if entry.key == "location"}):
            digest.update(hashlib.sha256((path.parent / name).read_bytes()).digest())
    return digest.hexdigest()
