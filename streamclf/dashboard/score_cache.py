"""Cache of a recording's scores: a new average or threshold needs no second inference."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamclf.core.errors import SourceError
from streamclf.core.records import Average, Gap, Notice, Result, Scores, StreamStarted
from streamclf.dashboard.disk_buffer import DiskBuffer
from streamclf.runs.spool import pack, unpack

_LENGTH = struct.Struct("<I")


class ScoreCache:
    """The scores of a recording's windows, with gaps and notices at their positions.

    Each iteration starts with the first item. It yields the cached items from a temporary file,
    then runs the engine for further ones and caches them.

    Args:
        results: Results of an engine, in order. The cache leaves out averages and events.

    Attributes:
        error: Error that ended the recording early; None if there was none.
    """

    def __init__(self, results: Iterator[StreamStarted | Result]) -> None:
        self.error: SourceError | None = None
        self._results = results
        self._buffer = DiskBuffer()

    def __iter__(self) -> Iterator[Scores | Gap | Notice]:
        offset = 0
        while offset < self._buffer.size or self._fetch():
            (length,) = _LENGTH.unpack(self._buffer.read(offset, _LENGTH.size))
            item: Scores | Gap | Notice = unpack(self._buffer.read(offset + _LENGTH.size, length))
            offset += _LENGTH.size + length
            yield item

    def _fetch(self) -> bool:
        """Cache one more item of the engine; return False at the end."""
        try:
            for result in self._results:
                item = result.scores if isinstance(result, Average) else result
                if isinstance(item, Scores | Gap | Notice):
                    data = pack(item)
                    self._buffer.append(_LENGTH.pack(len(data)) + data)
                    return True
        except SourceError as error:
            # Kept, not raised: the stages that read this cache must finish their work first.
            self.error = error
        return False
