"""The options that commands share, named once."""

from __future__ import annotations

import copy
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from streamclf.cli.config import load_config
from streamclf.core.card import Activation, Task
from streamclf.core.log import LogFormat, LogLevel
from streamclf.core.settings import AverageKind, Begin
from streamclf.model.providers import Provider
from streamclf.sinks.factory import Format

WEB_PORT = "8787"
BESIDE = {"config": ["listen"]}
"""Commands that ask another about its options."""

Model: TypeAlias = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="An .onnx file or a bundled model.")
]
Labels: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For a model without a card (its own description): labels, a line each, or CSV.",
    ),
]
SampleRate: TypeAlias = Annotated[
    int | None, typer.Option(metavar="HZ", help="For a model without a card: its sample rate.")
]
WindowS: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--window", metavar="SECONDS", help="For a model without a card: length of its window."
    ),
]
ActivationOption: TypeAlias = Annotated[
    Activation | None,
    typer.Option(
        "--activation", help="For a model without a card: what turns its output into scores."
    ),
]
TaskOption: TypeAlias = Annotated[
    Task | None,
    typer.Option(
        "--task", help="For a model without a card: one label at a time, several, or values."
    ),
]
ProviderOption: TypeAlias = Annotated[
    Provider,
    typer.Option("--provider", help="What runs the model; auto takes CUDA where it works."),
]
Threads: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Threads that run the model; 0: one for a small model, more for a large one.",
    ),
]
SelfCheck: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--self-check",
        help="First compare the provider with the CPU; refuse to begin where their scores differ.",
        rich_help_panel="Model",
    ),
]
Jobs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Recordings heard at the same time; by default one for each free core.",
        rich_help_panel="Model",
    ),
]
Hop: TypeAlias = Annotated[
    float, typer.Option(metavar="SECONDS", help="Seconds between the starts of two windows.")
]
ExactHop: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--exact-hop",
        help="Keep --hop to the sample; else it is rounded to one at which windows share work.",
    ),
]
FixedHop: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fixed-hop",
        help="Never widen the hop where this machine is too slow: skip audio, told as gaps.",
        rich_help_panel="Events",
    ),
]
Stats: TypeAlias = Annotated[
    Path | None,
    typer.Option("--stats", metavar="FILE", help="Write what was heard and lost, as JSON."),
]
AverageS: TypeAlias = Annotated[
    float, typer.Option("--average", metavar="SECONDS", help="Seconds to average over; 0: none.")
]
AverageKindOption: TypeAlias = Annotated[
    AverageKind,
    typer.Option(
        "--average-kind", help="Weigh all windows alike (mean), or the newest most (exponential)."
    ),
]
ThresholdOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="0..1",
        help="Averaged score at which an event begins, for every label.",
    ),
]
TargetPrecision: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--target-precision",
        metavar="0..1",
        help="Use the model's thresholds at which this part of the events is right: 0.95.",
    ),
]
NameUnknown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--unknown",
        help="Also tell of sounds that the model does not know, and of silence.",
        rich_help_panel="Events",
    ),
]
ThresholdsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--thresholds", metavar="FILE", help="TOML file with thresholds, also by label."),
]
MinDuration: TypeAlias = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Drop events shorter than this.")
]
MaxDuration: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Events that last longer end and begin anew every so many seconds."
    ),
]
BeginOption: TypeAlias = Annotated[
    Begin,
    typer.Option(
        "--begin",
        help="When an event begins: patient waits for the average; sure also begins where single "
        "windows leave no doubt; eager where they leave little, with more false events.",
    ),
]
Begins: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--begins",
        help="Also write a JSON line when an event begins, as listen does.",
        rich_help_panel="Output",
    ),
]
Ongoing: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Also write a JSON line every so many seconds while an event goes on.",
        rich_help_panel="Output",
    ),
]
MaxGap: TypeAlias = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Bridge pauses up to this long.")
]
Only: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="LABEL,...", help="Tell events of these labels alone (info lists them)."
    ),
]
Except: TypeAlias = Annotated[
    str | None,
    typer.Option("--except", metavar="LABEL,...", help="Tell no events of these labels."),
]
Channel: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Listen to one channel, counted from 1; by default to the mean of all."
    ),
]
Top: TypeAlias = Annotated[
    int,
    typer.Option(
        "--top",
        "-k",
        min=1,
        metavar="N",
        help="Number of labels in a line of --updates.",
        rich_help_panel="Output",
    ),
]
Best: TypeAlias = Annotated[
    int,
    typer.Option(
        "--top",
        "-k",
        min=1,
        metavar="N",
        help="Number of labels that --summary names.",
        rich_help_panel="Output",
    ),
]
Output: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write events to .jsonl, .csv, .txt (Audacity) or .selections.txt (Raven) as well; "
        "may be repeated.",
    ),
]
FormatOption: TypeAlias = Annotated[
    Format | None,
    typer.Option(
        "--format", "-f", help="Form of standard output; by default text on a terminal, else jsonl."
    ),
]
ScoresFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--scores", metavar="FILE", help="Write each window's scores to .csv or .npz."),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace output files that exist.")
]
Clips: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--clips", metavar="FOLDER", help="Write each event's audio, with a folder for each label."
    ),
]
ClipsLimit: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Keep --clips to this size (500MB, 20GB): the oldest of the label that fills most go.",
        rich_help_panel="Output",
    ),
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with a batch: leave out recordings that the outputs hold.",
        rich_help_panel="Output",
    ),
]
Summary: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--summary",
        help="One answer a recording in place of events: its best labels, or a value.",
        rich_help_panel="Output",
    ),
]
Append: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--append", help="Write on at the end of output files that exist.", rich_help_panel="Output"
    ),
]
Rotate: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE|daily",
        help="Set output files aside when they reach a size (10MB, 1GB), or each day.",
        rich_help_panel="Output",
    ),
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        is_eager=True,
        callback=load_config,
        envvar="STREAMCLF_CONFIG",
        help="Options from a TOML file; else the user's own (see config).",
        rich_help_panel="Other",
    ),
]
LogFormatOption: TypeAlias = Annotated[
    LogFormat, typer.Option("--log-format", help="Form of the messages on standard error.")
]
LogLevelOption: TypeAlias = Annotated[
    LogLevel, typer.Option("--log-level", help="Lowest level of the messages on standard error.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")
]
Ui: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--ui/--no-ui",
        help="Show the dashboard, or not; on a terminal listen shows it, file only if asked.",
    ),
]
Web: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--web", metavar="[PORT]", help="Show the dashboard in a browser on this machine."
    ),
]
WebHost: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address for --web instead of 127.0.0.1.")
]
WebAllowNetwork: TypeAlias = Annotated[
    bool, typer.Option("--web-allow-network", help="Let others reach --web; there is no password.")
]
Fresh: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Begin without the last session's settings, and leave them as they are."
    ),
]


def with_command(app: typer.Typer, arguments: list[str]) -> list[str]:
    """Put `file` in front of what a newcomer types: a recording, a folder or a pattern."""
    commands = {c.callback.__name__ for c in app.registered_commands if c.callback}
    if not arguments or arguments[0] in commands or arguments[0].startswith("-"):
        return arguments
    from streamclf.sources.recording.find_recordings import looks_like_recordings

    return ["file", *arguments] if looks_like_recordings(arguments[0]) else arguments


def with_port(arguments: list[str]) -> list[str]:
    """Give ``--web`` its usual port where none follows."""
    filled = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        bare = argument == "--web" and not following.isdecimal()
        filled += ["--web", WEB_PORT] if bare else [argument]
    return filled


def only_named(app: typer.Typer, arguments: list[str]) -> typer.Typer:
    """The app with the command that comes first alone: reading all options takes its time."""
    wanted = {arguments[0], *BESIDE.get(arguments[0], ())} if arguments else set()
    named = [c for c in app.registered_commands if c.callback and c.callback.__name__ in wanted]
    if not named:
        return app
    lean = copy.copy(app)
    lean.registered_commands = named
    return lean
