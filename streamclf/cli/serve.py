"""The command `serve`: several sources, heard day and night and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import typer

from streamclf.cli import config as cli_config
from streamclf.cli.config_file import ConfigFile, user_config
from streamclf.cli.notify_tables import read_notify_tables
from streamclf.cli.page import (
    Told,
    check_page,
    keys_of_page,
    make_hub,
    open_page,
    set_page_password,
)
from streamclf.cli.serve_warnings import find_warnings
from streamclf.cli.source_tables import read_source_tables
from streamclf.cli.tables import Table
from streamclf.core.errors import OK, StreamclfError, UsageError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions
from streamclf.runs.console import say
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.runs.serve.server import Server
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions
from streamclf.store.database import check_before_opening, default_store
from streamclf.store.features.options import FeatureOptions
from streamclf.web.options import PageOptions

Groups: TypeAlias = tuple[
    ServedOptions,
    SourceOptions,
    ModelOptions,
    Settings,
    ThresholdOptions,
    OutputOptions,
    FeatureOptions,
]
"""The options of one source."""
_COLLECTED = "streamclf.serve.collected"
_PAGE_STAYS = "warning: where the page is, and who may see it, changes at the next start alone"


def serve(
    context: typer.Context,
    options: Groups,
    page: PageOptions,
    *,
    check: bool,
    set_password: bool = False,
) -> int:
    """Hear all sources of the settings until they end, or are interrupted.

    Args:
        context: The context of the command, which knows the settings file.
        options: Those that hold for all sources.
        page: Where the page is, and who may see it.
        check: Whether only to check whether it could start.
        set_password: Whether only to set the page's password.

    Returns:
        The exit code.
    """
    collected: list[tuple[Groups, PageOptions]] | None = context.meta.get(_COLLECTED)
    if collected is not None:
        collected.append((options, page))
        return OK
    if set_password and check:
        raise UsageError("--check and --set-password: give one of them")
    if check:
        return _check(context, options, page)
    plan = _read_plan(context, options)
    if set_password:
        return set_page_password(plan.writing.store)
    _check_plan(plan)
    for note in plan.notes:
        say(note)
    hub, store = make_hub(page), plan.writing.store
    server = Server(
        plan,
        lambda: _read_again(context, page),
        self_check=_self_check,
        views=[hub.sink] if hub is not None else [],
        page=page.public_url if page.port else None,
    )
    if hub is not None:
        hub.state_of = server.live_state
        hub.may_be_heard = server.may_be_heard
    told = Told(
        server.describe_health,
        server.figures,
        lambda: server.pulse.is_alive,
        lambda: server.model_options,
        lambda: server.rules,
    )
    with open_page(page, store, keys_of_page(store), hub, told) as say_page:
        return server.run(say_page)


def read_settings(context: typer.Context, config: Path | None) -> tuple[ServePlan, str]:
    """Read what `serve` would do, for another command; opens nothing.

    Args:
        context: The context of that command.
        config: The settings file that was given; None for the user's own.

    Returns:
        The plan, and what to call the file in messages.

    Raises:
        UsageError: The settings are wrong. Names file and line.
    """
    assert context.parent is not None
    command = context.parent.command.get_command(context.parent, "serve")  # type: ignore[attr-defined]
    arguments = [] if config is None else ["--config", str(config)]
    made: Any = command.make_context(
        "serve", [*arguments], parent=context.parent, obj=["serve", *arguments]
    )
    with made as inner:
        plan = _read_plan(inner, _collect(inner)[0])
        return plan, _name_file(inner)


def _name_file(context: typer.Context) -> str:
    file = cli_config.file_of(context)
    return str(file.path) if file else f"no file ({user_config() or 'no home folder to look in'})"


def _check(context: typer.Context, options: Groups, page: PageOptions) -> int:
    """Check the settings and open the models; creates nothing.

    Raises:
        UsageError: It could not begin.
    """
    try:
        plan = _read_plan(context, options)
        _check_plan(plan)
        check_page(page, keys_of_page(plan.writing.store))
        Server(plan, lambda: plan, self_check=_self_check).check()
    except StreamclfError as error:
        raise UsageError(error) from error
    for note in plan.notes:
        say(note)
    for warning in find_warnings(plan):
        say(f"warning: {warning}")
    names = ", ".join(stream.name for stream in plan.streams)
    typer.echo(f"{_name_file(context)}: fine: {names}", err=True)
    return OK


def _check_plan(plan: ServePlan) -> None:
    """Check all that can be told before anything is opened.

    Raises:
        UsageError: It could not begin.
    """
    plan.check()
    with plan.streams[0].telling_place():
        check_before_opening(plan.writing.store)


def _self_check(options: ModelOptions) -> str:
    from streamclf.checks.self_check import self_check  # which few ask for

    return self_check(options)


def _read_again(context: typer.Context, page: PageOptions) -> ServePlan:
    """Read the settings file anew, with the same command line.

    Args:
        context: The context of the command.
        page: Where the page is now.

    Raises:
        UsageError: The settings are wrong.
    """
    with cli_config.again(context) as anew:
        before, now = cli_config.file_of(context), cli_config.file_of(anew)
        if before is not None and now is None:  # what is left is no order to hear something else
            raise UsageError(f"{before.path}: cannot be read: no such file or directory")
        options, wanted = _collect(anew)
        plan = _read_plan(anew, options)
    if wanted != page:
        plan = replace(plan, notes=(*plan.notes, _PAGE_STAYS))
    return plan


def _read_plan(context: typer.Context, options: Groups) -> ServePlan:
    """Make the plan that a context's settings describe.

    Raises:
        UsageError: The settings are wrong. Names file and line.
    """
    file = cli_config.file_of(context)
    tables = read_source_tables(file, cli_config.keys_of(context.command)) if file else []
    if file is None or not tables:
        streams = [StreamPlan(*options, place=partial(cli_config.with_origin, context))]
    else:
        _refuse_single_source(options)
        streams = [_read_table(context, file, table) for table in tables]
    streams = [_go_on(stream) for stream in streams]
    writing = WritingOptions.of(streams, default_store)
    notify = read_notify_tables(file, [stream.name for stream in streams])
    return ServePlan(tuple(streams), writing, notify=notify)


def _go_on(stream: StreamPlan) -> StreamPlan:
    """Let a source go on with files that are there.

    A box that starts again after a power cut must not refuse to, because of what it wrote itself.
    """
    outputs = stream.outputs
    if not outputs.files or outputs.overwrite:
        return stream
    return replace(stream, outputs=replace(outputs, append=True))


def _read_table(context: typer.Context, file: ConfigFile, table: Table) -> StreamPlan:
    with cli_config.context_of_table(context, file, table) as inner:
        place = partial(_place_in_table, inner, table)
        try:
            return StreamPlan(*_collect(inner)[0], place=place)
        except UsageError as error:
            raise UsageError(place(str(error))) from error


def _place_in_table(context: typer.Context, table: Table, message: str) -> str:
    """Put the place of an option, or else of the table, in front of an error."""
    placed = cli_config.with_origin(context, message)
    file = cli_config.file_of(context)
    if (
        placed == message
        and file is not None
        and not cli_config.is_on_command_line(context, message)
    ):
        placed = f"{file.path}:{table.line}: {message}"
    return placed.replace("--source ", "url ")


def _collect(context: typer.Context) -> tuple[Groups, PageOptions]:
    """Let the command hand over the options of a context.

    Raises:
        UsageError: An option makes no sense.
    """
    collected: list[tuple[Groups, PageOptions]] = []
    context.meta[_COLLECTED] = collected
    run: Callable[..., Any] = context.command.callback  # type: ignore[assignment]
    try:
        context.invoke(run, **context.params)
    except typer.Exit:
        pass
    finally:
        context.meta[_COLLECTED] = None
    (found,) = collected
    return found


def _refuse_single_source(options: Groups) -> None:
    """Refuse options of the command line that choose one source, where the file has several."""
    served, source, *_ = options
    for flag, given in [
        ("--source", source.source), ("--device", source.device), ("--name", served.name)
    ]:  # fmt: skip
        if given is not None:
            raise UsageError(
                f"{flag} {given}: the settings file has sources of its own, [[sources]]: leave it "
                "out, or name another file by --config"
            )
