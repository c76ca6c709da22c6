"""Which of several devices of one name is the one that was lost, as far as that can be told.

Two microphones of one make have the same name. ALSA numbers its cards, so that theirs differ by the
number alone; a microphone that is pulled and plugged in again may get another. Other systems give
both the same name, or a number of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamclf.sources.microphone.devices import InputDevice

_NUMBER = re.compile(r"\s*\(hw:\d+,\d+\)$")


@dataclass(frozen=True)
class Look:
    """What a look for a lost device found.

    Attributes:
        there: Whether the device is there and can be opened, as far as that can be told.
        names: Of all devices of its make that are there; None where that was not seen.
    """

    there: bool
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Remembered:
    """A device as it was when it was opened, and those that it might be mistaken for.

    Attributes:
        device: The device.
        twins: Names of the others of its make that were there while it was open.
        place: How many of exactly its name came before it in the system's list.
        doubtful: Whether one of the others has gone since, and may be what comes back.
    """

    device: InputDevice
    twins: tuple[str, ...] = ()
    place: int = 0
    doubtful: bool = False

    @classmethod
    def among(cls, inputs: Sequence[InputDevice], device: InputDevice) -> Remembered:
        """Remember a device beside the others that are there."""
        kin = _kin(inputs, device)
        twins = tuple(each.name for each in kin if each.index != device.index)
        exact = [each.index for each in kin if each.name == device.name]
        place = exact.index(device.index) if device.index in exact else 0
        return cls(device, twins, place)

    def names_in(self, inputs: Sequence[InputDevice]) -> tuple[str, ...]:
        """Names of the devices of its make."""
        return tuple(each.name for each in _kin(inputs, self.device))

    def find(self, inputs: Sequence[InputDevice]) -> InputDevice | None:
        """The device, if it is there again; its twins are left out, its index may have changed."""
        kin = _kin(inputs, self.device)
        exact = [each for each in kin if each.name == self.device.name]
        if len(exact) > self.twins.count(self.device.name):
            return exact[min(self.place, len(exact) - 1)]
        rest = _without(kin, self.twins)
        return rest[0] if rest else None

    def after(self, look: Look) -> Remembered:
        """Forget the twins that have gone, as the device would never be found in their stead."""
        if look.names is None:
            return self
        left, there = [], Counter(look.names)
        for name in self.twins:
            if there[name]:
                there[name] -= 1
                left.append(name)
        gone = len(left) < len(self.twins)
        return replace(self, twins=tuple(left), doubtful=self.doubtful or gone)

    def doubt(self, found: InputDevice) -> bool:
        """Whether what was found may be another of its make."""
        told_by_name = found.name == self.device.name and found.name not in self.twins
        return self.doubtful or (bool(self.twins) and not told_by_name)


def _kin(inputs: Iterable[InputDevice], device: InputDevice) -> list[InputDevice]:
    """The devices of one make: of the same host API, and of the same name but for the number."""
    make = device.host_api, _NUMBER.sub("", device.name)
    return [each for each in inputs if (each.host_api, _NUMBER.sub("", each.name)) == make]


def _without(devices: list[InputDevice], names: Iterable[str]) -> list[InputDevice]:
    """Devices but for one of each of these names."""
    left_out = Counter(names)
    rest = []
    for device in devices:
        if left_out[device.name]:
            left_out[device.name] -= 1
        else:
            rest.append(device)
    return rest
