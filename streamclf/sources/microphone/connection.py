"""Opening of a microphone: all calls to the audio system that connect a device to a ring.

They run in the thread in which the microphone makes its calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streamclf.core.errors import DeviceError
from streamclf.sources.clock import Clock
from streamclf.sources.microphone.backend import Backend, OpenStream
from streamclf.sources.microphone.device_identity import DeviceIdentity
from streamclf.sources.microphone.devices import InputDevice, choose_input
from streamclf.sources.microphone.ring import CAPACITY_S, Ring

BLOCK_S = 0.1
MAX_DEFAULT_CHANNELS = 2
"""Channels recorded by default: sound servers report dozens for a microphone with one or two."""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """An open microphone.

    Attributes:
        device: The device.
        ring: The ring that the callback fills.
        sample_rate: Sample rate in Hz.
        latency_s: Seconds of audio that the audio system may buffer.
        refusal: Reason why the wanted sample rate was refused; empty if it was not.
        ambiguous: Whether this may be another device of the same make than the one that was lost.
    """

    device: InputDevice
    ring: Ring
    sample_rate: int
    latency_s: float
    refusal: str
    ambiguous: bool = False


class Connector:
    """Opener of the wanted device, and of the same device after it was lost.

    Args:
        backend: The audio system.
        clock: Clock of the rings.
        wanted: Index or part of a name; None for the default device.
        channels: Number of channels to record; None for all of the device, at most two.
        block_s: Length of a block in seconds.
        capacity_s: Capacity of a ring in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        wanted: int | str | None,
        channels: int | None,
        block_s: float = BLOCK_S,
        capacity_s: float = CAPACITY_S,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._wanted = wanted
        self._channels = channels
        self._block_s = block_s
        self._capacity_s = capacity_s
        self._lost: DeviceIdentity | None = None
        self._stream: OpenStream | None = None

    def connect(self, sample_rate: int) -> Connection:
        """Open the wanted device; from the second call on, the device that was opened before.

        Args:
            sample_rate: Wanted sample rate in Hz. A device that refuses it is opened at its
                default rate.

        Raises:
            DeviceError: The device is not there, or cannot be opened.
        """
        # An earlier call that timed out may have opened a stream in the end.
        self.close()
        try:
            return self._connect(sample_rate)
        except DeviceError:
            # What was never open is no lost device, which `probe` would search for.
            if self._lost is not None or not self._backend.refresh():
                raise
        return self._connect(sample_rate)

    def _connect(self, sample_rate: int) -> Connection:
        device = self._find()
        channels = self._n_channels(device)
        refusal = ""
        try:
            connection = self._open(device, sample_rate, channels, "")
        except DeviceError as error:
            refusal, own_rate = str(error), round(device.default_sample_rate)
            if own_rate == sample_rate:
                raise _cannot_open(device, refusal) from error
            try:
                connection = self._open(device, own_rate, channels, refusal)
            except DeviceError as second:
                raise _cannot_open(device, str(second)) from second
        ambiguous = self._lost is not None and self._lost.may_be_another(device)
        self._lost = DeviceIdentity.among(self._backend.list_devices(), device)
        return replace(connection, ambiguous=ambiguous)

    def close(self) -> None:
        """Close the stream, if one is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _find(self) -> InputDevice:
        lost = self._lost
        if lost is None:
            return choose_input(self._backend.list_devices(), self._wanted)
        result = self._backend.probe(lost)
        self._lost = lost.updated(result)
        found = None
        if result.present:
            self._backend.reset()
            found = lost.find(self._backend.list_devices())
        if found is None:
            raise DeviceError(f"microphone {lost.device.name} is not there")
        return found

    def _n_channels(self, device: InputDevice) -> int:
        if self._channels is None:
            return min(device.channels, MAX_DEFAULT_CHANNELS)
        if self._channels > device.channels:
            raise DeviceError(
                f"{self._channels} channels wanted, microphone {device.name} has "
                f"{device.channels}; ask for at most that, or choose another with --device"
            )
        return self._channels

    def _open(
        self, device: InputDevice, sample_rate: int, channels: int, refusal: str
    ) -> Connection:
        block_samples = max(1, round(self._block_s * sample_rate))
        ring = Ring(sample_rate, channels, block_samples, self._clock, self._capacity_s)
        self._stream = self._backend.open(
            device, sample_rate, channels, block_samples, ring.write, ring.finish
        )
        return Connection(device, ring, sample_rate, self._stream.latency_s, refusal)


def _cannot_open(device: InputDevice, reason: str) -> DeviceError:
    return DeviceError(
        f"microphone {device.name} cannot be opened: {reason}; is another program using it? "
        "'streamclf devices' lists the others"
    )
