"""A pretended audio system with one microphone, that hears a recording and has faults.

It stands where PortAudio stands, so that a simulated microphone goes through ring, timeline,
watchdog and reconnection as a real one does.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import soxr

from streamclf.core.errors import DeviceError
from streamclf.core.records import Waveform, rescale
from streamclf.sources.microphone.backend import Callback
from streamclf.sources.microphone.device_identity import Look, Remembered
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.simulated.faults import Faults
from streamclf.sources.simulated.paced_clock import PacedClock
from streamclf.sources.simulated.player import Player

ADC_ORIGIN_S = 1e6
"""The audio system's own clock began long before; 0 would mean that it has none."""

LOOK_S = 1.0
"""How often it is looked for the end where nobody hears it, in seconds."""


class SimulatedBackend:
    """An audio system whose one device hears what a player plays.

    Args:
        name: The device's.
        player: Started.
        faults: What goes wrong.
        clock: At which blocks are due.
        ended: Told the moment in the clock's seconds when there is nothing more to hear.
    """

    def __init__(
        self,
        name: str,
        player: Player,
        faults: Faults,
        clock: PacedClock,
        ended: Callable[[float], None],
    ) -> None:
        self.player = player
        self.faults = faults
        self.clock = clock
        self.ended = ended
        self._begun: float | None = None
        self.random = random.Random(faults.seed)  # noqa: S311 - no secret
        self._name = name
        self._stream: SimulatedStream | None = None
        # A fast clock takes more samples a second, so the sound is over sooner.
        self._fast = 1 + 1e-6 * faults.drift
        self.length_s = None if player.duration_s is None else player.duration_s / self._fast
        self._is_over = False
        if faults.is_unplugged(0.0):
            self._begin()

    @property
    def started(self) -> float:
        """The moment, in the clock's seconds, from which there is something to hear."""
        return self.clock.now() if self._begun is None else self._begun

    @property
    def time_s(self) -> float:
        """Seconds since then."""
        return self.clock.now() - self.started

    def _begin(self) -> None:
        """Let it sound from now on: from when it is first opened, or nothing of it is heard."""
        if self._begun is not None:
            return
        self._begun = self.clock.now()
        for spell in self.faults.unplug:
            self.clock.at(self._begun + spell.at_s, self._pull)
        if not self.player.loops:
            self.clock.at(self._begun + (self.length_s or LOOK_S), self._look_for_end)

    def list_devices(self) -> list[InputDevice]:
        """The device, while it is plugged in."""
        if self.faults.is_unplugged(self.time_s):
            return []
        rate = self.faults.rate_at(self.time_s) or self.player.sample_rate
        return [InputDevice(0, self._name, "simulated", self.player.n_channels, rate, True)]

    def probe(self, lost: Remembered) -> Look:
        """Whether the device is there."""
        return Look(not self.faults.is_unplugged(self.time_s))

    def open(
        self,
        device: InputDevice,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> SimulatedStream:
        """Start recording.

        Raises:
            DeviceError: The device is unplugged, or takes another rate only.
        """
        if self.faults.is_unplugged(self.time_s):
            raise DeviceError("Device unavailable")
        only = self.faults.rate_at(self.time_s)
        if only not in (None, sample_rate):
            raise DeviceError("Invalid sample rate")
        # Time goes on while this is done: the first stream begins with the first sample.
        time_s = 0.0 if self._begun is None else self.time_s
        self._begin()
        self._stream = SimulatedStream(
            self, time_s, sample_rate, channels, block_samples, callback, finished
        )
        return self._stream

    def reset(self) -> None:
        """Devices are always looked for anew."""

    def abandon(self) -> None:
        """No call hangs."""

    def _pull(self) -> None:
        if self._stream is not None:
            self._stream.end()

    def end(self) -> None:
        """The sound is over: the player has come to its end."""
        self._is_over = True
        self.ended(self.started + self.player.position / self.player.sample_rate / self._fast)

    def _look_for_end(self) -> None:
        """End where no stream plays to the end, which only the player knows: see it pass."""
        if self._is_over:
            return
        player = self.player
        if self._stream is None or self._stream.ended:
            passed = round(self.time_s * self._fast * player.sample_rate)
            player.skip(passed - player.position)
            if player.exhausted:
                self.end()
                return
        self.clock.at(self.clock.now() + LOOK_S, self._look_for_end)


class SimulatedStream:
    """A device that records: its n-th sample is what sounds at that moment."""

    def __init__(
        self,
        backend: SimulatedBackend,
        time_s: float,
        sample_rate: int,
        channels: int,
        block_samples: int,
        callback: Callback,
        finished: Callable[[], None],
    ) -> None:
        faults, player = backend.faults, backend.player
        self.latency_s = 0.1 + faults.jitter / 1000
        self.ended = False
        self._backend = backend
        self._sample_rate = sample_rate
        self._channels = channels
        self._block_samples = block_samples
        self._callback = callback
        self._finished = finished
        # Samples a second of true time: what the device calls a second is not quite one.
        self._true_rate = sample_rate * (1 + 1e-6 * faults.drift)
        self._position = round(time_s * self._true_rate)
        self._missed = True
        self._resampler: soxr.ResampleStream | None = None
        self._resampled = np.zeros((player.n_channels, 0), np.float32)
        self._overflowed = False
        self._n_overflows = self._count_overflows(time_s)
        self._schedule()

    def close(self) -> None:
        """Stop recording."""
        self.ended = True

    def end(self) -> None:
        """The device is pulled."""
        if not self.ended:
            self.ended = True
            self._finished()

    def _time(self, position: int) -> float:
        """The moment, in seconds since there is anything to hear, at which a sample begins."""
        return position / self._true_rate

    def _schedule(self) -> None:
        late_s = self._backend.faults.jitter / 1000 * self._backend.random.random()
        n_samples = min(self._block_samples, self._n_left())
        due = self._backend.started + self._time(self._position + n_samples)
        clock = self._backend.clock
        clock.at(max(due + late_s, clock.now()), self._deliver)

    def _n_left(self) -> int:
        """Samples until the recording's end as its header tells it; many where that is wrong."""
        n_left = round((self._backend.length_s or 0.0) * self._true_rate) - self._position
        return n_left if n_left > 0 else self._block_samples

    def _deliver(self) -> None:
        if self.ended:
            return
        faults, time_s = self._backend.faults, self._backend.time_s
        stalled_until = faults.stalled_until(time_s)
        n_stalled = round((stalled_until or 0.0) * self._true_rate) - self._position
        # At a stall's very end rounding may leave nothing to wait for.
        if stalled_until is not None and n_stalled > 0:
            self._pass_over(n_stalled)
            self._schedule()
            return
        if self._catch_up() or self._lacks():
            # What comes behind it is due when it sounds, not now.
            self._schedule()
            return
        onset_s = self._time(self._position)
        waveform = self._silence(self._hear(self._block_samples))
        if waveform.shape[1]:
            overflowed, self._overflowed = self._overflowed, False
            self._position += waveform.shape[1]
            frames = np.ascontiguousarray(waveform[: self._channels].T)
            self._callback(frames, overflowed, ADC_ORIGIN_S + onset_s)
        self._overflow()
        self._go_on()

    def _go_on(self) -> None:
        if self._backend.player.exhausted and not self._resampled.shape[1]:
            self.ended = True
            self._backend.end()
        else:
            self._schedule()

    def _overflow(self) -> None:
        """Lose what the device loses every so often."""
        spell = self._backend.faults.overflow
        n_due = self._count_overflows(self._time(self._position))
        if spell is not None and n_due > self._n_overflows:
            self._n_overflows = n_due
            self._overflowed = True
            self._pass_over(max(round(spell.length_s * self._sample_rate), 1))

    def _count_overflows(self, time_s: float) -> int:
        spell = self._backend.faults.overflow
        return int(time_s / spell.at_s) if spell else 0

    def _silence(self, waveform: Waveform) -> Waveform:
        start = self._position
        for spell in self._backend.faults.silence:
            first = max(round(spell.at_s * self._true_rate) - start, 0)
            last = round(spell.end_s * self._true_rate) - start
            if first < min(last, waveform.shape[1]):
                waveform = waveform.copy()
                waveform[:, first:last] = 0.0
        return waveform

    def _pass_over(self, n_samples: int) -> None:
        """Miss what sounds meanwhile."""
        self._position += n_samples
        self._missed = True

    def _catch_up(self) -> bool:
        """Have the player where this device is, after something was missed.

        Returns:
            Whether the player is ahead: the device was opened while the recording lacked audio.
        """
        if not self._missed:
            return False
        self._missed = False
        player = self._backend.player
        player.skip(self._player_position() - player.position)
        if self._sample_rate != player.sample_rate:
            rates = player.sample_rate, self._sample_rate
            self._resampler = soxr.ResampleStream(*rates, player.n_channels, dtype="float32")
            self._resampled = np.zeros((player.n_channels, 0), np.float32)
        is_ahead = player.position > self._player_position()
        if is_ahead:
            self._position = rescale(player.position, player.sample_rate, self._sample_rate)
        return is_ahead

    def _player_position(self) -> int:
        """This device's position, in samples of the player."""
        return rescale(self._position, self._sample_rate, self._backend.player.sample_rate)

    def _lacks(self) -> bool:
        """Lose what the recording lacks here; whether there was anything."""
        player = self._backend.player
        n_lost = rescale(player.take_loss(), player.sample_rate, self._sample_rate)
        self._position += n_lost
        self._overflowed = self._overflowed or n_lost > 0
        return n_lost > 0

    def _hear(self, n_samples: int) -> Waveform:
        """The next ``(channels, samples)``, fewer at a loss or at the end."""
        player = self._backend.player
        if self._resampler is None:
            return player.take(n_samples)
        while self._resampled.shape[1] < n_samples and not player.exhausted:
            n_wanted = rescale(n_samples, self._sample_rate, player.sample_rate) + 1
            player.take_loss()
            taken = player.take(n_wanted)
            frames = np.ascontiguousarray(taken.T)
            made = self._resampler.resample_chunk(frames, last=player.exhausted)
            made = made.reshape(-1, player.n_channels).T
            self._resampled = np.concatenate([self._resampled, made], axis=1)
        heard = self._resampled[:, :n_samples]
        self._resampled = self._resampled[:, n_samples:]
        return heard
