"""Commands and options, nothing else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streamclf import __version__, cli_config, cli_models, options
from streamclf.errors import StreamclfError, UsageError
from streamclf.masking import mask_text

if TYPE_CHECKING:
    from streamclf.ui import ScreenOptions


app = typer.Typer(
    name="streamclf",
    help="Name the sounds in a microphone, a stream or recordings, as they happen.",
    no_args_is_help=True,
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
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    pass


@app.command(cls=cli_config.ConfiguredCommand)
def listen(
    context: typer.Context,
    config: options.Config = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Instead of a microphone: - (standard input), sim:FILE, or a URL.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="The microphone, by index or part of its name."),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(metavar="FORMAT:RATE:CHANNELS", help="Standard input is headerless samples."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(metavar="N", help="Of sim: times real pace; 0: as fast as it goes."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Of sim: begin again at the end.")] = False,
    no_reconnect: Annotated[
        bool, typer.Option("--no-reconnect", help="End when the microphone or the URL is lost.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option(metavar="S", help="End after so many seconds.")
    ] = None,
    updates: Annotated[
        bool, typer.Option("--updates", help="Also a line with the top classes at each hop.")
    ] = False,
    ui: options.Ui = None,
    web: options.Web = None,
    web_host: options.WebHost = None,
    web_allow_network: options.WebAllowNetwork = False,
    fresh: options.Fresh = False,
    model: options.Model = "pocket",
    hop: options.Hop = 0.5,
    exact_hop: options.ExactHop = False,
    fixed_hop: options.FixedHop = False,
    average: options.AverageS = 3.0,
    average_kind: options.AverageKindOption = "mean",
    threshold: options.ThresholdOption = None,
    target_precision: options.TargetPrecision = None,
    thresholds: options.ThresholdsFile = None,
    min_duration: options.MinDuration = None,
    max_gap: options.MaxGap = None,
    unknown: options.NameUnknown = False,
    channel: options.Channel = None,
    top: options.Top = 5,
    output: options.Output = None,
    format_: options.FormatOption = None,
    scores: options.ScoresFile = None,
    stats: options.Stats = None,
    clips: options.Clips = None,
    clips_limit: options.ClipsLimit = None,
    overwrite: options.Overwrite = False,
    append: options.Append = False,
    rotate: options.Rotate = None,
    provider: options.ProviderOption = "auto",
    threads: options.Threads = 0,
    self_check: options.SelfCheck = False,
    labels: options.Labels = None,
    sample_rate: options.SampleRate = None,
    window: options.WindowS = None,
    activation: options.ActivationOption = None,
    task: options.TaskOption = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Listen to a microphone (or another live source) and write sound events as they end."""
    from streamclf import commands, log, opening
    from streamclf.model import CardOptions
    from streamclf.outputs import OutputOptions
    from streamclf.settings import Settings
    from streamclf.sources.choose import SourceOptions

    log.set_up(log_format, log_level)
    checks = cli_config.is_check(context)
    for line in cli_config.describe_origins(context):
        log.say(line)
    run_listen = commands.check_listen if checks else commands.listen
    raise typer.Exit(
        run_listen(
            SourceOptions(source, device, not no_reconnect, raw, speed, loop, channel),
            opening.ModelOptions(
                model, provider, threads,
                CardOptions(labels, sample_rate, window, activation, task), self_check,
            ),
            Settings(hop, average, average_kind, channel=channel, exact_hop=exact_hop,
                     fixed_hop=fixed_hop, name_unknown=unknown),
            opening.ThresholdOptions(threshold, thresholds, min_duration, max_gap,
                                      target_precision),
            OutputOptions(output or [], format_, scores, overwrite,
                          top if updates else 0, stats, append, rotate, clips=clips,
                          clips_limit=clips_limit),
            _screen(context, ui, web, web_host, web_allow_network, fresh),
            duration_s=duration,
        )
    )  # fmt: skip


@app.command()
def file(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Recordings, folders, or patterns in quotes."),
    ],
    model: options.Model = "pocket",
    hop: options.Hop = 0.5,
    exact_hop: options.ExactHop = False,
    average: options.AverageS = 3.0,
    average_kind: options.AverageKindOption = "mean",
    threshold: options.ThresholdOption = None,
    target_precision: options.TargetPrecision = None,
    thresholds: options.ThresholdsFile = None,
    min_duration: options.MinDuration = None,
    max_gap: options.MaxGap = None,
    unknown: options.NameUnknown = False,
    channel: options.Channel = None,
    output: options.Output = None,
    format_: options.FormatOption = None,
    scores: options.ScoresFile = None,
    stats: options.Stats = None,
    clips: options.Clips = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    provider: options.ProviderOption = "auto",
    threads: options.Threads = 0,
    ui: options.Ui = None,
    web: options.Web = None,
    web_host: options.WebHost = None,
    web_allow_network: options.WebAllowNetwork = False,
    fresh: options.Fresh = False,
    batch: Annotated[
        int | None, typer.Option(metavar="N", help="Windows scored at once; as many as serve.")
    ] = None,
    jobs: options.Jobs = None,
    labels: options.Labels = None,
    sample_rate: options.SampleRate = None,
    window: options.WindowS = None,
    activation: options.ActivationOption = None,
    task: options.TaskOption = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Find the sound events in recordings of any length."""
    from streamclf import commands, log, opening
    from streamclf.model import CardOptions
    from streamclf.outputs import OutputOptions
    from streamclf.settings import Settings

    log.set_up(log_format, log_level)
    raise typer.Exit(
        commands.file(
            paths,
            opening.ModelOptions(
                model, provider, threads,
                CardOptions(labels, sample_rate, window, activation, task),
            ),
            Settings(hop, average, average_kind, channel=channel, batch_size=batch,
                     exact_hop=exact_hop, name_unknown=unknown),
            opening.ThresholdOptions(threshold, thresholds, min_duration, max_gap,
                                      target_precision),
            OutputOptions(output or [], format_, scores, overwrite, stats=stats, resume=resume,
                          clips=clips),
            _screen(context, ui, web, web_host, web_allow_network, fresh),
            jobs=jobs,
        )
    )  # fmt: skip


@app.command()
def devices(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the microphones."""
    from streamclf import show

    show.devices(as_json=json)


for _command in (cli_models.info, cli_models.bench, cli_models.verify):
    app.command()(_command)
app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
    cli_config.config
)


def _screen(
    context: typer.Context, ui: bool | None, web: int | None, host: str | None,
    allow_network: bool, fresh: bool,
) -> ScreenOptions:  # fmt: skip
    from streamclf.ui import ScreenOptions

    given = {name for name in context.params if _is_given(context, name)}
    return ScreenOptions(ui, web, host, allow_network, fresh, given, tuple(context.obj or ()))


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")


def main() -> None:
    """Run the command line; every failure is one line and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code (0 fine, 1 failed, 2 usage, 130 interrupted)."""
    try:
        arguments = options.with_port(arguments)
        lean = options.only_named(app, arguments)
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
        return _fail(f"{message} (streamclf --help shows what there is)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our results has gone; nothing more can be said on standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("STREAMCLF_TRACEBACK"):
            import traceback

            sys.stderr.write(mask_text(traceback.format_exc()))
        kind = f"{type(error).__name__}: {error}"
        return _fail(f"a mistake in streamclf itself: {kind}; STREAMCLF_TRACEBACK=1 shows where", 1)


def _fail(message: str, code: int) -> int:
    from streamclf.console import say

    say(f"error: {message}")
    return code


if __name__ == "__main__":
    main()
