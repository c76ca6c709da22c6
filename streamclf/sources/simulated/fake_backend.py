"""A pretended audio system in pretended time: devices come, go, stall and overflow by script.

It sits at the seam where PortAudio sits, so that everything a `Microphone` does about faults can
be tried without a microphone, and hours pass in milliseconds::

    audio = FakeBackend()
    audio.clock.at(3.0, audio.unplug)
    audio.clock.at(60.0, audio.plug)
    microphone = audio.microphone()
    audio.clock.at(90.0, microphone.stop)
    for record in microphone.blocks(16_000):
        ...
"""

from __future__ import annotations

import heapq
import itertools
import queue
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import DeviceError
from streamclf.sources.microphone.backend import Callback
from streamclf.sources.microphone.device_identity import Look, Remembered
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.microphone import Microphone

T = TypeVar("T")

FAKE_DEVICE = InputDevice(0, "fake microphone", "Fake", 1, 16_000.0, is_default=True)


class FakeClock:
    """Time that passes only while someone waits; what is due then happens on the way."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have ``action`` happen at ``time``."""
        heapq.heappush(self._due, (time, next(self._numbers), action))

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Let time pass until there is an item, or ``timeout_s`` is over."""
        deadline = self._now + max(0.0, timeout_s)
        while True:
            try:
                return items.get_nowait()
            except queue.Empty:
                if not self._due or self._due[0][0] > deadline:
                    self._now = deadline
                    raise
            time, _, action = heapq.heappop(self._due)
            self._now = max(self._now, time)
            action()


class InlineCalls:
    """Makes the calls where it is called; one that would hang raises `TimeoutError` at once."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call it."""
        return function()

    def interrupt(self) -> None:
        """Nothing waits."""

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Call it; False if it would hang."""
        try:
            function()
        except TimeoutError:
            return False
        return True


class FakeBackend:
    """An audio system whose devices hear ``sound``.

    Like PortAudio it sees devices that came or went only after `reset`.

    Args:
        devices: What is plugged in.
        sound: From times in seconds ``(samples,)`` to the waveform ``(samples,)``; 440 Hz.
        refused_rates: Sample rates in Hz that every device refuses.
    """

    def __init__(
        self,
        devices: Sequence[InputDevice] = (FAKE_DEVICE,),
        sound: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None = None,
        refused_rates: Collection[int] = (),
    ) -> None:
        self.clock = FakeClock()
        self.devices = list(devices)
        self.sound = sound or _tone
        self.refused_rates = set(refused_rates)
        self.streams: list[FakeStream] = []
        self.open_attempts: list[float] = []
        self.n_resets = 0
        self.probes: list[float] = []
        self.hangs = False
        self.abandoned = False
        self._seen = list(devices)
        self._unplugged: list[InputDevice] = []

    def microphone(
        self,
        device: int | str | None = None,
        *,
        channels: int | None = None,
        reconnect: bool = True,
    ) -> Microphone:
        """A `Microphone` on this audio system, in its time."""
        return Microphone(
            device,
            channels=channels,
            reconnect=reconnect,
            backend=self,
            clock=self.clock,
            calls=InlineCalls(),
        )

    def list_devices(self) -> list[InputDevice]:
        """What was plugged in at the last `reset`."""
        return list(self._seen)

    def open(
        self,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> FakeStream:
        """Start recording; the first block is due after its own length."""
        self.open_attempts.append(self.clock.now())
        if self.hangs:
            raise TimeoutError
        if device not in self.devices:
            raise DeviceError("Device unavailable")
        if sample_rate in self.refused_rates:
            raise DeviceError("Invalid sample rate")
        stream = FakeStream(self, device, sample_rate, channels, block_samples, callback, finished)
        self.streams.append(stream)
        return stream

    def probe(self, lost: Remembered) -> Look:
        """Whether the device is there now, and which others of its make."""
        self.probes.append(self.clock.now())
        there = lost.find(self.devices) is not None
        return Look(there, lost.names_in(self.devices))

    def reset(self) -> None:
        """See the devices that there are now."""
        self.n_resets += 1
        self._seen = list(self.devices)

    def abandon(self) -> None:
        """Note that the microphone gave up on a call."""
        self.abandoned = True

    def unplug(self, *devices: InputDevice) -> None:
        """Pull ``devices``, or every one; open streams end."""
        pulled = devices or tuple(self.devices)
        self._unplugged = list(pulled)
        self.devices = [each for each in self.devices if each not in pulled]
        for stream in self.streams:
            if stream.device in pulled:
                stream.end()

    def plug(self, *devices: InputDevice) -> None:
        """Plug ``devices`` in, or those that were pulled."""
        self.devices = list(devices or self._unplugged)
        self.hangs = False

    def freeze(self) -> None:
        """Nothing is delivered any more and every call hangs, until `plug`."""
        self.unplug_quietly()
        self.hangs = True

    def unplug_quietly(self) -> None:
        """Pull every device without a word: streams deliver nothing more."""
        self._unplugged, self.devices = self.devices, []
        for stream in self.streams:
            stream.silent = True

    def overflow(self, n_samples: int) -> None:
        """Lose ``n_samples`` before the next block, and say that something was lost."""
        self.streams[-1].overflow(n_samples)


class FakeStream:
    """An open fake device: delivers blocks as time passes."""

    latency_s = 0.1

    def __init__(
        self,
        backend: FakeBackend,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> None:
        self.device = device
        self._backend = backend
        self._sample_rate = sample_rate
        self._shape = (block_samples, channels)
        self._callback = callback
        self._finished = finished
        self._started = backend.clock.now()
        self._n_samples = 0
        self._overflowed = False
        self.silent = False
        self.closed = False
        self._schedule()

    def close(self) -> None:
        """Stop delivering."""
        if self._backend.hangs:
            raise TimeoutError
        self.end()
        self.closed = True

    def end(self) -> None:
        """Deliver nothing more, and say so once."""
        if not self.silent:
            self.silent = True
            self._finished()

    def overflow(self, n_samples: int) -> None:
        """Skip ``n_samples`` before the next block."""
        self._n_samples += n_samples
        self._overflowed = True

    def _schedule(self) -> None:
        self._backend.clock.at(self._due(), self._deliver)

    def _due(self) -> float:
        return self._started + (self._n_samples + self._shape[0]) / self._sample_rate

    def _deliver(self) -> None:
        if self.silent:
            return
        if self._backend.clock.now() < self._due():
            # An overflow moved the block's end while it was recorded.
            self._schedule()
            return
        onset = self._started + self._n_samples / self._sample_rate
        times = onset + np.arange(self._shape[0]) / self._sample_rate
        column = self._backend.sound(times).astype(np.float32)[:, np.newaxis]
        overflowed, self._overflowed = self._overflowed, False
        self._n_samples += self._shape[0]
        self._schedule()
        self._callback(np.broadcast_to(column, self._shape), overflowed, 1e6 + onset)


def _tone(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.1 * np.sin(2 * np.pi * 440.0 * times)
