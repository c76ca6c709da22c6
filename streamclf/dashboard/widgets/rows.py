"""Rows that classes keep while they stay in the top."""

from __future__ import annotations

from collections.abc import Sequence


class SteadyRows:
    """Which class is shown in which row.

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
