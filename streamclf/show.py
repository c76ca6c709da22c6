"""What the commands `info` and `devices` print."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import msgspec

from streamclf.card import Card
from streamclf.masking import show_safely
from streamclf.model import CardOptions, Model, bundled_models, find_model


def info(name: str, options: CardOptions, *, as_json: bool) -> None:
    """Print a model's card.

    Raises:
        ModelError: It cannot be opened, or nothing says what it hears.
    """
    model = Model(find_model(name), provider="cpu", options=options)
    if as_json:
        card = msgspec.to_builtins(model.card)
        _print_json({**card, "file": str(model.path), "bytes": model.path.stat().st_size})
        return
    width = max(len(title) for title, _ in _rows(model))
    for title, text in _rows(model):
        print(f"{title:<{width}}  {show_safely(text)}")


def _rows(model: Model) -> list[tuple[str, str]]:
    card = model.card
    rows = [
        ("name", f"{card.name} (version {card.version})"),
        ("description", card.description),
        ("file", f"{model.path} ({model.path.stat().st_size / 1e6:.2f} MB)"),
        ("task", f"{card.task} ({card.activation}, temperature {card.temperature:g})"),
        ("sample rate", f"{card.sample_rate} Hz"),
        ("window", f"{card.window_samples} samples ({card.window_s:g} s)"),
        ("thresholds", _thresholds(card)),
        ("unknown sounds", _unknown(card)),
        ("shared work", _shared(card)),
        ("training data", card.training_data),
        ("licence", card.licence),
        *((f"accuracy: {key}", str(value)) for key, value in card.accuracy.items()),
        (f"{len(card.labels)} labels", ", ".join(card.labels)),
        ("bundled models", _bundled()),
    ]
    return [(title, text or "not said") for title, text in rows]


def _shared(card: Card) -> str:
    stem, why = card.stem, card.stem_note
    if stem is None:
        return f"none between windows: {why}" if why else "none between windows"
    return (
        f"up to tensor {stem.tensor!r}: {stem.frames} frames a window, windows every "
        f"{stem.stride} samples ({stem.stride / card.sample_rate:g} s) or multiples"
        + (f"; no deeper: {why}" if why else "")
    )


def _thresholds(card: Card) -> str:
    limits = card.thresholds
    own = f"; {len(limits.classes)} labels have their own" if limits.classes else ""
    others = ", ".join(card.precisions)
    return (
        f"on {limits.on:g}, off {limits.off:g}, events of {limits.min_duration:g} s or more, "
        f"pauses up to {limits.max_gap:g} s bridged{own}"
        + (f"; others for --target-precision {others}" if others else "")
    )


def _unknown(card: Card) -> str:
    if card.unknown is None:
        return "not told: every sound gets the name that fits best"
    return f"those of which no averaged score reaches {card.unknown.threshold:g}"


def _bundled() -> str:
    cards = ((name, Model(path, provider="cpu").card) for name, path in bundled_models().items())
    return "; ".join(f"{name} ({len(card.labels)} labels, {card.licence})" for name, card in cards)


def devices(*, as_json: bool) -> None:
    """Print the microphones.

    Raises:
        DeviceError: There is no PortAudio library, or no input device.
    """
    from streamclf.sources.devices import list_inputs

    inputs = list_inputs()
    if as_json:
        _print_json([dataclasses.asdict(device) for device in inputs])
        return
    print("    index  channels  default rate  host API      name")
    for device in inputs:
        mark = "*" if device.is_default else " "
        print(
            f"  {mark} {device.index:>5}  {device.channels:>8}  "
            f"{device.default_sample_rate:>9.0f} Hz  {device.host_api:<12}  "
            f"{show_safely(device.name)}"
        )
    print("  * is the default; --device takes an index or part of a name")


def bench(figures: dict[str, Any], *, as_json: bool) -> None:
    """Print what `streamclf.bench.measure` found."""
    if as_json:
        _print_json(figures)
        return
    latency, whole = figures["latency_ms"], figures["x_real_time"]
    print(f"{figures['model']} on {figures['provider']}, a window every {figures['hop_s']:g} s")
    print(f"{'':<18} {'x real time':>11} {'windows/s':>10} {'CPU s/h':>8}")
    rows = {"whole pipeline": figures, **figures["stages"], **figures["baselines"]}
    for name, row in rows.items():
        windows = f"{row['windows_per_s']:.0f}" if "windows_per_s" in row else "-"
        ratio = f"  whole pipeline is {whole / row['x_real_time']:.2f} of it"
        print(
            f"{name:<18} {row['x_real_time']:>11.1f} {windows:>10} {row['cpu_s_per_hour']:>8.2f}"
            + (ratio if name in figures["baselines"] else "")
        )
    print(
        f"a window heard live: {latency['p50']:g} ms (p50), {latency['p95']:g} (p95), "
        f"{latency['p99']:g} (p99); peak memory {figures['peak_mib']:.0f} MiB; "
        f"start-up {figures['start_up_s']:.2f} s"
    )


def _print_json(value: Any) -> None:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")
