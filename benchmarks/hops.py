"""Speed by hop: the pipeline from 0.05 to 1.5 s, against the same model without sharing.

    python benchmarks/hops.py [--model M] [--seconds 60] [--threads 0] [--hops 0.5,0.2,0.1]

Each row is one `streamclf bench`: pipeline and baselines in turn in one process.
"""

from __future__ import annotations

import argparse

from streamclf.checks.bench import measure
from streamclf.core.settings import Settings
from streamclf.model.model_file import Model, find_model

HOPS = "0.05,0.1,0.2,0.5,1.0,1.5"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--hops", default=HOPS)
    options = parser.parse_args()
    path = find_model(options.model)
    print("| hop | x real time | CPU s/h | of window_at_a_time | of batched | of bare_session |")
    print("|---|---|---|---|---|---|")
    for hop in map(float, options.hops.split(",")):
        figures = measure(
            lambda live: Model(path, provider="cpu", n_threads=options.threads, live=live),
            Settings(hop),
            options.seconds,
        )
        whole = figures["x_real_time"]
        ratios = [
            whole / figures["baselines"][name]["x_real_time"]
            for name in ("window_at_a_time", "batched", "bare_session")
        ]
        print(
            f"| {figures['hop_s']:g} s | {whole:.0f} | {figures['cpu_s_per_hour']:.2f} | "
            + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |",
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
