"""What a run did, in numbers: audio, gaps, windows, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

from streamclf.card import Unknown
from streamclf.records import Average, Result, SoundEvent
from streamclf.unknown import SILENCE_LABEL, UNKNOWN_LABEL, judge


@dataclass
class Statistics:
    """Counts of one run; all lengths at the model's rate.

    Attributes:
        sample_rate: The model's, in Hz.
        delivered_samples: Audio that arrived.
        gap_samples: Audio known to be missing.
        n_gaps: How many gaps.
        n_windows: Windows scored.
        n_events: Events found.
        n_unknown: Windows whose averaged scores name nothing that the model knows.
        n_silent: Windows that held no sound.
        scoring_s: Seconds spent in the network.
        elapsed_s: Seconds from the first block to the last result.
    """

    sample_rate: int = 1
    delivered_samples: int = 0
    gap_samples: int = 0
    n_gaps: int = 0
    n_windows: int = 0
    n_events: int = 0
    n_unknown: int = 0
    n_silent: int = 0
    scoring_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def audio_s(self) -> float:
        """Seconds of audio that arrived."""
        return self.delivered_samples / self.sample_rate

    @property
    def elapsed_samples(self) -> int:
        """Length of the stream: what arrived and what is missing."""
        return self.delivered_samples + self.gap_samples

    @property
    def real_time_factor(self) -> float:
        """Scoring time / audio time; below 1 keeps up."""
        return self.scoring_s / self.audio_s if self.delivered_samples else 0.0

    def count(self, result: Result, unknown: Unknown | None) -> None:
        """Take note of a result; ``unknown`` is the model card's."""
        if isinstance(result, Average):
            self.n_windows += 1
            if unknown:
                verdict, _ = judge(result, unknown)
                self.n_unknown += verdict == UNKNOWN_LABEL
                self.n_silent += verdict == SILENCE_LABEL
        elif isinstance(result, SoundEvent):
            self.n_events += 1

    def add(self, other: Statistics) -> None:
        """Add another run's counts to these."""
        self.sample_rate = other.sample_rate
        self.delivered_samples += other.delivered_samples
        self.gap_samples += other.gap_samples
        self.n_gaps += other.n_gaps
        self.n_windows += other.n_windows
        self.n_events += other.n_events
        self.n_unknown += other.n_unknown
        self.n_silent += other.n_silent
        self.scoring_s += other.scoring_s
        self.elapsed_s += other.elapsed_s


def describe_counts(counts: Statistics) -> str:
    """What was found and what is missing: ``20 windows: 3 events, no gaps``."""
    missing = format_length(counts.gap_samples / counts.sample_rate)
    gaps = f"{count(counts.n_gaps, 'gap')} ({missing})" if counts.n_gaps else "no gaps"
    return f"{count(counts.n_windows, 'window')}: {count(counts.n_events, 'event')}, {gaps}"


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 window``, ``2 windows``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_length(seconds: float) -> str:
    """Write a length for people: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
