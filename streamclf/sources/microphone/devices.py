"""List of microphones, and choice of one by index or name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamclf.core.errors import DeviceError


@dataclass(frozen=True, slots=True)
class InputDevice:
    """An audio device that can record.

    Attributes:
        index: Number in PortAudio's list; it changes when devices come and go.
        name: Name given by the host API.
        host_api: ``ALSA``, ``Core Audio``, ``Windows WASAPI``, ...
        channels: Largest number of channels.
        default_sample_rate: Default sample rate in Hz.
        is_default: Whether it is the system's default input.
    """

    index: int
    name: str
    host_api: str
    channels: int
    default_sample_rate: float
    is_default: bool = False

    @property
    def full_name(self) -> str:
        """Name and host API, because a device may be listed under several host APIs."""
        return f"{self.name}, {self.host_api}"


class DeviceLister(Protocol):
    """An audio system that lists its devices."""

    def list_devices(self) -> list[InputDevice]:
        """List the devices that can record, in the system's order."""
        ...


def list_inputs(backend: DeviceLister) -> list[InputDevice]:
    """List the devices that can record, in the audio system's order.

    Raises:
        DeviceError: There is no PortAudio library, or no input device.
    """
    inputs = backend.list_devices()
    if not inputs:
        raise no_input_device()
    return inputs


def advise(system: str = sys.platform) -> list[str]:
    """Return lines of advice for a system without a microphone.

    Args:
        system: Name of the system, as in `sys.platform`.
    """
    look = {
        "darwin": "System Settings > Privacy & Security > Microphone lets this terminal record",
        "win32": "Settings > Privacy > Microphone lets desktop apps record",
    }.get(
        system,
        "pactl list short sources (PulseAudio, PipeWire) or arecord -l (ALSA) lists what the\n"
        "    system has; your user must be in the group audio where neither server runs",
    )
    return [
        "no microphone: the system shows 0 devices that can record",
        "  - plug one in, and unmute it in the system's sound settings",
        f"  - {look}",
        "  - in a container, a virtual machine or over ssh there is none unless it is passed in",
        "  - without one: streamclf listen --source rtsp://host/cam, or streamclf file day.wav",
    ]


def no_input_device() -> DeviceError:
    """Make the error for a system without any input device."""
    return DeviceError(
        "no input device: the system shows 0 microphones, 1 is needed; plug one in, start the "
        "sound server, or listen to something else with --source"
    )


def choose_input(inputs: Sequence[InputDevice], wanted: int | str | None) -> InputDevice:
    """Choose a device by index or name.

    Args:
        inputs: The devices to choose from.
        wanted: An index (an int, or digits), a part of a name or of ``name, host API`` in any
            case, or None for the default device.

    Raises:
        DeviceError: No device fits, or several fit and not exactly one of them has that full name.
    """
    if not inputs:
        raise no_input_device()
    if wanted is None:
        return next((device for device in inputs if device.is_default), inputs[0])
    if not isinstance(wanted, str) or wanted.strip().isdecimal():
        return _by_index(inputs, int(wanted))  # int() because NumPy's integers are accepted
    part = wanted.strip().casefold()
    # "pulse" must find the device of that name, not every device of the host API PulseAudio.
    found = [device for device in inputs if part in device.name.casefold()]
    found = found or [device for device in inputs if part in device.full_name.casefold()]
    exact = [
        device for device in found if part in (device.name.casefold(), device.full_name.casefold())
    ]
    if not found:
        raise DeviceError(f"no microphone is called {wanted!r}; there is {_format_list(inputs)}")
    for candidates in (exact, found):
        if len(candidates) == 1:
            return candidates[0]
    raise DeviceError(
        f"{len(exact or found)} microphones are called {wanted!r}, it must be 1; say more of the "
        f"name, or its index: {_format_list(exact or found)}"
    )


def _by_index(inputs: Sequence[InputDevice], index: int) -> InputDevice:
    for device in inputs:
        if device.index == index:
            return device
    raise DeviceError(f"no microphone has index {index}; there is {_format_list(inputs)}")


def _format_list(devices: Sequence[InputDevice]) -> str:
    return "; ".join(f"{device.index}: {device.full_name}" for device in devices)
