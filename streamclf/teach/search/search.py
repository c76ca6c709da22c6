"""Search of kept features: from an example to the moments that are most like it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from streamclf.core.errors import UsageError
from streamclf.store.features.feature_store import FeatureStore
from streamclf.teach.search.example import Example
from streamclf.teach.search.likeness import Likeness
from streamclf.teach.search.moments import Moment, join_windows
from streamclf.teach.search.scan import Part, find_like, make_likeness


@dataclass(frozen=True)
class Scope:
    """What is searched.

    Attributes:
        since_us: Earliest time, in microseconds UTC; None for no limit.
        until_us: Time before which windows begin; None for no limit.
        streams: Names of sources and paths of recordings; None for all.
    """

    since_us: int | None = None
    until_us: int | None = None
    streams: Collection[str] | None = None


def search(
    kept: FeatureStore,
    example: Example,
    n_moments: int,
    scope: Scope | None = None,
    *,
    n_threads: int = 1,
) -> list[Moment]:
    """Find the moments that are most like an example, the most like first.

    Args:
        kept: The features.
        example: What is looked for; its own stretch is not among the moments.
        n_moments: Most moments.
        scope: What is searched; by default all.
        n_threads: Threads that search.

    Raises:
        UsageError: No features are kept that can be compared with those of the example.
    """
    scope = scope or Scope()
    parts = list_parts(kept, example.digest, scope)
    if not parts:
        check_comparable(kept, example.digest, example.model)
        return []
    likeness: Likeness = make_likeness(parts)
    found = find_like(parts, likeness, likeness.place(example.features), n_threads=n_threads)
    return join_windows(parts, found, n_moments, example.stretch)


def list_parts(kept: FeatureStore, digest: str, scope: Scope) -> Sequence[Part]:
    """Open all features of a digest that lie in the scope."""
    parts = []
    for file in kept.files(None, scope.since_us, scope.until_us, digest):
        names = {file.header.source, file.header.recording}
        if scope.streams is not None and not names & set(scope.streams):
            continue
        records = file.within(scope.since_us, scope.until_us)
        if len(records):
            parts.append(Part(file, records))
    return parts


def check_comparable(kept: FeatureStore, digest: str, model: str) -> None:
    """Check that features of a model are kept.

    Args:
        kept: The features.
        digest: Digest of the model's features.
        model: The model, in words.

    Raises:
        UsageError: None are kept, or only those of other models.
    """
    files = [*kept.files()]
    if not files:
        raise UsageError(
            f"{kept.folder}: no features are kept yet: serve keeps them from its start on, and "
            "file --features FOLDER those of recordings"
        )
    if not any(file.header.digest == digest for file in files):
        models = sorted({f"{file.header.model} {file.header.version}" for file in files})
        raise UsageError(
            f"{kept.folder}: holds features of {', '.join(models)}, which cannot be compared with "
            f"those of {model}: name the model that heard them by --model"
        )
