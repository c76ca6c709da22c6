"""Writing of a file of features, record by record."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import StoreError
from streamclf.store.features.layout import (
    MAX_SCORE_STEP,
    MAX_STEP,
    FeatureHeader,
    read_header,
    record_type,
    write_header,
)

if sys.platform != "win32":
    import fcntl


def to_steps(features: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.int8]:
    """Round features to 8 bits, of the same shape."""
    steps = np.rint(features / np.float32(scale))
    return np.asarray(np.clip(steps, -MAX_STEP, MAX_STEP), dtype=np.int8)


def pack_record(
    time_us: int,
    position: int,
    n_samples: int,
    values: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float32] | None = None,
    n_scores: int = 0,
) -> bytes:
    """Write one record.

    Args:
        time_us: Begin of the window in microseconds UTC, or `NO_TIME`.
        position: Its first sample.
        n_samples: Its length without padding.
        values: ``(size,)``.
        scores: ``(classes,)`` in 0..1, of which the highest are written.
        n_scores: How many.
    """
    record = np.zeros(1, record_type(values.size, n_scores))
    energy = int(np.square(values.astype(np.int64)).sum())
    highest = np.zeros(0, np.int64)
    steps = np.zeros(0, np.uint16)
    if scores is not None and n_scores:
        highest = np.argsort(-scores, kind="stable")[:n_scores]
        steps = np.rint(scores[highest].clip(0, 1) * MAX_SCORE_STEP).astype(np.uint16)
    record[0] = (time_us, position, n_samples, energy, values, highest, steps)
    return record.tobytes()


def append_records(path: Path, header: FeatureHeader, records: bytes) -> None:
    """Append whole records to a file, which is begun if it is not there.

    What a kill left of a record at the file's end is cut off first. A file that cannot be read is
    put aside. Whoever else writes into the file waits meanwhile: two that listen to one source
    would take what the other is writing for what a kill left.

    Raises:
        OSError: It cannot be written.
    """
    size = record_type(header.size, header.n_scores).itemsize
    path.parent.mkdir(parents=True, exist_ok=True)
    # Appending, so that two writers of one source mix whole records.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o600)
    try:
        _lock(descriptor)
        length = os.fstat(descriptor).st_size
        if length:
            try:
                _, first = read_header(path)
            except StoreError:
                os.close(descriptor)
                descriptor = -1
                path.replace(path.with_name(f"{path.name}.damaged"))
                append_records(path, header, records)
                return
            if rest := (length - first) % size:
                length -= rest
                os.ftruncate(descriptor, length)
        else:
            records = write_header(header) + records
        if os.write(descriptor, records) < len(records):
            os.ftruncate(descriptor, length)  # whole or not at all, as it is written again
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed, where the system and its disk can."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


_BINARY = getattr(os, "O_BINARY", 0)
