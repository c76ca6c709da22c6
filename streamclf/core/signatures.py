"""Signatures as `help` should show them: ``path: Path``, not ``path: 'Path'``.

Annotations here are not evaluated (``from __future__ import annotations``), so Python keeps them as
text and shows them in quotes. Evaluated they would be long: ``numpy.ndarray[tuple[typing.Any, ...``
in place of ``Waveform``.
"""

from __future__ import annotations

from types import FunctionType
from typing import TypeVar

T = TypeVar("T")


class _Plain(str):
    """Text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def show_plainly(item: T) -> T:
    """Show the annotations of a function, or of a class's own functions, without quotes."""
    inside = list(vars(item).values()) if isinstance(item, type) else []
    for function in [item, *inside]:
        function = getattr(function, "__func__", function)  # of class and static methods
        if isinstance(function, FunctionType):
            for name, text in function.__annotations__.items():
                if type(text) is str:
                    function.__annotations__[name] = _Plain(text)
    return item
