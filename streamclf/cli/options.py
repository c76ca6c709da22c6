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
        help="For a model without a card (embedded description): file with its labels, one a "
        "line, or CSV.",
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
        "--activation",
        help="For a model without a card: function that turns its output into scores.",
    ),
]
TaskOption: TypeAlias = Annotated[
    Task | None,
    typer.Option(
        "--task",
        help="For a model without a card: its task (one label at a time, several labels, or "
        "values).",
    ),
]
ProviderOption: TypeAlias = Annotated[
    Provider,
    typer.Option("--provider", help="Backend that runs the model; auto takes CUDA if it works."),
]
Threads: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Number of threads that run the model; 0: one for a small model, more for a large "
        "one.",
    ),
]
SelfCheck: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--self-check",
        help="First compare the provider's scores with those of the CPU; exit if they differ.",
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
        help="Number of recordings analysed at the same time; by default one for each free core.",
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
        help="Use exactly --hop; by default it is rounded to a value at which windows share "
        "computation.",
    ),
]
FixedHop: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fixed-hop",
        help="If this machine is too slow, skip audio and report gaps; by default the hop is "
        "widened.",
        rich_help_panel="Events",
    ),
]
Stats: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--stats",
        metavar="FILE",
        help="Write statistics of the audio that was heard and lost, as JSON.",
    ),
]
AverageS: TypeAlias = Annotated[
    float,
    typer.Option(
        "--average", metavar="SECONDS", help="Length of the average of scores; 0 for no average."
    ),
]
AverageKindOption: TypeAlias = Annotated[
    AverageKind,
    typer.Option(
        "--average-kind",
        help="Weights of the windows in the average: equal (mean), or highest for the newest "
        "(exponential).",
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
        help="Use the model's thresholds at which this fraction of the events is correct, such "
        "as 0.95.",
    ),
]
NameUnknown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--unknown",
        help="Also report sounds that the model does not know, and silence.",
        rich_help_panel="Events",
    ),
]
ThresholdsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--thresholds",
        metavar="FILE",
        help="TOML file with thresholds, for all labels and for single ones.",
    ),
]
MinDuration: TypeAlias = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Drop events shorter than this.")
]
MaxDuration: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Maximum length of an event; a longer one is split into events of at most this "
        "length.",
    ),
]
BeginOption: TypeAlias = Annotated[
    Begin,
    typer.Option(
        "--begin",
        help="When an event begins: patient waits for the average; sure also begins as soon as "
        "single windows leave no doubt; eager begins even with little doubt, and has more "
        "false events.",
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
        help="While an event is ongoing, also write a JSON line at this interval.",
        rich_help_panel="Output",
    ),
]
MaxGap: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Maximum pause within an event; after a longer one, a new event begins.",
    ),
]
Only: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="LABEL,...", help="Report only events of these labels (info lists them)."
    ),
]
Except: TypeAlias = Annotated[
    str | None,
    typer.Option("--except", metavar="LABEL,...", help="Report no events of these labels."),
]
Channel: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Channel to listen to, counted from 1; by default the mean of all channels.",
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
        help="Also write events to a .jsonl, .csv, .txt (Audacity) or .selections.txt (Raven) "
        "file; may be repeated.",
    ),
]
FormatOption: TypeAlias = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="Format of standard output; by default text on a terminal, else jsonl.",
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
        "--clips",
        metavar="FOLDER",
        help="Folder for the audio of each event, with a subfolder for each label.",
    ),
]
ClipsLimit: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Maximum size of the --clips folder (500MB, 20GB); when full, the oldest clips of "
        "the label that uses most space are deleted.",
        rich_help_panel="Output",
    ),
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue a batch: skip recordings whose results are already in the outputs.",
        rich_help_panel="Output",
    ),
]
Summary: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--summary",
        help="Write one result for each recording instead of events: its best labels, or a value.",
        rich_help_panel="Output",
    ),
]
Append: TypeAlias = Annotated[
    bool,
    typer.Option("--append", help="Append to output files that exist.", rich_help_panel="Output"),
]
Rotate: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE|daily",
        help="Rename output files and begin new ones when they reach a size (10MB, 1GB), or "
        "each day.",
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
        help="TOML file with options; by default the user's own file (see config).",
        rich_help_panel="Other",
    ),
]
LogFormatOption: TypeAlias = Annotated[
    LogFormat, typer.Option("--log-format", help="Format of the messages on standard error.")
]
LogLevelOption: TypeAlias = Annotated[
    LogLevel, typer.Option("--log-level", help="Lowest level of the messages on standard error.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")
]
Ui: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--ui/--no-ui",
        help="Show the dashboard, or not; by default listen shows it on a terminal, and file "
        "does not.",
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
    bool,
    typer.Option(
        "--web-allow-network", help="Allow other machines to reach --web; there is no password."
    ),
]
Fresh: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Ignore the settings of the last session, and do not change them."
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
