"""Features that are made up: a background that varies, and sounds that lie in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
from stores import us_of

from streamclf.store.features.feature_file import append_records, pack_record, to_steps
from streamclf.store.features.layout import (
    NO_TIME,
    FeatureHeader,
    day_of,
    file_name,
    source_folder,
)

SIZE, RATE, WINDOW = 32, 16_000, 24_000
DIGEST = "00112233445566aa"


def sound_of(kind: str) -> np.ndarray:
    """The direction of a kind of sound, ``(SIZE,)``."""
    seed = int.from_bytes(kind.encode(), "little") % 2**32
    return np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)


def keep_features(
    folder: Path,
    source: str,
    begun: datetime | None,
    seconds: float,
    sounds: Iterable[tuple[str, float, float]] = (),
    *,
    recording: str = "",
    digest: str = DIGEST,
    gap_s: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Keep the features of some seconds of a source.

    Args:
        folder: Folder of the features.
        source: Name of the source.
        begun: When the first sample sounded; None where nothing tells the time.
        seconds: Length of what was heard.
        sounds: Kind, begin and end in seconds of each sound in it.
        recording: Path of the recording; empty for a live source.
        digest: Digest of the features.
        gap_s: Begin and end of a gap, in seconds.
    """
    header = FeatureHeader(
        source=source, recording=recording, model="made", version="1", digest=digest, size=SIZE,
        scale=0.05, sample_rate=RATE, window=WINDOW, every_s=0.5,
    )  # fmt: skip
    random = np.random.default_rng(7)
    common = random.standard_normal(SIZE) * 2  # what all of the place have in common
    begins_s = np.arange(int(2 * (seconds - 1.5)) + 1) / 2
    values = common + 0.3 * random.standard_normal((len(begins_s), SIZE))
    for kind, onset_s, end_s in sounds:
        near = slice(max(0, int(2 * onset_s) - 4), int(2 * end_s) + 1)
        begins = begins_s[near]
        held = np.minimum(begins + 1.5, end_s) - np.maximum(begins, onset_s)
        values[near] += np.maximum(held, 0)[:, np.newaxis] / 1.5 * sound_of(kind)
    steps = to_steps(values, 0.05)
    records = defaultdict(list)
    begun_day = day_of(NO_TIME if begun is None else us_of(begun, 0.0)[0])
    for begin_s, row in zip(begins_s.tolist(), steps, strict=True):
        if gap_s[0] - 1.5 < begin_s < gap_s[1]:
            continue
        time_us = NO_TIME if begun is None else us_of(begun, begin_s)[0]
        day = begun_day if recording else day_of(time_us)
        records[day].append(pack_record(time_us, round(begin_s * RATE), WINDOW, row))
    for day, rows in records.items():
        path = folder / source_folder(source) / file_name(day, digest, recording)
        append_records(path, header, b"".join(rows))
