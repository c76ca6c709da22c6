"""The form of a file of features: a line of JSON that describes it, then records of one size.

A record is appended whole and is never changed. A process that is killed loses at most the record
that it was writing: what remains of it is shorter than a record, and is cut off by who reads on or
writes on. A record without samples is none: a power cut may leave such at a file's end.

The files lie in one folder for each source, one for each day (UTC) and form of the features::

    heard.features/kitchen-1f0c4a2b/2026-11-26_5d41402abc4b2a76.features
    heard.features/kitchen-1f0c4a2b/2026-11-27_5d41402abc4b2a76.features

A recording has a file of its own, whatever its length.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from streamclf.core.errors import StoreError

SUFFIX = ".features"
FORMAT = 1
MAX_HEADER = 65_536
"""Longest first line in bytes; the longest real one has the path of a recording in it."""
NO_TIME = -(2**63)
"""Time of a record of a recording whose time is unknown."""
MAX_SCORES = 12
"""Most scores of a record, four bytes each: more labels than are heard at once."""
MAX_LABELS = 40_000
"""Most bytes of all labels in a first line; a model with longer ones has no scores kept."""
MAX_STEP = 127
"""Largest step of a value in 8 bits, either way."""
MAX_SCORE_STEP = 65_535
"""Step of a score of 1."""
UNDATED = "undated"
MOST_DRIFT_S = 2.0
"""Difference of a clock and the count of samples from one kept window to the next."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DAY_US = 86_400_000_000
_TIMES = range(-719_000 * _DAY_US, 2_932_000 * _DAY_US)
"""Times that a calendar knows in every zone: of the years 2 to 9997."""


def known_time(time_us: int) -> int | None:
    """Return the time of a record; None if it has none, or one that no calendar knows."""
    return time_us if time_us in _TIMES else None


class FeatureHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a file of features.

    Attributes:
        format: Version of this layout.
        source: Name of the source, as in the store.
        recording: Path of the recording; empty for a live source.
        model: Name on the model's card.
        version: Version on the model's card.
        digest: Hash of all that the features are computed by.
        size: Number of values of a record.
        scale: A value is this times its step.
        sample_rate: In Hz; positions and lengths count samples of it.
        window: Length of a window in samples.
        every_s: Seconds between two records, or more where the hop is longer.
        labels: Labels of the model, which the scores of a record count; empty without scores.
        n_scores: Number of scores of a record: the highest ones.
    """

    format: int = FORMAT
    source: str
    recording: str = ""
    model: str
    version: str
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8,64}$")]
    size: Annotated[int, msgspec.Meta(gt=0, le=65_536)]
    scale: Annotated[float, msgspec.Meta(gt=0, lt=1e30)]
    sample_rate: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    window: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    every_s: Annotated[float, msgspec.Meta(ge=0.01, le=3600)]
    labels: tuple[str, ...] = ()
    n_scores: Annotated[int, msgspec.Meta(ge=0, le=MAX_SCORES)] = 0

    def __post_init__(self) -> None:
        if self.n_scores > len(self.labels):
            raise ValueError(f"it has {self.n_scores} scores of {len(self.labels)} labels")

    @property
    def kind(self) -> str:
        """What tells files of the same features and other labels apart; empty without scores."""
        return _hash("\n".join((str(self.n_scores), *self.labels))) if self.n_scores else ""


def scores_of(labels: Sequence[str]) -> int:
    """Return the number of scores that are kept of a model with these labels."""
    fits = len(labels) < 2**16 and sum(len(label.encode()) + 8 for label in labels) < MAX_LABELS
    return min(MAX_SCORES, len(labels)) if fits else 0


def record_type(size: int, n_scores: int = 0) -> np.dtype[Any]:
    """Return the form of a record.

    ``time_us`` is when the window began, in microseconds UTC, or `NO_TIME`; ``position`` is its
    first sample; ``n_samples`` its length without padding; ``energy`` the sum of the squares of
    its ``values``. ``labels`` are places in the labels of the header, and ``scores`` their scores
    in this window, of 65,535; all other labels had lower ones.

    Args:
        size: Number of values.
        n_scores: Number of scores.
    """
    return np.dtype([
        ("time_us", "<i8"), ("position", "<i8"), ("n_samples", "<u4"), ("energy", "<u4"),
        ("values", "i1", (size,)), ("labels", "<u2", (n_scores,)), ("scores", "<u2", (n_scores,)),
    ])  # fmt: skip


def follows(header: FeatureHeader, last: np.void, first: np.void) -> bool:
    """Whether the first record of a day goes on with what the last one of the day before ended.

    A run that began anew in between may have positions beyond those of the run before. Then they do
    not fit its times.
    """
    n_samples = int(first["position"]) - int(last["position"])
    passed_us = int(first["time_us"]) - int(last["time_us"])
    known = last["time_us"] != NO_TIME and first["time_us"] != NO_TIME
    drift_us = abs(passed_us - n_samples / header.sample_rate * 1e6)
    return bool(known) and n_samples > 0 and drift_us <= MOST_DRIFT_S * 1e6


def write_header(header: FeatureHeader) -> bytes:
    """Write a file's first line."""
    return msgspec.json.encode(header) + b"\n"


def read_header(path: Path) -> tuple[FeatureHeader, int]:
    """Read a file's first line.

    Returns:
        The header, and the place of the first record in bytes.

    Raises:
        StoreError: The file cannot be read, or is no file of features.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_HEADER)
        if not line.endswith(b"\n"):
            raise StoreError(f"{path}: holds no features: its first line is not whole: delete it")
        header = msgspec.json.decode(line, type=FeatureHeader)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"{path}: cannot be read: {reason}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: holds no features that can be read: {error}: delete it"
        ) from error
    if header.format != FORMAT:
        raise StoreError(
            f"{path}: has format {header.format}, this streamclf reads {FORMAT}: install the "
            "version that wrote it, or delete it"
        )
    return header, len(line)


def source_folder(source: str) -> str:
    """Return the name of a source's folder: readable, and different for different sources."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", source.rpartition("/")[2] or source).strip("-").lower()
    return f"{plain[:40] or 'source'}-{_hash(source)}"


def file_name(day: str, digest: str, recording: str = "", kind: str = "") -> str:
    """Return the name of a file of features.

    Args:
        day: ``2026-11-26``, from `day_of`.
        digest: Digest of the features.
        recording: Path of the recording; empty for a live source.
        kind: `FeatureHeader.kind`.
    """
    own = f"_{_hash(recording)}" if recording else ""
    return f"{day}_{digest}{f'-{kind}' if kind else ''}{own}{SUFFIX}"


def digest_in(name: str) -> str:
    """Return the digest in a file's name."""
    return name.removesuffix(SUFFIX).partition("_")[2].partition("_")[0].partition("-")[0]


def day_of(time_us: int) -> str:
    """Return the day (UTC) of a time in microseconds; `UNDATED` where there is none."""
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%d")
    except (OverflowError, ValueError):
        return UNDATED


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
