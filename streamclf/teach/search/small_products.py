"""Products of matrices in tiles that are computed in the thread that asks.

OpenBLAS, which numpy's wheels bring, shares a product of more than `MOST` multiplications among
threads of its own. They wait for one another at each product, and on a machine that does other work
that takes ten times as long as the product does. A search shares its work among threads itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MOST = 2**18
"""Multiplications of one tile, the most that OpenBLAS leaves to one thread."""
WIDTHS = (4, 8, 16)
"""Columns of one tile. One alone would be a product with a vector, which has another limit."""
AT_ONCE = 1024
"""Rows that lie in a processor's cache while all columns go by."""

BESIDE = 256
"""Rows whose products are summed at once in `squares`."""


def width_of(n_columns: int) -> int:
    """Return the width of the tiles of a product."""
    return next((width for width in WIDTHS if width >= n_columns), WIDTHS[-1])


def pad(n_columns: int) -> int:
    """Return the number of columns that whole tiles have."""
    width = width_of(n_columns)
    return -(-n_columns // width) * width


def multiply(left: Array, right: Array, out: Array | None = None) -> Array:
    """Return the product of ``(rows, inner)`` and ``(inner, columns)``.

    Args:
        left: The rows, one behind the other in memory.
        right: The columns.
        out: ``(rows, columns)`` to write into, with `pad` columns.
    """
    n_inner, n_columns = right.shape
    width, n_padded = width_of(n_columns), pad(n_columns)
    wide = np.zeros((n_inner, n_padded), np.float32)
    wide[:, :n_columns] = right
    if out is None:
        out = np.empty((len(left), n_padded), np.float32)
    n_rows = max(1, MOST // (width * n_inner))
    at_once = max(n_rows, AT_ONCE - AT_ONCE % n_rows)
    slices = [slice(start, start + width) for start in range(0, n_padded, width)]
    tiles = [(columns, np.ascontiguousarray(wide[:, columns])) for columns in slices]
    for start in range(0, len(left), at_once):
        rows, into = (each[start : start + at_once] for each in (left, out))
        n_whole = len(rows) - len(rows) % n_rows
        stacked = rows[:n_whole].reshape(-1, n_rows, n_inner)
        stacked_into = into[:n_whole].reshape(-1, n_rows, n_padded)
        for columns, tile in tiles:
            np.matmul(stacked, tile, out=stacked_into[:, :, columns])
            np.matmul(rows[n_whole:], tile, out=into[n_whole:, columns])
    return out[:, :n_columns]


def squares(rows: Array) -> npt.NDArray[np.float64]:
    """Return the product of the transpose of ``(rows, size)`` with itself, ``(size, size)``."""
    size = rows.shape[1]
    total = np.zeros((size, size))
    for start in range(0, len(rows), BESIDE):
        block = rows[start : start + BESIDE]
        total += multiply(np.ascontiguousarray(block.T), block)
    return total
