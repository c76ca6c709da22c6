"""What the settings say of telling: rules, targets, and a broker."""

from __future__ import annotations

from dataclasses import dataclass

from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.rules import Rule
from streamclf.notify.targets.options import TargetOptions


@dataclass(frozen=True)
class NotifyPlan:
    """Who is told what.

    Attributes:
        rules: In the order of the file; each name is there once.
        targets: In the order of the file; each name is there once.
        mqtt: The broker; None for none.
    """

    rules: tuple[Rule, ...] = ()
    targets: tuple[TargetOptions, ...] = ()
    mqtt: MqttOptions | None = None
