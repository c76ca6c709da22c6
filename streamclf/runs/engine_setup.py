"""Construction of an engine from the options for model and thresholds."""

from __future__ import annotations

from dataclasses import replace

from streamclf.core.label_choice import choose_labels
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import ModelOptions
from streamclf.pipeline.engine import Engine
from streamclf.runs.console import say


def open_model(model: ModelOptions, live: bool) -> Model:
    """Open the model, for windows one at a time (``live``) or in batches.

    Raises:
        ModelError: The model cannot be opened.
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
    """Open the model, make an engine with it, and log notices about unusual settings.

    Raises:
        ModelError: The model cannot be opened.
        UsageError: Settings or thresholds do not fit the model.
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
    chosen = choose_thresholds(card, thresholds)
    labels = choose_labels(
        card, thresholds.only, thresholds.leave_out, name_unknown=settings.name_unknown
    )
    engine = Engine(Classifier(opened), replace(settings, thresholds=chosen, labels=labels))
    if engine.hop_notice:
        say(engine.hop_notice)
    return engine, opened
