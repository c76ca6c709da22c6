"""Order of rows that changes slowly enough for the eye to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SWAP_DELAY_S = 1.0
JUMP_S = 2.0


class SteadyRows:
    """Rows that classes keep while they are among the top ones.

    Attributes:
        rows: Index of the class in each row.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []

    def update(self, top: Sequence[int]) -> list[int]:
        """Set the classes to show; those already shown keep their rows.

        Args:
            top: Indices of the classes, the most important first, as many as there are rows.

        Returns:
            Index of the class in each row.
        """
        wanted = set(top)
        arriving = [index for index in top if index not in self.rows]
        # When the number of rows falls, classes of removed rows take the rows of those that left.
        cut_off = [index for index in self.rows[len(top) :] if index in wanted]
        kept = [index if index in wanted else None for index in self.rows[: len(top)]]
        coming = iter([*cut_off, *arriving])
        rows = [next(coming) if index is None else index for index in kept]
        self.rows = [*rows, *coming]
        return self.rows


class DampedRows:
    """Rows by score, the highest first, in which two rows swap only after a delay of one second.

    For that second, the lower class must have the higher score. A class that is no longer shown
    leaves its row empty, and lower rows move up past it with the same delay. A new class takes an
    empty row, or else the last one.

    Attributes:
        rows: Index of the class in each row, -1 for an empty one.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._since: dict[tuple[int, int], float] = {}
        self._time_s = 0.0
        self._n_empty = 0

    def update(self, time_s: float, scores: Mapping[int, float]) -> list[int]:
        """Update the rows with the scores of a moment.

        Args:
            time_s: The moment, in seconds. After a jump, the rows are sorted at once.
            scores: Scores of the classes to show, by index.

        Returns:
            Index of the class in each row, -1 for an empty one.
        """
        jumped = not 0 <= time_s - self._time_s < JUMP_S
        self._time_s = time_s
        strongest = sorted(scores, key=lambda index: (-scores[index], index))
        if jumped or not any(row >= 0 for row in self.rows):
            self.rows, self._since = strongest, {}
            return self.rows
        self._replace_missing(strongest)
        self._swap_due(time_s, scores)
        while self.rows and self.rows[-1] < 0:
            self.rows.pop()
        return [max(row, -1) for row in self.rows]

    def _replace_missing(self, strongest: Sequence[int]) -> None:
        # Each empty row gets its own negative number, as the delay is counted per pair of rows.
        for place, row in enumerate(self.rows):
            if row >= 0 and row not in strongest:
                self._n_empty += 1
                self.rows[place] = -self._n_empty
        empty = [place for place, row in enumerate(self.rows) if row < 0]
        arriving = [index for index in strongest if index not in self.rows]
        for place, index in zip(empty, arriving, strict=False):
            self.rows[place] = index
        self.rows += arriving[len(empty) :]

    def _swap_due(self, time_s: float, scores: Mapping[int, float]) -> None:
        rows = self.rows
        stronger = {
            (lower, upper)
            for place, lower in enumerate(rows)
            for upper in rows[:place]
            if scores.get(lower, 0.0) > scores.get(upper, 0.0)
        }
        self._since = {pair: self._since.get(pair, time_s) for pair in stronger}
        due = {pair for pair, since in self._since.items() if time_s - since >= SWAP_DELAY_S}
        moved = bool(due)
        while moved:
            moved = False
            for place in range(len(rows) - 1):
                if (rows[place + 1], rows[place]) in due:
                    rows[place], rows[place + 1] = rows[place + 1], rows[place]
                    moved = True
