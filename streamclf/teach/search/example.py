"""What is looked for: the sound in a recording, or an event whose features were kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from streamclf.core.records import Average
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from streamclf.store.features.feature_store import FeatureFile, FeatureStore
from streamclf.store.listing import StoredEvent
from streamclf.teach.clip_audio import read_clip
from streamclf.teach.search.moments import Stretch
from streamclf.teach.trimming import trim

Array = npt.NDArray[np.float32]

MOST_WINDOWS = 15
"""Most windows of an example; of a longer one, windows that lie evenly in it."""
HOP_S = 0.5


@dataclass(frozen=True, eq=False)
class Example:
    """A sound that is looked for.

    Attributes:
        features: ``(windows, size)`` float32, at least one window.
        digest: Digest of the features.
        model: Name and version of the model that they are of.
        stretch: Where the sound lies in what is searched; None if it does not.
    """

    features: Array
    digest: str
    model: str
    stretch: Stretch | None = None


def hear_example(path: Path, classifier: Classifier) -> Example:
    """Hear the sound of a recording, without the quiet at its ends.

    Args:
        path: The recording.
        classifier: A classifier that gives features.

    Raises:
        SourceError: The recording cannot be read.
        UsageError: It is silent, or long.
    """
    card, given = classifier.card, classifier.features
    assert given is not None
    sound = trim(read_clip(path, card.sample_rate), card.sample_rate)
    source = ArraySource(sound, card.sample_rate, name=str(path))
    engine = Engine(classifier, Settings(HOP_S, average_s=0.0))
    heard = [item.scores.features for item in engine.run(source) if isinstance(item, Average)]
    windows = [features for features in heard if features is not None]
    if not windows:
        raise UsageError(f"--like {path}: is silent: name a recording that holds the sound")
    return Example(_thin(np.stack(windows)), given.digest, f"{card.name} {card.version}")


def recall_event(kept: FeatureStore, event: StoredEvent) -> Example | None:
    """Take the features of an event from what was kept.

    Args:
        kept: The features.
        event: The event.

    Returns:
        The example; None if no features of that time are kept.
    """
    found: list[tuple[FeatureFile, npt.NDArray[np.int64]]] = []
    for file in _files_of(kept, event):
        if len(places := _windows_of(file, event)):
            found.append((file, places))
    if not found:
        return None
    digest = found[-1][0].header.digest  # of models that heard it at different times the newest
    files = [(file, places) for file, places in found if file.header.digest == digest]
    header = files[0][0].header
    features = np.concatenate(
        [
            file.records["values"][places].astype(np.float32) * np.float32(header.scale)
            for file, places in files
        ]
    )
    return Example(_thin(features), digest, f"{header.model} {header.version}", _stretch_of(event))


def _files_of(kept: FeatureStore, event: StoredEvent) -> list[FeatureFile]:
    if event.recording is not None:
        files = kept.files(event.source)
        return [file for file in files if file.header.recording == event.recording]
    if event.onset_us is None:
        return []
    end_us = event.offset_us or event.onset_us + 1
    margin_us = 10_000_000
    files = kept.files(event.source, event.onset_us - margin_us, end_us + margin_us)
    return [file for file in files if not file.header.recording]


def _windows_of(file: FeatureFile, event: StoredEvent) -> npt.NDArray[np.int64]:
    """Return the places of the windows that hold at least half of an event, or of themselves."""
    records, rate = file.records, file.header.sample_rate
    lengths = records["n_samples"].astype(np.float64) / rate
    if event.recording is not None:
        begins = records["position"] / rate
        onset, offset = event.onset_s, event.offset_s
    else:
        assert event.onset_us is not None
        begins = (records["time_us"] - event.onset_us) / 1e6
        onset = 0.0
        offset = None if event.offset_us is None else (event.offset_us - event.onset_us) / 1e6
    offset = onset + 1.0 if offset is None else max(offset, onset + 1e-3)
    common = np.minimum(begins + lengths, offset) - np.maximum(begins, onset)
    part = common / np.minimum(lengths, offset - onset)
    if not len(part) or part.max() <= 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(part >= min(0.5, float(part.max())))


def _stretch_of(event: StoredEvent) -> Stretch:
    if event.recording is not None or event.onset_us is None:
        return Stretch(event.stream, event.onset, event.offset or event.onset + 1)
    return Stretch(event.stream, event.onset_us, event.offset_us or event.onset_us + 1)


def _thin(features: Array) -> Array:
    places = np.linspace(0, len(features) - 1, min(len(features), MOST_WINDOWS)).round()
    return np.asarray(features[np.unique(places.astype(int))])
