"""The first record of a stream, which describes it before its first audio."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from streamclf.core.card import Card
from streamclf.core.local_clock import LocalClock
from streamclf.core.records import ModelIdentity, StreamStarted
from streamclf.core.speech_labels import find_speech_scores
from streamclf.core.sureness import find_sureness_limits
from streamclf.sources.base import Source


def announce(
    source: Source,
    card: Card,
    thresholds: Mapping[str, float],
    clock: LocalClock,
    position: int = 0,
    model_file: str = "",
) -> StreamStarted:
    """Describe the stream that a source is about to deliver.

    Args:
        source: An open source; the first audio of a live one must have arrived.
        card: The card of the model.
        thresholds: Averaged score at which an event begins, for the labels of requested events.
        clock: The clock of a live stream.
        position: Position of the first sample, at the model's rate.
        model_file: Path of the model's file; empty where it has none.
    """
    live = source.live
    started = clock.moment(0) if live else source.started
    return StreamStarted(
        source.result_name,
        card.sample_rate,
        card.labels,
        card.task,
        started,
        card.unknown,
        clock if live else None,
        live,
        display_names={label: card.display_name(label) for label in card.labels},
        thresholds=thresholds,
        temperature=card.temperature if card.activation == "softmax" else 1.0,
        n_taught=card.n_taught,
        run=_name_run(started) if live else "",
        position=position,
        model=ModelIdentity(card.name, card.version, model_file),
        speech_scores=find_speech_scores(card),
        broader=card.broader_sounds,
        sureness=find_sureness_limits(card),
    )


def _name_run(started: datetime | None) -> str:
    """Name a live run by its start time, and by a random part, in case the clock was reset."""
    moment = (started or datetime.now()).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
