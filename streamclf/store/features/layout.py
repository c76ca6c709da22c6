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
MAX_STEP = 127
"""Largest step of a value in 8 bits, either way."""
UNDATED = "undated"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def record_type(size: int) -> np.dtype[Any]:
    """Return the form of a record.

    ``time_us`` is when the window began, in microseconds UTC, or `NO_TIME`; ``position`` is its
    first sample; ``n_samples`` its length without padding; ``energy`` the sum of the squares of
    its ``values``.

    Args:
        size: Number of values.
    """
    return np.dtype([
        ("time_us", "<i8"), ("position", "<i8"), ("n_samples", "<u4"), ("energy", "<u4"),
        ("values", "i1", (size,)),
    ])  # fmt: skip


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


def file_name(day: str, digest: str, recording: str = "") -> str:
    """Return the name of a file of features.

    Args:
        day: ``2026-11-26``, from `day_of`.
        digest: Digest of the features.
        recording: Path of the recording; empty for a live source.
    """
    own = f"_{_hash(recording)}" if recording else ""
    return f"{day}_{digest}{own}{SUFFIX}"


def day_of(time_us: int) -> str:
    """Return the day (UTC) of a time in microseconds; `UNDATED` where there is none."""
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%d")
    except (OverflowError, ValueError):
        return UNDATED


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
