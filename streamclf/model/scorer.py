"""The interface of a classifier to the engine, and the hop and batch size that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from streamclf.core.card import Card
from streamclf.core.records import Window
from streamclf.core.settings import Settings
from streamclf.model.classifier import stack
from streamclf.model.stem.shared_frames import BATCH, count_grids, fit_hop
from streamclf.model.stem.split_model import Array


class Scorer(Protocol):
    """A classifier, as the engine uses it; the real one is `Classifier`."""

    @property
    def card(self) -> Card:
        """The model card."""

    def score(self, waveforms: Array) -> Array:
        """Compute scores ``(windows, classes)`` from audio ``(windows, window_samples)``."""


class SharingScorer(Protocol):
    """A scorer whose overlapping windows share work."""

    @property
    def shares(self) -> bool:
        """Whether the windows of a stream share work on the model's provider."""

    @property
    def stride(self) -> int:
        """Grid of positions, in samples, on which windows must begin to share work."""

    def batch_size(self, hop: int) -> int:
        """Return the default number of windows in a batch of a recording, for a hop in samples."""

    def open_stream(self) -> Callable[[Sequence[Window]], Array]:
        """Return a function that scores the windows of one stream, in order."""

    def take_notice(self) -> str:
        """Return the notice for the listener, and clear it; empty if there is none."""


def as_sharing_scorer(scorer: Scorer) -> SharingScorer | None:
    """Return the scorer if its windows share work, else None.

    The engine calls this for every block of audio, where `isinstance` of a protocol would take as
    long as the resampling.
    """
    return cast(SharingScorer, scorer) if hasattr(scorer, "open_stream") else None


def open_stream(scorer: Scorer) -> Callable[[Sequence[Window]], Array]:
    """Return a function that scores the windows of one stream, in order, with work shared."""
    sharing = as_sharing_scorer(scorer)
    return sharing.open_stream() if sharing else lambda windows: scorer.score(stack(windows))


def sharing_stride(scorer: Scorer) -> int:
    """Return the grid, in samples, on which windows share work; 1 if they share none."""
    sharing = as_sharing_scorer(scorer)
    return sharing.stride if sharing else 1


def default_batch_size(scorer: Scorer, hop: int) -> int:
    """Return the default number of windows in a batch of a recording, for a hop in samples."""
    sharing = as_sharing_scorer(scorer)
    return sharing.batch_size(hop) if sharing else BATCH


def effective_hop(settings: Settings, scorer: Scorer) -> int:
    """Return the hop that is used, in samples: as requested, or fitted to the scorer's stride.

    Raises:
        UsageError: The hop is shorter than a sample.
    """
    hop = settings.hop_samples(scorer.card.sample_rate)
    return fit_hop(hop, sharing_stride(scorer), exact=settings.exact_hop)


def describe_hop(settings: Settings, scorer: Scorer) -> str:
    """Explain in one line how the hop differs from the requested one; empty if it does not."""
    rate, stride = scorer.card.sample_rate, sharing_stride(scorer)
    effective = effective_hop(settings, scorer)
    sharing = as_sharing_scorer(scorer)
    shares = sharing is not None and sharing.shares
    n_grids = count_grids(effective, stride) if shares else 1
    no_multiple = (
        f"--hop {settings.hop_s:g} s is no multiple of {stride / rate:g} s, "
        f"at which windows share work{'' if shares else ' on a CPU'}: "
    )
    if effective != settings.hop_samples(rate):
        return f"{no_multiple}it is {effective / rate:g} s; --exact-hop keeps it"
    return f"{no_multiple}the shared part runs {n_grids} times" if n_grids > 1 else ""
