"""The scores of every window, before averaging: CSV, or NumPy's .npz."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from streamclf.errors import SinkError
from streamclf.records import Average, Result
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.sinks.lines import LineFile, Lines
from streamclf.sinks.tables import csv_line


class ScoresCsvSink(Sink):
    """A row a window: source, onset, offset, then a column a label.

    Args:
        file: Where the lines go.
    """

    def __init__(self, file: Lines) -> None:
        self._file = file
        self._stream: StreamInfo | None = None

    def begin(self, stream: StreamInfo) -> None:
        """Write the header, once."""
        if self._stream is None:
            self._file.write(csv_line(["source", "onset", "offset", *stream.labels]))
        self._stream = stream

    def write(self, result: Result) -> None:
        """Write the newest window's own scores."""
        if isinstance(result, Average) and self._stream is not None:
            place = [self._stream.seconds(result.position), self._stream.seconds(result.end)]
            # 9 digits give a float32 back exactly.
            values = [f"{value:.9g}" for value in result.scores.values]
            self._file.write(csv_line([self._stream.source, *place, *values]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ScoresNpzSink(Sink):
    """Arrays ``scores`` (windows, classes) float32, ``onset``, ``offset`` (windows,) float64,
    ``source`` (windows,) int32 into ``sources``, and ``labels``.

    Rows are kept in temporary files until the end, so that memory stays flat.

    Args:
        path: The .npz file.
        overwrite: Replace a file that is there.
    """  # noqa: D205

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        LineFile(path, overwrite=overwrite).close()  # claims the name now, not hours later
        self._path = path
        # Closed in close(): they live as long as the sink.
        self._scores: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._places: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._sources: list[str] = []
        self._stream: StreamInfo | None = None
        self._closed = False

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream."""
        self._stream = stream
        self._sources.append(stream.source)

    def write(self, result: Result) -> None:
        """Keep the newest window's own scores."""
        if isinstance(result, Average) and self._stream is not None:
            stream = self._stream
            onset, offset = stream.seconds(result.position), stream.seconds(result.end)
            place = np.array([onset, offset, len(self._sources) - 1], dtype=np.float64)
            try:
                self._scores.write(result.scores.values.astype(np.float32).tobytes())
                self._places.write(place.tobytes())
            except OSError as error:
                raise SinkError(f"{self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Write the .npz."""
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
            self._places.close()

    def _arrays(self) -> dict[str, np.ndarray]:
        labels = self._stream.labels if self._stream else []
        places = _array(self._places, np.dtype(np.float64), 3)
        return {
            "scores": _array(self._scores, np.dtype(np.float32), len(labels)),
            "onset": places[:, 0],
            "offset": places[:, 1],
            "source": places[:, 2].astype(np.int32),
            "sources": np.array(self._sources, dtype=np.str_),
            "labels": np.array(labels, dtype=np.str_),
        }


def _array(file: IO[bytes], dtype: np.dtype[np.generic], n_columns: int) -> np.ndarray:
    """Map a file of rows into memory."""
    file.flush()
    if not n_columns or not file.tell():
        return np.zeros((0, n_columns), dtype=dtype)
    return np.memmap(file, dtype=dtype, mode="r").reshape(-1, n_columns)
