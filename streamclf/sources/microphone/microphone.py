"""The microphone: a source that survives refused sample rates, lost audio and lost devices."""

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
from streamclf.sources.microphone.call_thread import Caller, CallThread
from streamclf.sources.microphone.connection import BLOCK_S, Connection, Connector
from streamclf.sources.microphone.drift import DriftMeter
from streamclf.sources.microphone.portaudio import PortAudioBackend
from streamclf.sources.microphone.ring import CAPACITY_S, Captured
from streamclf.sources.microphone.timeline import Timeline

STALLED_AFTER_S = 1.0
"""Age of the newest block in seconds at which the device counts as stalled; it may recover."""
LOST_AFTER_S = 2.0
"""Seconds without a block after which a device that has delivered audio counts as lost."""
FIRST_BLOCK_TIMEOUT_S = 5.0
"""Longest wait in seconds for the first block; a sound server that was idle takes up to 2 s."""
OVERSLEPT_S = 0.5
"""Seconds by which a wait may exceed its timeout; a longer one shows that this process was frozen,
and not the device."""
ROUNDING_S = 1e-3
"""Seconds of missing audio that count as rounding."""
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


class Microphone(Source):
    """A microphone that is found again after it was lost.

    A process can have only one microphone: finding a lost one restarts PortAudio, which ends all
    streams of the process.

    Args:
        device: Index or part of the name of the device; None for the system's default.
        channels: Number of channels to record; None for all of the device, at most two.
        reconnect: Whether to wait for a lost device; otherwise `blocks` raises.
        backend: The audio system; PortAudio by default.
        clock: Clock for time and waiting; the system's by default.
        calls: Caller of the audio system; a thread by default.
        block_s: Length of a block in seconds.
        capacity_s: Seconds of audio that are kept for a slow reader.

    Attributes:
        name: Name of the device; before it is opened, the ``device`` that was asked for.

    Raises:
        DeviceError: ``channels`` is below 1.
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
        self._calls = calls or CallThread(self._clock)
        self._connector = Connector(
            self._backend, self._clock, device, channels, block_s, capacity_s
        )
        self._connection: Connection | None = None
        self._stop = StopSignal(self._clock)
        self._closing = threading.Lock()
        self._closed = False
        self._state: State = "listening"
        self._drift: DriftMeter | None = None
        self._ended_at: float | None = None

    @property
    def pace(self) -> float:
        """Real time: a microphone does not wait for its reader."""
        return 1.0

    @property
    def state(self) -> State:
        """State of the device; while it is open, it follows from the age of the newest block."""
        connection = self._connection
        newest = connection.ring.newest if connection is not None else None
        if self._state != "listening" or newest is None:
            return self._state
        return "stalled" if self._clock.now() - newest > STALLED_AFTER_S else "listening"

    @property
    def drift_ppm(self) -> float | None:
        """Rate error of the device's clock in ppm, above 0 if it is fast; None if unknown."""
        return self._drift.ppm if self._drift is not None else None

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the audio of the device until `stop`, with gaps for missing audio.

        Args:
            sample_rate: Wanted sample rate in Hz. If the device refuses it, its default is used.

        Raises:
            DeviceError: The device cannot be opened, or it was lost and ``reconnect`` is off.
        """
        if self._stop.is_set() or self._closed:
            return
        try:
            connection = self._open(sample_rate)
            if connection is None:
                return
            timeline = Timeline(connection.sample_rate, self._clock.now(), connection.latency_s)
            self._drift = timeline.drift
            yield from self._report_refusal(connection, sample_rate, timeline)
            while connection is not None:
                reason = yield from self._listen(connection, timeline)
                if self._stop.is_set():
                    return
                if self._ended_at is not None:
                    yield from self._account_until(timeline, self._ended_at)
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

    def stop(self) -> None:
        """End `blocks` at once, even while it waits; audio in the ring is dropped."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            connection.ring.wake()
        self._calls.interrupt()

    def finish(self, time: float) -> None:
        """End `blocks` after the audio in the ring, because the sound is over.

        Only a simulated device can know that.

        Args:
            time: Seconds of the clock at which the sound ended.
        """
        self._ended_at = time
        if self._connection is not None:
            self._connection.ring.finish()
        self._stop.wake()

    def close(self) -> None:
        """Release the device; a call that hangs is abandoned after `CLOSE_TIMEOUT_S`."""
        with self._closing:  # `blocks` calls this as well when it ends
            if self._closed:
                return
            self._closed = True
        if not self._calls.close(self._connector.close, CLOSE_TIMEOUT_S):
            self._backend.abandon()

    def _open(self, sample_rate: int) -> Connection | None:
        """Connect for the first time; returns None if `stop` was called meanwhile."""
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
        # From here on `stop` wakes this ring; a reader checks the signal before it waits.
        self._connection = connection
        return connection

    def _report_refusal(
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
        """Yield audio until the device is lost; returns the reason (any text after `stop`)."""
        timeout_s = LOST_AFTER_S if timeline.position else FIRST_BLOCK_TIMEOUT_S
        deadline = self._clock.now() + timeout_s
        while not self._stop.is_set():
            captured = connection.ring.read(deadline - self._clock.now())
            if self._stop.is_set():
                break
            if captured is not None:
                yield from timeline.place(captured)
                timeout_s = LOST_AFTER_S
                # Blocks dropped by a full ring also show that the device works.
                deadline = (connection.ring.newest or captured.arrived) + timeout_s
            elif connection.ring.finished:
                return "the audio system ended its stream"
            else:
                late_s = self._clock.now() - deadline
                if 0 <= late_s < OVERSLEPT_S:
                    return f"no audio for {timeout_s:g} s"
                if late_s >= OVERSLEPT_S:
                    deadline = self._clock.now() + timeout_s
        return ""

    def _await_return(
        self, sample_rate: int, timeline: Timeline
    ) -> Generator[Block | Gap | Notice, None, Connection | None]:
        """Try to open the device until it delivers audio; returns None after `stop` or `finish`."""
        with suppress(TimeoutError):
            self._calls.call(self._connector.close, CLOSE_TIMEOUT_S)
        lost_since = timeline.end_time
        back_off = BackOff()
        while not self._stop.sleep(back_off.next_s()) and self._ended_at is None:
            self.tell_waiting()
            self._state = "reconnecting"
            try:
                connection = self._connect(sample_rate)
            except (DeviceError, TimeoutError):
                self._state = "lost"
                continue
            first = None if self._stop.is_set() else connection.ring.read(FIRST_BLOCK_TIMEOUT_S)
            if first is not None and not self._stop.is_set():
                away_s = self._clock.now() - lost_since
                self._state = "listening"
                yield from self._resume(connection, first, timeline, away_s)
                yield from self._report_refusal(connection, sample_rate, timeline)
                yield from timeline.place(first)
                return connection
            self._state = "lost"
        ended_at = self._clock.now() if self._ended_at is None else self._ended_at
        yield from self._account_until(timeline, ended_at)
        return None

    def _account_until(self, timeline: Timeline, time: float) -> Iterator[Gap]:
        """Yield the gap up to a time, unless it is no more than rounding."""
        if time - timeline.end_time > ROUNDING_S:
            gap = timeline.lose_until(time)
            if gap is not None:
                yield gap

    def _resume(
        self, connection: Connection, first: Captured, timeline: Timeline, away_s: float
    ) -> Iterator[Gap | Notice]:
        """Yield the gap of the lost time and a notice; change to the new sample rate if any."""
        onset = first.arrived - first.n_samples / connection.sample_rate
        gap = timeline.lose_until(onset)
        if gap is not None:
            yield gap
        message = f"microphone {self.name} back after {away_s:.1f} s"
        if connection.sample_rate != timeline.sample_rate:
            message += f", at {connection.sample_rate} Hz instead of {timeline.sample_rate} Hz"
            timeline.change_rate(connection.sample_rate)
        timeline.latency_s = connection.latency_s
        if connection.ambiguous:
            message += (
                "; another of the same make was there, and they cannot be told apart: this may be "
                "the other (keep one of each make, or listen with --no-reconnect)"
            )
        level: Literal["info", "warning"] = "warning" if connection.ambiguous else "info"
        yield Notice(timeline.position, timeline.sample_rate, message, level)
