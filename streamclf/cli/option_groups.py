"""Options that belong together: each group is what a command hands on as a whole.

A group is a dataclass whose fields are options; `grouped` gives its fields to a command that has
it as a parameter. `panel` is where the help shows them. What the rest of the program takes is made
only when a command runs, for reading the options must stay quick.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_type_hints

import typer

from streamclf.cli import options

if TYPE_CHECKING:
    from streamclf.cli.screen import ScreenOptions
    from streamclf.core.settings import Settings
    from streamclf.model.model_file import CardOptions
    from streamclf.runs.engine_setup import ModelOptions, ThresholdOptions
    from streamclf.runs.outputs import OutputOptions
    from streamclf.sources.factory import SourceOptions


@dataclass(frozen=True)
class Source:
    """Where live audio comes from."""

    panel: ClassVar[str] = "Source"
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Listen to - (standard input), sim:FILE (a recording, as if live) or a URL, "
            "in place of a microphone.",
        ),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            metavar="NAME|INDEX",
            help="Microphone to listen to (devices lists them).",
        ),
    ] = None
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT:RATE:CHANNELS",
            help="Form of bare samples on standard input: s16le:16000:1.",
        ),
    ] = None
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="TIMES", help="Pace of sim:FILE, 1 as in life; 0: as fast as it goes."
        ),
    ] = None
    loop: Annotated[bool, typer.Option("--loop", help="Begin sim:FILE again at its end.")] = False
    no_reconnect: Annotated[
        bool, typer.Option("--no-reconnect", help="End when the microphone or the URL is lost.")
    ] = False

    def read(self, channel: int | None) -> SourceOptions:
        """What the choice of a source takes."""
        from streamclf.sources.factory import SourceOptions

        reconnect = not self.no_reconnect
        return SourceOptions(
            self.source, self.device, reconnect, self.raw, self.speed, self.loop, channel
        )


@dataclass(frozen=True)
class Screen:
    """Whether and where there is a dashboard."""

    panel: ClassVar[str] = "Screen"
    ui: options.Ui = None
    web: options.Web = None
    web_host: options.WebHost = None
    web_allow_network: options.WebAllowNetwork = False
    fresh: options.Fresh = False

    def read(self, context: typer.Context) -> ScreenOptions:
        """What the dashboard takes, and which options were given."""
        from streamclf.cli.screen import ScreenOptions

        given = {name for name in context.params if _is_given(context, name)}
        return ScreenOptions(
            self.ui, self.web, self.web_host, self.web_allow_network, self.fresh, given,
            tuple(context.obj or ()),
        )  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What a model without a card hears and says."""

    panel: ClassVar[str] = "Model"
    labels: options.Labels = None
    sample_rate: options.SampleRate = None
    window: options.WindowS = None
    activation: options.ActivationOption = None
    task: options.TaskOption = None

    def read(self) -> CardOptions:
        """What `Model` takes."""
        from streamclf.model.model_file import CardOptions

        return CardOptions(self.labels, self.sample_rate, self.window, self.activation, self.task)


@dataclass(frozen=True)
class Model:
    """Which model, and what runs it."""

    panel: ClassVar[str] = "Model"
    model: options.Model = "pocket"
    provider: options.ProviderOption = "auto"
    threads: options.Threads = 0

    def read(self, card: Card, *, self_check: bool = False) -> ModelOptions:
        """What opens a model."""
        from streamclf.runs.engine_setup import ModelOptions

        return ModelOptions(self.model, self.provider, self.threads, card.read(), self_check)


@dataclass(frozen=True)
class Listening:
    """How to go through the audio."""

    panel: ClassVar[str] = "Events"
    hop: options.Hop = 0.5
    exact_hop: options.ExactHop = False
    average: options.AverageS = 3.0
    average_kind: options.AverageKindOption = "mean"
    channel: options.Channel = None
    begin: options.BeginOption = "sure"
    max_duration: options.MaxDuration = None

    def read(self, **more: Any) -> Settings:
        """What the engine takes, with what only some commands let one choose.

        Raises:
            UsageError: A value makes no sense.
        """
        from streamclf.core.settings import Settings

        return Settings(
            self.hop, self.average, self.average_kind,
            channel=self.channel, exact_hop=self.exact_hop, begin=self.begin,
            max_duration_s=self.max_duration, **more,
        )  # fmt: skip


@dataclass(frozen=True)
class Thresholds:
    """When scores become events, and of which labels."""

    panel: ClassVar[str] = "Events"
    threshold: options.ThresholdOption = None
    target_precision: options.TargetPrecision = None
    thresholds: options.ThresholdsFile = None
    min_duration: options.MinDuration = None
    max_gap: options.MaxGap = None
    only: options.Only = None
    except_: options.Except = None

    def read(self) -> ThresholdOptions:
        """What is combined with the card's."""
        from streamclf.runs.engine_setup import ThresholdOptions

        return ThresholdOptions(
            self.threshold, self.thresholds, self.min_duration, self.max_gap,
            self.target_precision, self.only, self.except_,
        )  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """What is written where."""

    panel: ClassVar[str] = "Output"
    output: options.Output = None
    format_: options.FormatOption = None
    scores: options.ScoresFile = None
    stats: options.Stats = None
    clips: options.Clips = None
    overwrite: options.Overwrite = False

    def read(self, **more: Any) -> OutputOptions:
        """What opens the sinks, with what only some commands let one choose."""
        from streamclf.runs.outputs import OutputOptions

        return OutputOptions(
            self.output or [], self.format_, self.scores, self.overwrite,
            stats=self.stats, clips=self.clips, **more,
        )  # fmt: skip


@dataclass(frozen=True)
class Logging:
    """How standard error speaks."""

    panel: ClassVar[str] = "Logging"
    log_format: options.LogFormatOption = "text"
    log_level: options.LogLevelOption = "info"
    quiet: options.Quiet = False

    def set_up(self) -> None:
        """From here on."""
        from streamclf.core import log

        chatty = self.log_level in ("debug", "info")
        log.set_up(self.log_format, "warning" if self.quiet and chatty else self.log_level)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the groups among its parameters, in their place."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group: Any = parameter.annotation
        if isinstance(group, type) and is_dataclass(group):
            groups[parameter.name] = group
            parameters += _parameters(group)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY,
            default=field.default, annotation=_in_panel(hints[field.name], group),
        )
        for field in fields(group)
    ]  # fmt: skip


def _in_panel(annotation: Any, group: type[Any]) -> Any:
    """The same option, in its group's place in the help."""
    kind, option = get_args(annotation)
    option = copy.copy(option)
    option.rich_help_panel = option.rich_help_panel or getattr(group, "panel", None)
    return Annotated[kind, option]


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")
