"""The commands that show what there is and how fast it is; `streamclf.cli` registers them."""

from __future__ import annotations

from typing import Annotated

import typer

from streamclf import options


def devices(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the microphones."""
    from streamclf import show

    show.devices(as_json=json)


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
    from streamclf import commands, opening, show
    from streamclf.model import CardOptions
    from streamclf.settings import Settings

    card = CardOptions(labels, sample_rate, window, activation, task)
    which = opening.ModelOptions(model, provider, threads, card)
    figures = commands.bench(which, Settings(hop, exact_hop=exact_hop), seconds)
    show.bench(figures, as_json=json)
