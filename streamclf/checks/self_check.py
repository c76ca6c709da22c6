"""Quick check of the model on its execution provider, for `listen --self-check`."""

from __future__ import annotations

from dataclasses import replace

from streamclf.checks.verify import Opener, check_provider
from streamclf.model.model_file import Model
from streamclf.model.options import ModelOptions, Provider
from streamclf.runs.engine_setup import open_model


def self_check(model: ModelOptions) -> str:
    """Compare the model's logits on its provider with those on the CPU.

    Returns:
        The finding, in one line.

    Raises:
        ModelError: The logits differ by more than the tolerance.
    """
    return check_provider(make_opener(model))


def make_opener(options: ModelOptions) -> Opener:
    """Make a function that opens the model for another provider, for live use, or for logits."""

    def opened(
        *, provider: Provider | None = None, live: bool = False, logits: bool = False
    ) -> Model:
        card = replace(options.card, activation="none") if logits else options.card
        return open_model(replace(options, provider=provider or options.provider, card=card), live)

    return opened
