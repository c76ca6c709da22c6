"""Commands and options, nothing else."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamclf import __version__
from streamclf.cli import archive_commands, examples, model_commands, store_commands
from streamclf.cli import config as cli_config
from streamclf.cli.arguments import load_single_command, with_command, with_port
from streamclf.cli.backtest_options import BacktestOptions
from streamclf.cli.help_text import HelpfulCommand, HelpfulGroup
from streamclf.cli.question_options import AnswerOptions, QuestionOptions
from streamclf.cli.report import ReportOptions
from streamclf.cli.search_options import SearchOptions
from streamclf.cli.teach_options import TeachOptions
from streamclf.cli.typer_parameters import Fields, grouped, with_invocation
from streamclf.core import standard_streams
from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.log import LogOptions
from streamclf.core.quick_end import end_quickly
from streamclf.core.redaction import mask_text
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.dashboard.options import ScreenOptions
from streamclf.model.options import ModelOptions
from streamclf.runs.serve.options import ServedOptions
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions
from streamclf.store.features.options import FeatureOptions
from streamclf.web.options import PageOptions

app = typer.Typer(
    name="streamclf",
    help="Name the sounds in a microphone, a stream or recordings, as they happen.",
    no_args_is_help=True,
    cls=HelpfulGroup,
    epilog=examples.STREAMCLF,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamclf {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command(
    cls=cli_config.ConfiguredCommand,
    epilog=examples.LISTEN,
    short_help="Hear a microphone or a stream: a dashboard, or lines.",
)
@grouped
def listen(
    *,
    context: typer.Context,
    config: cli_config.Config = None,
    served: Annotated[ServedOptions, Fields(only=("name",))],
    source: SourceOptions,
    model: ModelOptions,
    settings: Annotated[Settings, Fields(without=("batch_size",))],
    thresholds: ThresholdOptions,
    outputs: Annotated[OutputOptions, Fields(without=("begins", "summary", "resume", "levels"))],
    screen: ScreenOptions,
    page: Annotated[PageOptions, Fields(without=("port",))],
    features: Annotated[FeatureOptions, Fields(only=("folder",))],
    log: LogOptions,
) -> None:
    """Listen to a microphone (or another live source); tell sound events as they begin and end."""
    from streamclf.cli.listen import check_listen
    from streamclf.cli.listen import listen as listen_live

    run_listen = check_listen if cli_config.is_check(context) else listen_live
    screen = with_invocation(screen, context)
    code = run_listen(
        source, model, settings, thresholds, outputs, screen, page, features=features.folder,
        name=served.identity,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command(cls=HelpfulCommand, epilog=examples.FILE)
@grouped
def file(
    *,
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Recordings, folders, or patterns in quotes."),
    ],
    model: Annotated[ModelOptions, Fields(without=("self_check",))],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Number of recordings analysed at the same time; by default one for each free "
            "core.",
            rich_help_panel="Model",
        ),
    ] = None,
    settings: Annotated[Settings, Fields(without=("fixed_hop", "silent_after_s"))],
    thresholds: ThresholdOptions,
    outputs: Annotated[
        OutputOptions,
        Fields(without=("updates", "append", "rotate", "clips_limit", "clips_days", "clips_min")),
    ],
    features: Annotated[FeatureOptions, Fields(only=("folder",))],
    screen: Annotated[ScreenOptions, Fields(without=("web",))],
    log: LogOptions,
) -> None:
    """Find the sound events in recordings of any length."""
    from streamclf.cli.file import file as hear_files

    screen = with_invocation(screen, context)
    raise typer.Exit(
        hear_files(
            paths, model, settings, thresholds, outputs, screen, jobs=jobs, features=features.folder
        )
    )


SERVED_SOURCE = (
    "Source to use instead of a microphone: a URL, or sim:FILE (a recording, as if live)."
)
"""Help of the source, which is never standard input here."""


@app.command(
    cls=cli_config.ConfiguredCommand,
    epilog=examples.SERVE,
    short_help="Hear several sources day and night, and remember.",
)
@grouped
def serve(
    *,
    context: typer.Context,
    config: cli_config.Config = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only check whether it could start; exit with code 2 if not."),
    ] = False,
    served: ServedOptions,
    source: Annotated[
        SourceOptions,
        Fields(
            without=("raw", "duration_s"),
            helps=(("source", SERVED_SOURCE),),
        ),
    ],
    model: ModelOptions,
    settings: Annotated[Settings, Fields(without=("batch_size",))],
    thresholds: ThresholdOptions,
    outputs: Annotated[
        OutputOptions,
        Fields(without=("begins", "summary", "resume", "scores", "stats", "levels")),
    ],
    features: Annotated[FeatureOptions, Fields(without=("folder",))],
    page: PageOptions,
    set_password: Annotated[
        bool,
        typer.Option(
            "--set-password",
            help="Only set the page's password: asked for on a terminal, else a line of standard "
            "input.",
            rich_help_panel="Page",
        ),
    ] = False,
    log: LogOptions,
) -> None:
    """Hear several sources day and night, and remember what they hear in a store."""
    from streamclf.cli.serve import serve as serve_sources

    options = (served, source, model, settings, thresholds, outputs, features)
    raise typer.Exit(serve_sources(context, options, page, check=check, set_password=set_password))


@app.command(
    cls=HelpfulCommand, epilog=examples.ATTACH, short_help="Show a running serve in this terminal."
)
@grouped
def attach(
    *,
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL]", help="Address of the page, which serve names at its start."
        ),
    ] = "http://127.0.0.1:8787/",
    screen: Annotated[ScreenOptions, Fields(only=("fresh",))],
) -> None:
    """Show a running serve in this terminal; it needs neither a microphone nor a model."""
    from streamclf.cli.attach import attach as attach_to_page

    raise typer.Exit(attach_to_page(url, fresh=screen.fresh))


STORE_OR_RESULTS = (
    "The store to ask, or the folder or URL of an archive's results; by default the user's own "
    "store."
)


@app.command(
    cls=HelpfulCommand, epilog=examples.HEARD, short_help="Ask what was heard, and how often."
)
@grouped
def heard(
    *,
    question: Annotated[QuestionOptions, Fields(helps=(("store", STORE_OR_RESULTS),))],
    answer: AnswerOptions,
) -> None:
    """Answer questions about what was heard; without any, about today."""
    from streamclf.cli.heard import heard as answer_question

    raise typer.Exit(answer_question(question, answer))


@app.command(
    cls=HelpfulCommand, epilog=examples.REPORT, short_help="Write a page about what was heard."
)
@grouped
def report(
    *,
    question: Annotated[QuestionOptions, Fields(helps=(("store", STORE_OR_RESULTS),))],
    page: ReportOptions,
) -> None:
    """Write one page about what was heard, when, how loud it was, and what was missed."""
    from streamclf.cli.report import report as write_report

    raise typer.Exit(write_report(question, page))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.SEARCH,
    short_help="Find the moments of the past that sound like an example.",
)
@grouped
def search(
    *,
    wanted: SearchOptions,
    question: Annotated[
        QuestionOptions,
        Fields(
            only=("since", "until", "sources", "store"),
            helps=(
                ("since", "Moments from this day or time on: yesterday, 'monday 22:00'."),
                ("until", "Moments before this time; of a day, all of it."),
                ("sources", "Moments of this source, folder or recording; may be repeated."),
            ),
        ),
    ],
    model: Annotated[ModelOptions, Fields(only=("name", "provider", "n_threads"))],
) -> None:
    """Find the moments of the past that sound like a recording or an event."""
    from streamclf.cli.search import search as find_moments

    raise typer.Exit(find_moments(wanted, question, model))


@app.command(
    cls=HelpfulCommand, epilog=examples.TEACH, short_help="Teach a sound from a few examples."
)
@grouped
def teach(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the sound, such as 'my doorbell'.")
    ],
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLIP...]",
            help="Recordings of the sound, ids of events, or moments that teach lists; by default "
            "events of which somebody said that they were it.",
        ),
    ] = None,
    wanted: TeachOptions,
    question: Annotated[
        QuestionOptions,
        Fields(
            only=("since", "until", "sources", "store"),
            helps=(
                ("since", "Try it on the past from this day or time on: '14 days ago'."),
                ("until", "Try it on the past before this time."),
                ("sources", "Try it on what this source heard; may be repeated."),
            ),
        ),
    ],
    model: Annotated[ModelOptions, Fields(only=("name", "provider", "n_threads"))],
) -> None:
    """Teach a sound from a few examples, and tell when it would have been heard in the past."""
    from streamclf.cli.teach import teach as teach_sound

    raise typer.Exit(teach_sound(name, clips or [], wanted, question, model))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.BACKTEST,
    short_help="Try thresholds, a taught model or rules on the past.",
)
@grouped
def backtest(
    context: typer.Context,
    *,
    wanted: BacktestOptions,
    thresholds: ThresholdOptions,
    settings: Annotated[
        Settings, Fields(only=("average_s", "average_kind", "max_duration_s", "begin", "broader"))
    ],
    question: Annotated[
        QuestionOptions,
        Fields(
            only=("since", "until", "sources", "store"),
            helps=(
                ("since", "Try the past from this day or time on; by default '14 days ago'."),
                ("until", "Try the past before this time."),
                ("sources", "Try what this source heard; may be repeated."),
            ),
        ),
    ],
    model: Annotated[ModelOptions, Fields(only=("name",))],
) -> None:
    """Tell what other thresholds, a taught model or the rules would have told of the past."""
    from streamclf.cli.backtest import backtest as try_past

    raise typer.Exit(try_past(context, wanted, thresholds, settings, question, model))


@app.command(
    cls=HelpfulCommand, epilog=examples.RULES, short_help="Show, test and try what is told to whom."
)
def rules(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Rules to show or test; by default all."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Tell what the rules would have told of the past.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Begin of the past to test: yesterday, 'monday 22:00'; by default '7 days ago'.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Its end; by default now.")
    ] = None,
    format: Annotated[
        Literal["text", "jsonl"], typer.Option("--format", help="Form of what --test prints.")
    ] = "text",
    try_: Annotated[
        bool, typer.Option("--try", help="Send a message of one rule to its targets now.")
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The store to ask; by default that of the settings."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings file; by default the user's own."),
    ] = None,
) -> None:
    """Show the rules of the settings in plain words; test them on the past, or try one."""
    from streamclf.cli.rules import Range, list_rules, test_rules, try_rule

    chosen = names or []
    if try_ and test:
        raise UsageError("--test and --try: give one of them")
    if not test and (since, until, format) != (None, None, "text"):
        raise UsageError("--since, --until and --format: are for --test: add it")
    if try_:
        if len(chosen) != 1:
            raise UsageError(f"--try: {len(chosen)} rules are named, must be 1")
        code = try_rule(context, config, chosen[0])
    elif test:
        code = test_rules(context, config, chosen, store, Range(since, until), format)
    else:
        code = list_rules(context, config, chosen, store)
    raise typer.Exit(code)


@app.command(cls=HelpfulCommand, epilog=examples.DEVICES)
def devices(
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the microphones."""
    from streamclf.cli.devices import devices as print_devices

    raise typer.Exit(print_devices(as_json=json))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.CALIBRATE,
    short_help="Measure a sound calibrator's tone, for levels in dB SPL.",
)
@grouped
def calibrate(
    *,
    level: Annotated[
        float,
        typer.Option(
            "--level",
            metavar="DB",
            help="Level of the calibrator's tone in dB SPL, as its label says: mostly 94 or 114.",
            rich_help_panel="Calibrator",
        ),
    ] = 94.0,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Length of the measurement, 1 to 60 s.",
            rich_help_panel="Calibrator",
        ),
    ] = 5.0,
    source: Annotated[SourceOptions, Fields(without=("reconnect", "duration_s"))],
    settings: Annotated[Settings, Fields(only=("channel",))],
) -> None:
    """Measure a sound calibrator's tone, and print what to add to dBFS for dB SPL."""
    from streamclf.cli.calibrate import calibrate as measure

    raise typer.Exit(measure(source, settings.channel, level_db=level, seconds=seconds))


for _command, _epilog, _short in [
    (model_commands.info, examples.INFO, "Show what a model names, how well, and its licence."),
    (model_commands.bench, examples.BENCH, "Measure how fast a model listens here."),
    (model_commands.verify, examples.VERIFY, "Prove that all ways to listen give the same."),
]:
    app.command(cls=HelpfulCommand, epilog=_epilog, short_help=_short)(_command)
app.command(
    cls=HelpfulCommand,
    epilog=examples.CONFIG,
    short_help="Show or check what `listen` would do.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)(cli_config.config)
app.add_typer(archive_commands.app)
app.add_typer(store_commands.app)


def _hint_for_dashes(error: Exception) -> str:
    """Say what to type for a name that looks like an option, where a command takes names."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if not name or context is None or getattr(error, "possibilities", None):
        return ""
    if not any(each.param_type_name == "argument" for each in context.command.params):
        return ""
    typed = f"-- {shlex.quote(name)}"
    return f": a name that begins with - stands behind the options, after --: {typed}"


def main() -> None:
    """Run the command line; every failure is one line and an exit code."""
    end_quickly()
    standard_streams.secure()
    code = run(sys.argv[1:])
    lost = standard_streams.flush_output()
    if lost:
        _fail(f"{lost}: what was printed is lost; send it to a file or a pipe", 1)
    sys.exit(code or int(lost is not None))


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code (0 fine, 1 failed, 2 usage, 130 interrupted)."""
    try:
        arguments = with_port(with_command(app, arguments))
        lean = load_single_command(app, arguments)
        return lean(arguments, prog_name="streamclf", standalone_mode=False, obj=arguments) or 0
    except UsageError as error:
        return _fail(str(error), 2)
    except StreamclfError as error:
        return _fail(str(error), 1)
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(message)
            return 2
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "streamclf"
        hint = _hint_for_dashes(error)
        return _fail(f"{message}{hint} ({command} --help shows what there is)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our results has gone; nothing more can be said on standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if standard_streams.is_output_error(error):
            return 1  # `main` says why
        if isinstance(error.__cause__, KeyboardInterrupt):
            return 130  # Python makes a RuntimeError of one that comes while a class is made
        if os.environ.get("STREAMCLF_TRACEBACK"):
            import traceback

            sys.stderr.write(mask_text(traceback.format_exc()))
        kind = f"{type(error).__name__}: {error}"
        return _fail(f"a mistake in streamclf itself: {kind}; STREAMCLF_TRACEBACK=1 shows where", 1)


def _fail(message: str, code: int) -> int:
    from streamclf.runs.console import say

    say(f"error: {message}")
    return code


if __name__ == "__main__":
    main()
