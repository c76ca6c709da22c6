"""Recognition of a lost device among several devices of the same make.

Two microphones of the same make have the same name. ALSA adds the number of the card, so names
differ only in that number, and a microphone that is unplugged and plugged in again may get another
number. Other systems give both the same name, or number them in their own way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamclf.sources.microphone.devices import InputDevice

_NUMBER = re.compile(r"\s*\(hw:\d+,\d+\)$")


@dataclass(frozen=True)
class ProbeResult:
    """Result of a search for a lost device.

    Attributes:
        present: Whether the device is connected and can be opened; True where this is unknown.
        names: Names of all connected devices of its make; None where they are unknown.
    """

    present: bool
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DeviceIdentity:
    """A device as it was when it was opened, and the devices that it may be mistaken for.

    Attributes:
        device: The device.
        twins: Names of the other devices of its make that were connected while it was open.
        place: Number of devices with exactly its name before it in the system's list.
        ambiguous: Whether one of the twins has gone since, so that a device that appears may be
            that twin.
    """

    device: InputDevice
    twins: tuple[str, ...] = ()
    place: int = 0
    ambiguous: bool = False

    @classmethod
    def among(cls, inputs: Sequence[InputDevice], device: InputDevice) -> DeviceIdentity:
        """Describe a device among all devices that are connected."""
        same_make = _same_make(inputs, device)
        twins = tuple(each.name for each in same_make if each.index != device.index)
        exact = [each.index for each in same_make if each.name == device.name]
        place = exact.index(device.index) if device.index in exact else 0
        return cls(device, twins, place)

    def names_in(self, inputs: Sequence[InputDevice]) -> tuple[str, ...]:
        """Return the names of the devices of its make."""
        return tuple(each.name for each in _same_make(inputs, self.device))

    def find(self, inputs: Sequence[InputDevice]) -> InputDevice | None:
        """Find the device among those connected now; its twins are excluded.

        Returns:
            The device, whose index may have changed; None if it is not there.
        """
        same_make = _same_make(inputs, self.device)
        exact = [each for each in same_make if each.name == self.device.name]
        if len(exact) > self.twins.count(self.device.name):
            return exact[min(self.place, len(exact) - 1)]
        rest = _without(same_make, self.twins)
        return rest[0] if rest else None

    def updated(self, result: ProbeResult) -> DeviceIdentity:
        """Return the description without the twins that have gone.

        A twin that is gone must not be excluded from the search, because the device itself may
        have taken its name.
        """
        if result.names is None:
            return self
        left, present = [], Counter(result.names)
        for name in self.twins:
            if present[name]:
                present[name] -= 1
                left.append(name)
        gone = len(left) < len(self.twins)
        return replace(self, twins=tuple(left), ambiguous=self.ambiguous or gone)

    def may_be_another(self, found: InputDevice) -> bool:
        """Whether a device that was found may be another one of the same make."""
        has_own_name = found.name == self.device.name and found.name not in self.twins
        return self.ambiguous or (bool(self.twins) and not has_own_name)


def _same_make(inputs: Iterable[InputDevice], device: InputDevice) -> list[InputDevice]:
    """Return the devices of the same make: same host API, and same name except for the number."""
    make = device.host_api, _NUMBER.sub("", device.name)
    return [each for each in inputs if (each.host_api, _NUMBER.sub("", each.name)) == make]


def _without(devices: list[InputDevice], names: Iterable[str]) -> list[InputDevice]:
    """Return the devices without one device for each of these names."""
    left_out = Counter(names)
    rest = []
    for device in devices:
        if left_out[device.name]:
            left_out[device.name] -= 1
        else:
            rest.append(device)
    return rest
