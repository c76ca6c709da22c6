"""A recording's scores, kept: average and thresholds may change without listening to it again."""

from __future__ import annotations

from collections.abc import Iterator

from streamclf.errors import SourceError
from streamclf.records import Average, Gap, Notice, Result, Scores


class Tape:
    """The scores of a recording's windows, with gaps and notices in their place.

    Each iteration begins at the beginning; behind what is kept it listens on.

    Args:
        results: What an engine finds, as it finds it; its averages and events are left out.

    Attributes:
        error: Why the recording could not be heard to its end.
    """

    def __init__(self, results: Iterator[Result]) -> None:
        self.error: SourceError | None = None
        self._results = results
        self._kept: list[Scores | Gap | Notice] = []

    def __iter__(self) -> Iterator[Scores | Gap | Notice]:
        place = 0
        while place < len(self._kept) or self._listen():
            yield self._kept[place]
            place += 1

    def _listen(self) -> bool:
        """Keep one more; False at the end."""
        try:
            for result in self._results:
                if isinstance(result, Average):
                    self._kept.append(result.scores)
                    return True
                if isinstance(result, Gap | Notice):
                    self._kept.append(result)
                    return True
        except SourceError as error:
            # Raised behind all stages: what judges the tape finishes its work first.
            self.error = error
        return False
