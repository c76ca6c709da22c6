"""Construction of an engine from the options for model and thresholds."""

from __future__ import annotations

from collections.abc import Callable
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
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    *,
    live: bool,
    features: bool = False,
) -> tuple[Engine, Model]:
    """Open the model, make an engine with it, and log notices about unusual settings.

    Args:
        model: The model.
        settings: Settings of the engine.
        thresholds: Options of the thresholds.
        live: Whether windows come one at a time.
        features: Whether the model is to give the features of each window.

    Raises:
        ModelError: The model cannot be opened, or is to give features and names none.
        UsageError: Settings or thresholds do not fit the model.
    """
    opened = open_model(model, live)
    if opened.notice:
        say(opened.notice)
    return make_engine(Classifier(opened, features=features), settings, thresholds, say), opened


def make_engine(
    classifier: Classifier,
    settings: Settings,
    thresholds: ThresholdOptions,
    report: Callable[[str], None],
) -> Engine:
    """Make an engine with an open model, and report unusual settings, a line each.

    Raises:
        UsageError: Settings or thresholds do not fit the model.
    """
    card = classifier.card
    if settings.hop_s > card.window_s:
        report(
            f"warning: --hop {settings.hop_s:g} s is longer than the window of "
            f"{card.window_s:g} s: the audio in between is not heard"
        )
    chosen = choose_thresholds(card, thresholds)
    labels = choose_labels(
        card,
        thresholds.only,
        thresholds.leave_out,
        name_unknown=settings.name_unknown,
        apart=settings.broader,
    )
    engine = Engine(classifier, replace(settings, thresholds=chosen, labels=labels))
    if settings.name_unknown and engine.unknown is None and card.task != "regression":
        report(
            f"warning: --unknown: {card.name} has no rule for unknown sounds: there are none; "
            "--model pocket has one"
        )
    if engine.hop_notice:
        report(engine.hop_notice)
    return engine


def describe_engine(engine: Engine, model: Model) -> str:
    """Describe a model and its windows for people: ``pocket (52 labels) on cpu (...), ...``."""
    card, settings = engine.card, engine.settings
    average = f"averaged over {settings.average_s:g} s" if settings.average_s else "not averaged"
    return (
        f"{card.name} ({len(card.labels)} labels) on {describe_provider(model)}, "
        f"a window of {card.window_s:g} s every {engine.hop_s:g} s, {average}"
    )


def describe_provider(model: Model) -> str:
    """Describe the provider that runs the model, and why it was chosen."""
    return f"{model.provider} ({model.provider_reason})"
