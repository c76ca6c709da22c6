"""A simulated audio system with one microphone, which records a file and has faults.

It replaces PortAudio, so that the audio goes through the ring, the timeline, the watchdog and the
reconnection of a real microphone.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import soxr

from streamclf.core.errors import DeviceError
from streamclf.core.records import Waveform, rescale
from streamclf.sources.microphone.backend import Callback
from streamclf.sources.microphone.device_identity import DeviceIdentity, ProbeResult
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.simulated.faults import Faults
from streamclf.sources.simulated.paced_clock import PacedClock
from streamclf.sources.simulated.recording_player import RecordingPlayer

ADC_ORIGIN_S = 1e6
"""Time of the audio system's clock at the start; 0 would mean that there is no such clock."""

END_CHECK_S = 1.0
"""Seconds between two checks for the recording's end while no stream plays it."""


class SimulatedBackend:
    """An audio system with one device that records the sound of a player.

    Args:
        name: Name of the device.
        player: The player, after `RecordingPlayer.start`.
        faults: Faults of the device.
        clock: Clock on which blocks are scheduled.
        ended: Called with the time in seconds of the clock at which the sound ends.
    """

    def __init__(
        self,
        name: str,
        player: RecordingPlayer,
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
        # A fast clock takes more samples a second, so the sound ends sooner.
        self._clock_ratio = 1 + 1e-6 * faults.drift
        self.length_s = None if player.duration_s is None else player.duration_s / self._clock_ratio
        self._is_over = False
        if faults.is_unplugged(0.0):
            self._begin()

    @property
    def started(self) -> float:
        """Time at which the sound begins, in seconds of the clock; now if it has not begun."""
        return self.clock.now() if self._begun is None else self._begun

    @property
    def time_s(self) -> float:
        """Seconds since the sound began."""
        return self.clock.now() - self.started

    def _begin(self) -> None:
        """Start the sound, unless it has begun; no audio passes before the first `open`."""
        if self._begun is not None:
            return
        self._begun = self.clock.now()
        for period in self.faults.unplug:
            self.clock.at(self._begun + period.at_s, self._end_stream)
        if not self.player.loops:
            self.clock.at(self._begun + (self.length_s or END_CHECK_S), self._check_for_end)

    def list_devices(self) -> list[InputDevice]:
        """List the device while it is plugged in."""
        if self.faults.is_unplugged(self.time_s):
            return []
        rate = self.faults.rate_at(self.time_s) or self.player.sample_rate
        return [InputDevice(0, self._name, "simulated", self.player.n_channels, rate, True)]

    def probe(self, lost: DeviceIdentity) -> ProbeResult:
        """Find out whether the device is plugged in."""
        return ProbeResult(not self.faults.is_unplugged(self.time_s))

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
            DeviceError: The device is unplugged, or accepts only another sample rate.
        """
        if self.faults.is_unplugged(self.time_s):
            raise DeviceError("Device unavailable")
        only = self.faults.rate_at(self.time_s)
        if only not in (None, sample_rate):
            raise DeviceError("Invalid sample rate")
        # The first stream must begin with the first sample, although time passes while it opens.
        time_s = 0.0 if self._begun is None else self.time_s
        self._begin()
        self._stream = SimulatedStream(
            self, time_s, sample_rate, channels, block_samples, callback, finished
        )
        return self._stream

    def reset(self) -> None:
        """Do nothing, because the list of devices is always current."""

    def refresh(self) -> bool:
        """The list is current, so nothing changes."""
        return False

    def abandon(self) -> None:
        """Do nothing, because no call hangs."""

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.end()

    def end(self) -> None:
        """Report the end of the sound, when the player has reached its end."""
        self._is_over = True
        played_s = self.player.position / self.player.sample_rate
        self.ended(self.started + played_s / self._clock_ratio)

    def _check_for_end(self) -> None:
        """Check whether the recording has ended while no stream plays it.

        Only the player knows the end, so it skips the time that has passed.
        """
        if self._is_over:
            return
        player = self.player
        if self._stream is None or self._stream.ended:
            passed = round(self.time_s * self._clock_ratio * player.sample_rate)
            player.skip(passed - player.position)
            if player.exhausted:
                self.end()
                return
        self.clock.at(self.clock.now() + END_CHECK_S, self._check_for_end)


class SimulatedStream:
    """An open simulated device; each of its samples is the sound at that time."""

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
        # Samples a second of true time, which the device's clock does not measure exactly.
        self._true_rate = sample_rate * (1 + 1e-6 * faults.drift)
        self._position = round(time_s * self._true_rate)
        self._has_skipped = True
        self._resampler: soxr.ResampleStream | None = None
        self._resampled = np.zeros((player.n_channels, 0), np.float32)
        self._overflowed = False
        self._n_overflows = self._count_overflows(time_s)
        self._schedule()

    def close(self) -> None:
        """Stop recording."""
        self.ended = True

    def end(self) -> None:
        """End the stream, because the device is unplugged."""
        if not self.ended:
            self.ended = True
            self._finished()

    def _time(self, position: int) -> float:
        """Return the time at which a sample begins, in seconds since the sound began."""
        return position / self._true_rate

    def _schedule(self) -> None:
        late_s = self._backend.faults.jitter / 1000 * self._backend.random.random()
        n_samples = min(self._block_samples, self._n_left())
        due = self._backend.started + self._time(self._position + n_samples)
        clock = self._backend.clock
        clock.at(max(due + late_s, clock.now()), self._deliver)

    def _n_left(self) -> int:
        """Return the samples until the end that the header states; a block if it is past."""
        n_left = round((self._backend.length_s or 0.0) * self._true_rate) - self._position
        return n_left if n_left > 0 else self._block_samples

    def _deliver(self) -> None:
        if self.ended:
            return
        faults, time_s = self._backend.faults, self._backend.time_s
        stalled_until = faults.stalled_until(time_s)
        n_stalled = round((stalled_until or 0.0) * self._true_rate) - self._position
        # At the very end of a stall, rounding may leave no sample to skip.
        if stalled_until is not None and n_stalled > 0:
            self._skip_samples(n_stalled)
            self._schedule()
            return
        if self._catch_up() or self._skip_gap():
            # The audio after a loss comes when it sounds, not now.
            self._schedule()
            return
        onset_s = self._time(self._position)
        waveform = self._apply_silence(self._take_audio(self._block_samples))
        if waveform.shape[1]:
            overflowed, self._overflowed = self._overflowed, False
            self._position += waveform.shape[1]
            frames = np.ascontiguousarray(waveform[: self._channels].T)
            self._callback(frames, overflowed, ADC_ORIGIN_S + onset_s)
        self._apply_overflow()
        self._continue()

    def _continue(self) -> None:
        if self._backend.player.exhausted and not self._resampled.shape[1]:
            self.ended = True
            self._backend.end()
        else:
            self._schedule()

    def _apply_overflow(self) -> None:
        """Lose audio if an overflow is due."""
        period = self._backend.faults.overflow
        n_due = self._count_overflows(self._time(self._position))
        if period is not None and n_due > self._n_overflows:
            self._n_overflows = n_due
            self._overflowed = True
            self._skip_samples(max(round(period.length_s * self._sample_rate), 1))

    def _count_overflows(self, time_s: float) -> int:
        period = self._backend.faults.overflow
        return int(time_s / period.at_s) if period else 0

    def _apply_silence(self, waveform: Waveform) -> Waveform:
        start = self._position
        for period in self._backend.faults.silence:
            first = max(round(period.at_s * self._true_rate) - start, 0)
            last = round(period.end_s * self._true_rate) - start
            if first < min(last, waveform.shape[1]):
                waveform = waveform.copy()
                waveform[:, first:last] = 0.0
        return waveform

    def _skip_samples(self, n_samples: int) -> None:
        """Skip samples that the device does not record."""
        self._position += n_samples
        self._has_skipped = True

    def _catch_up(self) -> bool:
        """Move the player to this device's position, after samples were skipped.

        Returns:
            Whether the player is ahead, because the device was opened during a gap of the
            recording.
        """
        if not self._has_skipped:
            return False
        self._has_skipped = False
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
        """Return this device's position in samples of the player."""
        return rescale(self._position, self._sample_rate, self._backend.player.sample_rate)

    def _skip_gap(self) -> bool:
        """Skip a gap of the recording; returns whether there was one."""
        player = self._backend.player
        n_lost = rescale(player.take_loss(), player.sample_rate, self._sample_rate)
        self._position += n_lost
        self._overflowed = self._overflowed or n_lost > 0
        return n_lost > 0

    def _take_audio(self, n_samples: int) -> Waveform:
        """Return the next samples as ``(channels, samples)``; fewer at a gap or at the end."""
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
        taken_now = self._resampled[:, :n_samples]
        self._resampled = self._resampled[:, n_samples:]
        return taken_now
