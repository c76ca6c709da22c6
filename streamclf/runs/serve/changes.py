"""What new settings change: the gentlest way from what is heard now to what they ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine
from streamclf.runs.serve.plan import StreamPlan
from streamclf.runs.serve.stream import Hearing, ServedStream

Way: TypeAlias = Literal["begin", "tune", "change", "keep"]


@dataclass(frozen=True)
class PreparedStream:
    """What a plan asks for, made ready: nothing of it can fail any more.

    Attributes:
        way: ``begin`` a stream (in place of one of its name, if there is one), ``tune`` its engine,
            ``change`` what it is heard with, or ``keep`` it as it is.
        plan: The plan.
        classifier: Its model.
        settings: Settings of the engine, with thresholds and labels.
        hearing: For ``begin`` and ``change``.
    """

    way: Way
    plan: StreamPlan
    classifier: Classifier
    settings: Settings
    hearing: Hearing | None = None


def find_way(stream: ServedStream | None, plan: StreamPlan, engine: Engine) -> Way:
    """Find the gentlest way from what is heard now to what a plan asks for."""
    if stream is None:
        return "begin"
    before = stream.hearing
    alike = before.classifier is engine.scorer and (
        before.plan.served,
        before.plan.own_outputs,
        before.plan.features,
    ) == (
        plan.served,
        plan.own_outputs,
        plan.features,
    )
    opens_alike = before.plan.opens_like(plan)
    if alike and opens_alike and before.engine.settings == engine.settings:
        return "keep"
    if not opens_alike or stream.state in ("ended", "failed"):
        return "begin"
    return "tune" if alike and _can_tune(before.engine.settings, engine.settings) else "change"


def _can_tune(before: Settings, after: Settings) -> bool:
    """Whether `Engine.change` is enough to get from some settings to others."""
    old, new = before.thresholds, after.thresholds
    if old is None or new is None:
        return False
    if (old.min_duration, old.max_gap) != (new.min_duration, new.max_gap):
        return False
    return after == replace(
        before,
        hop_s=after.hop_s,
        average_s=after.average_s,
        exact_hop=after.exact_hop,
        thresholds=after.thresholds,
    )


def describe_change(each: PreparedStream, streams: dict[str, ServedStream]) -> str:
    """Describe in a few words what happens to a stream."""
    if each.way == "begin":
        return f"{each.plan.name} begins{' anew' if each.plan.name in streams else ''}"
    return f"{each.plan.name} changes"
