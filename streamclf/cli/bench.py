"""The command `bench`: how fast a model listens here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from streamclf.cli.reports import print_json


def bench(figures: dict[str, Any], *, as_json: bool) -> None:
    """Print what `streamclf.checks.bench.measure` found."""
    if as_json:
        print_json(figures)
        return
    latency, whole = figures["latency_ms"], figures["x_real_time"]
    print(f"{figures['model']} on {figures['provider']}, a window every {figures['hop_s']:g} s")
    print(f"{'':<18} {'x real time':>11} {'windows/s':>10} {'CPU s/h':>8}")
    rows = {"whole pipeline": figures, **figures["stages"], **figures["baselines"]}
    for name, row in rows.items():
        windows = f"{row['windows_per_s']:.0f}" if "windows_per_s" in row else "-"
        ratio = f"  the whole pipeline reaches {whole / row['x_real_time']:.2f} of this"
        print(
            f"{name:<18} {row['x_real_time']:>11.1f} {windows:>10} {row['cpu_s_per_hour']:>8.2f}"
            + (ratio if name in figures["baselines"] else "")
        )
    print(
        f"a window heard live: {latency['p50']:g} ms (p50), {latency['p95']:g} (p95), "
        f"{latency['p99']:g} (p99); peak memory {figures['peak_mib']:.0f} MiB; "
        f"start-up {figures['start_up_s']:.2f} s"
    )
    print("\n".join(_explain(rows)))
    print(_microphones(figures["microphones"], figures["hop_s"]))


_MEANINGS = {
    "decoding": "reading the audio, without the network",
    "stem": "the layers whose work windows share, once for all audio",
    "head": "the other layers, once a window",
    "bare_session": "the network alone, on windows already cut: what is left to gain",
    "window_at_a_time": "each window by itself, no work shared",
    "batched": "many windows at once, no work shared",
}


def _explain(rows: Iterable[str]) -> Iterator[str]:
    """A line for each row of the table that does not speak for itself."""
    return (f"  {name}: {_MEANINGS[name]}" for name in rows if name in _MEANINGS)


def _microphones(number: int, hop_s: float) -> str:
    """The sentence that the table leads to."""
    if not number:
        return (
            f"this machine does not keep up with a microphone at a hop of {hop_s:g} s: "
            "listen would widen the hop; give it a longer --hop, or a smaller model"
        )
    return (
        f"this machine keeps up with {number} microphone{'s' if number > 1 else ''} "
        f"at a hop of {hop_s:g} s"
    )
