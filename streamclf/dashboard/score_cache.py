"""A recording's scores, kept: average and thresholds may change without listening to it again."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamclf.core.errors import SourceError
from streamclf.core.records import Average, Gap, Notice, Result, Scores, StreamStarted
from streamclf.dashboard.disk_list import Filed
from streamclf.runs.spool import pack, unpack

_LENGTH = struct.Struct("<I")


class Tape:
    """The scores of a recording's windows, with gaps and notices in their place.

    Each iteration begins at the beginning; behind what is kept it listens on. What is kept lies
    in a temporary file.

    Args:
        results: What an engine finds, as it finds it; its averages and events are left out.

    Attributes:
        error: Why the recording could not be heard to its end.
    """

    def __init__(self, results: Iterator[StreamStarted | Result]) -> None:
        self.error: SourceError | None = None
        self._results = results
        self._filed = Filed()

    def __iter__(self) -> Iterator[Scores | Gap | Notice]:
        place = 0
        while place < self._filed.size or self._listen():
            (length,) = _LENGTH.unpack(self._filed.read(place, _LENGTH.size))
            item: Scores | Gap | Notice = unpack(self._filed.read(place + _LENGTH.size, length))
            place += _LENGTH.size + length
            yield item

    def _listen(self) -> bool:
        """Keep one more; False at the end."""
        try:
            for result in self._results:
                item = result.scores if isinstance(result, Average) else result
                if isinstance(item, Scores | Gap | Notice):
                    data = pack(item)
                    self._filed.append(_LENGTH.pack(len(data)) + data)
                    return True
        except SourceError as error:
            # Raised behind all stages: what judges the tape finishes its work first.
            self.error = error
        return False
