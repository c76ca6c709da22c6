"""Groups of options as the parameters of a Typer command.

`grouped` replaces the parameters of a command that are groups (`streamclf.core.declare_option`) by
one parameter an option, and hands the groups to the command, filled. Nowhere else does a
declaration meet Typer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from keyword import iskeyword
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import typer

from streamclf.core.declare_option import Option, declared_options
from streamclf.dashboard.options import ScreenOptions


@dataclass(frozen=True)
class Fields:
    """Selection of the options of a group that a command has; all others keep their defaults.

    ``settings: Annotated[Settings, Fields(without=("batch_size",))]``

    Attributes:
        only: The options of these fields alone; empty for all.
        without: All options but those of these fields.
        helps: Fields whose options mean something else here, each with its help.
    """

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    helps: tuple[tuple[str, str], ...] = ()

    def choose(self, options: dict[str, Option]) -> dict[str, Option]:
        """Choose among the options of a group.

        Raises:
            ValueError: A field is no option of the group.
        """
        helps = dict(self.helps)
        if unknown := {*self.only, *self.without, *helps} - set(options):
            raise ValueError(f"{', '.join(unknown)}: no option, there are {', '.join(options)}")
        kept = self.only or options.keys() - set(self.without)
        return {
            name: replace(option, help=helps.get(name, option.help))
            for name, option in options.items()
            if name in kept
        }


class Group:
    """A group among the parameters of a command.

    Args:
        kind: The dataclass.
        chosen: What the command has of it. Of a group that is a field of this one it has all.

    Raises:
        ValueError: A field is chosen that is no option.
    """

    def __init__(self, kind: Any, chosen: Fields = Fields()) -> None:
        self._kind: Any = kind
        self._options = chosen.choose(declared_options(kind))
        hints = _read_hints(kind)
        self._inner = {
            each.name: Group(hints[each.name])
            for each in fields(kind)
            if is_dataclass(hints[each.name])
        }

    def parameters(self) -> Iterator[inspect.Parameter]:
        """A parameter an option of the group itself."""
        return (
            _make_parameter(self._kind, name, option.help) for name, option in self._options.items()
        )

    def inner_parameters(self) -> Iterator[inspect.Parameter]:
        """A parameter an option of the groups inside."""
        for inner in self._inner.values():
            yield from inner.parameters()
            yield from inner.inner_parameters()

    def fill(self, given: dict[str, Any]) -> Any:
        """Make the dataclass of its options, which are taken out of what was given.

        Raises:
            UsageError: A value makes no sense.
        """
        values = {name: inner.fill(given) for name, inner in self._inner.items()}
        for name, option in self._options.items():
            value = given.pop(_name_parameter(option))
            if option.negated:
                value = not value
            values[name] = tuple(value or ()) if option.repeated else value
        return self._kind(**values)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the groups among its parameters, in their place."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Group] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind, *notes = get_args(parameter.annotation) or [parameter.annotation]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = group = Group(kind, *notes)
            parameters += group.parameters()
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    # What is inside another group is asked for less often: it stands last in the help.
    for group in groups.values():
        parameters += group.inner_parameters()

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        filled = {name: group.fill(given) for name, group in groups.items()}
        command(**given, **filled)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def with_invocation(screen: ScreenOptions, context: typer.Context) -> ScreenOptions:
    """The same, with what the command line named."""
    given = {name for name in context.params if _is_given(context, name)}
    return replace(screen, given=given)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")


# Several commands have the same groups, and starting takes long enough.
_read_hints = functools.cache(get_type_hints)


@functools.cache
def _make_parameter(group: Any, field: str, text: str) -> inspect.Parameter:
    """The parameter that Typer makes an option of."""
    option, kind = declared_options(group)[field], _read_hints(group)[field]
    default = getattr(group, field)
    kinds = get_args(kind)
    if option.repeated:
        kind, default = list[kinds[0]] | None, None  # type: ignore[valid-type]
    elif option.negated:
        default = not default
    elif len(kinds) > 2 and NoneType in kinds:  # of several kinds, the first is read: Path | str
        kind = kinds[0] | None
    read = typer.Option(
        *option.names,
        metavar=option.metavar,
        help=text,
        rich_help_panel=option.panel or group.panel,
        min=option.minimum,
    )
    return inspect.Parameter(
        _name_parameter(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, read],
    )


def _name_parameter(option: Option) -> str:
    """Typer's name of an option: ``max_gap`` for ``--max-gap``, ``except_`` for ``--except``."""
    name = option.flag.removeprefix("--").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name
