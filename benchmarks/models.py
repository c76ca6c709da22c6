"""Models side by side: networks of several kinds, or one in float32, half and int8.

    python benchmarks/models.py MODEL [MODEL ...] [--seconds 60] [--hop 0.5] [--threads 0]

Each row is one `streamclf bench`; the models' pipelines are compared with the first's.
"""

from __future__ import annotations

import argparse

from streamclf.checks.bench import measure
from streamclf.core.settings import Settings
from streamclf.model.model_file import Model, find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print("| model | MB | window | hop | x real time | of the first | of window_at_a_time "
          "| CPU s/h | live window p50, p99 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    first = None
    for name in options.models:
        path = find_model(name)
        figures = measure(
            lambda live, path=path: Model(path, provider="cpu", n_threads=options.threads,
                                          live=live),
            Settings(options.hop), options.seconds,
        )  # fmt: skip
        speed, latency = figures["x_real_time"], figures["latency_ms"]
        first = first or speed
        alone = speed / figures["baselines"]["window_at_a_time"]["x_real_time"]
        card = Model(path, provider="cpu").card
        print(
            f"| {path.stem} | {path.stat().st_size / 1e6:.2f} | "
            f"{card.window_samples / card.sample_rate:.3g} s | {figures['hop_s']:g} s | "
            f"{speed:.0f} | {speed / first:.2f} | {alone:.2f} | "
            f"{figures['cpu_s_per_hour']:.2f} | {latency['p50']:.2f}, {latency['p99']:.2f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
