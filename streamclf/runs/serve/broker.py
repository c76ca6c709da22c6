"""The broker of a serving process: what it is told of the streams, and what it may ask of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from streamclf.core.card import Threshold, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_url
from streamclf.core.settings import Settings
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL
from streamclf.notify.mqtt.facts import Control, SourceFacts
from streamclf.notify.mqtt.identity import identity_file
from streamclf.notify.mqtt.link import make_tls
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.mqtt.publisher import MqttPublisher
from streamclf.notify.mqtt.today import count_today
from streamclf.pipeline.engine import Engine
from streamclf.runs.serve.plan import StreamPlan
from streamclf.runs.serve.stream import ServedStream
from streamclf.sources.pause import PAUSED


def make_publisher(
    options: MqttOptions,
    store: Path,
    report: Callable[[str], None],
    page: str | None,
    streams: Callable[[], Iterable[ServedStream]],
    control: Control,
) -> MqttPublisher:
    """Make the client of a broker; it connects when it is started.

    Args:
        options: The broker.
        store: The store, beside which the identity of the box stands.
        report: Called with one line of text.
        page: URL of the page; None if it is not known.
        streams: Tells what streams there are.
        control: Does what is asked through the broker.
    """
    publisher = MqttPublisher(
        options,
        identity_file(store),
        report=report,
        page=page,
        count_today=partial(count_today, store),
    )
    publisher.describe_sources = lambda: [describe_source(stream) for stream in streams()]
    publisher.control = control
    return publisher


def check_broker(options: MqttOptions) -> None:
    """Check all that can be told without the broker: files of certificates and the password.

    Raises:
        UsageError: A file cannot be used.
    """
    try:
        make_tls(options)
        options.read_password()
    except UsageError as error:
        raise UsageError(f"[mqtt] {error}") from error


def describe_source(stream: ServedStream) -> SourceFacts:
    """Describe a stream for a broker."""
    hearing, health = stream.hearing, stream.health
    plan, engine = hearing.plan, hearing.engine
    return SourceFacts(
        name=stream.name,
        opens=_describe_opened(plan),
        labels={label: engine.card.display_name(label) for label in _labels_of(engine)},
        thresholds={
            label: limit for label, limit in engine.onset_thresholds.items() if limit < math.inf
        },
        calibration_db=plan.served.calibration_db,
        state=stream.state,
        paused=stream.paused,
        vocabulary=engine.vocabulary,
        lost_s=max(health.lost_s - health.lost.get(PAUSED, 0.0), 0.0),
    )


def with_threshold(engine: Engine, label: str, value: float) -> Settings:
    """Settings of an engine in which events of a label begin at another score."""
    thresholds: Thresholds = engine.thresholds
    before = thresholds.of(label)
    off = value * before.off / before.on if before.on else value
    classes = {**thresholds.classes, label: Threshold(value, min(off, value))}
    changed = msgspec.structs.replace(thresholds, classes=classes)
    return replace(engine.settings, thresholds=changed)


def _labels_of(engine: Engine) -> list[str]:
    """Labels of the events that an engine may report."""
    card, settings = engine.card, engine.settings
    if card.task == "regression":
        return []
    others = [UNKNOWN_LABEL, SILENCE_LABEL] if settings.name_unknown and engine.unknown else []
    return [
        label
        for label in [*card.labels, *others]
        if label not in engine.thresholds.never
        and (settings.labels is None or label in settings.labels)
    ]


def _describe_opened(plan: StreamPlan) -> str:
    """What a stream opens, without passwords; it stays the same where only the name changes."""
    source = plan.source
    opened = mask_url(source.source) if source.source is not None else f"device {source.device}"
    return f"{opened} channel {plan.settings.channel}"
