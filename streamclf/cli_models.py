"""The commands about models: what one says of itself, how fast it is, and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamclf import options


def info(
    model: Annotated[str, typer.Argument(help="An .onnx file or a bundled model.")] = "pocket",
    json: Annotated[bool, typer.Option("--json", help="The card as JSON.")] = False,
    labels: options.Labels = None,
    sample_rate: options.SampleRate = None,
    window: options.WindowS = None,
    activation: options.ActivationOption = None,
    task: options.TaskOption = None,
) -> None:
    """Show what a model says of itself."""
    from streamclf import show
    from streamclf.model import CardOptions

    show.info(model, CardOptions(labels, sample_rate, window, activation, task), as_json=json)


def bench(
    model: options.Model = "pocket",
    hop: options.Hop = 0.5,
    exact_hop: options.ExactHop = False,
    seconds: Annotated[
        float, typer.Option(metavar="N", help="Of audio, at each of three rounds.")
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    provider: options.ProviderOption = "auto",
    threads: options.Threads = 0,
    labels: options.Labels = None,
    sample_rate: options.SampleRate = None,
    window: options.WindowS = None,
    activation: options.ActivationOption = None,
    task: options.TaskOption = None,
) -> None:
    """Measure how fast a model listens here, beside what else could be done."""
    from streamclf import opening, show
    from streamclf.bench import measure
    from streamclf.model import CardOptions
    from streamclf.settings import Settings

    card = CardOptions(labels, sample_rate, window, activation, task)
    which = opening.ModelOptions(model, provider, threads, card)
    figures = measure(
        lambda live: opening.open_model(which, live), Settings(hop, exact_hop=exact_hop), seconds
    )
    show.bench(figures, as_json=json)


def verify(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A recording; without one, sounds are made."),
    ] = None,
    model: options.Model = "pocket",
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the blocks' sizes, and of made sounds.")
    ] = 1,
    hop: options.Hop = 0.5,
    exact_hop: options.ExactHop = False,
    average: options.AverageS = 3.0,
    average_kind: options.AverageKindOption = "mean",
    channel: options.Channel = None,
    provider: options.ProviderOption = "auto",
    threads: options.Threads = 0,
    labels: options.Labels = None,
    sample_rate: options.SampleRate = None,
    window: options.WindowS = None,
    activation: options.ActivationOption = None,
    task: options.TaskOption = None,
) -> None:
    """Prove that live and file paths, every provider and shared work give the same results."""
    from streamclf import proof
    from streamclf.model import CardOptions
    from streamclf.opening import ModelOptions
    from streamclf.settings import Settings

    card = CardOptions(labels, sample_rate, window, activation, task)
    which = ModelOptions(model, provider, threads, card)
    settings = Settings(hop, average, average_kind, channel=channel, exact_hop=exact_hop)
    raise typer.Exit(proof.verify(which, settings, path, seed))
