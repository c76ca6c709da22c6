"""A fake audio system with its own clock: devices come, go, stall and overflow by script.

It replaces PortAudio, so that the handling of faults by `Microphone` can be tested without a
microphone, and hours pass in milliseconds::

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
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.microphone import Microphone

T = TypeVar("T")

FAKE_DEVICE = InputDevice(0, "fake microphone", "Fake", 1, 16_000.0, is_default=True)


class FakeClock:
    """Clock whose time passes only while a thread waits; scheduled actions run meanwhile."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """Return the seconds since the clock was made."""
        return self._now

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule an action for a time in seconds of this clock."""
        heapq.heappush(self._due, (time, next(self._numbers), action))

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Let time pass until there is an item, or for ``timeout_s`` seconds.

        Raises:
            queue.Empty: No item came in time.
        """
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
    """A `Caller` without a thread; a call that would hang raises `TimeoutError` at once."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call the function; returns its result."""
        return function()

    def interrupt(self) -> None:
        """Do nothing, because no call waits."""

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Call the function; returns False if it would hang."""
        try:
            function()
        except TimeoutError:
            return False
        return True


class FakeBackend:
    """A fake audio system whose devices record ``sound``.

    Like PortAudio, it lists devices that were plugged in or out only after `reset`.

    Args:
        devices: Devices that are plugged in.
        sound: Function from times in seconds ``(samples,)`` to a waveform ``(samples,)``; a tone
            of 440 Hz by default.
        refused_rates: Sample rates in Hz that every device refuses.

    Attributes:
        clock: Clock of the audio system.
        streams: All streams opened so far.
        open_attempts: Times of all calls of `open`, in seconds of the clock.
        n_resets: Number of calls of `reset`.
        probes: Times of all calls of `probe`, in seconds of the clock.
        refreshed: Times of all calls of `refresh`, in seconds of the clock.
        hangs: Whether every call hangs.
        abandoned: Whether `abandon` was called.
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
        self.refreshed: list[float] = []
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
        """Make a `Microphone` on this audio system, with its clock."""
        return Microphone(
            device,
            channels=channels,
            reconnect=reconnect,
            backend=self,
            clock=self.clock,
            calls=InlineCalls(),
        )

    def list_devices(self) -> list[InputDevice]:
        """List the devices that were plugged in at the last `reset`."""
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
        """Start recording; the first block comes after its own length.

        Raises:
            DeviceError: The device is unplugged, or refuses the sample rate.
            TimeoutError: The audio system hangs.
        """
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

    def probe(self, lost: DeviceIdentity) -> ProbeResult:
        """Find out whether the device is plugged in, and the names of all of its make."""
        self.probes.append(self.clock.now())
        present = lost.find(self.devices) is not None
        return ProbeResult(present, lost.names_in(self.devices))

    def reset(self) -> None:
        """Update the list of devices."""
        self.n_resets += 1
        self._seen = list(self.devices)

    def refresh(self) -> bool:
        """Update the list of devices if it is an old one."""
        self.refreshed.append(self.clock.now())
        if self._seen == self.devices:
            return False
        self.reset()
        return True

    def abandon(self) -> None:
        """Record that the microphone gave up on a call."""
        self.abandoned = True

    def unplug(self, *devices: InputDevice) -> None:
        """Unplug these devices, or all; their streams end."""
        pulled = devices or tuple(self.devices)
        self._unplugged = list(pulled)
        self.devices = [each for each in self.devices if each not in pulled]
        for stream in self.streams:
            if stream.device in pulled:
                stream.end()

    def plug(self, *devices: InputDevice) -> None:
        """Plug these devices in, or those that were unplugged last."""
        self.devices = list(devices or self._unplugged)
        self.hangs = False

    def freeze(self) -> None:
        """Make streams deliver no more audio and every call hang, until `plug`."""
        self.unplug_quietly()
        self.hangs = True

    def unplug_quietly(self) -> None:
        """Unplug all devices without a report: streams deliver no more audio, and do not end."""
        self._unplugged, self.devices = self.devices, []
        for stream in self.streams:
            stream.silent = True

    def overflow(self, n_samples: int) -> None:
        """Lose ``n_samples`` before the next block, which reports an overflow."""
        self.streams[-1].overflow(n_samples)


class FakeStream:
    """An open fake device that delivers blocks as time passes."""

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
        """Stop recording.

        Raises:
            TimeoutError: The audio system hangs.
        """
        if self._backend.hangs:
            raise TimeoutError
        self.end()
        self.closed = True

    def end(self) -> None:
        """End the stream, and report it once."""
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
            # An overflow during this block moved its end.
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
