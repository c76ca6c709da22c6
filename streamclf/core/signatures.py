"""Readable signatures in `help`: ``path: Path`` in place of ``path: 'Path'``.

The code uses ``from __future__ import annotations``, so Python keeps annotations as text and shows
them in quotes. Evaluating them would make them long: ``numpy.ndarray[tuple[typing.Any, ...`` in
place of ``Waveform``.
"""

from __future__ import annotations

from types import FunctionType
from typing import TypeVar

T = TypeVar("T")


class _Unquoted(str):
    """String whose ``repr`` has no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def unquote_annotations(item: T) -> T:
    """Remove the quotes from the shown annotations of a function, or of a class's functions."""
    inside = list(vars(item).values()) if isinstance(item, type) else []
    for function in [item, *inside]:
        function = getattr(function, "__func__", function)  # of class and static methods
        if isinstance(function, FunctionType):
            for name, text in function.__annotations__.items():
                if type(text) is str:
                    function.__annotations__[name] = _Unquoted(text)
    return item
