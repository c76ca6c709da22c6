"""Gapless positions for what a live device delivered, and for what it lost."""

from __future__ import annotations

from streamclf.core.arrival import Soonest
from streamclf.core.records import Block, Gap, rescale
from streamclf.sources.microphone.drift import DriftMeter
from streamclf.sources.microphone.ring import Captured

OVERFLOW = "overflow"
OVERLOAD = "overload"
DEVICE_LOST = "device lost"
STALLED = "stalled"

UNSAID_S = 0.1
"""Audio that a device lost without a word is noticed from here on; less is a late block."""
CREEP = 1e-3
"""A device's clock may be this much slow before its audio counts as lost."""
RECOVERY_S = 3.0
"""Blocks that were only held up come faster meanwhile; those behind a loss stay as late."""


class Timeline:
    """Counts samples from the stream's first one, across losses and changes of rate.

    Args:
        sample_rate: In Hz, of the audio to come.
        started: Monotonic seconds when the device was opened.
        latency_s: Seconds of audio that the audio system may hold back.

    Attributes:
        drift: Of the device's clock.
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
        """Monotonic seconds at which the newest sample had arrived, as the soonest blocks say."""
        offset = self._lateness.offset
        return self._started if offset is None else offset + self.position / self.sample_rate

    def place(self, captured: Captured) -> list[Block | Gap]:
        """Give a captured block its position, behind the gaps that it brings word of."""
        records: list[Block | Gap] = []
        if self._last is not None:
            if captured.overflowed:
                records.append(self._gap(self._overflow_samples(captured, self._last), OVERFLOW))
            elif (n_samples := self._unsaid_samples(captured, self._last)) > 0:
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
        """The gap between the newest sample and ``time`` (monotonic seconds); None if empty."""
        n_samples = round((time - self.end_time) * self.sample_rate)
        self._last = None
        self.drift.interrupt()
        if n_samples < 1:
            return None
        gap = self._gap(n_samples, DEVICE_LOST)
        self._lateness.begin(time - self.position / self.sample_rate)
        return gap

    def change_rate(self, sample_rate: int) -> None:
        """Count on at another rate: the position is the old one, rounded to the new rate."""
        end_time = self.end_time
        self.position = rescale(self.position, self.sample_rate, sample_rate)
        self.sample_rate = sample_rate
        self._last = None
        self.drift.interrupt()
        self._lateness.begin(end_time - self.position / sample_rate)

    def _gap(self, n_samples: int, cause: str) -> Gap:
        gap = Gap(self.position, n_samples, self.sample_rate, cause)
        self.position = gap.end
        if cause != OVERLOAD:  # what the ring dropped is counted, the rest is an estimate
            self.drift.interrupt()
        return gap

    def _overflow_samples(self, captured: Captured, last: Captured) -> int:
        """How much an overflow lost: ADC time passed that no sample accounts for.

        The ADC clock is not always monotonic (ALSA's plugins use the wall clock, some host APIs
        give none): what it says cannot exceed the time that passed between the two arrivals and
        what the audio system held back; else the arrivals themselves are the estimate.
        """
        passed_s = captured.arrived - last.arrived
        limit = round((passed_s + self.latency_s) * self.sample_rate)
        by_adc = self._by_adc(captured, last)
        if by_adc is not None and 0 < by_adc <= limit:
            return by_adc
        by_arrival = round(passed_s * self.sample_rate) - captured.n_samples
        return max(1, by_arrival - captured.n_dropped)

    def _unsaid_samples(self, captured: Captured, last: Captured) -> int:
        """What the device lost without a word.

        The ADC clock tells at once, if the arrivals bear it out: the wall clock, which some
        systems take for it, can be set. Without one, blocks that stay late tell.
        """
        by_adc = self._by_adc(captured, last)
        passed_s = captured.arrived - last.arrived
        late_s = passed_s - (captured.n_samples + captured.n_dropped) / self.sample_rate
        if by_adc is not None:
            lost_s = by_adc / self.sample_rate
            if UNSAID_S <= lost_s <= passed_s + self.latency_s and late_s >= lost_s / 2:
                return by_adc
        return round(self._lateness.risen_s * self.sample_rate)

    def _by_adc(self, captured: Captured, last: Captured) -> int | None:
        """Samples that passed by the ADC clock and are not there; None where it has no time."""
        if not (captured.adc_time and last.adc_time):
            return None
        passed = round((captured.adc_time - last.adc_time) * self.sample_rate)
        return passed - last.n_samples - captured.n_dropped


class _Lateness:
    """How much later than by their position blocks arrive.

    Attributes:
        risen_s: By how much all blocks of the last seconds came later than that.
    """

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, offset: float | None) -> None:
        """Start from an offset, or from the next block's."""
        self._soonest = Soonest(CREEP, offset)
        self.risen_s = 0.0
        self._halves: list[float] = []
        self._heard_s = 0.0

    @property
    def offset(self) -> float | None:
        """Arrival minus position, in seconds, of the blocks that came soonest."""
        return self._soonest.offset

    def add(self, end_s: float, arrived: float, length_s: float) -> None:
        """Take note of a block of ``length_s`` that ends at ``end_s``."""
        offset = arrived - end_s
        soonest = self._soonest.add(end_s, arrived, length_s)
        if len(self._halves) < 1 + (self._heard_s >= RECOVERY_S / 2):
            self._halves.append(offset)
        self._halves[-1] = min(offset, self._halves[-1])
        self._heard_s += length_s
        self.risen_s = 0.0
        if self._heard_s >= RECOVERY_S:
            first, second = self._halves[0], self._halves[-1]
            risen_s = min(first, second) - soonest
            if risen_s >= UNSAID_S and abs(first - second) < UNSAID_S / 2:
                self.risen_s = risen_s
            self._halves, self._heard_s = [], 0.0
