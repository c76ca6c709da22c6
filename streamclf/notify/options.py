"""What the settings say of telling: rules, targets, and a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.rules import Rule
from streamclf.notify.targets.options import TargetOptions

FileStates: TypeAlias = Mapping[Path, tuple[int, int, int] | None]
"""What tells a file from itself after a change, by its path; None where there is none."""


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

    def file_states(self) -> FileStates:
        """States of the files that targets and the broker read: secrets, certificates."""
        readers: list[TargetOptions | MqttOptions] = [*self.targets]
        readers += [] if self.mqtt is None else [self.mqtt]
        said = (getattr(reader, each.name) for reader in readers for each in fields(reader))
        return {value: _state_of(value) for value in said if isinstance(value, Path)}


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
