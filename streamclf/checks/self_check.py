"""A quick check of what will run a model: `listen --self-check`."""

from __future__ import annotations

from dataclasses import replace

from streamclf.checks.verify import Opener, check_provider
from streamclf.model.model_file import Model
from streamclf.model.providers import Provider
from streamclf.runs.engine_setup import ModelOptions, open_model


def self_check(model: ModelOptions) -> str:
    """Try what will run the model; returns what was found, in a line.

    Raises:
        ModelError: It does not give the scores that the CPU gives.
    """
    return check_provider(make_opener(model))


def make_opener(options: ModelOptions) -> Opener:
    """What opens the model anew, for another provider, live, or for its logits."""

    def opened(
        *, provider: Provider | None = None, live: bool = False, logits: bool = False
    ) -> Model:
        card = replace(options.card, activation="none") if logits else options.card
        return open_model(replace(options, provider=provider or options.provider, card=card), live)

    return opened
