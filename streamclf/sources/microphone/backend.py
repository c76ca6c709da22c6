"""Interface between the microphone and the audio system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from streamclf.core.records import Waveform
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice

Callback: TypeAlias = Callable[[Waveform, bool, float], None]
"""Function that takes a block: ``(samples, channels)`` float32, valid only during the call; whether
the audio system lost audio before it; ADC time of its first sample in seconds."""


class OpenStream(Protocol):
    """An open device that records.

    Attributes:
        latency_s: Seconds of audio that the audio system may buffer.
    """

    latency_s: float

    def close(self) -> None:
        """Stop recording and release the device; may hang if the sound server does."""
        ...


class Backend(Protocol):
    """An audio system; only one thread at a time may call it."""

    def list_devices(self) -> list[InputDevice]:
        """List the devices that can record, as of the last `reset` or `refresh`."""
        ...

    def open(
        self,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> OpenStream:
        """Start recording.

        Args:
            device: The device.
            sample_rate: Sample rate in Hz.
            channels: Number of channels.
            block_samples: Samples a block.
            callback: Called with each block, in a thread of the audio system.
            finished: Called when the stream ends, also when it ends by itself.

        Raises:
            DeviceError: The device refuses, for instance because of the sample rate.
        """
        ...

    def probe(self, lost: DeviceIdentity) -> ProbeResult:
        """Find out whether a lost device can be opened again.

        Unlike `reset`, it leaks nothing, however often it is called.
        """
        ...

    def reset(self) -> None:
        """Update the list of devices; no stream may be open."""
        ...

    def refresh(self) -> bool:
        """Update the list of devices if others are there by now; no stream may be open.

        Unlike `reset`, it leaks nothing where the devices are the same, however often it is called.

        Returns:
            Whether the list has changed.
        """
        ...

    def abandon(self) -> None:
        """Give up on a call that hangs, so that the process can exit without it."""
        ...
