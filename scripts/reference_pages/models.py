"""The bundled models, from the cards in their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

import streamclf
from reference_pages.markdown import NOTE, cell, paragraph


def model_page(name: str) -> str:
    """The page of a bundled model, from the card in its file."""
    model = streamclf.Model(name, provider="cpu")
    card = model.card
    plain: dict[str, Any] = msgspec.to_builtins(card)
    stricter = sorted(card.precisions, key=float)
    size = model.path.stat().st_size / 1e6
    lines = [
        f"# {name}",
        "",
        NOTE,
        "",
        f"`{name}` comes with streamclf. It names {len(card.labels)} sounds, "
        f"{'one at a time' if card.task == 'single-label' else 'several at once'}.",
        "",
        *(["**The weights are not for commercial use.**", ""] if "-NC" in card.licence else []),
        paragraph(card.description),
        "",
        "```",
        f"streamclf listen --model {name}",
        f"streamclf info {name} --all",
        "```",
        "",
        "## At a glance",
        "",
        "| | |",
        "|---|---|",
        f"| version | {card.version} |",
        f"| file | `streamclf/models/{model.path.name}`, {size:.2f} MB |",
        f"| licence of the weights | {cell(card.licence)} "
        f"(`streamclf/models/{model.path.stem}.LICENSE.txt`) |",
        f"| hears | {card.window_s:g} s at {card.sample_rate} Hz |",
        f"| answers | {card.task}, {card.activation}, temperature {card.temperature:g} |",
        f"| shorter recordings | filled by `{card.fill}` |",
        f"| other thresholds | `--target-precision` {', '.join(stricter) or 'none'} |",
        "",
        "## Sounds",
        "",
        "An event begins when its averaged score reaches the first figure, and it ends when the "
        "score falls below the second. The others are thresholds at a `--target-precision`.",
        "",
        "| label | what people read | on | off |" + "".join(f" on at {p} |" for p in stricter),
        "|---|---|---|---|" + "---|" * len(stricter),
    ]
    for label in card.labels:
        cells = [f"`{label}`", card.display_name(label), *_limits(plain["thresholds"], label)]
        cells += [_limits(plain["precisions"][p], label)[0] for p in stricter]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Training data", "", paragraph(card.training_data)]
    lines += ["", "## Accuracy", "", *_accuracy(plain["accuracy"])]
    return "\n".join(lines) + "\n"


def _limits(limits: dict[str, Any], label: str) -> tuple[str, str]:
    if label in limits["never"]:
        return "never", "never"
    own = limits.get("classes", {}).get(label) or limits
    return f"{own['on']:g}", f"{own['off']:g}"


def _accuracy(said: dict[str, Any]) -> Iterator[str]:
    """Figures in tables, a section a subject, with the protocol as text above each table."""
    plain = {key: value for key, value in said.items() if not isinstance(value, dict)}
    yield from _figures(plain)
    for subject, figures in said.items():
        if isinstance(figures, dict):
            yield from ("", f"### {subject.replace('_', ' ').capitalize()}", "")
            yield from _figures(figures)


def _figures(figures: dict[str, Any]) -> Iterator[str]:
    if protocol := figures.get("protocol"):
        yield from (paragraph(str(protocol)), "")
    yield from ("| figure | value |", "|---|---|")
    for key, value in _flat({k: v for k, v in figures.items() if k != "protocol"}):
        yield f"| {cell(key)} | {cell(value)} |"


def _flat(said: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in said.items():
        title = f"{above}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _flat(value, f"{title}, ")
        elif isinstance(value, list):
            yield title, " to ".join(map(str, value)) if len(value) == 2 else str(value)
        else:
            yield title, "" if value is None else str(value)
