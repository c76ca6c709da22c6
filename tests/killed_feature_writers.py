"""Writers of features that are killed at random moments, two at once: a script, because it forks.

    python tests/killed_feature_writers.py FOLDER KILLS

It prints a JSON object: the number of kills, of records that were acknowledged, and what was found
wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamclf.store.features.feature_file import append_records, pack_record
from streamclf.store.features.feature_store import FeatureFile
from streamclf.store.features.layout import FeatureHeader

HEADER = FeatureHeader(
    source="yard", model="made", version="1", digest="00112233445566aa", size=250, scale=0.1,
    sample_rate=8000, window=12_000, every_s=0.5, labels=("a", "b"), n_scores=2,
)  # fmt: skip
N_TOGETHER = 40
"""Records of one write: more than a page of memory, so that a write can be seen half done."""


def records(writer: int, number: int) -> Iterator[bytes]:
    """Make the records of one write; time and position tell whose they are."""
    for k in range(N_TOGETHER):
        values = np.full(250, (writer + number + k) % 100, np.int8)
        scores = np.float32([0.25, 0.75])
        yield pack_record(writer, number * N_TOGETHER + k, 12_000, values, scores, 2)


def write(path: Path, writer: int, told: int) -> None:
    """Write as fast as it goes, and tell what was written."""
    number = 0
    while True:
        append_records(path, HEADER, b"".join(records(writer, number)))
        os.write(told, f"{writer} {number}\n".encode())
        number += 1


def kill_two(path: Path, writer: int, after_s: float) -> list[str]:
    """Start two writers of one file, kill both, and return what they told."""
    reading, writing = os.pipe()
    children = []
    for each in (writer, writer + 1):
        child = os.fork()
        if not child:
            os.close(reading)
            try:
                write(path, each, writing)
            finally:
                os._exit(1)  # a writer ends by its kill alone
        children.append(child)
    os.close(writing)
    with open(reading) as pipe:  # noqa: PTH123 - a descriptor
        first = pipe.readline()
        time.sleep(after_s)
        for child in children:
            os.kill(child, signal.SIGKILL)
        told = (first + pipe.read()).splitlines()
    for child in children:
        os.waitpid(child, 0)
    return told


def faults(path: Path, told: list[str]) -> Iterator[str]:
    """Find what was acknowledged and is not there, or is there and is not as it was written."""
    kept = FeatureFile.open(path).records
    there: dict[int, list[int]] = {}
    for record in kept:
        there.setdefault(int(record["time_us"]), []).append(int(record["position"]))
        energy = int(np.square(record["values"].astype(np.int64)).sum())
        if energy != int(record["energy"]) or record["labels"].tolist() != [1, 0]:
            yield f"a record is not as it was written: {record['position']}"
    for writer, positions in there.items():
        if positions != [*range(len(positions))]:
            yield f"writer {writer}: not in order"
    for line in told:
        writer, number = map(int, line.split())
        if len(there.get(writer, ())) < (number + 1) * N_TOGETHER:
            yield f"writer {writer}: {number} was acknowledged and is not there"


def main() -> None:
    """Kill writers, and print what was found."""
    folder, n_kills = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(1)
    path = folder / "yard" / "2026-11-26_00112233445566aa.features"
    told: list[str] = []
    wrong: list[str] = []
    for kill in range(n_kills):
        told += kill_two(path, 2 * kill, draw.uniform(0, 0.01))
        wrong += faults(path, told)
    append_records(path, HEADER, b"".join(records(99_999, 0)))
    wrong += faults(path, told)
    print(json.dumps({"kills": n_kills, "told": len(told), "wrong": wrong}))


if __name__ == "__main__":
    main()
