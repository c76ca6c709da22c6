"""What the engine asks of a classifier, and what follows from it for hop and batch."""

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
    """What the engine asks of a classifier; `Classifier` is the real one."""

    @property
    def card(self) -> Card:
        """What it hears and names."""

    def score(self, waveforms: Array) -> Array:
        """Turn ``(windows, window_samples)`` into scores ``(windows, classes)``."""


class Sharer(Protocol):
    """A scorer whose windows share work."""

    @property
    def stride(self) -> int:
        """Samples between the places where windows that share begin."""

    def batch_size(self, hop: int) -> int:
        """Windows at once in recordings, a hop of samples apart, unless told otherwise."""

    def open_stream(self) -> Callable[[Sequence[Window]], Array]:
        """Begin to score the windows of one stream, in order."""

    def take_notice(self) -> str:
        """What a listener should be told; empty if nothing."""


def as_sharer(scorer: Scorer) -> Sharer | None:
    """The scorer, if its windows share work.

    Asked at every block of audio: `isinstance` of a protocol would take as long as resampling it.
    """
    return cast(Sharer, scorer) if hasattr(scorer, "open_stream") else None


def open_stream(scorer: Scorer) -> Callable[[Sequence[Window]], Array]:
    """Begin to score the windows of one stream, in order, sharing work where that can be."""
    sharer = as_sharer(scorer)
    return sharer.open_stream() if sharer else lambda windows: scorer.score(stack(windows))


def stride_of(scorer: Scorer) -> int:
    """Samples between the places where windows that share work begin; 1 if none do."""
    sharer = as_sharer(scorer)
    return sharer.stride if sharer else 1


def usual_batch(scorer: Scorer, hop: int) -> int:
    """Windows at once in recordings, a hop of samples apart, unless told otherwise."""
    sharer = as_sharer(scorer)
    return sharer.batch_size(hop) if sharer else BATCH


def real_hop(settings: Settings, scorer: Scorer) -> int:
    """Samples between the starts of two windows.

    Raises:
        UsageError: The hop is shorter than a sample.
    """
    hop = settings.hop_samples(scorer.card.sample_rate)
    return fit_hop(hop, stride_of(scorer), exact=settings.exact_hop)


def describe_hop(settings: Settings, scorer: Scorer) -> str:
    """What a listener should know of the hop, in a line; empty if it is as asked for."""
    rate, stride = scorer.card.sample_rate, stride_of(scorer)
    real = real_hop(settings, scorer)
    n_grids = count_grids(real, stride)
    no_multiple = (
        f"--hop {settings.hop_s:g} s is no multiple of {stride / rate:g} s, "
        "at which windows share work: "
    )
    if real != settings.hop_samples(rate):
        return f"{no_multiple}it is {real / rate:g} s; --exact-hop keeps it"
    return f"{no_multiple}the shared part runs {n_grids} times" if n_grids > 1 else ""
