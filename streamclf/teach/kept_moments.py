"""Moments of the past as examples: by the features that were kept, without any audio.

A moment has a name that says where it lies: ``hall@2026-11-24T17:03:07.500Z+2.0s``, or seconds from
the begin of a recording of which nothing tells the time: ``frogs.wav@312.5s+2.0s``. Commands and
the page list such names, and take them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from streamclf.store.features.feature_store import FeatureFile, FeatureStore
from streamclf.store.features.layout import NO_TIME
from streamclf.teach.backtest import PastEvent
from streamclf.teach.examples import MIN_PART, Example, Passage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGIN_US = 10_000_000
_NAME = re.compile(
    r"(?P<source>.+)@(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)|(?P<onset>\d{1,9}\.\d{1,3})s)"
    r"\+(?P<length>\d{1,5}\.\d{1,3})s",
    re.ASCII | re.DOTALL,
)


@dataclass(frozen=True)
class KeptMoment:
    """A stretch of a stream whose features may be kept.

    Attributes:
        source: Name of the source; of a recording its path.
        onset_us: Begin in microseconds UTC; None where nothing tells the time.
        onset_s: Begin in seconds from the start of the stream; used where there is no time.
        length_s: Its length in seconds.
    """

    source: str
    onset_us: int | None
    onset_s: float
    length_s: float

    @property
    def name(self) -> str:
        """The name by which it is found again."""
        where = f"{self.onset_s:.1f}s"
        if self.onset_us is not None:
            with suppress(OverflowError):  # a time that no calendar knows
                time = _EPOCH + timedelta(microseconds=self.onset_us)
                where = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"
        return f"{self.source}@{where}+{self.length_s:.1f}s"

    def meets(self, other: KeptMoment) -> bool:
        """Whether both are of the same sound: they have at least half of the shorter in common."""
        if self.source != other.source or (self.onset_us is None) != (other.onset_us is None):
            return False
        begin, their_begin = self.onset_s, other.onset_s
        if self.onset_us is not None and other.onset_us is not None:
            begin, their_begin = 0.0, (other.onset_us - self.onset_us) / 1e6
        ends = begin + self.length_s, their_begin + other.length_s
        common = min(ends) - max(begin, their_begin)
        return common >= 0.5 * min(self.length_s, other.length_s)


def moment_of(event: PastEvent) -> KeptMoment:
    """Return the moment of an event that would have been."""
    length_s = max(event.offset_s - event.onset_s, 0.1)
    return KeptMoment(event.source, event.onset_us, event.onset_s, length_s)


def parse_moment(name: str) -> KeptMoment | None:
    """Read the name of a moment; None if it is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    onset_us = None
    if match["time"] is not None:
        try:
            time = datetime.strptime(match["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        except ValueError:
            return None
        onset_us = round((time - _EPOCH) / timedelta(microseconds=1))
    return KeptMoment(
        match["source"], onset_us, float(match["onset"] or 0.0), float(match["length"])
    )


def recall_moment(
    kept: FeatureStore, digest: str, moment: KeptMoment, n_labels: int
) -> Example | None:
    """Take a moment's features from what was kept.

    It is heard as it was, so it is its own scene.

    Args:
        kept: The features.
        digest: Digest of the model's features.
        moment: The moment.
        n_labels: Number of labels of the model, whose scores in it count as unknown.

    Returns:
        The example; None if nothing of it is kept any more.
    """
    windows = [
        file.records["values"][places].astype(np.float32) * np.float32(file.header.scale)
        for file in _files_of(kept, digest, moment)
        if len(places := _places(file, moment))
    ]
    if not windows:
        return None
    features = np.concatenate(windows)
    passage = Passage(
        features,
        np.zeros((len(features), n_labels), np.float32),
        np.ones(len(features)),
        moment.length_s,
    )
    return Example(moment.name, passage, (passage,))


def recall_moments(
    kept: FeatureStore, digest: str, moments: Sequence[KeptMoment], n_labels: int
) -> list[Example]:
    """Take the features of moments that are still kept; the others are left out."""
    found = (recall_moment(kept, digest, each, n_labels) for each in moments)
    return [each for each in found if each is not None]


def find_moment(kept: FeatureStore, digest: str, moment: KeptMoment, n_labels: int) -> Example:
    """Take a moment's features from what was kept.

    Raises:
        UsageError: Nothing of it is kept by this model.
    """
    example = recall_moment(kept, digest, moment, n_labels)
    if example is None:
        raise UsageError(
            f"{moment.name}: no features of that moment are kept by this model in {kept.folder}: "
            "name one that teach or backtest listed, or a recording"
        )
    return example


def _files_of(kept: FeatureStore, digest: str, moment: KeptMoment) -> list[FeatureFile]:
    since = until = None
    if moment.onset_us is not None:
        since = moment.onset_us - _MARGIN_US
        until = moment.onset_us + round(moment.length_s * 1e6) + _MARGIN_US
    files = kept.files(None, since, until, digest)
    return [
        file for file in files if (file.header.recording or file.header.source) == moment.source
    ]


def _places(file: FeatureFile, moment: KeptMoment) -> npt.NDArray[np.int64]:
    """Return the places of the windows that hold at least half of it, or of themselves."""
    records: npt.NDArray[Any] = file.records
    rate = file.header.sample_rate
    lengths = records["n_samples"] / rate
    if moment.onset_us is None:
        begins = records["position"] / rate - moment.onset_s
    else:
        times = records["time_us"]
        # Far away where there is none; subtracted as floats, which do not overflow.
        begins = np.where(times == NO_TIME, -1e12, (times - float(moment.onset_us)) / 1e6)
    common = np.minimum(begins + lengths, moment.length_s) - np.maximum(begins, 0.0)
    part = common / np.minimum(lengths, moment.length_s)
    if not len(part) or part.max() <= 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(part >= min(MIN_PART, float(part.max())))
