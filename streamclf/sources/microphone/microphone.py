"""The microphone: a device that may refuse a rate, lose audio, vanish and come back."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Literal

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.backoff import BackOff
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, StopSignal, SystemClock
from streamclf.sources.microphone.backend import Backend
from streamclf.sources.microphone.call_thread import Caller, SerialThread
from streamclf.sources.microphone.connection import BLOCK_S, Connection, Connector
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.drift import DriftMeter
from streamclf.sources.microphone.portaudio import PortAudioBackend
from streamclf.sources.microphone.ring import CAPACITY_S, Captured
from streamclf.sources.microphone.timeline import Timeline

STALLED_S = 1.0
"""Where the newest block is older, audio stalls; it may still go on as if nothing had been."""
STALL_S = 2.0
"""A device that delivered, and then nothing for so long, is lost."""
FIRST_BLOCK_S = 5.0
"""A sound server that idled takes up to 2 s before its first block."""
OVERSLEPT_S = 0.5
"""A wait that took so much longer than asked for: the process was frozen, not the device."""
ROUNDING_S = 1e-3
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


class Microphone(Source):
    """A microphone, found again when it was lost.

    Finding it again initialises PortAudio anew, which ends every other stream that the process
    has open: one microphone a process.

    Args:
        device: Its index, a part of its name, or None for the system's default.
        channels: How many to record; None for all it has, but at most two.
        reconnect: Whether to wait for a device that was lost; else `blocks` raises.
        backend: The audio system; PortAudio unless given.
        clock: Time and waiting; the system's unless given.
        calls: What calls the audio system; a thread unless given.
        block_s: Seconds of audio a block.
        capacity_s: Seconds of audio that are kept for a slow reader.

    Attributes:
        name: The device's name once it is open, before that what was asked for.
    """

    live = True

    def __init__(
        self,
        device: int | str | None = None,
        *,
        channels: int | None = None,
        reconnect: bool = True,
        backend: Backend | None = None,
        clock: Clock | None = None,
        calls: Caller | None = None,
        block_s: float = BLOCK_S,
        capacity_s: float = CAPACITY_S,
    ) -> None:
        if channels is not None and channels < 1:
            raise DeviceError(f"channels is {channels}, a microphone needs 1 or more")
        self.name = "microphone" if device is None else str(device)
        self._reconnects = reconnect
        self._backend = backend or PortAudioBackend()
        self._clock = clock or SystemClock()
        self._calls = calls or SerialThread(self._clock)
        self._connector = Connector(
            self._backend, self._clock, device, channels, block_s, capacity_s
        )
        self._connection: Connection | None = None
        self._stop = StopSignal(self._clock)
        self._closing = threading.Lock()
        self._closed = False
        self._state: State = "listening"
        self._drift: DriftMeter | None = None
        self._over: float | None = None

    @property
    def pace(self) -> float:
        """A microphone waits for nobody."""
        return 1.0

    @property
    def state(self) -> State:
        """By the age of the newest block: one that is late is known before it is missed."""
        connection = self._connection
        newest = connection.ring.newest if connection is not None else None
        if self._state != "listening" or newest is None:
            return self._state
        return "stalled" if self._clock.now() - newest > STALLED_S else "listening"

    @property
    def drift_ppm(self) -> float | None:
        """Of the device's clock against the system's monotonic one."""
        return self._drift.ppm if self._drift is not None else None

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield what the device hears until `stop`, and word of what it could not hear.

        Args:
            sample_rate: Asked of the device in Hz; where it refuses, its default is taken.

        Raises:
            DeviceError: It cannot be opened; or it was lost and ``reconnect`` is off.
        """
        if self._stop.is_set() or self._closed:
            return
        try:
            connection = self._open(sample_rate)
            if connection is None:
                return
            timeline = Timeline(connection.sample_rate, self._clock.now(), connection.latency_s)
            self._drift = timeline.drift
            yield from self._tell_refusal(connection, sample_rate, timeline)
            while connection is not None:
                reason = yield from self._listen(connection, timeline)
                if self._stop.is_set():
                    return
                if self._over is not None:
                    yield from self._finish(timeline, self._over)
                    return
                self._state = "lost"
                if not self._reconnects:
                    raise DeviceError(
                        f"microphone {self.name} lost: {reason}; without --no-reconnect it is "
                        "waited for"
                    )
                lost = f"microphone {self.name} lost: {reason}, trying again"
                yield Notice(timeline.position, timeline.sample_rate, lost)
                connection = yield from self._await_return(sample_rate, timeline)
        finally:
            self.close()

    def list_inputs(self) -> list[InputDevice]:
        """The devices that can record; safe while this one is open, from any thread.

        Raises:
            DeviceError: They cannot be listed just now.
        """
        try:
            return self._calls.call(self._backend.list_devices, CLOSE_TIMEOUT_S)
        except TimeoutError:
            raise DeviceError("microphones cannot be listed: the audio system is busy") from None

    def stop(self) -> None:
        """End `blocks` at once, whatever it waits for; what is in the ring is left there."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            connection.ring.wake()
        self._calls.interrupt()

    def finish(self, time: float) -> None:
        """Say that nothing more will ever sound; `blocks` ends behind what is in the ring.

        Only what pretends to be a device knows that.

        Args:
            time: The clock's seconds at which the sound was over.
        """
        self._over = time
        if self._connection is not None:
            self._connection.ring.finish()
        self._stop.wake()

    def close(self) -> None:
        """Release the device; a call to it that hangs is left behind after a moment."""
        with self._closing:  # the reader closes as well, when it has ended
            if self._closed:
                return
            self._closed = True
        if not self._calls.close(self._connector.close, CLOSE_TIMEOUT_S):
            self._backend.abandon()

    def _open(self, sample_rate: int) -> Connection | None:
        """Connect for the first time; None if `stop` was called meanwhile."""
        try:
            return self._connect(sample_rate)
        except TimeoutError:
            if self._stop.is_set():
                return None
            raise DeviceError(
                f"microphone {self.name} did not open within {OPEN_TIMEOUT_S:g} s; "
                "is the sound server alive? Restart it, or choose another with --device"
            ) from None

    def _connect(self, sample_rate: int) -> Connection:
        connection = self._calls.call(lambda: self._connector.connect(sample_rate), OPEN_TIMEOUT_S)
        self.name = connection.device.name
        # From here on `stop` wakes this ring; who waits on it looks at the signal first.
        self._connection = connection
        return connection

    def _tell_refusal(
        self, connection: Connection, sample_rate: int, timeline: Timeline
    ) -> Iterator[Notice]:
        if connection.refusal:
            yield Notice(
                timeline.position,
                timeline.sample_rate,
                f"microphone {self.name} refuses {sample_rate} Hz ({connection.refusal}), "
                f"recording at {connection.sample_rate} Hz and resampling",
                "info",
            )

    def _listen(
        self, connection: Connection, timeline: Timeline
    ) -> Generator[Block | Gap, None, str]:
        """Yield audio until the device is lost; returns why (or anything after `stop`)."""
        limit_s = STALL_S if timeline.position else FIRST_BLOCK_S
        deadline = self._clock.now() + limit_s
        while not self._stop.is_set():
            captured = connection.ring.read(deadline - self._clock.now())
            if self._stop.is_set():
                break
            if captured is not None:
                yield from timeline.place(captured)
                limit_s = STALL_S
                # What the ring had no room for shows as well that the device lives.
                deadline = (connection.ring.newest or captured.arrived) + limit_s
            elif connection.ring.finished:
                return "the audio system ended its stream"
            else:
                late_s = self._clock.now() - deadline
                if 0 <= late_s < OVERSLEPT_S:
                    return f"no audio for {limit_s:g} s"
                if late_s >= OVERSLEPT_S:
                    deadline = self._clock.now() + limit_s
        return ""

    def _await_return(
        self, sample_rate: int, timeline: Timeline
    ) -> Generator[Block | Gap | Notice, None, Connection | None]:
        """Try until the device delivers again; None if `stop` was called."""
        with suppress(TimeoutError):
            self._calls.call(self._connector.close, CLOSE_TIMEOUT_S)
        lost_since = timeline.end_time
        back_off = BackOff()
        while not self._stop.sleep(back_off.next_s()) and self._over is None:
            self.tell_waiting()
            self._state = "reconnecting"
            try:
                connection = self._connect(sample_rate)
            except (DeviceError, TimeoutError):
                self._state = "lost"
                continue
            first = None if self._stop.is_set() else connection.ring.read(FIRST_BLOCK_S)
            if first is not None and not self._stop.is_set():
                away_s = self._clock.now() - lost_since
                self._state = "listening"
                yield from self._resume(connection, first, timeline, away_s)
                yield from self._tell_refusal(connection, sample_rate, timeline)
                yield from timeline.place(first)
                return connection
            self._state = "lost"
        yield from self._finish(timeline, self._clock.now() if self._over is None else self._over)
        return None

    def _finish(self, timeline: Timeline, time: float) -> Iterator[Gap]:
        """Account for the time up to the end, if more is missing than a rounding."""
        if time - timeline.end_time > ROUNDING_S:
            gap = timeline.lose_until(time)
            if gap is not None:
                yield gap

    def _resume(
        self, connection: Connection, first: Captured, timeline: Timeline, away_s: float
    ) -> Iterator[Gap | Notice]:
        """Account for the time away, and go over to the new rate if it changed."""
        onset = first.arrived - first.n_samples / connection.sample_rate
        gap = timeline.lose_until(onset)
        if gap is not None:
            yield gap
        message = f"microphone {self.name} back after {away_s:.1f} s"
        if connection.sample_rate != timeline.sample_rate:
            message += f", at {connection.sample_rate} Hz instead of {timeline.sample_rate} Hz"
            timeline.change_rate(connection.sample_rate)
        timeline.latency_s = connection.latency_s
        if connection.doubtful:
            message += (
                "; another of the same make was there, and they cannot be told apart: this may be "
                "the other (keep one of each make, or listen with --no-reconnect)"
            )
        level: Literal["info", "warning"] = "warning" if connection.doubtful else "info"
        yield Notice(timeline.position, timeline.sample_rate, message, level)
