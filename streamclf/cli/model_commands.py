"""The commands about models: what one says of itself, how fast it is, and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamclf.cli import option_groups, options
from streamclf.cli.option_groups import grouped


@grouped
def info(
    *,
    model: Annotated[str, typer.Argument(help="An .onnx file or a bundled model.")] = "pocket",
    everything: Annotated[
        bool, typer.Option("--all", help="Print all that its card says, with every figure.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
    card: option_groups.Card,
) -> None:
    """Show what a model names, how well, how fast here, and what it may be used for."""
    from streamclf.cli.info import info as print_info

    print_info(model, card.read(), as_json=json, everything=everything)


@grouped
def bench(
    *,
    model: option_groups.Model,
    hop: options.Hop = 0.5,
    exact_hop: options.ExactHop = False,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Length of the audio in each of three rounds.")
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    card: option_groups.Card,
) -> None:
    """Measure how fast a model listens here, and how much of the time goes where."""
    from streamclf.checks.bench import measure
    from streamclf.cli.bench import bench as print_bench
    from streamclf.core.settings import Settings
    from streamclf.runs import engine_setup

    which = model.read(card)
    figures = measure(
        lambda live: engine_setup.open_model(which, live),
        Settings(hop, exact_hop=exact_hop),
        seconds,
    )
    print_bench(figures, as_json=json)


@grouped
def verify(
    *,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A recording; without one, sounds are made."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Number that the sizes of blocks and the made sounds follow from.",
        ),
    ] = 1,
    model: option_groups.Model,
    listening: option_groups.Listening,
    card: option_groups.Card,
) -> None:
    """Prove that live and file paths, every provider and shared work give the same results."""
    from streamclf.cli.verify import verify as prove

    raise typer.Exit(prove(model.read(card), listening.read(), path, seed))
