"""The group of commands about archives, as declared: `plan`, `run`, `status`, `check`."""

from __future__ import annotations

from typing import Annotated

import typer

from streamclf.archive.workers import WorkerOptions
from streamclf.cli import examples
from streamclf.cli.help_text import HelpfulCommand, HelpfulGroup
from streamclf.cli.typer_parameters import Fields, grouped
from streamclf.core.log import LogOptions
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

app = typer.Typer(
    name="archive",
    help="Hear archives of any size, on as many machines as there are, once each.",
    short_help="Hear an archive on many machines: plan, run, status, check.",
    no_args_is_help=True,
    cls=HelpfulGroup,
    epilog=examples.ARCHIVE,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Results = Annotated[
    str,
    typer.Argument(
        metavar="RESULTS",
        help="Folder or URL that plan wrote to: /data/results, s3://bucket/results/.",
    ),
]
ArchiveUrl = Annotated[
    str | None,
    typer.Option(
        "--archive",
        metavar="URL",
        help="Where the recordings are for this machine, if not where they were planned.",
        rich_help_panel="Source",
    ),
]


@app.command(
    cls=HelpfulCommand, epilog=examples.ARCHIVE_PLAN, short_help="List an archive and cut it up."
)
def plan(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="ARCHIVE",
            help="Folder or URL of the recordings: /data/2026, s3://bucket/2026/.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="RESULTS", help="Folder or URL for the plan and the results."
        ),
    ],
    item_minutes: Annotated[
        float,
        typer.Option(
            "--item-minutes",
            metavar="MINUTES",
            help="Audio that a worker takes at a time; a longer recording is cut into pieces.",
        ),
    ] = 120.0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace a plan that is there; its results no longer count."
        ),
    ] = False,
) -> None:
    """List the recordings of an archive once, open each header, and cut the work into items."""
    from streamclf.cli.archive import plan as plan_archive

    raise typer.Exit(plan_archive(archive, out, item_minutes=item_minutes, overwrite=overwrite))


@app.command(
    cls=HelpfulCommand, epilog=examples.ARCHIVE_RUN, short_help="Hear the items of a plan."
)
@grouped
def run(
    *,
    results: Results,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Hear only share I of N, from 1/N to N/N: for job arrays, which need no engine.",
            rich_help_panel="Source",
        ),
    ] = None,
    archive: ArchiveUrl = None,
    workers: WorkerOptions,
    model: Annotated[ModelOptions, Fields(without=("self_check",))],
    settings: Annotated[Settings, Fields(without=("fixed_hop", "ongoing_s", "silent_after_s"))],
    thresholds: ThresholdOptions,
    scores: Annotated[
        bool,
        typer.Option(
            "--scores",
            help="Also keep the averaged scores of each window, in scores/.",
            rich_help_panel="Output",
        ),
    ] = False,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="Also keep the features of each window, in features/.",
            rich_help_panel="Output",
        ),
    ] = False,
    no_levels: Annotated[
        bool,
        typer.Option(
            "--no-levels",
            help="Measure no sound levels; levels/ then only tells which minutes were heard.",
            rich_help_panel="Output",
        ),
    ] = False,
    event_rules: Annotated[
        int | None,
        typer.Option(
            "--event-rules",
            metavar="N",
            help="Where another streamclf began the run by other rules: theirs to go on with it "
            "all the same, this one's to hear all anew. A run asks for it where needed.",
            rich_help_panel="Source",
        ),
    ] = None,
    log: LogOptions,
) -> None:
    """Hear the items of a plan that have no result yet; may run anywhere, any number of times."""
    from streamclf.archive.run_item import Hearing
    from streamclf.cli.archive import run as run_archive

    kept = (scores, features, not no_levels)
    hearing = Hearing(model, settings, thresholds, *kept, event_rules)
    raise typer.Exit(run_archive(results, hearing, workers, shard=shard, archive=archive))


@app.command(
    cls=HelpfulCommand, epilog=examples.ARCHIVE_STATUS, short_help="Tell how far each run is."
)
def status(
    results: Results,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Tell what is planned, and for each run what is heard, missing, failed and left."""
    from streamclf.cli.archive import status as print_status

    raise typer.Exit(print_status(results, json=json))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.ARCHIVE_CHECK,
    short_help="Check that all results are there and add up.",
)
@grouped
def check(
    *,
    results: Results,
    sample: Annotated[
        int,
        typer.Option(
            "--sample",
            min=0,
            metavar="N",
            help="Also hear N items again here, chosen at random, and compare their results.",
        ),
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Choose the same items each time."),
    ] = None,
    run_: Annotated[
        str | None,
        typer.Option("--run", metavar="HASH", help="Check this run alone (status lists them)."),
    ] = None,
    archive: ArchiveUrl = None,
    model: ModelOptions,
) -> None:
    """Check that every result is there and whole, and that planned = heard + gaps + failed."""
    from streamclf.cli.archive import check as check_results

    raise typer.Exit(
        check_results(results, sample=sample, seed=seed, run=run_, archive=archive, model=model)
    )
