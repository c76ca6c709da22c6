"""The commands about models, as declared: `info`, `bench` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamclf.cli.typer_parameters import Fields, grouped
from streamclf.core.settings import Settings
from streamclf.model.options import DEFAULT_MODEL, CardOptions, ModelOptions

Tried = Annotated[ModelOptions, Fields(without=("self_check",))]
"""A model for a command that tries by itself what runs it."""


@grouped
def info(
    *,
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="An .onnx file or a bundled model.")
    ] = DEFAULT_MODEL,
    everything: Annotated[
        bool, typer.Option("--all", help="Print all fields of the card.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
    card: CardOptions,
) -> None:
    """Show what a model names, how well, how fast here, and what it may be used for."""
    from streamclf.cli.info import info as print_info

    print_info(model, card, as_json=json, everything=everything)


@grouped
def bench(
    *,
    model: Tried,
    settings: Annotated[Settings, Fields(only=("hop_s", "exact_hop"))],
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Length of the audio in each of three rounds.")
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure how fast a model listens here, and how much of the time goes where."""
    from streamclf.checks.bench import measure
    from streamclf.cli.bench import bench as print_bench
    from streamclf.runs import engine_setup

    figures = measure(lambda live: engine_setup.open_model(model, live), settings, seconds)
    print_bench(figures, as_json=json)


@grouped
def verify(
    *,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Recording to use; by default synthetic sounds."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Seed of the random block sizes and synthetic sounds.",
        ),
    ] = 1,
    model: Tried,
    settings: Annotated[
        Settings,
        Fields(without=("batch_size", "fixed_hop", "name_unknown", "ongoing_s", "silent_after_s")),
    ],
) -> None:
    """Prove that live and file paths, every provider and shared work give the same results."""
    from streamclf.cli.verify import verify as prove

    raise typer.Exit(prove(model, settings, path, seed))
