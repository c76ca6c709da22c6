"""Gapless positions for what a live device delivered, and for what it lost."""

from __future__ import annotations

from streamclf.records import Block, Gap, rescale
from streamclf.sources.ring import Captured

OVERFLOW = "overflow"
OVERLOAD = "overload"
DEVICE_LOST = "device lost"


class Timeline:
    """Counts samples from the stream's first one, across losses and changes of rate.

    Args:
        sample_rate: In Hz, of the audio to come.
        started: Monotonic seconds when the device was opened.
        latency_s: Seconds of audio that the audio system may hold back.
    """

    def __init__(self, sample_rate: int, started: float, latency_s: float = 0.0) -> None:
        self.position = 0
        self.sample_rate = sample_rate
        self.latency_s = latency_s
        self.end_time = started
        """Monotonic seconds at which the newest sample had arrived."""
        self._last: Captured | None = None

    def place(self, captured: Captured) -> list[Block | Gap]:
        """Give a captured block its position, behind the gaps that it brings word of."""
        records: list[Block | Gap] = []
        if captured.overflowed and self._last is not None:
            records.append(self._gap(self._overflow_samples(captured, self._last), OVERFLOW))
        if captured.n_dropped:
            records.append(self._gap(captured.n_dropped, OVERLOAD))
        block = Block(self.position, captured.waveform, self.sample_rate)
        records.append(block)
        self.position = block.end
        self.end_time = captured.arrived
        self._last = captured
        return records

    def lose_until(self, time: float) -> Gap | None:
        """The gap between the newest sample and ``time`` (monotonic seconds); None if empty."""
        n_samples = round((time - self.end_time) * self.sample_rate)
        self._last = None
        if n_samples < 1:
            return None
        self.end_time = time
        return self._gap(n_samples, DEVICE_LOST)

    def change_rate(self, sample_rate: int) -> None:
        """Count on at another rate: the position is the old one, rounded to the new rate."""
        self.position = rescale(self.position, self.sample_rate, sample_rate)
        self.sample_rate = sample_rate
        self._last = None

    def _gap(self, n_samples: int, cause: str) -> Gap:
        gap = Gap(self.position, n_samples, self.sample_rate, cause)
        self.position = gap.end
        return gap

    def _overflow_samples(self, captured: Captured, last: Captured) -> int:
        """How much an overflow lost: ADC time passed that no sample accounts for.

        The ADC clock is not always monotonic (ALSA's plugins use the wall clock, some host APIs
        give none): what it says cannot exceed the time that passed between the two arrivals and
        what the audio system held back; else the arrivals themselves are the estimate.
        """
        n_known = last.n_samples + captured.n_dropped
        passed_s = captured.arrived - last.arrived
        limit = round((passed_s + self.latency_s) * self.sample_rate)
        by_adc = round((captured.adc_time - last.adc_time) * self.sample_rate) - n_known
        if captured.adc_time and last.adc_time and 0 < by_adc <= limit:
            return by_adc
        by_arrival = round(passed_s * self.sample_rate) - captured.n_samples
        return max(1, by_arrival - captured.n_dropped)
