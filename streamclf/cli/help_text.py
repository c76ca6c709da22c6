"""Help that teaches: options in groups, and examples behind them.

Plain text of our own: of 80 columns rich's panels need too many for their frames, and a pipe has no
use for them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from streamclf.cli.typer_parameters import Group
from streamclf.core import log
from streamclf.core.errors import UsageError

PANELS = (
    "Arguments", "Search", "Teaching", "Past", "Calibrator", "Workers", "Source", "Model", "Events",
    "Output", "Screen", "Page", "Logging", "Other",
)  # fmt: skip
"""The order of the groups."""
_RANGE = re.compile(r";? x>=\d+(?=\])|  \[x>=\d+\]")
"""Typer's note about a lowest value; the error message names the value instead."""
_COLUMN = 26
"""The longest option that has its help in the same line."""

_NO_CHOICE = re.compile(r"['\"](.*)['\"] is not one of ", re.DOTALL)
"""How Typer begins the message about a value that is none of the choices."""


def choices_of(parameter: Any) -> tuple[str, ...]:
    """The texts that an option may be; none where it may be any."""
    return tuple(map(str, getattr(getattr(parameter, "type", None), "choices", ())))


def join_choices(choices: Sequence[str]) -> str:
    """Join choices for a message; one with a single choice may also be left out."""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else f"{last}, or left out"


def _write_epilog(command: TyperCommand | TyperGroup, formatter: Any) -> None:
    """Write examples as they are: click would fill them up to paragraphs."""
    if command.epilog:
        formatter.write_paragraph()
        formatter.write(inspect.cleandoc(command.epilog) + "\n")


class HelpfulCommand(TyperCommand):
    """A command that shows its options in groups, and examples as they are typed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; of one that has choices, say what it may be.

        Raises:
            UsageError: A value is none of the choices.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            choices, said = choices_of(error.param), _NO_CHOICE.match(error.message)
            if not choices or said is None or error.param is None:
                raise
            flag = error.param.opts[0]
            raise UsageError(f"{flag} {said[1]}: must be {join_choices(choices)}") from error

    def invoke(self, ctx: Any) -> Any:
        """Run it, after what comes before every command."""
        self.begin(ctx)
        return super().invoke(ctx)

    def begin(self, ctx: Any) -> None:
        """Let the log speak as it is asked to, before anything is told."""
        if "log_level" in ctx.params:
            log.set_up(Group(log.LogOptions).fill(dict(ctx.params)))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name the arguments as the help does: ``PATH...``, not ``{PATH...}``."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, a section a group."""
        sections: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            own = "Arguments" if param.param_type_name == "argument" else "Other"
            panel = getattr(param, "rich_help_panel", None) or own
            sections.setdefault(panel, []).append((record[0], _RANGE.sub("", record[1])))
        for panel, rows in sections.items():
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows, col_max=_COLUMN)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_epilog(self, formatter)


class HelpfulGroup(TyperGroup):
    """The program itself: its commands, and examples."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_epilog(self, formatter)
