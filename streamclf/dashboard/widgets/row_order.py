"""In which order rows are shown, so that the eye can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PATIENCE_S = 1.0
JUMP_S = 2.0


class SteadyRows:
    """Rows that classes keep while they stay in the top.

    Attributes:
        rows: Index of the class in each row.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []

    def update(self, top: Sequence[int]) -> list[int]:
        """Take the classes to show, the first the most important; those shown keep their rows.

        Args:
            top: Indices, as many as there are rows.
        """
        wanted = set(top)
        arriving = [index for index in top if index not in self.rows]
        # Where rows become fewer, the ones cut off come in again for those that left.
        cut_off = [index for index in self.rows[len(top) :] if index in wanted]
        kept = [index if index in wanted else None for index in self.rows[: len(top)]]
        coming = iter([*cut_off, *arriving])
        rows = [next(coming) if index is None else index for index in kept]
        self.rows = [*rows, *coming]
        return self.rows


class CalmRows:
    """The strongest first, but a row moves only when another has been stronger for a second.

    What is no longer heard leaves its row empty; those below come up as they do past any weaker
    one. What is heard anew takes an empty row, or comes last.

    Attributes:
        rows: Index of the class in each row, -1 for an empty one.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._since: dict[tuple[int, int], float] = {}
        self._time_s = 0.0
        self._n_empty = 0

    def update(self, time_s: float, scores: Mapping[int, float]) -> list[int]:
        """Take the scores of a moment.

        Args:
            time_s: The moment; after a jump the rows are put in order at once.
            scores: Of the classes to show, by index.
        """
        jumped = not 0 <= time_s - self._time_s < JUMP_S
        self._time_s = time_s
        strongest = sorted(scores, key=lambda index: (-scores[index], index))
        if jumped or not any(row >= 0 for row in self.rows):
            self.rows, self._since = strongest, {}
            return self.rows
        self._leave_and_arrive(strongest)
        self._settle(time_s, scores)
        while self.rows and self.rows[-1] < 0:
            self.rows.pop()
        return [max(row, -1) for row in self.rows]

    def _leave_and_arrive(self, strongest: Sequence[int]) -> None:
        # Each empty row has a number of its own below zero, to know how long it has been empty.
        for place, row in enumerate(self.rows):
            if row >= 0 and row not in strongest:
                self._n_empty += 1
                self.rows[place] = -self._n_empty
        empty = [place for place, row in enumerate(self.rows) if row < 0]
        arriving = [index for index in strongest if index not in self.rows]
        for place, index in zip(empty, arriving, strict=False):
            self.rows[place] = index
        self.rows += arriving[len(empty) :]

    def _settle(self, time_s: float, scores: Mapping[int, float]) -> None:
        rows = self.rows
        stronger = {
            (lower, upper)
            for place, lower in enumerate(rows)
            for upper in rows[:place]
            if scores.get(lower, 0.0) > scores.get(upper, 0.0)
        }
        self._since = {pair: self._since.get(pair, time_s) for pair in stronger}
        ripe = {pair for pair, since in self._since.items() if time_s - since >= PATIENCE_S}
        moved = bool(ripe)
        while moved:
            moved = False
            for place in range(len(rows) - 1):
                if (rows[place + 1], rows[place]) in ripe:
                    rows[place], rows[place + 1] = rows[place + 1], rows[place]
                    moved = True
