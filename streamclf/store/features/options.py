"""Options for keeping features: whether, where and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.core.text_files import read_size

MAX_DAYS = 36_500
"""Most days that features may be kept: a century, which a time in microseconds can hold."""

MIN_LIMIT_BYTES = 100_000_000
"""Smallest limit: two days, as whole days go and the newest one stays."""


@dataclass(frozen=True)
class FeatureOptions:
    """How the features of what is heard are kept.

    Attributes:
        folder: Folder for the features of recordings; None keeps none.
        keep: Whether a source that is served keeps features beside the store.
        days: Days after which a day's features are deleted; None for never.
        limit: What the features of one source may take, such as ``5GB``; None for no limit.

    Raises:
        UsageError: A value is out of range.
    """

    panel: ClassVar[str] = "Output"

    folder: Path | None = option(
        None,
        "--features",
        metavar="FOLDER",
        help="Also keep the features of each half second in this folder, for search by example; "
        "no audio can be made from them.",
    )
    keep: bool = option(
        True,
        "--no-features",
        negated=True,
        help="Keep no features beside the store; search and teach then know nothing of the past.",
    )
    days: float | None = option(
        30.0,
        "--features-days",
        metavar="DAYS",
        help="Delete features after this many days; by default 30.",
    )
    limit: str | None = option(
        None,
        "--features-limit",
        metavar="SIZE",
        help="Maximum size of a source's features (500MB, 5GB); the oldest days are deleted.",
    )

    def __post_init__(self) -> None:
        days = self.days
        if days is not None and not (math.isfinite(days) and 0 < days <= MAX_DAYS):
            raise UsageError(
                f"--features-days {days:g}: must be above 0 days, up to {MAX_DAYS}; --no-features "
                "keeps none"
            )
        self.limits()

    def limits(self) -> FeatureLimits:
        """Return the limits for one source.

        Raises:
            UsageError: The size is none.
        """
        return FeatureLimits(None if self.limit is None else _read_size(self.limit), self.days)


@dataclass(frozen=True)
class FeatureLimits:
    """What the features of one source may take.

    Attributes:
        limit_bytes: Most bytes; None for no limit.
        days: Days after which a day's features go; None for never.
    """

    limit_bytes: int | None = None
    days: float | None = None


def _read_size(text: str) -> int:
    n_bytes = read_size(text)
    if n_bytes is None or n_bytes < MIN_LIMIT_BYTES:
        raise UsageError(
            f"--features-limit {text}: must be a size of 100MB or more, such as 500MB, 5GB: a day "
            "takes about 50MB"
        )
    return n_bytes
