"""``python -m export.tune RUN``: defaults for events, tuned on soundscapes of the held-out fold.

Each class's held-out clips are split into two halves. Settings are tuned on scenes of one half and
evaluated on scenes of the other. ``events.json`` in the run's folder keeps both; the export takes
its thresholds and lengths from there, unless a precision is asked for.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.card.held_out import EVENTS_FILE
from export.card.temperature import AVERAGE_S, MIN_CLIPS, fit_temperature
from export.card.tuning import EventSettings, Tuner, run_scenes
from export.errors import ExportError
from streamclf.core.errors import UsageError
from train.audio.scenes import make_scenes
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets import ClipSet
from train.evaluate import reopen_data
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder

SNR_DB = (0.0, 10.0, 20.0, 30.0)


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m export.tune",
        description="Tune a run's defaults for events on soundscapes of its held-out fold.",
    )
    add = parser.add_argument
    add("run", type=Path, help="the run folder")
    add("--data", type=Path, help="the data set's folder (where it was when the run was trained)")
    add("--prepared", type=Path, help="where prepared clips go")
    add("--scenes", type=int, default=40, metavar="N", help="of a minute, of each half (40)")
    add(
        "--average",
        type=_seconds,
        default=[AVERAGE_S],
        metavar="S",
        help="seconds to average over; of several, as in 2,3,4, the best is taken "
        f"({AVERAGE_S:g}, as streamclf has it)",
    )
    add("--seed", type=int, default=1, help="of the scenes (1)")
    options = parser.parse_args(arguments)
    if options.scenes < len(SNR_DB):
        raise UsageError(f"--scenes is {options.scenes}, must be {len(SNR_DB)} or more")
    if options.seed < 0:
        raise UsageError(f"--seed is {options.seed}, must be 0 or more")
    if not all(0.5 <= seconds <= 60 for seconds in options.average):
        raise UsageError(f"--average is {options.average}, must be 0.5 to 60 seconds each")
    print(describe(tune_run(options.run, options)))
    return 0


def _seconds(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds as in 2,3,4") from None


def tune_run(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Tune settings, and evaluate them.

    Returns:
        The entries of ``events.json``.

    Raises:
        ExportError: The run held no classes' clips out, or too few.
        RunError: It cannot be read.
        UsageError: The data is not the run's.
        DatasetError: It cannot be opened.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    outputs = None if "cross_validation" in config else run.read_held_out()
    if outputs is None or outputs.is_regression:
        raise ExportError(f"{path}: held no clips of classes out; name a run that did")
    if len(outputs.targets) < MIN_CLIPS:
        raise ExportError(
            f"{path}: held {len(outputs.targets)} clips out, tuning needs {MIN_CLIPS}; "
            "name a run that held out more"
        )
    system, network = load_network(run, config)
    fold = config["data"]["test_fold"]
    clips = reopen_data(run, system, config, data=options.data, prepared=options.prepared).of_folds(
        [fold]
    )
    temperature = fit_temperature(outputs)
    tuners = [
        Tuner(
            run_scenes(
                network,
                make_scenes(half, options.scenes, snr_db=SNR_DB, seed=options.seed + number),
                system.window_samples,
            ),
            clips.labels, system.window_samples, temperature,
        )
        for number, half in enumerate(halve(clips))
    ]  # fmt: skip
    settings = tuners[0].tune(options.average)
    result = {
        "listening": asdict(settings),
        "temperature": temperature,
        "fold": fold,
        "scenes": options.scenes,
        "seed": options.seed,
        "tuned": _figures(tuners[0], settings),
        "judged": _figures(tuners[1], settings),
        "untuned": _figures(tuners[1], EventSettings()),
    }
    run.write_json(EVENTS_FILE, result)
    return result


def halve(clips: ClipSet) -> tuple[ClipSet, ClipSet]:
    """Split each class's clips into two halves; clips of one source stay together."""
    sides: tuple[list[int], list[int]] = ([], [])
    of_class: dict[float, dict[str, list[int]]] = {}
    for index, clip in enumerate(clips.clips):
        of_class.setdefault(clip.target, {}).setdefault(clip.source, []).append(index)
    for sources in of_class.values():
        counts = [0, 0]
        for own in sorted(sources.values(), key=len, reverse=True):
            side = int(counts[1] < counts[0])
            counts[side] += len(own)
            sides[side].extend(own)
    return clips.take(sorted(sides[0])), clips.take(sorted(sides[1]))


def _figures(tuner: Tuner, settings: EventSettings) -> dict[str, Any]:
    judged = tuner.evaluate(settings)
    levels = {f"{snr:g}": tuner.evaluate(settings, snr)["events"]["f1"] for snr in SNR_DB}
    names = ("events", "segments", "false_alarms_per_hour", "hours")
    return {name: judged[name] for name in names} | {"event_f1_at_snr_db": levels}


def describe(result: dict[str, Any]) -> str:
    """Describe the result, in lines."""
    chosen = result["listening"]
    lines = [
        f"on {chosen['on']:g}, off {chosen['on'] * chosen['off_ratio']:.3g}, average "
        f"{chosen['average_s']:g} s, gaps up to {chosen['max_gap']:g} s bridged, events from "
        f"{chosen['min_duration']:g} s"
    ]
    names = {"tuned": "tuned on", "judged": "other clips", "untuned": "other clips, untuned"}
    for name, title in names.items():
        row = result[name]
        levels = ", ".join(f"{v} at {k} dB" for k, v in row["event_f1_at_snr_db"].items())
        lines.append(
            f"{title}: event F1 {row['events']['f1']} ({levels}), precision "
            f"{row['events']['precision']}, recall {row['events']['recall']}, segment F1 "
            f"{row['segments']['f1']}, {row['false_alarms_per_hour']:g} false alarms an hour"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
