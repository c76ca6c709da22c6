"""From a wanted device to a ring that fills: everything that talks to the audio system.

All of it runs where the microphone makes its calls, on one thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streamclf.core.errors import DeviceError
from streamclf.sources.clock import Clock
from streamclf.sources.microphone.backend import Backend, OpenStream
from streamclf.sources.microphone.device_identity import Remembered
from streamclf.sources.microphone.devices import InputDevice, choose_input
from streamclf.sources.microphone.ring import CAPACITY_S, Ring

BLOCK_S = 0.1
MAX_DEFAULT_CHANNELS = 2
"""Sound servers claim dozens of channels for a microphone that has one or two."""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """An open microphone.

    Attributes:
        device: What was opened.
        ring: What the callback fills.
        sample_rate: In Hz, as opened.
        latency_s: Seconds of audio that the audio system may hold back.
        refusal: Why the wanted rate was refused; empty if it was not.
        doubtful: Whether it may be another than the one that was lost, of the same make.
    """

    device: InputDevice
    ring: Ring
    sample_rate: int
    latency_s: float
    refusal: str
    doubtful: bool = False


class Connector:
    """Opens the wanted device, and the same one again.

    Args:
        backend: The audio system.
        clock: For the rings.
        wanted: Index, part of a name, or None for the default device.
        channels: How many to record; None for all the device has, but at most two.
        block_s: Seconds of audio a block.
        capacity_s: Seconds of audio in a ring.
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
        self._lost: Remembered | None = None
        self._stream: OpenStream | None = None

    def connect(self, sample_rate: int) -> Connection:
        """Open the device: the wanted one, from the second time on the one it was, by name.

        Raises:
            DeviceError: It is not there, or cannot be opened.
        """
        # A call that its caller gave up on may have opened a stream in the end.
        self.close()
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
        doubtful = self._lost is not None and self._lost.doubt(device)
        self._lost = Remembered.among(self._backend.list_devices(), device)
        return replace(connection, doubtful=doubtful)

    def close(self) -> None:
        """Close the stream, if one is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _find(self) -> InputDevice:
        lost = self._lost
        if lost is None:
            return choose_input(self._backend.list_devices(), self._wanted)
        look = self._backend.probe(lost)
        self._lost = lost.after(look)
        found = None
        if look.there:
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
