"""From what the user says of model and thresholds to an engine that is ready to listen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from streamclf.core.label_choice import choose_labels
from streamclf.core.settings import Settings, choose_thresholds
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import CardOptions, Model, find_model
from streamclf.model.providers import Provider
from streamclf.pipeline.engine import Engine
from streamclf.runs.console import say


@dataclass(frozen=True)
class ModelOptions:
    """Which model, what runs it, and whether to try that first."""

    name: str
    provider: Provider
    n_threads: int
    card: CardOptions
    self_check: bool = False


@dataclass(frozen=True)
class ThresholdOptions:
    """What the command line says of when a score becomes an event, and of which labels."""

    threshold: float | None = None
    file: Path | None = None
    min_duration_s: float | None = None
    max_gap_s: float | None = None
    precision: float | None = None
    only: str | None = None
    leave_out: str | None = None


def open_model(model: ModelOptions, live: bool) -> Model:
    """Open the model, for windows one by one or in batches.

    Raises:
        ModelError: It cannot be opened.
    """
    return Model(
        find_model(model.name),
        provider=model.provider,
        options=model.card,
        n_threads=model.n_threads,
        live=live,
    )


def open_engine(
    model: ModelOptions, settings: Settings, thresholds: ThresholdOptions, *, live: bool
) -> tuple[Engine, Model]:
    """Open the model and what listens with it; what is odd about the settings is said.

    Raises:
        ModelError: The model cannot be opened.
        UsageError: Settings or thresholds do not fit it.
    """
    opened = open_model(model, live)
    card = opened.card
    if opened.notice:
        say(opened.notice)
    if settings.hop_s > card.window_s:
        say(
            f"warning: --hop {settings.hop_s:g} s is longer than the window of "
            f"{card.window_s:g} s: the audio in between is not heard"
        )
    chosen = choose_thresholds(
        card,
        precision=thresholds.precision,
        file=thresholds.file,
        threshold=thresholds.threshold,
        min_duration_s=thresholds.min_duration_s,
        max_gap_s=thresholds.max_gap_s,
    )
    labels = choose_labels(
        card, thresholds.only, thresholds.leave_out, name_unknown=settings.name_unknown
    )
    engine = Engine(Classifier(opened), replace(settings, thresholds=chosen, labels=labels))
    if engine.hop_notice:
        say(engine.hop_notice)
    return engine, opened
