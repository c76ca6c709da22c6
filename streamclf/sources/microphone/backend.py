"""The seam between the microphone and the audio system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from streamclf.core.records import Waveform
from streamclf.sources.microphone.device_identity import Look, Remembered
from streamclf.sources.microphone.devices import InputDevice

Callback: TypeAlias = Callable[[Waveform, bool, float], None]
"""``(samples, channels)`` float32 valid during the call, overflow flag, ADC time in seconds."""


class OpenStream(Protocol):
    """A device that records.

    Attributes:
        latency_s: Seconds of audio that the audio system may hold back.
    """

    latency_s: float

    def close(self) -> None:
        """Stop recording and release the device. May hang when the sound server froze."""
        ...


class Backend(Protocol):
    """An audio system. Only one thread at a time may call it."""

    def list_devices(self) -> list[InputDevice]:
        """The devices that can record, as last seen."""
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
        """Start recording: ``callback`` gets every block, ``finished`` is called at the end.

        Raises:
            DeviceError: The device refuses, for instance the sample rate.
        """
        ...

    def probe(self, lost: Remembered) -> Look:
        """See whether a device that was lost can be opened again, as far as can be told cheaply.

        Unlike `reset` it leaves nothing behind, however often it is called.
        """
        ...

    def reset(self) -> None:
        """Look for devices anew. No stream may be open."""
        ...

    def abandon(self) -> None:
        """Give up on a call that hangs: the process must be able to end without it."""
        ...
