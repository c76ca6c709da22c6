"""Statistics of a run: audio, gaps, windows, events and speed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from streamclf.core.highest_averages import HighestAverages
from streamclf.core.records import Average, Result, SoundEvent, rescale
from streamclf.core.text_format import format_count, format_length
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL, judge
from streamclf.core.unknown_rule import UnknownRule

MAX_LISTED = 10_000
"""Number of gaps, and of hop changes, that are listed singly; older ones count in the sums only."""


@dataclass(frozen=True, slots=True)
class HopChange:
    """Change of the hop, widened by overload or narrowed again.

    Attributes:
        position: Position of the newest audio that had arrived, at the model's rate.
        before_s: Hop before the change, in seconds.
        hop_s: Hop from here on, in seconds.
        reason: Reason in words.
    """

    position: int
    before_s: float
    hop_s: float
    reason: str


class GapLog:
    """Gaps of a run: the newest are listed singly, and all are counted by cause.

    Attributes:
        by_cause: Number of gaps, and of samples, for each cause.
    """

    def __init__(self) -> None:
        self.by_cause: dict[str, list[int]] = {}
        self._listed: deque[tuple[str, int, int, str]] = deque(maxlen=MAX_LISTED)

    def __iter__(self) -> Iterator[tuple[str, int, int, str]]:
        return iter(self._listed)

    def add(self, cause: str, position: int, n_samples: int, source: str = "") -> None:
        """Add a gap."""
        self._listed.append((cause, position, n_samples, source))
        self._count(cause, 1, n_samples)

    def extend(self, other: GapLog, source: str) -> None:
        """Add the gaps of another run at the same sample rate."""
        self._listed.extend((*gap[:3], gap[3] or source) for gap in other)
        for cause, (n_gaps, n_samples) in other.by_cause.items():
            self._count(cause, n_gaps, n_samples)

    def at_rate(self, from_rate: int, to_rate: int) -> GapLog:
        """Return the same gaps counted at another rate; none shrinks to zero samples."""
        log = GapLog()
        rest = {cause: list(counts) for cause, counts in self.by_cause.items()}
        for cause, position, n_samples, source in self._listed:
            begin = rescale(position, from_rate, to_rate)
            end = rescale(position + n_samples, from_rate, to_rate)
            log.add(cause, begin, max(end - begin, 1), source)
            rest[cause][0] -= 1
            rest[cause][1] -= n_samples
        for cause, (n_gaps, n_samples) in rest.items():  # those that are no longer listed
            log._count(cause, n_gaps, rescale(n_samples, from_rate, to_rate))
        return log

    def _count(self, cause: str, n_gaps: int, n_samples: int) -> None:
        counts = self.by_cause.setdefault(cause, [0, 0])
        counts[0] += n_gaps
        counts[1] += n_samples


@dataclass
class Statistics:
    """Counts of one run; all lengths are in samples at the model's rate.

    Attributes:
        sample_rate: Sample rate of the model in Hz; where there are several models, that of the
            first.
        elapsed_samples: Length of the stream, from its first position to its last.
        delivered_samples: Audio that arrived.
        gap_samples: Audio that is missing; ``delivered_samples + gap_samples`` is
            ``elapsed_samples``.
        n_gaps: Number of gaps.
        gaps: The gaps.
        n_windows: Windows scored.
        n_skipped: Windows left out because of overload; their audio is among the gaps.
        n_non_finite: Windows left out because the model's output was not finite; written as
            ``windows_undefined``.
        n_short: Windows that were padded, because the audio between two gaps was shorter.
        hops: Changes of the hop because of overload, the newest `MAX_LISTED`.
        n_hop_changes: Number of all such changes.
        drift_ppm: Rate error of the source's clock in ppm, above 0 if it is fast; None if unknown.
        n_events: Events found.
        events_by_label: Events found, by label.
        highest: Highest average of each class.
        n_unknown: Windows whose averaged scores were those of an unknown sound.
        n_silent: Windows that held no sound.
        scoring_s: Seconds spent in the network.
        elapsed_s: Seconds from the first block to the last result.
    """

    sample_rate: int = 1
    elapsed_samples: int = 0
    delivered_samples: int = 0
    gap_samples: int = 0
    n_gaps: int = 0
    gaps: GapLog = field(default_factory=GapLog)
    n_windows: int = 0
    n_skipped: int = 0
    n_non_finite: int = 0
    n_short: int = 0
    hops: deque[HopChange] = field(default_factory=lambda: deque(maxlen=MAX_LISTED))
    n_hop_changes: int = 0
    drift_ppm: float | None = None
    n_events: int = 0
    events_by_label: Counter[str] = field(default_factory=Counter)
    highest: HighestAverages = field(default_factory=HighestAverages)
    n_unknown: int = 0
    n_silent: int = 0
    scoring_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def audio_s(self) -> float:
        """Seconds of audio that arrived."""
        return self.delivered_samples / self.sample_rate

    def add_gap(self, cause: str, position: int, n_samples: int) -> None:
        """Count a gap."""
        self.gap_samples += n_samples
        self.n_gaps += 1
        self.gaps.add(cause, position, n_samples)

    def add_hop(self, change: HopChange) -> None:
        """Count a change of the hop."""
        self.n_hop_changes += 1
        self.hops.append(change)

    @property
    def real_time_factor(self) -> float:
        """Scoring time / audio time; below 1 keeps up."""
        return self.scoring_s / self.audio_s if self.delivered_samples else 0.0

    def count(self, result: Result, unknown: UnknownRule | None) -> None:
        """Count a result.

        Args:
            result: The result.
            unknown: The model's rule for unknown sounds; None for none.
        """
        if isinstance(result, Average):
            self.n_windows += 1
            self.highest.add(result)
            if unknown:
                verdict, _ = judge(result, unknown)
                self.n_unknown += verdict == UNKNOWN_LABEL
                self.n_silent += verdict == SILENCE_LABEL
        elif isinstance(result, SoundEvent):
            self.n_events += 1
            self.events_by_label[result.label] += 1

    def add(self, other: Statistics, source: str = "") -> None:
        """Add the counts of another run, converted to the sample rate of the first run.

        Args:
            other: Statistics of the other run.
            source: Name of its source.
        """
        if not self.elapsed_samples:
            self.sample_rate = other.sample_rate
        other = other.at_rate(self.sample_rate)
        self.elapsed_samples += other.elapsed_samples
        self.gaps.extend(other.gaps, source)
        self.n_skipped += other.n_skipped
        self.n_non_finite += other.n_non_finite
        self.n_short += other.n_short
        self.hops.extend(other.hops)
        self.n_hop_changes += other.n_hop_changes
        self.drift_ppm = other.drift_ppm
        self.delivered_samples += other.delivered_samples
        self.gap_samples += other.gap_samples
        self.n_gaps += other.n_gaps
        self.n_windows += other.n_windows
        self.n_events += other.n_events
        self.events_by_label.update(other.events_by_label)
        self.highest.merge(other.highest, source)
        self.n_unknown += other.n_unknown
        self.n_silent += other.n_silent
        self.scoring_s += other.scoring_s
        self.elapsed_s += other.elapsed_s

    def at_rate(self, sample_rate: int) -> Statistics:
        """Return the same counts with lengths at another rate; delivered + gaps = elapsed holds."""
        if sample_rate == self.sample_rate:
            return self
        gaps = self.gaps.at_rate(self.sample_rate, sample_rate)
        missing = sum(n_samples for _, n_samples in gaps.by_cause.values())
        elapsed = max(rescale(self.elapsed_samples, self.sample_rate, sample_rate), missing)
        hops = (
            replace(hop, position=rescale(hop.position, self.sample_rate, sample_rate))
            for hop in self.hops
        )
        return replace(
            self,
            sample_rate=sample_rate,
            elapsed_samples=elapsed,
            delivered_samples=elapsed - missing,
            gap_samples=missing,
            gaps=gaps,
            hops=deque(hops, maxlen=MAX_LISTED),
        )

    def summary(self) -> str:
        """Describe the run for people in one line."""
        skipped = format_count(self.n_skipped, "window") + " skipped"
        parts = [
            f"heard {format_length(self.audio_s)} in {format_count(self.n_windows, 'window')}: "
            f"{format_count(self.n_events, 'event')}, {self.describe_gaps() or 'no gaps'}"
            f"{self._describe_rest()}",
            f"hop changed {format_count(self.n_hop_changes, 'time')}" if self.n_hop_changes else "",
            skipped if self.n_skipped else "",
            f"{format_count(self.n_non_finite, 'window')} without scores"
            if self.n_non_finite
            else "",
            f"{format_count(self.n_short, 'piece')} shorter than a window" if self.n_short else "",
            self._describe_clock(),
            self._describe_load(),
        ]
        return "; ".join(part for part in parts if part)

    def _describe_clock(self) -> str:
        if self.drift_ppm is None:
            return ""
        ppm = round(self.drift_ppm)
        return f"the device's clock is {f'off by {ppm:+d} ppm' if ppm else 'right'}"

    def _describe_rest(self) -> str:
        """Describe the shares of windows with unknown sounds and with silence."""
        shares = {"unknown": self.n_unknown, "silent": self.n_silent}
        return "".join(
            f", {n / self.n_windows:.0%} of the windows {name}" for name, n in shares.items() if n
        )

    def _describe_load(self) -> str:
        """Describe the load of the model; above 100 % it does not keep up."""
        return f"the model was busy for {self.real_time_factor:.1%} of the time"

    def describe_gaps(self) -> str:
        """Describe the number, length and causes of the gaps for people; empty without gaps."""
        if not self.n_gaps:
            return ""
        causes = [
            f"{cause} {format_length(n_samples / self.sample_rate)}"
            for cause, (_, n_samples) in self.gaps.by_cause.items()
        ]
        length = format_length(self.gap_samples / self.sample_rate)
        shown = (
            f"{length}: {', '.join(causes)}"
            if len(causes) > 1
            else f"{length}, {next(iter(self.gaps.by_cause))}"
        )
        return f"{format_count(self.n_gaps, 'gap')} ({shown})"

    def as_json(self) -> dict[str, Any]:
        """Return the fields that ``--stats`` writes; delivered + gap samples = elapsed samples."""
        return {
            "sample_rate": self.sample_rate,
            "elapsed_samples": self.elapsed_samples,
            "delivered_samples": self.delivered_samples,
            "gap_samples": self.gap_samples,
            "n_gaps": self.n_gaps,
            "gaps": [
                {"cause": cause, "position": position, "n_samples": n_samples}
                | ({"source": source} if source else {})
                for cause, position, n_samples, source in self.gaps
            ],
            "gaps_by_cause": {
                cause: {"n_gaps": n_gaps, "n_samples": n_samples}
                for cause, (n_gaps, n_samples) in self.gaps.by_cause.items()
            },
            "windows": self.n_windows,
            "windows_skipped": self.n_skipped,
            "windows_undefined": self.n_non_finite,
            "windows_short": self.n_short,
            "events": self.n_events,
            "events_by_label": dict(self.events_by_label.most_common()),
            "hop_changes": self.n_hop_changes,
            "hops": [
                {"position": hop.position, "hop_s": hop.hop_s, "reason": hop.reason}
                for hop in self.hops
            ],
            "drift_ppm": None if self.drift_ppm is None else round(self.drift_ppm, 2),
            "scoring_s": round(self.scoring_s, 6),
            "processing_s": round(self.elapsed_s, 6),
        }


@dataclass(frozen=True)
class Counts:
    """Figures of a stream that any thread may read while it runs.

    Attributes:
        windows: Windows scored.
        events: Events found.
        gaps: Number of gaps.
        gap_s: Their length in seconds.
    """

    windows: int = 0
    events: int = 0
    gaps: int = 0
    gap_s: float = 0.0

    @classmethod
    def of(cls, statistics: Statistics) -> Counts:
        """Take the figures of one run."""
        gap_s = statistics.gap_samples / statistics.sample_rate
        return cls(statistics.n_windows, statistics.n_events, statistics.n_gaps, gap_s)

    def describe(self) -> str:
        """Describe the figures for people: ``20 windows: 3 events, 1 gap (2.0 s)``."""
        gaps = "no gaps"
        if self.gaps:
            gaps = f"{format_count(self.gaps, 'gap')} ({format_length(self.gap_s)})"
        windows, events = format_count(self.windows, "window"), format_count(self.events, "event")
        return f"{windows}: {events}, {gaps}"

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.windows + other.windows,
            self.events + other.events,
            self.gaps + other.gaps,
            self.gap_s + other.gap_s,
        )
