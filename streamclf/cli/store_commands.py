"""The group of commands about the store, as declared: `import`, `export`, `check`, `vacuum`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamclf.cli import examples
from streamclf.cli.help_text import HelpfulCommand, HelpfulGroup

app = typer.Typer(
    name="store",
    help="Look after the store, the file that remembers what was heard.",
    short_help="Check, import, export or compact the store.",
    no_args_is_help=True,
    cls=HelpfulGroup,
    epilog=examples.STORE,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreFile = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="FILE", help="The store; by default streamclf.db in your data folder."
    ),
]
StoreArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="The store, the same as with --store.")
]


@app.command(
    "import",
    cls=HelpfulCommand,
    epilog=examples.STORE_IMPORT,
    short_help="Take JSON Lines of earlier runs into the store.",
)
def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.jsonl...",
            help="JSON Lines of earlier runs, the oldest first; - is standard input.",
        ),
    ],
    store: StoreFile = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Folder that relative names of recordings start from; by default the current one.",
        ),
    ] = None,
) -> None:
    """Take events and gaps of JSON Lines into the store; what it holds already is left out."""
    from streamclf.cli.store import import_files

    raise typer.Exit(import_files(files, store, folder))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.STORE_EXPORT,
    short_help="Write the store as JSON Lines.",
)
def export(
    file: StoreArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write; by default standard output."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
    rescue: Annotated[
        bool,
        typer.Option("--rescue", help="Write what can still be read of a damaged store."),
    ] = False,
    store: StoreFile = None,
) -> None:
    """Write all events and gaps of the store as JSON Lines, in the form of listen and file."""
    from streamclf.cli.store import export_lines

    raise typer.Exit(export_lines(file, store, output, overwrite=overwrite, rescue=rescue))


@app.command(
    cls=HelpfulCommand,
    epilog=examples.STORE_CHECK,
    short_help="Check that its sums add up.",
)
def check(
    file: StoreArgument = None,
    clips: Annotated[
        bool, typer.Option("--clips", help="Also look for the files of the clips.")
    ] = False,
    store: StoreFile = None,
) -> None:
    """Check that the store is sound and its sums add up; exit code 1 and a line if not."""
    from streamclf.cli.store import check as check_sums

    raise typer.Exit(check_sums(file, store, clips=clips))


@app.command(cls=HelpfulCommand, epilog=examples.STORE_VACUUM)
def vacuum(file: StoreArgument = None, store: StoreFile = None) -> None:
    """Give the room of deleted rows back to the disk."""
    from streamclf.cli.store import vacuum as compact_store

    raise typer.Exit(compact_store(file, store))
