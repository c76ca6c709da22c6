"""Options declared once, beside the value that they set.

A group of options is a frozen dataclass, and `option` declares one of its fields: its default, its
name on the command line (the key in ``streamclf.toml`` and the variable in the environment follow
from that), and its help. The class variable ``panel`` is the section of the help that the options
stand in. The command line fills the group and hands it on, whatever runs takes the same object, and
a program that uses streamclf as a library makes one by itself. A group lives in the lowest room
that uses it; only `streamclf.cli.typer_parameters` knows by which library options are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")
_DECLARED = "option"


@dataclass(frozen=True)
class Option:
    """How people name a field, and what they read of it.

    Attributes:
        names: ``--hop``, and a short form where there is one: ``--model``, ``-m``. A pair such as
            ``--ui/--no-ui`` switches on and off.
        help: What it does, in a sentence or two.
        metavar: What stands for the value in the help: its unit, or its form. None for its type.
        panel: Section of the help, where it is not the group's.
        minimum: The lowest whole number that it takes.
        negated: Whether the field is false where the option is given: ``--no-reconnect``.
        repeated: Whether it may be given several times; the field is a tuple.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None
    panel: str | None
    minimum: int | None
    negated: bool
    repeated: bool

    @property
    def flag(self) -> str:
        """Name in messages: ``--ui`` for ``--ui/--no-ui``."""
        return self.names[0].split("/")[0]


def option(
    default: T,
    *names: str,
    help: str,
    metavar: str | None = None,
    panel: str | None = None,
    minimum: int | None = None,
    negated: bool = False,
) -> T:
    """Declare a field of a group as an option.

    Args:
        default: The field's value where nothing is said; a tuple where the option may be repeated.
        names: As in `Option`, and so are the others.
        help: What it does.
        metavar: What stands for its value.
        panel: Section of the help.
        minimum: The lowest whole number.
        negated: Whether the field is false where the option is given.
    """
    repeated = isinstance(default, tuple)
    declared = Option(names, help, metavar, panel, minimum, negated, repeated)
    return field(default=default, metadata={_DECLARED: declared})


def declared_options(group: type[Any]) -> dict[str, Option]:
    """The options of a group by the fields that they set, in the order of the fields."""
    return {
        each.name: each.metadata[_DECLARED] for each in fields(group) if _DECLARED in each.metadata
    }
