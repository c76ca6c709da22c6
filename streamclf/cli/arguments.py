"""Completion of a command line before it is parsed: words that newcomers leave out are added."""

from __future__ import annotations

import copy
from itertools import zip_longest

import typer
from typer.models import TyperInfo

from streamclf.core.errors import UsageError

WEB_PORT = "8787"
BESIDE = {"backtest": ["serve"], "config": ["listen"], "rules": ["serve"]}
"""Commands that ask another about its options."""


def with_command(app: typer.Typer, arguments: list[str]) -> list[str]:
    """Put `file` in front of what a newcomer types: a recording, a folder or a pattern."""
    commands = {c.callback.__name__ for c in app.registered_commands if c.callback}
    commands |= _groups(app).keys()
    if not arguments or arguments[0] in commands or arguments[0].startswith("-"):
        return arguments
    from streamclf.sources.recording.find_recordings import looks_like_recordings

    return ["file", *arguments] if looks_like_recordings(arguments[0]) else arguments


def with_port(arguments: list[str]) -> list[str]:
    """Give ``--web`` its usual port where none follows.

    Raises:
        UsageError: It stands in a command that has no page.
    """
    if arguments[:1] == ["file"] and any(each.partition("=")[0] == "--web" for each in arguments):
        raise UsageError(
            "--web: the page shows what is heard live: --ui shows a recording in this terminal, "
            "and `streamclf listen --web --source sim:FILE` on the page"
        )
    filled = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        bare = argument == "--web" and not following.isdecimal()
        filled += ["--web", WEB_PORT] if bare else [argument]
    return filled


def load_single_command(app: typer.Typer, arguments: list[str]) -> typer.Typer:
    """The app with the command that comes first alone: reading all options takes its time."""
    wanted = {arguments[0], *BESIDE.get(arguments[0], ())} if arguments else set()
    named = [c for c in app.registered_commands if c.callback and c.callback.__name__ in wanted]
    groups = [group for name, group in _groups(app).items() if name in wanted]
    if not named and not groups:
        return app
    lean = copy.copy(app)
    lean.registered_commands, lean.registered_groups = named, groups
    return lean


def _groups(app: typer.Typer) -> dict[str, TyperInfo]:
    """The groups of commands by name."""
    return {
        str(group.typer_instance.info.name): group
        for group in app.registered_groups
        if group.typer_instance
    }
