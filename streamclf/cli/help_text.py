"""Help that teaches: options in groups, and examples behind them.

Plain text of our own: of 80 columns rich's panels need too many for their frames, and a pipe has no
use for them.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from streamclf.cli.typer_parameters import Group
from streamclf.core import log

PANELS = (
    "Arguments", "Search", "Teaching", "Past", "Calibrator", "Source", "Model", "Events", "Output",
    "Screen", "Page", "Logging", "Other",
)  # fmt: skip
"""The order of the groups."""
_RANGE = re.compile(r";? x>=\d+(?=\])|  \[x>=\d+\]")
"""Typer's note about a lowest value; the error message names the value instead."""
_COLUMN = 26
"""The longest option that has its help in the same line."""


def _write_epilog(command: TyperCommand | TyperGroup, formatter: Any) -> None:
    """Write examples as they are: click would fill them up to paragraphs."""
    if command.epilog:
        formatter.write_paragraph()
        formatter.write(inspect.cleandoc(command.epilog) + "\n")


class HelpfulCommand(TyperCommand):
    """A command that shows its options in groups, and examples as they are typed."""

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
