"""Positions of the audio that a live device delivered and of the audio that it lost."""

from __future__ import annotations

from streamclf.core.arrival import EarliestArrival
from streamclf.core.records import Block, Gap, rescale
from streamclf.sources.microphone.drift import DriftMeter
from streamclf.sources.microphone.ring import Captured

OVERFLOW = "overflow"
OVERLOAD = "overload"
DEVICE_LOST = "device lost"
STALLED = "stalled"

UNREPORTED_LOSS_S = 0.1
"""Shortest loss in seconds that is detected where the device reports none; a shorter delay counts
as a late block."""
MAX_SLOW_RATE = 1e-3
"""Largest rate error of a device's slow clock; with a larger one, audio counts as lost."""
RECOVERY_S = 3.0
"""Seconds after which a delay is judged. Blocks that were held up have caught up by then; blocks
after a loss are as late as before."""


class Timeline:
    """Sample count from the start of the stream, across losses and changes of the sample rate.

    Args:
        sample_rate: Sample rate of the audio to come, in Hz.
        started: Time at which the device was opened, in monotonic seconds.
        latency_s: Seconds of audio that the audio system may buffer.

    Attributes:
        position: Position just after the last sample delivered or lost, at ``sample_rate``.
        sample_rate: Sample rate in Hz.
        latency_s: Seconds of audio that the audio system may buffer.
        drift: Meter of the rate error of the device's clock.
    """

    def __init__(self, sample_rate: int, started: float, latency_s: float = 0.0) -> None:
        self.position = 0
        self.sample_rate = sample_rate
        self.latency_s = latency_s
        self.drift = DriftMeter()
        self._started = started
        self._last: Captured | None = None
        self._lateness = _Lateness()

    @property
    def end_time(self) -> float:
        """Arrival of the newest sample in monotonic seconds, judged by the least delayed blocks."""
        offset = self._lateness.offset
        return self._started if offset is None else offset + self.position / self.sample_rate

    def place(self, captured: Captured) -> list[Block | Gap]:
        """Return a captured block at its position, after the gaps that lie before it."""
        records: list[Block | Gap] = []
        if self._last is not None:
            if captured.overflowed:
                records.append(self._gap(self._overflow_samples(captured, self._last), OVERFLOW))
            elif (n_samples := self._unreported_samples(captured, self._last)) > 0:
                records.append(self._gap(n_samples, STALLED))
        if captured.n_dropped:
            records.append(self._gap(captured.n_dropped, OVERLOAD))
        block = Block(self.position, captured.waveform, self.sample_rate)
        records.append(block)
        self.position = block.end
        end_s = self.position / self.sample_rate
        self.drift.add(end_s, captured.arrived)
        self._lateness.add(end_s, captured.arrived, block.n_samples / self.sample_rate)
        self._last = captured
        return records

    def lose_until(self, time: float) -> Gap | None:
        """Return the gap from the newest sample to a time; None if it is empty.

        Args:
            time: The time in monotonic seconds.
        """
        n_samples = round((time - self.end_time) * self.sample_rate)
        self._last = None
        self.drift.interrupt()
        if n_samples < 1:
            return None
        gap = self._gap(n_samples, DEVICE_LOST)
        self._lateness.begin(time - self.position / self.sample_rate)
        return gap

    def change_rate(self, sample_rate: int) -> None:
        """Continue at another sample rate; the position is converted and rounded."""
        end_time = self.end_time
        self.position = rescale(self.position, self.sample_rate, sample_rate)
        self.sample_rate = sample_rate
        self._last = None
        self.drift.interrupt()
        self._lateness.begin(end_time - self.position / sample_rate)

    def _gap(self, n_samples: int, cause: str) -> Gap:
        gap = Gap(self.position, n_samples, self.sample_rate, cause)
        self.position = gap.end
        if cause != OVERLOAD:  # dropped samples are counted, other losses are estimated
            self.drift.interrupt()
        return gap

    def _overflow_samples(self, captured: Captured, last: Captured) -> int:
        """Estimate the samples lost in an overflow: ADC time that no samples account for.

        The ADC clock is not always monotonic (ALSA's plugins use the wall clock, some host APIs
        have none). So the estimate may not exceed the time between the two arrivals plus the
        latency of the audio system. If it does, the arrivals themselves give the estimate.
        """
        passed_s = captured.arrived - last.arrived
        limit = round((passed_s + self.latency_s) * self.sample_rate)
        by_adc = self._by_adc(captured, last)
        if by_adc is not None and 0 < by_adc <= limit:
            return by_adc
        by_arrival = round(passed_s * self.sample_rate) - captured.n_samples
        return max(1, by_arrival - captured.n_dropped)

    def _unreported_samples(self, captured: Captured, last: Captured) -> int:
        """Estimate the samples that the device lost without reporting it.

        The ADC clock shows a loss at once. It must agree with the arrivals, because some systems
        use the wall clock, which can be set. Without an ADC clock, a loss shows when blocks stay
        late.
        """
        by_adc = self._by_adc(captured, last)
        passed_s = captured.arrived - last.arrived
        late_s = passed_s - (captured.n_samples + captured.n_dropped) / self.sample_rate
        if by_adc is not None:
            lost_s = by_adc / self.sample_rate
            if UNREPORTED_LOSS_S <= lost_s <= passed_s + self.latency_s and late_s >= lost_s / 2:
                return by_adc
        return round(self._lateness.risen_s * self.sample_rate)

    def _by_adc(self, captured: Captured, last: Captured) -> int | None:
        """Count the samples missing by the ADC clock; None where there is no ADC time."""
        if not (captured.adc_time and last.adc_time):
            return None
        passed = round((captured.adc_time - last.adc_time) * self.sample_rate)
        return passed - last.n_samples - captured.n_dropped


class _Lateness:
    """Delay of blocks: their arrival compared with their position.

    Attributes:
        risen_s: Seconds by which the delay of all blocks in the last `RECOVERY_S` has risen; 0
            while the rise is not steady.
    """

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, offset: float | None) -> None:
        """Start from an offset in seconds; None for that of the next block."""
        self._earliest = EarliestArrival(MAX_SLOW_RATE, offset)
        self.risen_s = 0.0
        self._halves: list[float] = []
        self._measured_s = 0.0

    @property
    def offset(self) -> float | None:
        """Arrival minus position of the least delayed blocks, in seconds; None before any."""
        return self._earliest.offset

    def add(self, end_s: float, arrived: float, length_s: float) -> None:
        """Add a block of ``length_s`` that ends at ``end_s``."""
        offset = arrived - end_s
        earliest = self._earliest.add(end_s, arrived, length_s)
        if len(self._halves) < 1 + (self._measured_s >= RECOVERY_S / 2):
            self._halves.append(offset)
        self._halves[-1] = min(offset, self._halves[-1])
        self._measured_s += length_s
        self.risen_s = 0.0
        if self._measured_s >= RECOVERY_S:
            first, second = self._halves[0], self._halves[-1]
            risen_s = min(first, second) - earliest
            if risen_s >= UNREPORTED_LOSS_S and abs(first - second) < UNREPORTED_LOSS_S / 2:
                self.risen_s = risen_s
            self._halves, self._measured_s = [], 0.0
