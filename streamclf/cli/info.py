"""The command `info`: what a model says of itself."""

from __future__ import annotations

import msgspec

from streamclf.cli.info_screen import describe_model, list_card
from streamclf.cli.reports import print_json
from streamclf.core.redaction import show_safely
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import CardOptions


def info(name: str, options: CardOptions, *, as_json: bool, everything: bool = False) -> None:
    """Print what a model says of itself: one screen, its card as JSON, or all of that as text.

    Raises:
        ModelError: It cannot be opened, or nothing says what it hears.
    """
    model = Model(find_model(name), provider="cpu", options=options)
    if as_json:
        card = msgspec.to_builtins(model.card)
        print_json({**card, "file": str(model.path), "bytes": model.path.stat().st_size})
        return
    if not everything:
        for line in describe_model(model):
            print(show_safely(line))
        return
    rows = list_card(model)
    width = max(len(title) for title, _ in rows)
    for title, text in rows:
        print(f"{show_safely(title):<{width}}  {show_safely(text)}")
