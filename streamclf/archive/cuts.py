"""Where a recording may be cut so that its pieces give the results of one pass."""

from __future__ import annotations

from dataclasses import dataclass

from streamclf.sources.recording.recording import Recording


@dataclass(frozen=True, slots=True)
class Cut:
    """What the pieces of a recording are planned by.

    Attributes:
        sample_rate: Sample rate of the recording in Hz.
        n_samples: Samples a channel that its header states.
    """

    sample_rate: int
    n_samples: int


def can_cut(recording: Recording) -> str | Cut:
    """Tell whether a recording may be heard in pieces.

    Args:
        recording: An open recording.

    Returns:
        What its pieces are planned by; or the reason, in a few words, why it is heard whole.
    """
    raise NotImplementedError


def plan_cuts(cut: Cut, item_seconds: float) -> list[tuple[int, int]]:
    """Cut a recording into pieces of about equal length.

    A cut may lie at any sample: a piece begins to listen as much earlier as its model needs.

    Args:
        cut: From `can_cut`.
        item_seconds: Length of a piece at most.

    Returns:
        Begin and end of each piece, in samples at the recording's own rate. One of the whole length
        where it is short enough.
    """
    raise NotImplementedError
