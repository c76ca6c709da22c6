"""The screens of `info`: one page for people, or every field of the card."""

from __future__ import annotations

import re
import statistics
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from streamclf.core.card import Card
from streamclf.core.errors import ModelError
from streamclf.core.records import Window
from streamclf.core.settings import Settings
from streamclf.core.sound_kinds import KINDS
from streamclf.core.sureness import LIKELY, SURE, find_sureness_limits
from streamclf.core.text_format import format_count, mark_off
from streamclf.core.unknown_rule import find_unknown_rule
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, bundled_models

WIDTH = 80
MOST_ROWS = 14
MOST_NAMES = 60
"""Labels that are all shown; there may be more in columns that are narrow."""
SHORT = 17
"""Letters of a name that is shown where not all are."""
"""Most lines of labels that fit on the screen beside the rest."""
MEASURED_S = 0.2
"""How long the speed is measured: nobody waits for it."""

_FORBIDDEN = {
    r"\bNC\b|non-?commercial|not (for )?commercial": "NOT FOR COMMERCIAL USE",
    r"\bND\b|no derivatives": "NOT TO BE CHANGED",
    r"research (use|purposes?)? ?only|academic": "FOR RESEARCH ALONE",
}


def describe_model(model: Model) -> list[str]:
    """One screen about a model, in lines of up to `WIDTH` characters."""
    card = model.card
    lines = [_fill(f"{card.name} (version {card.version}) {_task(card)}")]
    lines += [_fill(_listening(model)), ""]
    lines += [*_columns(_shown_labels(card), len(card.labels)), ""]
    if card.taught:
        lines.append(_fill(f"Taught: {'; '.join(_taught_sounds(card))}."))
    lines += [_fill(f"Licence: {_licence(card.licence)}")]
    lines += [_fill(f"Accuracy: {' '.join(_accuracy(card))}")]
    if card.task != "regression":
        lines.append(_fill(f"False alarms: {_false_alarms(card)}"))
    others = [f"{name} ({len(other.labels)})" for name, other in _others(model)]
    beside = f"Also bundled: {', '.join(others)}. " if others else ""
    lines += ["", _fill(f"{beside}--all tells all, --json for programs.")]
    return [line for text in lines for line in (text.splitlines() or [""])]


def _fill(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _task(card: Card) -> str:
    if card.task == "regression":
        return f"gives {', '.join(card.labels)} as a number, again and again, of what it hears."
    how = "one at a time" if card.task == "single-label" else "several at once"
    n_events = len(card.labels) - len(card.thresholds.never)
    events = f"; {n_events:,} are told as events" if card.thresholds.never else ""
    return f"names {_count_labels(card)}, {how}{events}."


def _count_labels(card: Card) -> str:
    return f"{len(card.labels)} sound{'s' if len(card.labels) != 1 else ''}"


def _listening(model: Model) -> str:
    card = model.card
    hop_s = Settings().hop_s
    heard = f"It hears {card.window_s:g} s at a time, at {card.sample_rate / 1000:g} kHz."
    try:
        taken_s = measure_window(model, hop_s)
    except ModelError as error:
        return f"{heard} IT CANNOT BE RUN: {error}"
    return (
        f"{heard} Here a window takes {taken_s * 1000:.2g} ms: {_times(hop_s / taken_s)} at a hop "
        f"of {hop_s:g} s."
    )


def _times(ratio: float) -> str:
    return (
        f"{ratio:.0f} times as fast as needed" if ratio >= 1 else f"{1 / ratio:.1f} times too slow"
    )


def measure_window(model: Model, hop_s: float) -> float:
    """Seconds that a window of a stream takes here, a hop after the one before."""
    card = model.card
    score = Classifier(model).open_stream()
    hop = max(round(hop_s * card.sample_rate), 1)
    noise = np.random.default_rng(1).normal(0, 0.1, card.window_samples + 40 * hop)
    audio = noise.astype(np.float32)
    taken: list[float] = []
    until = time.perf_counter() + MEASURED_S
    for number in range(41):
        window = audio[number * hop : number * hop + card.window_samples]
        began = time.perf_counter()
        score([Window(number * hop, window, window.size)])
        taken.append(time.perf_counter() - began)
        if time.perf_counter() > until and number:
            break
    return statistics.median(taken[1:])  # the first brings a whole window of new audio


def _shown_labels(card: Card) -> list[str]:
    """The labels' names; of many, those that people wait for, and some of the broadest."""
    names = [card.display_name(label) for label in card.labels]
    if len(names) <= MOST_NAMES or not card.broader:
        return names
    short = [
        label
        for label in sorted(card.labels, key=str.casefold)
        if len(card.display_name(label)) <= SHORT and label not in card.thresholds.never
    ]
    wanted = [label for label in short if label in KINDS]
    broadest = [label for label in short if label not in card.broader and label not in KINDS]
    step = len(broadest) / max(WIDTH // (SHORT + 2) * MOST_ROWS - 1 - len(wanted), 1)
    some = [broadest[int(k * step)] for k in range(int(len(broadest) / max(step, 1)))]
    return [card.display_name(label) for label in (*wanted, *some)] or names


def _columns(names: Sequence[str], n_labels: int) -> Iterator[str]:
    """Names in alphabetical order, down one column after another."""
    names = sorted(names, key=str.casefold)
    width = min(max(map(len, names)), WIDTH - 2) + 2
    n_columns = max((WIDTH - 2) // width, 1)
    n_rows = -(-len(names) // n_columns)
    shown = names[: n_columns * MOST_ROWS - 1] if n_rows > MOST_ROWS else names
    if len(shown) < n_labels:
        shown = [*shown, f"and {n_labels - len(shown)} more"]
        n_rows = min(-(-len(shown) // n_columns), MOST_ROWS)
    for row in range(n_rows):
        cells = [f"{_cut(name, width - 2):<{width}}" for name in shown[row::n_rows]]
        yield f"  {''.join(cells)}".rstrip()


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 3]}..."


def _taught_sounds(card: Card) -> Iterator[str]:
    """The sounds that were taught, the newest last."""
    for label, origin in card.taught.items():
        n_examples = format_count(len(origin.examples), "example")
        when = f" on {origin.date}" if origin.date else ""
        yield f"{mark_off(card.display_name(label))} (from {n_examples}{when})"


def _licence(licence: str) -> str:
    if not licence:
        return "NOT SAID: ask who made it before you pass it on."
    forbidden = [
        what for pattern, what in _FORBIDDEN.items() if re.search(pattern, licence, re.IGNORECASE)
    ]
    return f"{', '.join(forbidden)}. {licence}." if forbidden else f"{licence}."


def _accuracy(card: Card) -> Iterator[str]:
    """Up to three sentences from the figures that the exporter writes."""
    said = card.accuracy
    clips = f"{said['clips']} clips that it was not trained on" if "clips" in said else "clips"
    if card.task == "regression":
        if (error := said.get("mean_absolute_error")) is not None:
            yield f"it is off by {error:.3g} on average, on {clips}."
        else:
            yield "nobody has written down how far it is off."
        return
    named = said.get("averaged_windows")
    if not isinstance(named, float):
        yield "nobody has written down how often it is right."
        return
    interval = said.get("interval_95") or []
    sure = f" (95% interval: {interval[0]:.0%} to {interval[1]:.0%})" if len(interval) == 2 else ""
    yield f"it names {named:.0%}{sure} of {clips}."
    levels = _dict(_dict(said.get("levels")).get("averaged_windows"))
    if {"-20", "-40"} <= set(levels):
        yield f"20 dB quieter it names {levels['-20']:.0%}, 40 dB quieter {levels['-40']:.0%}."
    scenes = _dict(said.get("soundscapes"))
    if {"event_recall", "event_precision"} <= set(scenes):
        found, right = _part(scenes["event_recall"]), _part(scenes["event_precision"])
        yield (
            f"Where sounds follow one another over noise it finds {found} of them, and {right} of "
            "its events are right."
        )
    elif "precision" in (events := _dict(_dict(said.get("events")).get("cross_fitted"))):
        yield f"Of the events that it finds in such clips {events['precision']:.0%} are right."


def _part(figure: object) -> str:
    """A part in per cent; of several measurements the lowest and the highest."""
    if isinstance(figure, list):
        return " to ".join(_part(end) for end in figure)
    return f"{figure:.0%}" if isinstance(figure, int | float) else "an unknown part"


def _false_alarms(card: Card) -> str:
    counted = _counted_false_alarms(card)
    if counted:
        return counted
    per_hour = _dict(card.accuracy.get("soundscapes")).get("false_alarms_per_hour")
    busy = (
        f"{per_hour:.0f} an hour where many sounds follow one another over noise; in quiet rooms "
        "they were not counted."
        if isinstance(per_hour, int | float)
        else "not measured."
    )
    precisions = sorted(card.precisions, key=float)
    stricter = f" --target-precision {precisions[-1]} asks for fewer." if precisions else ""
    return busy + stricter


def _counted_false_alarms(card: Card) -> str:
    """Those of an hour in each kind of audio, by the thresholds in force and by stricter ones."""
    kinds = _dict(_dict(card.accuracy.get("false_alarms")).get("per_hour"))
    told, stricter = [], ""
    for kind, figures in kinds.items():
        counts = {
            name: f"{figure:.3g}" if figure >= 100 else f"{figure:.2g}"
            for name, figure in _dict(figures).items()
            if isinstance(figure, int | float)
        }
        if "default" in counts:
            others = [name for name in counts if name != "default"]
            more = f" ({counts[others[-1]]})" if others else ""
            stricter = stricter or (f" (with --target-precision {others[-1]})" if others else "")
            told.append(f"{kind} {counts['default']}{more}")
    return f"an hour{stricter}: {', '.join(told)}." if told else ""


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _others(model: Model) -> Iterator[tuple[str, Card]]:
    for name, path in bundled_models().items():
        if path.resolve() != model.path.resolve():
            yield name, Model(path, provider="cpu").card


def list_card(model: Model) -> list[tuple[str, str]]:
    """Everything that the card says, as titles and texts."""
    card = model.card
    seen = "; the card names no activation, the graph ends in one" if model.notice else ""
    rows = [
        ("name", f"{card.name} (version {card.version})"),
        ("description", card.description),
        ("file", f"{model.path} ({model.path.stat().st_size / 1e6:.2f} MB)"),
        ("task", f"{card.task} ({card.activation}, temperature {card.temperature:g})" + seen),
        ("sample rate", f"{card.sample_rate} Hz"),
        ("window", f"{card.window_samples} samples ({card.window_s:g} s)"),
        ("thresholds", _thresholds(card)),
        ("how sure", _sureness(card)),
        ("unknown sounds", _unknown(card)),
        ("shared work", _shared(card)),
        ("features", _features(card)),
        ("training data", card.training_data),
        ("licence", card.licence),
        *((f"accuracy: {key}", text) for key, text in _flat(card.accuracy)),
        (f"{len(card.labels)} labels", ", ".join(card.labels)),
        ("display names", ", ".join(f"{a}: {b!r}" for a, b in card.display_names.items())),
        *_broader(card),
        *_taught(card),
        ("bundled models", _bundled()),
    ]
    return [(title, text or "not said") for title, text in rows]


def _broader(card: Card) -> Iterator[tuple[str, str]]:
    if card.broader:
        pairs = (f"{label}: {', '.join(others)}" for label, others in card.broader.items())
        yield "broader labels", "; ".join(pairs)


def _taught(card: Card) -> Iterator[tuple[str, str]]:
    for label, origin in card.taught.items():
        apart = f", told apart from {', '.join(origin.against)}" if origin.against else ""
        examples = ", ".join(origin.examples)
        yield f"taught: {card.display_name(label)}", f"{origin.date} from {examples}{apart}"


def _flat(said: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A row a figure, of dictionaries within dictionaries, too."""
    for key, value in said.items():
        title = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{title}, ")
        elif isinstance(value, list):
            yield title, ", ".join(map(str, value))
        else:
            yield title, "" if value is None else str(value)


def _shared(card: Card) -> str:
    stem, why = card.stem, card.stem_note
    if stem is None:
        return f"none between windows: {why}" if why else "none between windows"
    return (
        f"up to tensor {stem.tensor!r}: {stem.frames} frames a window, windows every "
        f"{stem.stride} samples ({stem.stride / card.sample_rate:g} s) or multiples"
        + (f"; no deeper: {why}" if why else "")
    )


def _features(card: Card) -> str:
    features = card.features
    if features is None:
        return "none named: no search or teaching by its features"
    made_of = f", sums of {features.width} values" if features.width else ""
    return f"{features.size} values a window{made_of}, of tensor {features.tensor!r}"


def _thresholds(card: Card) -> str:
    limits = card.thresholds
    own = f"; {len(limits.classes)} labels have their own" if limits.classes else ""
    others = ", ".join(card.precisions)
    return (
        f"on {limits.on:g}, off {limits.off:g}, events of {limits.min_duration:g} s or more, "
        f"pauses up to {limits.max_gap:g} s bridged{own}"
        + (f"; never of {', '.join(limits.never)}" if limits.never else "")
        + (f"; others for --target-precision {others}" if others else "")
    )


def _sureness(card: Card) -> str:
    limits = find_sureness_limits(card)
    if not limits:
        return "not told in words: the card does not know how often which scores are right"
    words = f"sure from the threshold for {SURE:g} on, likely from that for {LIKELY:g}, else maybe"
    n_others = len(card.labels) - len(set(card.thresholds.never)) - len(limits)
    return f"{words}; {format_count(n_others, 'label')} without a word" if n_others else words


def _unknown(card: Card) -> str:
    if card.unknown is None and find_unknown_rule(card):
        return "those of which no label reaches its threshold, and none of silence is nearest"
    if card.unknown is None:
        return "not told: every sound gets the name that fits best"
    return f"those of which no averaged score reaches {card.unknown.threshold:g}"


def _bundled() -> str:
    cards = ((name, Model(path, provider="cpu").card) for name, path in bundled_models().items())
    return "; ".join(f"{name} ({len(card.labels)} labels, {card.licence})" for name, card in cards)
