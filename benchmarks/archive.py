"""Archives against `streamclf file`: the same events, and what each hour costs more.

    python -m benchmarks.archive ESC-50 [--hours 10] [--equal 5] [--rounds 2] [--folder DIR]

Recordings are made of soundscapes of ESC-50: three sites with hours of WAV at two rates and of
FLAC, and short recordings as WAV, FLAC and Ogg, one of which is cut short and one damaged. For
``--equal`` random lengths of items and numbers of workers, by `--shard` and on Ray in turn, events,
ids, begins, scores and gaps are compared with those of `streamclf file`. Then `streamclf file
--jobs 2` and `streamclf archive run` hear the same in turn, and the processors' time of all
processes is compared, those of Ray included (it is read from /proc, so it needs Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.dataset
import soundfile

from train.audio.soundscapes import make_scenes
from train.datasets import open_clips

RATE = 44_100
STREAMCLF = [sys.executable, "-m", "streamclf"]
SCORE_TOLERANCE = 5e-5 + 1e-5
"""`file` writes four digits, and windows that share work differ by 0.00001 at most."""
MARK = "STREAMCLF_BENCHMARK"
LOOK_S = 0.2

Event = tuple[str, str, str, float, float, float, float]
"""Source, id, label, onset, offset, score, score of the begin."""
Gap = tuple[str, float, float, str]


@dataclass(frozen=True)
class Cost:
    """What some processes took.

    Attributes:
        cpu_s: Time of processors, of all processes.
        wall_s: Time from the first one's start to the last one's end.
    """

    cpu_s: float
    wall_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("esc50", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--equal", type=int, default=5, help="random cuts that are compared")
    parser.add_argument("--rounds", type=int, default=2, help="rounds in which costs are measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for recordings and results")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    folder = options.folder or Path(tempfile.mkdtemp())
    archive, tiny = folder / "archive", folder / "tiny"
    if not archive.exists():
        hours = make_archive(archive, options.esc50, options.hours, options.seed)
        print(f"{hours:.2f} h of recordings in {len(list(archive.rglob('*.*')))} files")
        for site in ("here", "there"):  # an item for each worker
            (tiny / site).mkdir(parents=True)
            soundfile.write(tiny / site / "tiny.wav", np.zeros(10 * RATE, np.int16), RATE)
    if options.equal:
        compare_results(folder, archive, options.equal, random.Random(options.seed))
    if options.rounds:
        compare_costs(folder, archive, tiny, options.rounds)


def make_archive(folder: Path, esc50: Path, hours: float, seed: int) -> float:
    """Make the recordings; returns their hours."""
    chance = np.random.default_rng(seed)
    clips = open_clips(esc50, RATE, dataset="esc50")
    minutes = [scene.waveform for scene in make_scenes(clips, 60, seed=seed)]

    def sound(n_minutes: int) -> Iterator[np.ndarray]:
        for _ in range(n_minutes):
            yield minutes[chance.integers(len(minutes))] * np.float32(chance.uniform(0.3, 1.0))

    unit = 60 * hours / 10
    begun = "2026060{}_0400{:02}"
    plan = [
        (f"north/{begun.format(1, 0)}.wav", RATE, 2.5 * unit / 60),
        (f"north/{begun.format(2, 0)}.wav", 48_000, 2.0 * unit / 60),
        (f"south/{begun.format(1, 0)}.flac", RATE, 2.0 * unit / 60),
        (f"south/{begun.format(2, 0)}.wav", 32_000, 1.5 * unit / 60),
        *(
            (f"west/{begun.format(1 + n % 3, n)}.{ending}", RATE, unit / 6 / 60)
            for n, ending in enumerate(["wav"] * 5 + ["flac"] * 5 + ["ogg"] * 2)
        ),
    ]
    total_s = 0.0
    for name, rate, length_h in plan:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        n_minutes = max(1, round(60 * length_h * rate / RATE))
        # Those of another rate are the same samples, said to be faster or slower.
        subtype = "VORBIS" if path.suffix == ".ogg" else "PCM_16"
        with soundfile.SoundFile(path, "w", rate, 1, subtype) as file:
            for minute in sound(n_minutes):
                for block in np.split(minute, 60):  # Vorbis takes no long ones
                    file.write(block)
            total_s += file.frames / rate
    short, damaged = folder / plan[4][0], folder / plan[9][0]
    with short.open("r+b") as file:
        file.truncate(short.stat().st_size * 2 // 3)
    with damaged.open("r+b") as file:
        file.seek(damaged.stat().st_size // 2)
        file.write(bytes(20_000))
    return total_s / 3600


def compare_results(folder: Path, archive: Path, n_cuts: int, chance: random.Random) -> None:
    """Compare what archives hold with what `file` writes."""
    lines = folder / "file.jsonl"
    run(file_command(archive, "--begins", "--output", str(lines), "--overwrite"))
    events, gaps = read_lines(lines, archive)
    print(f"\nstreamclf file: {len(events)} events, {len(gaps)} gaps\n")
    print("| items of | pieces of recordings | workers | events | scores differ by | gaps |")
    print("|---|---|---|---|---|---|")
    for number in range(n_cuts):
        minutes = round(2 ** chance.uniform(0, 7), 2)
        n_workers = chance.randint(1, 4)
        results = folder / f"equal-{number}"
        shutil.rmtree(results, ignore_errors=True)
        run([["archive", "plan", str(archive), "--out", str(results),
              "--item-minutes", str(minutes)]])  # fmt: skip
        on_ray = bool(number % 2)
        run(ray_command(results, n_workers) if on_ray else shard_commands(results, n_workers))
        ours, our_gaps = read_results(results)
        furthest = compare_events(ours, events)
        if our_gaps != gaps:
            raise SystemExit(f"gaps differ: {set(our_gaps) ^ set(gaps)}")
        pieces = pyarrow.dataset.dataset(results / "manifest" / "items.parquet").to_table()
        n_pieces = sum(n > 0 for n in pieces["n_pieces"].to_pylist())
        n_cut = sum(n > 0 and p == 0 for n, p in zip(
            pieces["n_pieces"].to_pylist(), pieces["piece"].to_pylist(), strict=True))  # fmt: skip
        how = f"{n_workers} on Ray" if on_ray else f"{n_workers} by --shard"
        print(f"| {minutes:g} min | {n_pieces} of {n_cut} | {how} | same {len(ours)} | "
              f"{furthest:.6f} | same {len(our_gaps)} |")  # fmt: skip


def compare_events(ours: Sequence[Event], theirs: Sequence[Event]) -> float:
    """See that events are the same; returns by how much scores differ at most."""
    if [event[:5] for event in ours] != [event[:5] for event in theirs]:
        different = {event[:5] for event in ours} ^ {event[:5] for event in theirs}
        raise SystemExit(f"{len(different)} events differ: {sorted(different)[:6]}")
    scores = np.array([event[5:] for event in ours]) - np.array([event[5:] for event in theirs])
    furthest = float(np.abs(scores).max(initial=0))
    if furthest > SCORE_TOLERANCE:
        raise SystemExit(f"scores differ by {furthest}")
    return furthest


def read_lines(path: Path, archive: Path) -> tuple[list[Event], list[Gap]]:
    """Read events with the scores of their begins, and gaps, from what `file` wrote."""
    events: list[Event] = []
    gaps: list[Gap] = []
    begins: dict[tuple[str, str], float] = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        source = Path(line.get("source", archive)).relative_to(archive).as_posix()
        if line["type"] == "begin":
            begins[source, line["id"]] = line["score"]
        elif line["type"] == "event":
            begin = begins.pop((source, line["id"]))
            events.append((source, line["id"], line["label"], line["onset"], line["offset"],
                           line["score"], begin))  # fmt: skip
        elif line["type"] == "gap":
            gaps.append((source, line["onset"], line["offset"], line["cause"]))
    return sorted(events), sorted(gaps)


def read_results(results: Path) -> tuple[list[Event], list[Gap]]:
    """Read the same from the results of an archive."""
    names = ["source", "id", "label", "onset", "offset", "score", "begin_score"]
    events = pyarrow.dataset.dataset(results / "events").to_table(columns=names)
    gaps = pyarrow.dataset.dataset(results / "gaps").to_table(
        columns=["source", "onset", "offset", "cause"]
    )
    return (
        sorted(zip(*(events[name].to_pylist() for name in names), strict=True)),
        sorted(zip(*(column.to_pylist() for column in gaps.columns), strict=True)),
    )


def compare_costs(folder: Path, archive: Path, tiny: Path, n_rounds: int) -> None:
    """Compare the costs of `file` with those of archives, in turn."""
    results = {each: folder / f"costs-{each.name}" for each in (archive, tiny)}
    for source, out in results.items():
        shutil.rmtree(out, ignore_errors=True)
        planned = run([["archive", "plan", str(source), "--out", str(out)]])
        print(f"\nplan of {source.name}: {planned.cpu_s:.2f} CPU s")
    manifest = json.loads((results[archive] / "manifest" / "plan.json").read_text())
    n_items, hours = manifest["items"], manifest["seconds"] / 3600
    costs: dict[str, dict[Path, list[Cost]]] = {}
    for _ in range(n_rounds):
        for source, out in results.items():
            store, lines = folder / "file.db", str(folder / "costs.jsonl")
            for name, commands in {
                "file": file_command(source, "--output", lines, "--overwrite", "--jobs", "2"),
                "file --store": file_command(source, "--store", str(store), "--jobs", "2"),
                "file --store --no-levels": file_command(
                    source, "--store", str(store), "--no-levels", "--jobs", "2"
                ),
                "archive --shard": shard_commands(out, 2),
                "archive --shard --no-levels": shard_commands(out, 2, "--no-levels"),
                "archive on Ray": ray_command(out, 2),
            }.items():
                for table in ("events", "gaps", "heard", "levels", "pieces", "runs"):
                    shutil.rmtree(out / table, ignore_errors=True)
                for path in folder.glob("file.db*"):
                    path.unlink()
                costs.setdefault(name, {}).setdefault(source, []).append(run(commands))
    print(f"\n{hours:.2f} h in {n_items} items, two at a time, medians of {n_rounds}:\n")
    print("| | x real time | CPU s | of which to start | CPU s/h without | of file --store | more "
          "an item, s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    medians = {
        name: {source: median(each) for source, each in by_source.items()}
        for name, by_source in costs.items()
    }
    base = medians["file --store"]
    same = base[archive].cpu_s - base[tiny].cpu_s
    for name, of in medians.items():
        net = of[archive].cpu_s - of[tiny].cpu_s
        print(f"| {name} | {3600 * hours / of[archive].wall_s:,.0f} | {of[archive].cpu_s:.1f} | "
              f"{of[tiny].cpu_s:.1f} | {net / hours:.2f} | {net / same:.3f} | "
              f"{(net - same) / n_items:+.2f} |")  # fmt: skip


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.wall_s for cost in costs),
    )


def file_command(folder: Path, *more: str) -> list[list[str]]:
    return [["file", str(folder), *more]]


def shard_commands(results: Path, n: int, *more: str) -> list[list[str]]:
    return [["archive", "run", str(results), "--shard", f"{i + 1}/{n}", *more] for i in range(n)]


def ray_command(results: Path, n_workers: int) -> list[list[str]]:
    return [["archive", "run", str(results), "--workers", str(n_workers)]]


def run(commands: Sequence[Sequence[str]]) -> Cost:
    """Run commands side by side, and add up what their processes and all below them take."""
    marked = f"{MARK}={os.getpid()}-{time.monotonic_ns()}"
    environment = {**os.environ, MARK: marked.partition("=")[2]}
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [*STREAMCLF, *command], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        for command in commands
    ]  # fmt: skip
    taken: dict[tuple[str, str], float] = {}
    wall_s = 0.0
    while look(marked.encode(), taken) or not wall_s:
        if not wall_s and all(process.poll() is not None for process in processes):
            wall_s = time.monotonic() - began
        time.sleep(LOOK_S)
    for process in processes:
        said = process.communicate()[1]
        # 1: the damaged recordings
        if process.returncode not in (0, 1) or "does not start" in said:
            raise SystemExit(said)
    return Cost(sum(taken.values()), wall_s)


def look(mark: bytes, taken: dict[tuple[str, str], float]) -> bool:
    """Note what marked processes have taken by now; returns whether there are any."""
    found = False
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark not in (folder / "environ").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found = True
        ticks = int(fields[11]) + int(fields[12])
        taken[folder.name, fields[19]] = ticks / os.sysconf("SC_CLK_TCK")
    return found


if __name__ == "__main__":
    main()
