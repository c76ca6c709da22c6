"""Scores of every window before averaging, as CSV or NumPy's .npz."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.records import Average, Result, StreamStarted
from streamclf.sinks.base import Sink
from streamclf.sinks.csv_cells import csv_line
from streamclf.sinks.lines import LineFile, LineSink
from streamclf.sinks.output_files import is_special


class ScoresCsvSink(LineSink):
    """CSV table with a row for each window: source, onset, offset, then a column for each label.

    Args:
        file: Destination of the lines.
    """

    def begin(self, stream: StreamStarted) -> None:
        """Write the header, once."""
        if self._stream is None:
            self._file.write_header(csv_line(["source", "onset", "offset", *stream.labels]))
        super().begin(stream)

    def write(self, result: Result) -> None:
        """Write the newest window's own scores."""
        if isinstance(result, Average) and self._stream is not None:
            place = [self._stream.seconds(result.position), self._stream.seconds(result.end)]
            # 9 digits represent a float32 exactly.
            values = [f"{value:.9g}" for value in result.scores.values]
            self._file.write(csv_line([self._stream.source, *place, *values]))


class ScoresNpzSink(Sink):
    """NumPy archive with the scores of all windows.

    Its arrays are ``scores`` (windows, classes) float32; ``onset`` and ``offset`` (windows,)
    float64 in seconds; ``source`` (windows,) int32, the index into ``sources``; and ``labels``.
    Rows lie in temporary files until the end, so that memory stays flat.

    Args:
        path: The .npz file.
        overwrite: Replace an existing file.
        report: Called with one line when rows are lost because the disk is full, and when writing
            succeeds again, in a live run. With None such a failure raises an error.

    Raises:
        UsageError: The file exists and may not be replaced, or is a device or pipe.
        SinkError: The file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        if is_special(path):
            raise UsageError(
                f"--scores {path}: is no file, and .npz is written whole at the end: take .csv"
            )
        LineFile(path, overwrite=overwrite).close()  # claims the name now, not hours later
        self._path = path
        self._report = report
        self._n_rows = self._n_lost = 0
        self._failing = False
        # close() closes them.
        self._scores: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._positions: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._sources: list[str] = []
        self._stream: StreamStarted | None = None
        self._closed = False

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream and its name."""
        self._stream = stream
        self._sources.append(stream.source)

    def write(self, result: Result) -> None:
        """Keep the newest window's own scores."""
        if isinstance(result, Average) and self._stream is not None:
            stream = self._stream
            onset, offset = stream.seconds(result.position), stream.seconds(result.end)
            place = np.array([onset, offset, len(self._sources) - 1], dtype=np.float64)
            self._append_row(result.scores.values.astype(np.float32).tobytes(), place.tobytes())

    def _append_row(self, scores: bytes, place: bytes) -> None:
        """Append a row to both files, or to neither."""
        try:
            for file, row in [(self._scores, scores), (self._positions, place)]:
                file.seek(self._n_rows * len(row))
                file.write(row)
                if self._report is not None:
                    file.flush()  # a full disk is then noticed at the row that does not fit
        except OSError as error:
            self._count_loss(error)
        else:
            self._n_rows += 1
            if self._failing and self._report is not None:
                self._report(f"{self._path}: is written again, {self._n_lost} rows were lost")
            self._failing = False

    def _count_loss(self, error: OSError) -> None:
        reason = f"{self._path}: cannot be written: {error.strerror}"
        if self._report is None:
            raise SinkError(reason) from error
        if not self._failing:
            self._report(f"warning: {reason}; rows are lost until there is room")
        self._failing = True
        self._n_lost += 1

    @property
    def n_lost(self) -> int:
        """Number of rows that are lost."""
        return self._n_lost

    def close(self) -> None:
        """Write the .npz file. Safe to call twice.

        Raises:
            SinkError: The file cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            arrays = self._arrays()
            with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        except OSError as error:
            raise SinkError(f"{self._path}: cannot be written: {error.strerror}") from error
        finally:
            self._scores.close()
            self._positions.close()

    def _arrays(self) -> dict[str, np.ndarray]:
        labels = self._stream.labels if self._stream else []
        places = _array(self._positions, np.dtype(np.float64), self._n_rows, 3)
        return {
            "scores": _array(self._scores, np.dtype(np.float32), self._n_rows, len(labels)),
            "onset": places[:, 0],
            "offset": places[:, 1],
            "source": places[:, 2].astype(np.int32),
            "sources": np.array(self._sources, dtype=np.str_),
            "labels": np.array(labels, dtype=np.str_),
        }


def _array(file: IO[bytes], dtype: np.dtype[np.generic], n_rows: int, n_columns: int) -> np.ndarray:
    """Map a file of rows into memory."""
    if not n_columns or not n_rows:
        return np.zeros((0, n_columns), dtype=dtype)
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r", shape=(n_rows, n_columns))
