"""Construction of an engine from an open model, its settings and its thresholds."""

from __future__ import annotations

from collections.abc import Callable

from streamclf.core.label_choice import choose_events
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine


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
    engine = Engine(classifier, choose_events(card, settings, thresholds, report))
    if settings.name_unknown and engine.unknown is None and card.task != "regression":
        report(
            f"warning: --unknown: {card.name} has no rule for unknown sounds: there are none; "
            "--model pocket has one"
        )
    if engine.hop_notice:
        report(engine.hop_notice)
    return engine
