"""Sinks that keep the features of a stream: one vector each half second, whatever the hop.

The highest scores of labels are kept beside it, for which a replay with other thresholds asks.

The half seconds are counted from the stream's start. Of the windows that begin in one of them, the
first is kept, so that a recording and the same audio live keep the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from streamclf.core.errors import SinkError
from streamclf.core.records import Average, Result, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.sinks.base import Sink
from streamclf.store.features.feature_file import append_records, pack_record, to_steps
from streamclf.store.features.layout import (
    NO_TIME,
    FeatureHeader,
    day_of,
    file_name,
    scores_of,
    source_folder,
)
from streamclf.store.features.options import FeatureLimits
from streamclf.store.features.writer import FeatureWriter
from streamclf.store.minutes import to_us
from streamclf.store.recordings import StoredRecording

EVERY_S = 0.5
"""Seconds between two windows whose features are kept."""


class _KeepingSink(Sink):
    """What sinks of live streams and of recordings have in common."""

    def __init__(self) -> None:
        self._stream: StreamStarted | None = None
        self._header: FeatureHeader | None = None
        self._cell: int | None = None
        self._step = 1
        self._n_kept = 0

    @property
    def figures(self) -> Mapping[str, int]:
        """Number of windows whose features were kept."""
        return {"features_kept": self._n_kept}

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream, and the form of its features."""
        self._stream, self._cell, self._header = stream, None, None
        self._step = max(1, round(EVERY_S * stream.sample_rate))
        given = stream.features
        if given is None:
            return
        source, recording = self._name(stream)
        n_scores = 0 if stream.task == "regression" else scores_of(stream.labels)
        self._header = FeatureHeader(
            source=source,
            recording=recording,
            model=stream.model.name if stream.model else "",
            version=stream.model.version if stream.model else "",
            digest=given.digest,
            size=given.size,
            scale=given.scale,
            sample_rate=stream.sample_rate,
            window=given.window,
            every_s=EVERY_S,
            labels=tuple(stream.labels) if n_scores else (),
            n_scores=n_scores,
        )

    def write(self, result: Result) -> None:
        """Keep the features of a window, if it is the first of its half second.

        Raises:
            SinkError: They cannot be written, in a run that is not live.
        """
        if not isinstance(result, Average) or self._header is None:
            return
        scores = result.scores
        if scores.features is None:
            return
        cell = scores.position // self._step
        if cell == self._cell:
            return
        self._cell = cell
        assert self._stream is not None
        time_us, _ = to_us(self._stream.moment(scores.position))
        moment_us = NO_TIME if time_us is None else time_us
        values = to_steps(scores.features, self._header.scale)
        record = pack_record(
            moment_us,
            scores.position,
            scores.n_samples,
            values,
            scores.values,
            self._header.n_scores,
        )
        self._n_kept += self._keep(moment_us, self._header, record)

    @abstractmethod
    def _name(self, stream: StreamStarted) -> tuple[str, str]:
        """Name the source, and the recording if it is one."""

    @abstractmethod
    def _keep(self, time_us: int, header: FeatureHeader, record: bytes) -> bool:
        """Keep a record; returns whether there was room."""


class LiveFeatureSink(_KeepingSink):
    """Sink of a live source, which never waits.

    Args:
        folder: Folder of all features.
        source: Name of the source.
        writer: Writes them; it stays open.
        limits: What the features of this source may take.
    """

    def __init__(
        self, folder: Path, source: str, writer: FeatureWriter, limits: FeatureLimits
    ) -> None:
        super().__init__()
        self._folder = folder / source_folder(source)
        self._source, self._writer = source, writer
        writer.look_after(self._folder, limits)

    def _name(self, stream: StreamStarted) -> tuple[str, str]:
        return self._source, ""

    def _keep(self, time_us: int, header: FeatureHeader, record: bytes) -> bool:
        path = self._folder / file_name(day_of(time_us), header.digest, kind=header.kind)
        return self._writer.put(path, header, record)

    def close(self) -> None:
        """Nothing to release: the writer has all."""


class RecordingFeatureSink(_KeepingSink):
    """Sink of one recording, whose file takes its name when the recording has ended.

    Args:
        folder: Folder of all features.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._path: Path | None = None
        self._waiting: list[bytes] = []

    def _name(self, stream: StreamStarted) -> tuple[str, str]:
        try:
            known = StoredRecording.of(Path(stream.source))
        except (OSError, ValueError):  # it has gone since, or has a name that is no path
            return stream.source, stream.source
        return known.source, known.path

    def _keep(self, time_us: int, header: FeatureHeader, record: bytes) -> bool:
        if self._path is None:
            begun = self._stream.moment(0) if self._stream else None
            begun_us, _ = to_us(begun)
            day = day_of(NO_TIME if begun_us is None else begun_us)
            self._path = (
                self._folder
                / source_folder(header.source)
                / file_name(day, header.digest, header.recording, header.kind)
            )
            with suppress(OSError):
                self._partial.unlink()
        self._waiting.append(record)
        if len(self._waiting) >= _AT_ONCE:
            self._flush()
        return True

    @property
    def _partial(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f"{self._path.name}.part")

    def _flush(self) -> None:
        if self._header is None or not self._waiting or self._path is None:
            return
        try:
            append_records(self._partial, self._header, b"".join(self._waiting))
        except OSError as error:
            raise SinkError(_describe(self._path, error)) from error
        self._waiting = []

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write the last records, and give the file its name.

        A recording that was not heard to its end does not replace what is there.

        Raises:
            SinkError: They cannot be written.
        """
        self._flush()
        if self._path is None:
            return
        try:
            if whole or not self._path.exists():
                self._partial.replace(self._path)
            else:
                self._partial.unlink()
        except OSError as error:
            raise SinkError(_describe(self._path, error)) from error
        self._path = None

    def close(self) -> None:
        """Nothing to release."""


_AT_ONCE = 1000
"""Records of a recording that are written together."""


def _describe(path: Path, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    folder = path.parents[1]
    return f"--features {folder}: cannot be written: {reason}; make room, or name another folder"
